"""The server's side of a streamed query: Arrow IPC bytes as they come, over the socket that serves programs.

Imports neither pyarrow nor duckdb: the server passes the bytes on.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from typing import IO, cast

from runyard.core.errors import Code, RunyardError, invalid
from runyard.core.tables import Read, Reply, pack, unpack

LENGTH = struct.Struct("<I")


class Stream:
    """The pieces of one answer, in order: begin it, iterate it once, and close it.

    What blocks is not for the event loop; `close` may be called by another thread meanwhile.
    """

    def __init__(self, asked: Read) -> None:
        """Asks, and waits for nothing; raises unavailable."""
        self._channel = _connect(asked.access.socket)
        self._source = cast(IO[bytes], self._channel.makefile("rb", 1 << 18))
        try:
            self._channel.sendall(pack(asked))
        except OSError:
            self.close()
            raise _broken() from None

    def begin(self) -> None:
        """Waits for the first word; raises invalid for a query that is refused or fails, unavailable."""
        self._reply()

    def __iter__(self) -> Iterator[bytes]:
        """Ends after the last byte; raises when the query fails in its middle."""
        while size := self._size():
            piece = self._source.read(size)
            if len(piece) < size:
                raise _broken()
            yield piece
        self._reply()

    def close(self) -> None:
        """Ends the query if it is still running; another thread that waits for its next piece gets an end, too."""
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)
        self._source.close()  # waits for such a thread, which the line before has woken
        self._channel.close()

    def _size(self) -> int:
        head = self._source.read(LENGTH.size)
        if len(head) < LENGTH.size:
            raise _broken()
        return int(LENGTH.unpack(head)[0])

    def _reply(self) -> None:
        try:
            reply: Reply = unpack(self._source.read, Reply)
        except (OSError, ValueError):
            raise _broken() from None
        if reply.error is not None:
            raise invalid(reply.error)


def _broken() -> RunyardError:
    return RunyardError(Code.UNAVAILABLE, "The connection to the warehouse broke off; ask again.")


def _connect(path: str) -> socket.socket:
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    folder, name = os.path.split(path)
    try:
        at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            channel.connect(f"/proc/self/fd/{at}/{name}")  # a socket's path may have 107 bytes only
        finally:
            os.close(at)
    except OSError as error:
        channel.close()
        raise RunyardError(Code.UNAVAILABLE, f"The warehouse does not answer ({error.strerror}).") from None
    return channel
