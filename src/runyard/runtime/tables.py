"""An attempt's connection to the warehouse: tables in and out as Arrow. Imported on first use, as pyarrow is."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import socket
import time
from collections.abc import Iterable, Iterator
from typing import IO, Any, cast

import msgspec

from runyard.core.actions import SqlDialect
from runyard.core.tables import Access, End, Mode, Read, Reply, Write, pack, unpack
from runyard.runtime.context import TableError

_NAME = re.compile(r"[^\W\d]\w{0,99}(\.[^\W\d]\w{0,99})?")
_CONNECT_SECONDS = 15.0  # a warehouse process that ended is up again by then
_BATCH_ROWS = 131_072
_BUFFER_BYTES = 1 << 18
_BROKEN = "The connection to the warehouse broke off"


def read(access: dict[str, Any], statement: str, parameters: dict[str, Any], dialect: SqlDialect = "duckdb") -> Any:
    """The rows of a table or of one reading statement, as a pyarrow.Table."""
    import pyarrow as pa

    if _NAME.fullmatch(statement):
        statement, dialect = "SELECT * FROM " + ".".join(f'"{part}"' for part in statement.split(".")), "duckdb"
    request = Read(msgspec.convert(access, Access), statement, parameters, dialect=dialect)
    with _asked(request) as (source, _):
        _reply(source, "nothing was read")
        try:
            table = pa.ipc.open_stream(source).read_all()
        except (OSError, pa.ArrowInvalid) as error:
            raise TableError(f"{_BROKEN}: nothing was read ({error}).") from None
        _reply(source, "nothing was read")
        return table


def write(access: dict[str, Any], folder: str, table: str, data: Any, mode: str) -> int:
    """Writes rows into a table, once for all attempts of this task; returns how many there are."""
    if not _NAME.fullmatch(table):
        raise ValueError(f"{table!r} is no table name: use NAME or SCHEMA.NAME, of letters, digits and underscores.")
    if mode not in ("append", "replace", "create"):
        raise ValueError(f"The mode {mode!r} is unknown; it is append, replace or create.")
    schema, _, name = table.rpartition(".")
    reader, who = _reader(data), msgspec.convert(access, Access)
    with (
        _numbered(folder, who.claim, f"{schema or 'main'}.{name}".lower()) as number,
        _asked(Write(who, schema or "main", name, cast(Mode, mode), number)) as (source, sink),
    ):
        rows = _reply(source, "nothing was written").rows
        if rows is not None:
            return rows
        with contextlib.suppress(OSError):  # the warehouse refused the rows on their way, and has said why
            _send(reader, sink)
        return _reply(source, "a repeated attempt finds out whether the rows were written").rows or 0


def _reader(data: Any) -> Any:
    """Whatever holds rows, as a pyarrow.RecordBatchReader."""
    import pyarrow as pa

    if isinstance(data, dict):
        data = pa.table(data)
    if hasattr(data, "__arrow_c_stream__"):
        return pa.RecordBatchReader.from_stream(data)
    batches = iter([data] if isinstance(data, pa.RecordBatch) else data)
    first = next(batches, None)
    if not isinstance(first, pa.RecordBatch):
        raise TypeError("Give a pyarrow Table, a dict of columns, or record batches, of which there is at least one.")
    return pa.RecordBatchReader.from_batches(first.schema, _all(first, batches))


def _all(first: Any, others: Iterable[Any]) -> Iterator[Any]:
    yield first
    yield from others


def _send(reader: Any, sink: IO[bytes]) -> None:
    """The stream in pieces that both sides hold easily. It is left without its end if the rows fail to come."""
    import pyarrow as pa

    stream = pa.ipc.new_stream(sink, reader.schema)
    for batch in _rows(reader):
        for start in range(0, batch.num_rows, _BATCH_ROWS):
            stream.write_batch(batch.slice(start, _BATCH_ROWS))
    stream.close()
    sink.write(pack(End()))
    sink.flush()


def _rows(reader: Any) -> Iterator[Any]:
    try:
        yield from reader
    except OSError as error:  # the program's own, and not one of the connection
        raise TableError(f"The rows cannot be read: {error}") from error


@contextlib.contextmanager
def _numbered(folder: str, claim: int, table: str) -> Iterator[int]:
    """How many writes of the table this attempt has done before, in all its processes; one at a time."""
    name = hashlib.sha256(table.encode()).hexdigest()[:32]
    with open(os.path.join(folder, f"writes-{claim}-{name}"), "a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield os.fstat(file.fileno()).st_size
        file.write(b".")  # not after an error: the next try is the same write


@contextlib.contextmanager
def _asked(request: Read | Write) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    message = pack(request)
    with _connect(request.access.socket) as channel:
        source = cast(IO[bytes], channel.makefile("rb", _BUFFER_BYTES))
        sink = cast(IO[bytes], channel.makefile("wb", _BUFFER_BYTES))
        with contextlib.suppress(OSError):
            sink.write(message)
            sink.flush()
        try:
            yield source, sink
        finally:
            source.close()
            with contextlib.suppress(OSError):
                channel.shutdown(socket.SHUT_RDWR)  # what is left in the sink must not be sent any more
            with contextlib.suppress(OSError):
                sink.close()


def _connect(path: str) -> socket.socket:
    until = time.monotonic() + _CONNECT_SECONDS
    folder, name = os.path.split(path)
    while True:
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                # Through the open folder: a socket's path may have 107 bytes only.
                channel.connect(f"/proc/self/fd/{at}/{name}")
            finally:
                os.close(at)
            return channel
        except OSError as error:
            channel.close()
            if time.monotonic() > until:
                raise TableError(f"The warehouse does not answer ({error.strerror}).") from None
            time.sleep(0.05)


def _reply(source: IO[bytes], otherwise: str) -> Reply:
    try:
        reply: Reply = unpack(source.read, Reply)
    except (OSError, ValueError):
        raise TableError(f"{_BROKEN}: {otherwise}.") from None
    if reply.error is not None:
        raise TableError(reply.error)
    return reply
