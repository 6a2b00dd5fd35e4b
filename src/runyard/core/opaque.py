"""Ids for platforms whose ids are long texts: made from our own with a key, checked and read back without a table.

A text is `tag + (id xor mask)` in hexadecimal: the tag is a digest of the id under the key, the mask one of the
tag. Whoever does not hold the key can neither make one nor tell which of two is newer.
"""

from __future__ import annotations

import hmac

_ID_BYTES = 8
_REMEMBERED = 10_000
"""Who follows runs asks for the same ids again and again; a digest costs more than a look."""


class Opaque:
    """Texts of `size` bytes (16 for a UUID, 32 for 64 hexadecimal digits) under one key."""

    __slots__ = ("_key", "_made", "_size")

    def __init__(self, key: bytes, size: int = 32) -> None:
        self._key = key
        self._size = size
        self._made: dict[int, str] = {}

    def text(self, identifier: int) -> str:
        """The text of an id."""
        made = self._made.get(identifier)
        if made is None:
            tag = self._tag(identifier)
            made = f"{tag.hex()}{identifier ^ self._mask(tag):016x}"
            if len(self._made) >= _REMEMBERED:
                self._made.clear()
            self._made[identifier] = made
        return made

    def read(self, text: str) -> int | None:
        """The id that a text was made from; None for what was not made here."""
        if len(text) != 2 * self._size or not text.isascii() or text != text.lower():
            return None
        try:
            raw = bytes.fromhex(text)
        except ValueError:
            return None
        tag, rest = raw[:-_ID_BYTES], int.from_bytes(raw[-_ID_BYTES:], "big")
        identifier = rest ^ self._mask(tag)
        return identifier if hmac.compare_digest(tag, self._tag(identifier)) else None

    def _tag(self, identifier: int) -> bytes:
        data = b"id" + identifier.to_bytes(_ID_BYTES, "big")
        return hmac.digest(self._key, data, "sha256")[: self._size - _ID_BYTES]

    def _mask(self, tag: bytes) -> int:
        return int.from_bytes(hmac.digest(self._key, b"mask" + tag, "sha256")[:_ID_BYTES], "big")
