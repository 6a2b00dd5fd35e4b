"""Draws docs/states.md from the tables in the code: `python docs/draw.py` writes it, a test compares it."""

from __future__ import annotations

from pathlib import Path

from runyard.core.states import RUN_MOVES, TASK_MOVES, TERMINAL, Move, Reason, State

TARGET = Path(__file__).with_name("states.md")

INTRO = """# States

*This page is drawn from `src/runyard/core/states.py` by `python docs/draw.py`; a test compares the two.*

A **task run** is one attempt of one task. Its terminal states are final: a retry or a repair adds a task run.
A **run** is final in each repair round; `repair` is the one move out of its terminal states. A move that a
table does not have is refused and changes nothing.

What the work really did wins over what was asked of it: a task that succeeded before a cancel reached it is
`succeeded`, because a repair would otherwise apply its effects a second time.
"""


def _diagram(table: dict[tuple[State, Move], State]) -> str:
    edges: dict[tuple[str, str], list[str]] = {}
    for (state, move), after in table.items():
        edges.setdefault((state.value, after.value), []).append(move.value)
    lines = ["```mermaid", "stateDiagram-v2"]
    lines += [f"    {start} --> {end}: {', '.join(moves)}" for (start, end), moves in edges.items()]
    ends = sorted({after.value for after in table.values() if after in TERMINAL})
    lines += [f"    {state} --> [*]" for state in ends]
    return "\n".join([*lines, "```"])


def _rows(table: dict[tuple[State, Move], State]) -> str:
    lines = ["| in | on | goes to |", "|---|---|---|"]
    lines += [f"| {state.value} | {move.value} | {after.value} |" for (state, move), after in table.items()]
    return "\n".join(lines)


def page() -> str:
    """The whole page as text."""
    reasons = ", ".join(f"`{reason.value}`" for reason in Reason if reason.value)
    parts = [
        INTRO,
        "## Task runs\n",
        _diagram(TASK_MOVES),
        "",
        _rows(TASK_MOVES),
        "\n## Runs\n",
        _diagram(RUN_MOVES),
        "",
        _rows(RUN_MOVES),
        "\n## Reasons\n",
        f"A state goes with a reason code and a sentence. The codes: {reasons}.",
    ]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    TARGET.write_text(page())
