"""Limits of an attempt; apart from the model, so that the process of an attempt need not hold all of that."""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What one attempt of a process task may use; None means the server's default."""

    memory_bytes: int | None = None
    cpu_seconds: int | None = None
    log_bytes: int | None = None
