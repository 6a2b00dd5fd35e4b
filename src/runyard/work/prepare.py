"""What is made before the work begins: the checkout of a repository, an environment of requirements."""

from __future__ import annotations

import os
from typing import ClassVar

import msgspec

from runyard.core.actions import InProcess, Shell, Wheel
from runyard.core.attempts import Assignment
from runyard.core.launch import TREE, WORK
from runyard.runtime import context


class Unprepared(Exception):
    """The work cannot begin; the message is one sentence, and the log has what the tools said."""

    mark: ClassVar[str]
    """What stands before the sentence in the log, by which the launcher knows it."""


class EnvironmentFailed(Unprepared):
    """The requirements could not be installed."""

    mark = "runyard: no environment: "


class CheckoutFailed(Unprepared):
    """The repository could not be had."""

    mark = "runyard: no checkout: "


def prepared(claim: Assignment, folder: str) -> tuple[InProcess, str | None]:
    """The action with its paths in the checkout, and the Python of its environment, None for the server's own.

    Raises `EnvironmentFailed`, `CheckoutFailed`. `folder` is the attempt's.
    """
    action: InProcess = claim.action  # type: ignore[assignment]  # the executor gets no other kinds
    # Imported where they are needed: the fork server holds this module, and stays small.
    if not isinstance(action, Wheel) and action.checkout is not None:
        from runyard.work import checkout

        tree = os.path.join(folder, WORK, TREE)
        context.set_metrics(commit=checkout.check_out(action.checkout, tree, claim.places))
        action = _within(action, tree)
    if isinstance(action, Shell):
        return action, None
    wheels, index = (action.wheels, action.index) if isinstance(action, Wheel) else ([], True)
    if not (action.requirements or wheels):
        return action, None
    from runyard.work import environments

    return action, environments.made(action.requirements, wheels, index, claim.places, action.environment)


def _within(action: InProcess, tree: str) -> InProcess:
    """Relative paths are paths in the tree; raises FileNotFoundError for those that lead out of it."""
    changes = {}
    if hasattr(action, "working_directory"):
        changes["working_directory"] = _inside(action.working_directory or ".", tree)
    for name in ("file", "root", "project"):
        if (path := getattr(action, name, None)) is not None:
            changes[name] = _inside(path, tree)
    if hasattr(action, "root") and action.root is None:
        changes["root"] = tree
    return msgspec.structs.replace(action, **changes)


def _inside(path: str, tree: str) -> str:
    if os.path.isabs(path):
        return path
    found = os.path.realpath(os.path.join(tree, path))
    if found != os.path.realpath(tree) and not found.startswith(os.path.realpath(tree) + "/"):
        raise CheckoutFailed(f"The path {path!r} leads out of the repository.")
    return found
