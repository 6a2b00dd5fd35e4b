"""Long ids that are made from ours with a key, and read back without a table."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runyard.core.ids import LIMIT
from runyard.core.opaque import Opaque

KEY = b"k" * 32
ids = st.integers(0, LIMIT - 1)


@given(ids, st.sampled_from([16, 32]))
def test_what_was_made_is_read_back(identifier: int, size: int) -> None:
    opaque = Opaque(KEY, size)
    text = opaque.text(identifier)
    assert len(text) == 2 * size
    assert opaque.read(text) == identifier


@given(ids, st.integers(0, 63), st.integers(1, 15))
def test_a_changed_digit_is_no_id(identifier: int, place: int, change: int) -> None:
    text = Opaque(KEY).text(identifier)
    digit = f"{int(text[place], 16) ^ change:x}"
    assert Opaque(KEY).read(text[:place] + digit + text[place + 1 :]) is None


@given(ids)
def test_another_key_reads_nothing(identifier: int) -> None:
    assert Opaque(b"other").read(Opaque(KEY).text(identifier)) is None


@given(st.text(max_size=70))
def test_any_other_text_is_no_id(text: str) -> None:
    assert Opaque(KEY).read(text) is None


def test_an_id_has_one_spelling() -> None:
    assert Opaque(KEY).read(Opaque(KEY).text(5).upper()) is None
