"""Tables for the programs of attempts, as Arrow over a unix socket: reads are streamed, writes are effects.

pyarrow is imported with the first request, so that a process that is not asked stays small.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

import duckdb
import msgspec

from runyard.core.actions import Load
from runyard.core.attempts import Assignment, EffectKey, Outcome
from runyard.core.tables import Access, End, Read, Reply, Write, genuine, pack, unpack
from runyard.warehouse.database import Database
from runyard.warehouse.effects import Effects, undo
from runyard.warehouse.locks import WriterLocks
from runyard.warehouse.reads import Reads
from runyard.warehouse.refused import Refused
from runyard.warehouse.remarks import spelled_out
from runyard.warehouse.seat import Seat
from runyard.warehouse.sql import reading
from runyard.warehouse.stream import LENGTH
from runyard.warehouse.tables import Target, name
from runyard.warehouse.tasks import Task
from runyard.warehouse.touched import Touched, named

_MOST = 64
_REMEMBERED = 10_000
_ASK_SECONDS = 10.0
_TICK_SECONDS = 0.1
_BATCH_ROWS = 131_072
_BUFFER_BYTES = 1 << 18
_BLOCK = "runyard_block"


class Programs:
    """Serves the programs of attempts, each connection on a thread of its own."""

    def __init__(
        self, database: Database, locks: WriterLocks, effects: Effects, reads: Reads, path: Path, key: bytes
    ) -> None:
        self._database, self._locks, self._effects, self._reads = database, locks, effects, reads
        self._key = key
        self._lock = threading.Lock()
        self._newest: dict[EffectKey, int] = {}
        """The newest claim of a task that was seen: older ones have no say any more."""
        self._tasks: dict[int, Task] = {}
        self._busy = threading.Event()
        self._places = threading.Semaphore(_MOST)
        self._listener = _listen(path)
        threading.Thread(target=self._accept, name="programs", daemon=True).start()
        threading.Thread(target=self._watch, name="programs-watch", daemon=True).start()

    def _accept(self) -> None:
        while True:
            self._places.acquire()
            channel, _ = self._listener.accept()
            threading.Thread(target=self._serve, args=(channel,), name="program", daemon=True).start()

    def _watch(self) -> None:
        """Interrupts the work for programs that are gone, again and again: one between two statements is lost."""
        while self._busy.wait():
            time.sleep(_TICK_SECONDS)
            with self._lock:
                for fd in _hung_up(self._tasks):
                    self._tasks[fd].stop("cancel")
                if not self._tasks:
                    self._busy.clear()

    def _serve(self, channel: socket.socket) -> None:
        try:
            with channel, contextlib.suppress(OSError):  # of a program that is gone
                source = cast(IO[bytes], channel.makefile("rb", _BUFFER_BYTES))
                sink = cast(IO[bytes], channel.makefile("wb", _BUFFER_BYTES))
                with source, sink:
                    try:
                        reply = self._answer(channel, source, sink)
                    except Exception as error:
                        reply = Reply(error=(str(error).strip() or type(error).__name__).splitlines()[0][:1000])
                    _tell(sink, reply)
        finally:
            self._places.release()

    def _answer(self, channel: socket.socket, source: IO[bytes], sink: IO[bytes]) -> Reply:
        channel.settimeout(_ASK_SECONDS)
        asked: Read | Write = unpack(source.read, Read, Write)
        channel.settimeout(None)
        self._admit(asked.access)
        task, seat = Task(_assignment(asked)), Seat(self._database)
        with self._lock:
            self._tasks[channel.fileno()] = task
            self._busy.set()
        try:
            cursor = seat.take(asked.schema)
            if isinstance(asked, Read):
                task.begin(cursor)
                reply, text = _read(asked, cursor, sink)
                self._reads.note(task.assignment, text, asked.schema)
                return reply
            return self._write(asked, task, cursor, source, sink)
        finally:
            with self._lock:
                del self._tasks[channel.fileno()]
            task.leave()
            seat.leave(clean=False)

    def _admit(self, asked: Access) -> None:
        """Raises `Refused` for a token that is not ours, and for a claim that was lost to a newer one."""
        if not genuine(asked, self._key):
            raise Refused("The warehouse refuses this attempt: its token is not valid.")
        effect = EffectKey(asked.run_id, asked.task_key, asked.iteration, asked.round)
        with self._lock:
            if asked.claim < self._newest.get(effect, 0):
                raise Refused("The warehouse refuses this attempt: a newer one of the same task has begun.")
            self._newest.pop(effect, None)
            self._newest[effect] = asked.claim
            if len(self._newest) > _REMEMBERED:
                del self._newest[next(iter(self._newest))]

    def _write(
        self, asked: Write, task: Task, cursor: duckdb.DuckDBPyConnection, source: IO[bytes], sink: IO[bytes]
    ) -> Reply:
        task.ticket = self._locks.take(frozenset({asked.table.lower()}))
        try:
            task.ticket.ready.wait()
            task.begin(cursor)
            outcome = self._effects.once(
                cursor, task.assignment, lambda touched: _insert(task, cursor, source, sink, touched), again=False
            )
        finally:
            self._locks.give_back(task.ticket)
        return Reply(rows=outcome.metrics["rows"])


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    path.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # Through the open folder: a socket's path may have 107 bytes only.
        listener.bind(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)
    path.chmod(0o600)  # before anybody can connect
    listener.listen(_MOST)
    return listener


def _hung_up(fds: dict[int, Task]) -> list[int]:
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLRDHUP)
    return [fd for fd, _ in poll.poll(0)]


def _assignment(asked: Read | Write) -> Assignment:
    """The request as work of its own: a task's key holds no #, so that no task's effect has a write's key."""
    who, key, action = asked.access, asked.access.task_key, Load(source="", table="-")
    if isinstance(asked, Write):
        action = Load(source="", schema=asked.schema, table=asked.table, mode=asked.mode)
        key = f"{key}#{asked.schema.lower()}.{asked.table.lower()}#{asked.number}"
    return Assignment(
        run_id=who.run_id,
        task_run_id=who.task_run_id,
        token=who.claim,
        task_key=key,
        action=action,
        iteration=who.iteration,
        round=who.round,
    )


