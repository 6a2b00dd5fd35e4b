"""Texts that are not UTF-8: which encoding they have, and the same text as UTF-8, which is all that DuckDB is given."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from pathlib import Path

from runyard.warehouse.failures import LoadFailed

_HEAD = 1 << 20
_PIECE = 1 << 20
_PROPER = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
WESTERN = "windows-1252"


def known(encoding: str) -> str:
    """The encoding's name if it is one of texts; raises `LoadFailed`."""
    try:
        "".encode(encoding)
    except (LookupError, ValueError):
        raise LoadFailed(f"There is no encoding {encoding!r}; try utf-8, utf-16, windows-1252 or latin-1.") from None
    return codecs.lookup(encoding).name


def detected(path: Path) -> str:
    """By its first megabyte: `utf-16` or `utf-8-sig` by their marks, else `utf-8`, or `windows-1252` if it is none."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        # One proper sequence tells that it is UTF-8 with some broken lines; a zero byte that it is no text at all.
        return "utf-8" if b"\0" in head or _PROPER.search(head) else WESTERN
    return "utf-8"


def to_utf8(path: Path, to: Path, encoding: str, *, strict: bool, check: Callable[[], None]) -> None:
    """Writes the text anew; raises `LoadFailed` where it is `strict` and bytes mean nothing in the encoding."""
    decoder = codecs.getincrementaldecoder(encoding)("strict" if strict else "replace")
    try:
        with path.open("rb") as source, to.open("wb") as target:
            while piece := source.read(_PIECE):
                target.write(decoder.decode(piece).encode("utf-8", "replace"))
                check()
            target.write(decoder.decode(b"", final=True).encode("utf-8", "replace"))
    except UnicodeError as error:
        raise LoadFailed(f"The file is not {encoding}: {getattr(error, 'reason', error)}.") from None
