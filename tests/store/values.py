"""Values at random: what a column must give back as it came."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

words = st.text(st.characters(codec="utf-8"), max_size=12)
numbers = st.integers(0, 2**53 - 1)
maybe = st.none() | numbers
json: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(words, json, max_size=3)

on_one_store = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],  # a busy machine is no defect
)
"""Examples of one test share a store; each makes runs of its own, or clears it."""
