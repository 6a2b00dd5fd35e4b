"""What passes between the local executor, its fork server and the launchers: small messages, whole or not at all."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from runyard.core.attempts import Assignment, Finished, Progress, Report, Started


class Launch(msgspec.Struct, frozen=True, tag="launch"):
    """To the fork server, with one socket: start a launcher for the claim that is kept in `folder`."""

    folder: str
    log_bytes: int


class StopOrder(msgspec.Struct, frozen=True, tag="stop"):
    """To a launcher: end the work, politely, after `grace` seconds for good."""

    why: Literal["cancel", "timeout", "release"]
    grace: float


class Attach(msgspec.Struct, frozen=True, tag="attach"):
    """To a launcher, from a restarted server: report to this connection from now on."""

    token: int


class Note(msgspec.Struct, frozen=True):
    """From the work to its launcher: values for later tasks, or progress."""

    values: dict[str, Any] = {}
    progress: dict[str, Any] | None = None


Order = StopOrder | Attach

CLAIM, OUTCOME, LOG, INDEX, SOCKET, ALIVE, WORK = "claim", "outcome", "log", "log.index", "sock", "alive", "work"
"""Names in an attempt's folder."""

MESSAGE_BYTES = 160 * 1024
"""No message is larger: it would not fit a socket's buffer in one piece."""

encode = msgspec.msgpack.Encoder().encode
decode_order = msgspec.msgpack.Decoder(Order).decode
decode_launch = msgspec.msgpack.Decoder(Launch).decode
decode_report = msgspec.msgpack.Decoder(Report).decode
decode_note = msgspec.json.Decoder(Note).decode
decode_claim = msgspec.msgpack.Decoder(Assignment).decode

__all__ = ["Attach", "Finished", "Launch", "Note", "Order", "Progress", "Started", "StopOrder"]
