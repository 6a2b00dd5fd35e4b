"""Refusals that are ideas of HTTP alone, so that the core has no code for them."""

from __future__ import annotations

from runyard.core.errors import Code, RunyardError


class HttpRefusal(RunyardError):
    """A refusal with a status and headers of its own; a face keeps them and spells the body its way."""

    def __init__(self, status: int, message: str, headers: dict[str, str]) -> None:
        super().__init__(Code.INVALID, message)
        self.status = status
        self.headers = headers


def method_not_allowed(method: str, path: str, allowed: list[str]) -> HttpRefusal:
    """The path is there, but not for this method."""
    takes = ", ".join(allowed)
    return HttpRefusal(405, f"{path} does not take {method}. It takes {takes}.", {"Allow": takes})


def range_not_satisfiable(header: str, size: int) -> HttpRefusal:
    """Nothing of the range exists; `size` is the body's, in bytes, so far."""
    message = f"The range {header} holds nothing: the body has {size} bytes so far."
    return HttpRefusal(416, message, {"Content-Range": f"bytes */{size}"})


def too_large(cap: int, found: str) -> RunyardError:
    """A body over the cap; sizes in bytes."""
    message = f"The body has {found} bytes; this server takes at most {cap}. Send less, or raise the setting body_cap."
    return RunyardError(Code.TOO_LARGE, message, limit=cap)
