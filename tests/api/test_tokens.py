"""Derived tokens and the master key."""

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.core.model import Principal
from runyard.http.tokens import Tokens, base36, load_master_key

KEY = bytes(range(32))
ADA = Principal(id=1234567890123, name="ada", scopes=["runs:read"], created_at=0, version=3)


def test_a_token_says_whose_it_is_and_which_version() -> None:
    assert Tokens(KEY).check(Tokens(KEY).derive(ADA)) == (ADA.id, 3)


def test_a_token_of_another_key_is_refused() -> None:
    assert Tokens(KEY).check(Tokens(b"x" * 32).derive(ADA)) is None


@given(st.data())
def test_a_token_with_any_character_changed_is_refused(data: st.DataObject) -> None:
    token = Tokens(KEY).derive(ADA)
    at = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters().filter(lambda c: c != token[at]))
    assert Tokens(KEY).check(token[:at] + other + token[at + 1 :]) is None


@given(st.text())
def test_any_text_is_refused_without_a_crash(text: str) -> None:
    assert Tokens(KEY).check(text) is None
    assert Tokens(KEY).check(f"ry_{text}") is None


@given(st.integers(0, 2**60))
def test_base_36_reads_back(number: int) -> None:
    assert int(base36(number), 36) == number


def test_the_master_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    first = load_master_key(path)
    assert load_master_key(path) == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_master_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    load_master_key(path)
    path.chmod(0o644)
    with pytest.raises(ValueError, match="chmod 600"):
        load_master_key(path)


def test_a_damaged_master_key_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    path.touch(0o600)
    with pytest.raises(ValueError, match="backup"):
        load_master_key(path)
