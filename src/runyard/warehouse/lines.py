"""Line ends: a CSV file whose lines end in different ways gets one way for all, and keeps what stands in quotes."""

from __future__ import annotations

import mmap
import re
from collections.abc import Callable, Iterator
from pathlib import Path

_DELIMITERS = b",;|\t"
_PIECE = 1 << 16


def mixed(head: bytes) -> bool:
    """Whether there is more than one way, or the rare one, a CR alone."""
    pairs, feeds, returns = head.count(b"\r\n"), head.count(b"\n"), head.count(b"\r")
    return returns > pairs or 0 < pairs < feeds


def ends(data: bytes, delimiter: bytes, quote: bytes, escape: bytes) -> Iterator[bytes]:
    """The ends of lines outside of quotes. `delimiter` is empty if nobody knows it."""
    found = _pattern(delimiter, quote, escape, rb"\r\n?|\n").finditer(data)
    return (match["end"] for match in found if match["end"])


def even(
    path: Path, to: Path, delimiter: bytes, quote: bytes, escape: bytes, *, check: Callable[[], None] = lambda: None
) -> None:
    """Writes the file with LF in the place of every CR LF and CR outside of quotes.

    `check` is called now and then, and may raise.
    """
    found = _pattern(delimiter, quote, escape, rb"\r\n?")
    with path.open("rb") as file, to.open("wb") as out, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        copied = 0
        for number, match in enumerate(found.finditer(data)):
            if number % _PIECE == 0:
                check()
            if match.lastgroup == "end":
                out.write(data[copied : match.start()])
                out.write(b"\n")
                copied = match.end()
        out.write(data[copied:])


def _pattern(delimiter: bytes, quote: bytes, escape: bytes, ends: bytes) -> re.Pattern[bytes]:
    """A quoted value, with the rest of its line when something stands behind it, or the end of a line."""
    end = rb"(?P<end>%b)" % ends
    if not quote:
        return re.compile(end)
    q, e, stop = re.escape(quote), re.escape(escape), rb"[\r\n" + re.escape(delimiter or _DELIMITERS) + rb"]"
    body = rb"[^%b]*+(?:%b%b[^%b]*+)*+" % (q, q, q, q)
    if escape and escape != quote:
        body = rb"(?:[^%b%b]|%b.)*+" % (q, e, e)
    value = rb"(?:(?<=%b)|\A(?:\xef\xbb\xbf)?) *+%b%b" % (stop, q, body)
    return re.compile(rb"%b(?:%b *+(?:(?=%b)|[^\r\n]*+)|\Z)|%b" % (value, q, stop, end), re.DOTALL)
