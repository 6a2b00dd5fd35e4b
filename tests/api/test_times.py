"""Times in bodies and filters."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.api import times
from runyard.core.errors import RunyardError


@given(st.integers(0, 253_402_300_799_999))
def test_a_time_that_was_said_reads_back_as_itself(at: int) -> None:
    assert times.read(times.say(at), "x") == at


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1763718033123", 1763718033123),
        ("2025-11-21", 1763683200000),
        ("2025-11-21T09:40:33Z", 1763718033000),
        ("2025-11-21T10:40:33+01:00", 1763718033000),
        ("2025-11-21T10:40:33 01:00", 1763718033000),
        ("2025-11-21T09:40:33.123456", 1763718033123),
    ],
)
def test_a_filter_takes_rfc3339_dates_and_milliseconds(text: str, ms: int) -> None:
    assert times.read(text, "created_after") == ms


@given(st.text(max_size=40))
def test_any_other_text_is_invalid_or_a_time_and_never_a_crash(text: str) -> None:
    with suppress(RunyardError):
        assert isinstance(times.read(text, "created_after"), int)


@pytest.mark.parametrize(
    "text", ["2025-02-30", "9999-12-31T23:59:59-10:00", "0001-01-01", "", "\uff19\uff19", "-1", "1e3"]
)
def test_an_impossible_time_names_its_field(text: str) -> None:
    with pytest.raises(RunyardError) as caught:
        times.read(text, "ended_before")
    assert caught.value.field == "ended_before"
