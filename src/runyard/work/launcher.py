"""The launcher: one small process that owns one attempt, from its start to its outcome, whatever the server does.

It is the session leader and the adopter of every orphan below it, so nothing of the work outlives it. When an attempt
is over and all below it is gone, it takes the next one, of the server that it was made for; each attempt has a fresh
process, which waits for its work already. Without that server it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import time
from typing import NoReturn

from runyard.core.attempts import Finished, Outcome
from runyard.core.launch import (
    ARTIFACTS,
    CLAIM,
    LOCK,
    MARK,
    MESSAGE_BYTES,
    NOTES,
    OUTCOME,
    SOCKET,
    WORK,
    Head,
    Launch,
    Mark,
    decode_head,
    decode_order,
    encode,
)
from runyard.core.states import Reason
from runyard.work import linux
from runyard.work.attempt import EXPIRED, Attempt
from runyard.work.spare import Spare


def own(channel: socket.socket) -> NoReturn:
    """What a freshly forked launcher does. Never returns."""
    try:
        os.setsid()
        linux.adopt_orphans()
        # Blocked, not ignored: a stop that comes while the child is being made waits until the child can take it.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        launcher = Launcher(channel)
        signal.signal(signal.SIGCHLD, launcher.reap)
        while launcher.serve():
            os.chdir("/")
    finally:
        os._exit(0)


class Launcher:
    """Sees one attempt after the other through, for the server at the other end of the channel."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._mark = linux.bear_mark()
        self._attempt: Attempt | None = None

    def reap(self, *_: object) -> None:
        """On SIGCHLD. Not between attempts: a spare that was killed is found out when it is needed."""
        if self._attempt is not None:
            self._attempt.reap()

    def serve(self) -> bool:
        """Waits for one claim and sees it through; False when that was the last one."""
        spare = _spare()
        order = _order(self._channel)
        if order is None:
            return False
        os.chdir(order.folder)
        lock = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)  # once its older launcher is gone
            claim = _claim(order.token)
            return claim is not None and self._see_through(claim, order, spare)
        finally:
            os.close(lock)

    def _see_through(self, claim: bytes, order: Launch, spare: Spare | None) -> bool:
        """Runs the attempt; True if its server has heard of the end."""
        head = decode_head(claim)
        try:
            _clear()
            if spare is not None and not spare.alive():
                spare.close()
                spare = None
            spare = spare or Spare()
            with open(MARK, "wb") as file:
                file.write(encode(Mark(head.token, spare.mark, self._mark)))
            attempt = self._attempt = Attempt(head, order, self._channel, spare)
            if attempt.expired():  # it comes too late: somebody else may have the work by now
                return self._refuse(head, EXPIRED)
            attempt.start(claim)
        except OSError as error:  # no room for a file, no room for a process
            detail = f"No process can be started: {error}"
            return self._refuse(head, Outcome(result="failed", reason=Reason.START_ERROR, detail=detail))
        attempt.run()
        self._attempt = None
        attempt.close()
        return attempt.channel is self._channel

    def _refuse(self, head: Head, outcome: Outcome) -> bool:
        now = time.time_ns() // 1_000_000
        self._channel.send(encode(Finished(head.task_run_id, head.token, now, outcome)))
        return False


def _spare() -> Spare | None:
    try:
        return Spare()
    except OSError:  # tried again when there is work, which then fails with the reason
        return None


def _order(channel: socket.socket) -> Launch | None:
    """The next claim; None when the server is gone."""
    with contextlib.suppress(OSError):
        while data := channel.recv(MESSAGE_BYTES):
            order = decode_order(data)
            if isinstance(order, Launch):  # not a stop that came too late for the last one
                return order
    return None


def _claim(token: int) -> bytes | None:
    """The claim of this folder; None if the order came too late for it."""
    try:
        with open(CLAIM, "rb") as file:
            claim = file.read()
    except FileNotFoundError:
        return None
    return claim if decode_head(claim).token == token else None


def _clear() -> None:
    """Takes away what an earlier claim of this folder left, but for its log; its mark goes last."""
    if os.path.exists(MARK):
        import shutil  # seldom used, and not small

        for folder in (WORK, ARTIFACTS):
            shutil.rmtree(folder, ignore_errors=True)
        for stale in (SOCKET, NOTES, OUTCOME, MARK):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(stale)
    os.makedirs(WORK, exist_ok=True)
