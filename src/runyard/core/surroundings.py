"""Rules for what the work of a process finds around it: requirements, wheels, a checkout."""

from __future__ import annotations

import re

from runyard.core.actions import Checkout, Dbt, Notebook, Python, Shell, Wheel
from runyard.core.errors import invalid

MAX_REQUIREMENTS = 500
# What git itself refuses in a name, and what would read as an option or as another revision.
_REF = re.compile(r"(?!-|/|\.)(?!.*(\.\.|//|@\{|/\.|\.lock$|/$|\.$))[^\x00-\x20~^:?*\[\\\x7f]{1,250}")
_COMMIT = re.compile(r"[0-9a-fA-F]{7,64}")
_PACKAGE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,199})")
_ENTRY = re.compile(r"[A-Za-z_][\w.:-]{0,199}")
_REFERENCE = "{{"


def check(action: Python | Notebook | Wheel | Dbt | Shell, at: str) -> None:
    """Raises `invalid` for requirements that are options, names that cannot be, and refs that look like options."""
    if not isinstance(action, Wheel) and action.checkout is not None:
        _check_checkout(action.checkout, f"{at}.checkout")
    if isinstance(action, Shell):
        return
    _check_requirements(action.requirements, f"{at}.requirements")
    if isinstance(action, Wheel):
        return _check_wheel(action, at)
    if isinstance(action, Dbt):
        return _check_dbt(action, at)
    if action.requirements and action.interpreter is not None:
        said = "requirements make an environment with the server's Python; leave out interpreter, or the requirements."
        raise invalid(said, field=f"{at}.requirements")
    return None


def _check_requirements(requirements: list[str], at: str) -> None:
    if len(requirements) > MAX_REQUIREMENTS:
        raise invalid(f"{MAX_REQUIREMENTS} requirements are allowed; found {len(requirements)}.", field=at)
    for place, text in enumerate(requirements):
        if not text.strip() or text.strip().startswith("-") or "\n" in text:
            said = (
                f"A requirement is one package, such as name==1.2; found {text!r}. Options of pip have no place here."
            )
            raise invalid(said, field=f"{at}[{place}]")


def _check_wheel(action: Wheel, at: str) -> None:
    for name, pattern in (("package", _PACKAGE), ("entry_point", _ENTRY)):
        text = getattr(action, name)
        if not pattern.fullmatch(text) and _REFERENCE not in text:
            raise invalid(f"{text!r} cannot be a wheel task's {name}.", field=f"{at}.{name}")
    for place, text in enumerate(action.wheels):
        if not text.strip() or text.startswith("-"):
            raise invalid(f"{text!r} is neither a path nor a URL of a wheel.", field=f"{at}.wheels[{place}]")
    if not action.index and action.requirements:
        said = "Without an index only wheels can be installed; leave out requirements, or index: false."
        raise invalid(said, field=f"{at}.requirements")


def _check_dbt(action: Dbt, at: str) -> None:
    if not action.commands:
        raise invalid("A dbt task needs commands, such as 'dbt run'.", field=f"{at}.commands")
    for place, text in enumerate(action.commands):
        if not re.match(r"dbt\s+\S", text) and _REFERENCE not in text:
            raise invalid(f"A command of dbt begins with 'dbt '; found {text!r}.", field=f"{at}.commands[{place}]")
    if action.checkout is None and not action.project.startswith("/") and _REFERENCE not in action.project:
        said = f"Without a checkout the project is an absolute path on the server; found {action.project!r}."
        raise invalid(said, field=f"{at}.project")
    if not _ENTRY.fullmatch(action.schema) and _REFERENCE not in action.schema:
        raise invalid(f"{action.schema!r} cannot be the name of a schema.", field=f"{at}.schema")


def _check_checkout(one: Checkout, at: str) -> None:
    refs = {name: getattr(one, name) for name in ("branch", "tag", "commit") if getattr(one, name) is not None}
    if len(refs) > 1:
        raise invalid(f"A checkout names one of branch, tag and commit; found {' and '.join(refs)}.", field=at)
    if not one.url.strip() or one.url.startswith("-"):
        raise invalid(f"{one.url!r} is no address of a repository.", field=f"{at}.url")
    for name, text in refs.items():
        pattern = _COMMIT if name == "commit" else _REF
        if not pattern.fullmatch(text) and _REFERENCE not in text:
            raise invalid(f"{text!r} cannot be the {name} of a repository.", field=f"{at}.{name}")
