"""The clause FORMAT of a statement, told without a parser."""

from __future__ import annotations

import pytest

from runyard.core.sqltext import split_format

SPLIT = {
    "SELECT 1 FORMAT JSON": ("SELECT 1", "JSON"),
    "SELECT 1\nformat  CSVWithNames ;": ("SELECT 1", "CSVWithNames"),
    "SELECT 'a\\'' FORMAT TSV": ("SELECT 'a\\''", "TSV"),
    "SELECT 1 FORMAT JSON SETTINGS a = 1": ("SELECT 1 SETTINGS a = 1", "JSON"),
    "SELECT format('x', 1) FROM t FORMAT JSONEachRow": ("SELECT format('x', 1) FROM t", "JSONEachRow"),
}
WHOLE = [
    "SELECT ' FORMAT JSON'",
    "SELECT 1 -- FORMAT JSON",
    "SELECT 1 /* FORMAT JSON */",
    "SELECT (SELECT 1 FORMAT JSON)",
    "SELECT format FROM t",
    "SELECT a AS format FROM t",
    "SELECT 1 FORMAT",
    "",
]


@pytest.mark.parametrize("text", SPLIT)
def test_a_format_clause_is_taken_off(text: str) -> None:
    assert split_format(text) == SPLIT[text]


@pytest.mark.parametrize("text", WHOLE)
def test_what_is_no_format_clause_stays(text: str) -> None:
    assert split_format(text) == (text, None)
