"""What names mean while a template is rendered: its parameters, `set` and loop variables, and how much it may do."""

from __future__ import annotations

from typing import Any

from runyard.dialects.tinybird.template.values import Missing, TemplateError

MAX_STEPS = 200_000
MAX_TEXT = 4_000_000


class Scope:
    """Parameters as texts, variables as values. One rendering has one budget of steps and of text."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.given = given
        self.variables: dict[str, Any] = {}
        self._steps = 0
        self._size = 0

    def get(self, name: str) -> Any:
        """A variable, else a parameter as it was given, else `Missing`."""
        if name in self.variables:
            return self.variables[name]
        return self.given[name] if name in self.given else Missing(name)

    def step(self) -> None:
        """Counts one piece of work; raises `TemplateError` when the budget is used up."""
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise TemplateError("The template does more than its limit of work: a loop is too long.")

    def wrote(self, text: str) -> str:
        """Counts text that was written."""
        self._size += len(text)
        if self._size > MAX_TEXT:
            raise TemplateError(f"The template makes more than {MAX_TEXT} characters of SQL.")
        return text