def _tell(sink: IO[bytes], reply: Reply) -> None:
    sink.write(pack(reply))
    sink.flush()


def _read(asked: Read, cursor: duckdb.DuckDBPyConnection, sink: IO[bytes]) -> tuple[Reply, str]:
    """How it ended, and the statement in DuckDB's SQL."""
    import pyarrow as pa

    statement, values = reading(asked.statement, asked.parameters, asked.dialect)
    count = 0
    cursor.execute("BEGIN TRANSACTION READ ONLY")
    try:
        text = spelled_out(cursor, statement, asked.schema).query.strip().rstrip(";")
        relation = cursor.sql(text, params=values) if values else cursor.sql(text)
        reader = relation.to_arrow_reader(_BATCH_ROWS)
        _tell(sink, Reply())
        with _body(sink, framed=asked.framed) as body, pa.ipc.new_stream(body, reader.schema) as stream:
            for batch in reader:
                stream.write_batch(batch)
                count += batch.num_rows
    finally:
        undo(cursor)
    return Reply(rows=count), text


class _Frames(io.RawIOBase):
    """Writes pieces after their length."""

    def __init__(self, sink: IO[bytes]) -> None:
        self._sink = sink

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, piece: Any) -> int:
        """One piece."""
        data = bytes(piece)
        if data:
            self._sink.write(LENGTH.pack(len(data)) + data)
            self._sink.flush()
        return len(data)


@contextlib.contextmanager
def _body(sink: IO[bytes], *, framed: bool) -> Iterator[IO[bytes]]:
    """Where the Arrow stream goes. Frames are ended also when it breaks off: the reply after them says so."""
    if not framed:
        yield sink
        return
    body = io.BufferedWriter(_Frames(sink), _BUFFER_BYTES)
    try:
        yield body
    finally:
        body.flush()
        sink.write(LENGTH.pack(0))


def _insert(
    task: Task, cursor: duckdb.DuckDBPyConnection, source: IO[bytes], sink: IO[bytes], touched: Touched
) -> Outcome:
    """Inside the transaction of the effect: the rows as they come; raises when they break off."""
    import pyarrow as pa

    action = task.assignment.action
    assert isinstance(action, Load)
    _tell(sink, Reply())
    stream = pa.ipc.open_stream(source)
    shape = cursor.from_arrow(stream.schema.empty_table())
    detected = dict(zip(shape.columns, map(str, shape.types), strict=True))
    if action.mode == "replace":
        action = msgspec.structs.replace(action, columns=detected)
    target = Target(cursor, action, task.assignment.run_id, inside=True)
    places = target.prepare(detected)
    cursor.register(_BLOCK, pa.RecordBatchReader.from_batches(stream.schema, _batches(stream)))
    into, out = ", ".join(map(name, places)), ", ".join(map(name, detected))
    rows = target.count(f"INSERT INTO {target.path} ({into}) SELECT {out} FROM temp.{_BLOCK}")
    unpack(source.read, End)
    task.check()
    table = named(action.schema, action.table)
    if action.mode == "replace":
        touched.replaced[table] = ""
    else:
        touched.appended.add(table)
    return Outcome(result="succeeded", metrics={"rows": rows}, started_at=task.started_at)


def _batches(stream: Any) -> Iterator[Any]:
    """Ends once and for all: what follows the stream is no batch."""
    yield from stream
