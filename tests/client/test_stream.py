"""Event streams: the same messages wherever the network cuts them."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from runyard.client.transport import Message, parse_stream

BODY = (
    ": keep-alive\n\n"
    'id: 1\nevent: state\ndata: {"a": "\u2028\x0b\x85"}\n\n'
    "id: 2\r\nevent: log\r\ndata: one\r\ndata: two\r\n\r\n"
    "data:bare\n\n"
    "event: end\n\n"
    "id: 9\ndata: cut off"
).encode()
MESSAGES = [
    Message("state", "1", '{"a": "\u2028\x0b\x85"}'.encode()),
    Message("log", "2", b"one\ntwo"),
    Message("message", "2", b"bare"),
    Message("end", "2", b""),
]


@given(st.lists(st.integers(0, len(BODY)), max_size=20).map(sorted))
def test_a_stream_reads_the_same_wherever_it_is_cut(cuts: list[int]) -> None:
    edges = [0, *cuts, len(BODY)]
    pieces = [BODY[a:b] for a, b in pairwise(edges)]
    assert list(parse_stream(iter(pieces))) == MESSAGES
