"""The nearest known word, for messages about an unknown one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MAX_LISTED = 20


def nearest_word(word: str, known: Iterable[str]) -> str:
    """A hint that ends a refusal: the nearest known word, and all of them when they are few."""
    words = [str(one) for one in known]
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    return f"{hint} Known: {', '.join(words)}." if len(words) <= MAX_LISTED or not close else hint
