"""What the warehouse says to SQL that may not run."""

from __future__ import annotations


class Refused(Exception):
    """User SQL that may not run; the message is one sentence. Trying again cannot help."""


class Unsaid(Refused):
    """It is written in another system's SQL, and DuckDB's has no words for it."""
