"""`dbutils.widgets`: the notebook's parameters, which are text."""

from __future__ import annotations

from collections.abc import Sequence


class InputWidgetNotDefined(KeyError):
    """A value was asked for that was neither given nor declared."""

    def __str__(self) -> str:
        return str(self.args[0])


class Widgets:
    """What the run gave wins over what the notebook declares."""

    def __init__(self, given: dict[str, str]) -> None:
        self.given = dict(given)
        self._declared: dict[str, str] = {}

    def text(self, name: str, defaultValue: str = "", label: str | None = None) -> None:
        """Declares a value and its default."""
        self._declared[name] = str(defaultValue)

    def dropdown(self, name: str, defaultValue: str, choices: Sequence[str], label: str | None = None) -> None:
        """Declares a value that is one of the choices; raises ValueError for a default that is none of them.

        What a run gives is not checked against the choices, as the service does not either.
        """
        if defaultValue not in choices:
            raise ValueError(f"The default {defaultValue!r} of the widget {name!r} is not one of {list(choices)}.")
        self.text(name, defaultValue, label)

    def combobox(self, name: str, defaultValue: str, choices: Sequence[str], label: str | None = None) -> None:
        """Declares a value with suggestions."""
        self.text(name, defaultValue, label)

    def multiselect(self, name: str, defaultValue: str, choices: Sequence[str], label: str | None = None) -> None:
        """Declares several of the choices, divided by commas."""
        self.dropdown(name, defaultValue, choices, label)

    def get(self, name: str) -> str:
        """The value; raises `InputWidgetNotDefined`."""
        for values in (self.given, self._declared):
            if name in values:
                return values[name]
        known = ", ".join(sorted({*self.given, *self._declared})) or "none"
        raise InputWidgetNotDefined(f"No input widget named {name} is defined; there are: {known}.")

    def getArgument(self, name: str, defaultValue: str | None = None) -> str:
        """The value, or the default where there is none."""
        try:
            return self.get(name)
        except InputWidgetNotDefined:
            if defaultValue is None:
                raise
            return defaultValue

    def getAll(self) -> dict[str, str]:
        """All values by name."""
        return {**self._declared, **self.given}

    def remove(self, name: str) -> None:
        """Forgets what the notebook declared under this name; what the run gave stays."""
        self._declared.pop(name, None)

    def removeAll(self) -> None:
        """Forgets all that the notebook declared."""
        self._declared.clear()
