"""What passes over the control pipe of a warehouse process: frames of 4 bytes of length and msgpack.

A frame carries many assignments or many reports at once, so that a burst of small work costs few system
calls. Both sides read whole frames; EOF on the pipe ends the process.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from runyard.core.actions import SqlDialect
from runyard.core.attempts import Assignment, EffectKey, Report
from runyard.warehouse.objects import S3

MAX_FRAME = 256 * 1024 * 1024
_LENGTH = struct.Struct("<I")
_READ_BYTES = 1 << 18

Result = Literal["stopped", "released"]
Why = Literal["cancel", "timeout", "release"]


class _Message(msgspec.Struct, frozen=True, array_like=True):
    """Fields travel by position: both ends are always the same version."""


class Serve(_Message, frozen=True, tag="serve"):
    """Sent first: serve the programs of attempts at this socket; their tokens were made with this key.

    Secrets come this way, since anybody can see a process's arguments.
    """

    socket: str
    key: bytes
    s3: S3 | None = None


class Work(_Message, frozen=True, tag="work"):
    """Attempts to begin, in the order in which they were claimed."""

    assignments: list[Assignment]


class Stop(_Message, frozen=True, tag="stop"):
    """End this attempt; ignored when it is not held."""

    task_run_id: int
    token: int
    why: Why


class Query(_Message, frozen=True, tag="query"):
    """An interactive read of at most `limit` rows; answered by `Answer`."""

    id: int
    sql: str
    parameters: dict[str, Any]
    schema: str
    limit: int
    dialect: SqlDialect = "duckdb"
    reads: list[str] | None = None
    """The schemas that it may read; None: all."""
    seconds: float = 60.0
    """When it takes longer it is stopped."""
    max_bytes: int = 64 * 1024 * 1024
    """It fails when its rows are larger."""


class Tables(_Message, frozen=True, tag="tables"):
    """What tables and views there are; answered by `Answer`."""

    id: int


class Table(_Message, frozen=True, tag="table"):
    """All about one table; answered by `Answer`."""

    id: int
    schema: str
    table: str


class Partitions(_Message, frozen=True, tag="partitions"):
    """The partitions of a table, some of them; answered by `Answer`."""

    id: int
    schema: str
    table: str
    limit: int
    offset: int


class ListViews(_Message, frozen=True, tag="list_views"):
    """What materialized views there are; answered by `Answer`."""

    id: int


class CreateView(_Message, frozen=True, tag="create_view"):
    """From now on the target follows the appends to the source; answered by `Answer`."""

    id: int
    name: str
    schema: str
    source: str
    statement: str
    target: str
    dialect: SqlDialect = "duckdb"


class DropView(_Message, frozen=True, tag="drop_view"):
    """The target stays as it is; answered by `Answer`."""

    id: int
    name: str


class DropTable(_Message, frozen=True, tag="drop_table"):
    """A table and its quarantine, with the views that read or fill it when asked; answered by `Answer`."""

    id: int
    schema: str
    table: str
    with_views: bool


class PartitionTable(_Message, frozen=True, tag="partition_table"):
    """A table's partition key from now on, none when it is empty; answered by `Answer`."""

    id: int
    schema: str
    table: str
    partition_by: str
    dialect: SqlDialect = "duckdb"


class ResultPage(_Message, frozen=True, tag="result_page"):
    """Rows of a large result, which may still be being written; answered by `Answer`."""

    id: int
    run_id: int
    task_run_id: int
    offset: int
    limit: int


class Outcomes(_Message, frozen=True, tag="outcomes"):
    """What these effects left, of attempts that cannot tell any more; answered by `Answer`, None for those without."""

    id: int
    effects: list[EffectKey]


class Ready(_Message, frozen=True, tag="ready"):
    """The database is open; sent once, first."""

    pid: int


class Failed(_Message, frozen=True, tag="failed"):
    """The database cannot be opened; the process ends after this."""

    sentence: str


class Reports(_Message, frozen=True, tag="reports"):
    """What happened to attempts, in order."""

    reports: list[Report]


class Answer(_Message, frozen=True, tag="answer"):
    """The reply to a `Query` or `Tables`; `error` is a sentence when it was refused or failed."""

    id: int
    result: Any = None
    error: str | None = None
    missing: bool = False
    """Whether the error is that what was asked about is not there."""
    unsayable: bool = False
    """Whether the error is that DuckDB has no words for what another system's SQL says."""


Question = Query | Tables | Table | Partitions | ListViews | ResultPage | Outcomes
Change = CreateView | DropView | DropTable | PartitionTable
ToProcess = Serve | Work | Stop | Question | Change
ToServer = Ready | Failed | Reports | Answer

_encoder = msgspec.msgpack.Encoder()
decode_to_process = msgspec.msgpack.Decoder(ToProcess).decode
decode_to_server = msgspec.msgpack.Decoder(ToServer).decode


def result_of(why: Why) -> Result:
    """How an attempt ends that was stopped for this reason."""
    return "released" if why == "release" else "stopped"


def frame(message: ToProcess | ToServer) -> bytes:
    """One message, ready to be sent."""
    body = _encoder.encode(message)
    if len(body) > MAX_FRAME:
        raise ValueError(f"A message of {len(body)} bytes is over the limit of {MAX_FRAME}.")
    return _LENGTH.pack(len(body)) + body


def frames(source: socket.socket) -> Iterator[bytes]:
    """The bodies that arrive, until EOF or a broken pipe."""
    buffer = bytearray()
    while True:
        start = 0
        while len(buffer) - start >= 4:
            (size,) = _LENGTH.unpack_from(buffer, start)
            if len(buffer) - start - 4 < size:
                break
            yield bytes(buffer[start + 4 : start + 4 + size])
            start += 4 + size
        del buffer[:start]
        try:
            chunk = source.recv(_READ_BYTES)
        except OSError:
            return
        if not chunk:
            return
        buffer += chunk
