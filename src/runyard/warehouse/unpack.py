"""Unpacks gzip and zstd into a plain file, which DuckDB then reads on all processors, with a cap on what comes out."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from runyard.warehouse.failures import LoadFailed

GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_FOREIGN = {
    b"PK\x03\x04": "a zip archive or an Excel file",
    b"\xfd7zXZ\0": "packed with xz",
    b"BZh91AY&SY": "packed with bzip2",
}
_PIECE = 1 << 20
_GZIP_WINDOW = 31
_FREE_BYTES = 256 * 1024**2
"""So much may come out of any file, however small it is."""


def packing(path: Path) -> str:
    """`gzip`, `zstd` or nothing, by the first bytes: names and content types are often wrong about it.

    Raises `LoadFailed` for what is packed otherwise.
    """
    with path.open("rb") as file:
        start = file.read(16)
    if found := next((what for mark, what in _FOREIGN.items() if start.startswith(mark)), None):
        raise LoadFailed(f"The file is {found}; a load takes it plain, or packed with gzip or zstd.")
    head = start[:4]
    return "gzip" if head[:2] == GZIP else "zstd" if head == ZSTD else ""


def unpack(path: Path, to: Path, packed: str, *, most: int, ratio: int, check: Callable[[], None]) -> int:
    """Unpacks a file and returns the bytes that came out.

    Raises `LoadFailed` for broken data, and for more than `most` bytes or `ratio` times the file's size; `check`
    is called between the pieces and may raise.
    """
    limit = min(most, max(_FREE_BYTES, ratio * path.stat().st_size))
    size = 0
    with path.open("rb") as source, to.open("wb") as target:
        for piece in _gzip(source) if packed == "gzip" else _zstd(source):
            size += len(piece)
            if size > limit:
                raise LoadFailed(f"The {packed} file unpacks to more than {limit} bytes, which is refused.")
            target.write(piece)
            check()
    return size


def _gzip(source: BinaryIO) -> Iterator[bytes]:
    """The members of a gzip file, one after the other; no piece is larger than a megabyte."""
    member, left, fresh = zlib.decompressobj(_GZIP_WINDOW), b"", False
    while left or (left := source.read(_PIECE)):
        try:
            piece = member.decompress(left, _PIECE)
        except zlib.error as error:
            raise LoadFailed(f"The gzip file is damaged: {error}.") from None
        left = member.unconsumed_tail
        if piece:
            yield piece
        fresh = member.eof
        if member.eof:
            left = member.unused_data.lstrip(b"\0")  # padding after a member
            member = zlib.decompressobj(_GZIP_WINDOW)
    if not fresh:
        raise LoadFailed("The gzip file ends too early.")


def _zstd(source: BinaryIO) -> Iterator[bytes]:
    import pyarrow as pa

    try:
        with contextlib.closing(pa.CompressedInputStream(source, "zstd")) as stream:
            while piece := stream.read(_PIECE):
                yield piece
    except OSError as error:
        raise LoadFailed(f"The zstd file is damaged: {error}.") from None
