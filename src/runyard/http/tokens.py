"""Tokens that are derived, not stored: HMAC-SHA256 of a principal's id and version under a master key.

A token reads `ry_<id in base 36>_<version>_<mac>`. Whoever holds the database but not the key file can make
none; raising a principal's version makes all its earlier tokens worthless.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from pathlib import Path

from runyard.core.model import Principal
from runyard.store import files

KEY_BYTES = 32
ATTEMPT = "ra"
_MAC_BYTES = 20
_CACHE = 4096
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


class Tokens:
    """Makes and checks tokens. A token that was checked once is remembered, so that the next check is a lookup."""

    def __init__(self, master_key: bytes) -> None:
        self._key = master_key
        self._known: dict[str, tuple[int, int]] = {}

    def derive(self, principal: Principal) -> str:
        """The token of the principal's present version."""
        return f"ry_{base36(principal.id)}_{principal.version}_{self._mac(principal.id, principal.version)}"

    def check(self, token: str) -> tuple[int, int] | None:
        """The principal's id and the version that the token was made for; None for anything not made by us."""
        known = self._known.get(token)
        if known is not None:
            return known
        claim = _claim(token)
        if claim is None or not hmac.compare_digest(token.rpartition("_")[2].encode(), self._mac(*claim).encode()):
            return None
        if len(self._known) >= _CACHE:
            self._known.clear()
        self._known[token] = claim
        return claim

    def of_key(self, key_id: str) -> str | None:
        """The token that an access key id stands for: the secret of whoever signs with it. None for no key of ours."""
        claim = _claim(f"{key_id}_")
        if claim is not None:
            return f"{key_id}_{self._mac(*claim)}"
        attempt = _attempt_claim(f"{key_id}_")
        return self.derive_attempt(*attempt) if attempt else None

    def purpose(self, name: str) -> bytes:
        """A key of its own for something else that must outlast restarts, and must not be a token."""
        return hmac.digest(self._key, name.encode(), "sha256")

    def derive_attempt(self, task_run_id: int, claim: int) -> str:
        """The token of one claim of one task run, for the program of the attempt."""
        return f"{ATTEMPT}_{base36(task_run_id)}_{base36(claim)}_{self._attempt_mac(task_run_id, claim)}"

    def check_attempt(self, token: str) -> tuple[int, int] | None:
        """The task run and the claim that the token was made for; None for anything not made by us."""
        found = _attempt_claim(token)
        return found if found and hmac.compare_digest(token, self.derive_attempt(*found)) else None

    def _attempt_mac(self, task_run_id: int, claim: int) -> str:
        digest = hmac.digest(self._key, f"attempt:{task_run_id}:{claim}".encode(), "sha256")
        return base64.b32encode(digest[:_MAC_BYTES]).decode().lower()

    def webhook_key(self, url: str) -> str:
        """What messages to this URL are signed with; each URL has its own, so that no receiver can speak as another."""
        return self.purpose(f"webhook:{url}").hex()

    def _mac(self, principal_id: int, version: int) -> str:
        digest = hmac.digest(self._key, f"token:{principal_id}:{version}".encode(), "sha256")
        return base64.b32encode(digest[:_MAC_BYTES]).decode().lower()


def _claim(token: str) -> tuple[int, int] | None:
    parts = token.split("_")
    if len(parts) != 4 or parts[0] != "ry" or len(token) > 100 or not token.isascii():
        return None
    try:
        claim = int(parts[1], 36), int(parts[2])
    except ValueError:
        return None
    # Only the one spelling that `derive` gives: no sign, no leading zero, no capitals.
    return claim if (parts[1], parts[2]) == (base36(claim[0]), str(claim[1])) else None


def _attempt_claim(token: str) -> tuple[int, int] | None:
    parts = token.split("_")
    if len(parts) != 4 or parts[0] != ATTEMPT or len(token) > 100 or not token.isascii():
        return None
    try:
        return int(parts[1], 36), int(parts[2], 36)
    except ValueError:
        return None


def key_id(token: str) -> str:
    """The access key id of whoever holds this token; the operator's own token has none in it."""
    return token.rpartition("_")[0] if _claim(token) else "operator"


def base36(number: int) -> str:
    """A number from 0 in base 36; a negative one as `-`, which no token holds."""
    if number < 0:
        return "-"
    text = ""
    while True:
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
        if not number:
            return text


def load_master_key(path: Path) -> bytes:
    """The key in this file, which is made (mode 0600, flushed to disk) when there is none.

    Raises `ValueError` for a file that others can read or that holds no key: going on with a new key would
    silently make every token worthless.
    """
    if not path.exists():
        files.keep(path, secrets.token_bytes(KEY_BYTES))
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise ValueError(f"{path} must be readable by its owner only; its mode is {mode:o}. Run: chmod 600 {path}")
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise ValueError(f"{path} must hold {KEY_BYTES} bytes; it has {len(key)}. Restore it from a backup.")
    return key
