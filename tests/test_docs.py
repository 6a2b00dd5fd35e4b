"""The docs say what the code does: drawn pages are current, links lead somewhere, examples are valid."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from docs import draw
from runyard.cli.commands import GROUPS
from runyard.client import triggerfile
from runyard.client.jobfile import parse
from runyard.core.cron import Flavour
from runyard.core.graph import validate
from runyard.core.schedule import Schedule, local_text, rule, upcoming
from runyard.engine.webhooks import signature

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += sorted((ROOT / "docs").rglob("*.md")) + sorted((ROOT / "bench").glob("*.md"))
COMMANDS = re.compile(r"^(?:\$ )?runyard ([a-z]+)", re.MULTILINE)
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
TEST = re.compile(r"`(test_\w+)`")
TEST_FILE = re.compile(r"\btests/[\w/]+(?:\.py)?")
FENCE = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize("name", sorted(draw.WHOLE))
def test_a_drawn_page_is_what_the_code_draws(name: str) -> None:
    assert (ROOT / "docs" / name).read_text() == draw.WHOLE[name](), "run: python -m docs.draw"


@pytest.mark.parametrize("name", sorted(draw.PARTS))
def test_a_drawn_part_is_what_the_code_draws(name: str) -> None:
    page = (ROOT / "docs" / name).read_text()
    assert page == draw.with_part(page, draw.PARTS[name]()), "run: python -m docs.draw"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), target


def test_every_test_that_the_docs_name_exists() -> None:
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    for page in PAGES:
        text = page.read_text()
        assert {name for name in TEST.findall(text) if f"def {name}(" not in tests} == set(), page
        assert {name for name in TEST_FILE.findall(text) if not any(ROOT.glob(f"{name}*"))} == set(), page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_in_the_docs_exists(page: Path) -> None:
    known = _commands()
    for _, block in FENCE.findall(page.read_text()):
        assert set(COMMANDS.findall(block)) <= known


def _commands() -> set[str]:
    return {command.name for commands in GROUPS.values() for command in commands}


def test_every_command_stands_in_the_docs() -> None:
    text = "\n".join(page.read_text() for page in PAGES)
    missing = {name for name in _commands() if f"runyard {name}" not in text}
    assert not missing


def test_every_job_file_in_the_docs_is_valid(tmp_path: Path) -> None:
    (tmp_path / "report.py").write_text("print('a report')")
    blocks = [block for page in PAGES for kind, block in FENCE.findall(page.read_text()) if kind == "yaml"]
    assert len(blocks) >= 2
    for block in blocks:
        if block.startswith("trigger:"):
            assert triggerfile.parse_all(block)
        else:
            validate(parse(block, folder=tmp_path))


def test_the_readme_names_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text()
    assert "make demo" in text
    assert "make test" in text


EXPRESSION = re.compile(r"^\| (\w+) \| `([^`]+)` \| (.+) \|$", re.MULTILINE)


@pytest.mark.parametrize(
    "row", EXPRESSION.findall((ROOT / "docs" / "schedules.md").read_text()), ids=lambda row: row[1]
)
def test_an_expression_in_the_docs_fires_as_they_say(row: tuple[str, str, str]) -> None:
    flavour, text, said = row
    times = said.split(", ")
    start = round(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000) - 1
    found = rule(Schedule(cron=text, flavour=Flavour(flavour)), UTC, 0)
    shown = [local_text(at, UTC)[:19].replace("T", " ") for at in upcoming(found, start, len(times))]
    assert shown == [time if len(time) > 16 else f"{time}:00" for time in times]


def test_the_receiver_in_the_docs_knows_a_message_of_ours() -> None:
    [block] = [block for _, block in FENCE.findall((ROOT / "docs" / "jobs.md").read_text()) if "def genuine" in block]
    names: dict[str, Any] = {}
    exec(block, names)  # noqa: S102 - our own page
    body = '{"event": "run.failure"}'
    headers = {"Runyard-Sent-At": "17", "Runyard-Signature": signature("key", "17", body)}
    assert names["genuine"]("key", headers, body.encode())
    assert not names["genuine"]("other", headers, body.encode())
    assert not names["genuine"]("key", {**headers, "Runyard-Sent-At": "18"}, body.encode())
