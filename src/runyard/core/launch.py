"""What passes between the local executor, its fork server and the launchers: small messages, whole or not at all."""

from __future__ import annotations

import struct
from typing import Any, Literal

import msgspec

from runyard.core.attempts import Assignment, Finished, Progress, Report, Started


class Launch(msgspec.Struct, frozen=True, tag="launch"):
    """To a launcher that has no work: see the claim through that is kept in `folder`."""

    folder: str
    token: int
    """The claim is left alone if it is not this one any more."""
    log_bytes: int
    until: float | None = None
    """The end of the lease, as in `Lease`; None where no other server could start the same work."""


class Lease(msgspec.Struct, frozen=True, tag="lease"):
    """To a launcher: the work may go on until then (seconds of CLOCK_BOOTTIME), and is killed if it gets there."""

    until: float


class StopOrder(msgspec.Struct, frozen=True, tag="stop"):
    """To a launcher: end the work, politely, after `grace` seconds for good."""

    why: Literal["cancel", "timeout", "release"]
    grace: float


class Attach(msgspec.Struct, frozen=True, tag="attach"):
    """To a launcher, from a restarted server: report to this connection from now on."""

    token: int


class Work(msgspec.Struct, frozen=True):
    """From a launcher to the process that it forked for it: become this work."""

    folder: str
    claim: msgspec.Raw


class Head(msgspec.Struct, frozen=True):
    """What a launcher itself has to know of a claim."""

    task_run_id: int
    token: int
    bookmark_version: int = 0


class Note(msgspec.Struct, frozen=True):
    """From the work to its launcher: values for later tasks, or progress."""

    values: dict[str, Any] = {}
    progress: dict[str, Any] | None = None
    bookmark: dict[str, Any] | None = None
    output: Any = None
    """What the attempt gives back; the last one counts."""
    metrics: dict[str, Any] = {}
    """Facts to be kept with the attempt."""


class Mark(msgspec.Struct, frozen=True):
    """In the attempt's folder from before its work begins: the limits by which its processes are known."""

    token: int
    value: int
    launcher: int = 0
    """Its launcher's own, which goes on to other work: to be used only while it holds the folder's lock."""


Order = Launch | StopOrder | Attach | Lease

CLAIM, OUTCOME, LOG, INDEX, WORK = "claim", "outcome", "log", "log.index", "work"
ARTIFACTS = "artifacts"
TREE = "checkout"
"""In the folder of the work: the working tree of its repository."""
LOCK, MARK, SOCKET, NOTES, CONTEXT = "lock", "mark", "sock", "notes", "context.json"
"""Names in an attempt's folder."""

INDEX_RECORD = struct.Struct("<QBxxxxxxxQ")
"""Of the log's index: milliseconds, stream (1 or 2), offset in the log where this piece begins."""

INHERITED = (
    "PATH", "HOME", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME", "SHELL", "TMPDIR", "SSL_CERT_FILE", "LD_LIBRARY_PATH",
)  # fmt: skip
"""What a task sees of the server's environment; nothing else of it, so no secret either."""

MESSAGE_BYTES = 160 * 1024
"""No message is larger: it would not fit a socket's buffer in one piece."""

encode = msgspec.msgpack.Encoder().encode
decode_order = msgspec.msgpack.Decoder(Order).decode
decode_work = msgspec.msgpack.Decoder(Work).decode
decode_head = msgspec.msgpack.Decoder(Head).decode
decode_report = msgspec.msgpack.Decoder(Report).decode
decode_note = msgspec.json.Decoder(Note).decode
decode_mark = msgspec.msgpack.Decoder(Mark).decode
decode_claim = msgspec.msgpack.Decoder(Assignment).decode

__all__ = ["Attach", "Finished", "Launch", "Lease", "Note", "Order", "Progress", "Started", "StopOrder"]
