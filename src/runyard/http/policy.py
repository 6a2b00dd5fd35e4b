"""The one policy: which scope a principal must hold. Everything that is not granted is refused."""

from __future__ import annotations

from runyard.core.errors import Code, RunyardError
from runyard.core.model import Principal

OPEN = "open"
"""Answered without credentials: health checks and the API document, nothing that shows data."""
SIGNED_IN = "signed-in"
"""Answered to every principal, whatever its scopes."""
ADMIN = "admin"

SCOPES = frozenset(
    {
        ADMIN,
        "jobs:read",
        "jobs:write",
        "runs:read",
        "runs:write",
        "data:read",
        "data:write",
        "queues:write",
        "metrics:read",
    }
)
"""What a principal can be granted; `admin` holds all of them."""


def attempt_scope(task_run_id: int, claim: int) -> str:
    """The scope that the program of one claim holds, and nobody else but an administrator."""
    return f"attempt:{task_run_id}:{claim}"


def allows(principal: Principal, scope: str) -> bool:
    """Whether the principal may call what declares this scope."""
    return scope in principal.scopes or scope == SIGNED_IN or ADMIN in principal.scopes


def require(principal: Principal, scope: str) -> None:
    """Raises `denied` unless `allows`."""
    if scope not in principal.scopes and not allows(principal, scope):
        held = ", ".join(principal.scopes) or "none"
        raise RunyardError(
            Code.DENIED,
            f"This needs the scope {scope}; {principal.name} holds {held}. Use a token whose principal holds it.",
            scope=scope,
        )
