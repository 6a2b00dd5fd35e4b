"""What passes between an attempt's program and the warehouse process: who asks, for which rows, and the answers.

On the connection: one `Read` or `Write`, then a `Reply`. When that is neither an error nor a count, the rows follow
as one Arrow IPC stream (to the program for `Read`, from it for `Write`), and after them a message that says that
they are all: an Arrow stream that breaks off looks complete.
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from runyard.core.actions import SqlDialect
from runyard.core.attempts import Assignment

MAX_MESSAGE = 4 * 1024 * 1024
_LENGTH = struct.Struct("<I")

Mode = Literal["append", "replace", "create"]


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt's right to the tables of its workspace; `token` proves all fields but `socket`."""

    socket: str
    """Path of the warehouse process's socket."""
    workspace: str
    run_id: int
    task_run_id: int
    claim: int
    task_key: str
    iteration: int
    round: int
    token: str = ""


class Read(msgspec.Struct, frozen=True, tag="read"):
    """One statement that reads."""

    access: Access
    statement: str
    parameters: dict[str, Any]
    dialect: SqlDialect = "duckdb"
    schema: str = "main"
    """Where unqualified table names are looked up."""
    framed: bool = False
    """Whether the Arrow stream comes in pieces, each after its length (4 bytes, little-endian), and then a length 0:
    for who passes the bytes on without reading them."""


class Write(msgspec.Struct, frozen=True, tag="write"):
    """Rows for one table; `number` counts this task's earlier writes of it, so that a repeat is known as one."""

    access: Access
    schema: str
    table: str
    mode: Mode
    number: int


class Reply(msgspec.Struct, frozen=True, tag="reply"):
    """From the warehouse: a sentence that ends it all, or a number of rows, or neither: the rows may come."""

    error: str | None = None
    rows: int | None = None


class End(msgspec.Struct, frozen=True, tag="end"):
    """From the program: these were all the rows."""


Message = Read | Write | Reply | End

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Message).decode


def access(one: Assignment, socket: str, key: bytes) -> Access:
    """The right of one claim, with its token under this key."""
    bare = Access(
        socket=socket,
        workspace=one.workspace,
        run_id=one.run_id,
        task_run_id=one.task_run_id,
        claim=one.token,
        task_key=one.task_key,
        iteration=one.iteration,
        round=one.round,
    )
    return msgspec.structs.replace(bare, token=_token(bare, key))


def genuine(asked: Access, key: bytes) -> bool:
    """Whether the token was made with this key for this very attempt."""
    return hmac.compare_digest(asked.token.encode(), _token(asked, key).encode())


def _token(one: Access, key: bytes) -> str:
    # A workspace and a task's key hold no slash, so that no two attempts spell the same text.
    fields = (one.workspace, one.run_id, one.task_run_id, one.claim, one.iteration, one.round, one.task_key)
    return hmac.digest(key, "/".join(map(str, fields)).encode(), "sha256").hex()


def pack(message: Message) -> bytes:
    """One message, ready to be sent; raises ValueError over 4 MiB, TypeError for a value that cannot travel."""
    body = _encode(message)
    if len(body) > MAX_MESSAGE:
        raise ValueError(f"The request has {len(body)} bytes; {MAX_MESSAGE} are allowed.")
    return _LENGTH.pack(len(body)) + body


def unpack(read: Callable[[int], bytes], *kinds: type[msgspec.Struct]) -> Any:
    """The next message, through a function that reads n bytes; raises ValueError when it is none of these kinds."""
    head = read(_LENGTH.size)
    size = _LENGTH.unpack(head)[0] if len(head) == _LENGTH.size else MAX_MESSAGE + 1
    body = read(size) if size <= MAX_MESSAGE else b""
    if size > MAX_MESSAGE or len(body) < size:
        raise ValueError("The connection broke off.")
    message = _decode(body)
    if not isinstance(message, kinds):
        raise ValueError(f"A {type(message).__name__} came where it has no place.")
    return message
