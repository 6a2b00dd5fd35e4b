"""Runs an entry point: `python -P entry.py PACKAGE ENTRY_POINT ARGUMENTS...`; it imports nothing of ours.

An entry point that the package's metadata names wins, console scripts first; else it is a function that is reached
as `package.entry_point` (Databricks Jobs API, `python_wheel_task`).
"""

import importlib
import importlib.metadata
import sys
from collections.abc import Callable
from typing import Any


def find(package: str, entry_point: str) -> Callable[[], Any]:
    """The function; raises LookupError with a sentence."""
    try:
        known = importlib.metadata.distribution(package).entry_points
    except importlib.metadata.PackageNotFoundError:
        raise LookupError(f"The package {package} is not installed.") from None
    named = sorted((one for one in known if one.name == entry_point), key=lambda one: one.group != "console_scripts")
    if named:
        found: Callable[[], Any] = named[0].load()
        return found
    module = _module(package)
    target: Any = module
    for name in entry_point.replace(":", ".").split("."):
        if not hasattr(target, name):
            try:
                importlib.import_module(f"{target.__name__}.{name}")
            except (ImportError, AttributeError):
                names = ", ".join(sorted({one.name for one in known})) or "none"
                said = f"The package {package} has no entry point and no function {entry_point!r}"
                raise LookupError(f"{said}; its entry points are: {names}.") from None
        target = getattr(target, name)
    if not callable(target):
        raise LookupError(f"{package}.{entry_point} cannot be called.")
    return target  # type: ignore[no-any-return]  # checked in the line above


def _module(package: str) -> Any:
    """The package's top module: what it says, or its name as an identifier."""
    said = (importlib.metadata.distribution(package).read_text("top_level.txt") or "").split()
    plain = package.replace("-", "_").replace(".", "_")
    for name in dict.fromkeys([plain, plain.lower(), *said]):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
    raise LookupError(f"The package {package} brings no module of its name.")


if __name__ == "__main__":
    function = find(sys.argv[1], sys.argv[2])
    sys.argv[:3] = [sys.argv[2]]
    sys.exit(function())
