"""Options that commands share, and values as they are written on a command line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from cyclopts import Parameter

from runyard.cli.exits import USAGE, Exit
from runyard.cli.render import Output
from runyard.client.words import nearest_word

if TYPE_CHECKING:
    from runyard.client.client import Client


@Parameter(name="*")
@dataclass(frozen=True)
class Common:
    """Which server, and in what form its answer is written."""

    output: Annotated[
        Output, Parameter(name=["--output", "-o"], help="table for people, json or jsonl for programs")
    ] = "table"
    url: Annotated[str | None, Parameter(help="the server (else RUNYARD_URL)")] = None
    token: Annotated[str | None, Parameter(help="who asks (else RUNYARD_TOKEN)")] = None

    def client(self) -> Client:
        """A client for that server."""
        from runyard.client.client import Client  # not at the top: `up` must not wait for an HTTP client

        return Client(self.url, self.token)


COMMON = Common()

STDIN = "/dev/stdin"
"""How `-` reaches a command: the parser would take the bare sign for an option."""

Params = Annotated[
    tuple[str, ...],
    Parameter(name=["--param", "-p"], negative="", show_default=False, help="KEY=VALUE; may be given often"),
]
Tags = Annotated[
    tuple[str, ...], Parameter(name="--tag", negative="", show_default=False, help="KEY=VALUE; may be given often")
]


def parameters(words: Iterable[str]) -> dict[str, Any]:
    """`KEY=VALUE` words: a value that is a JSON number, true, false, null or quoted text is that, else text."""
    return {key: scalar(value) for key, value in pairs(words, "--param").items()}


def scalar(text: str) -> Any:
    """A JSON scalar, or the text itself."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return text
    return text if isinstance(value, (dict, list)) else value


def pairs(words: Iterable[str], option: str) -> dict[str, str]:
    """`KEY=VALUE` words by key."""
    found: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise Exit(USAGE, f"{option} takes KEY=VALUE; found {word!r}.")
        found[key] = value
    return found


def one_of(word: str, known: Iterable[str], what: str) -> str:
    """The word, if it is known."""
    words = list(known)
    if word not in words:
        raise Exit(USAGE, f"There is no {what} {word!r}{nearest_word(word, words)}")
    return word
