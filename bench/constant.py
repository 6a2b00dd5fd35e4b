"""Answers requests of AWS's JSON protocol with constants: {operation: body} as a line of JSON on standard input.

It prints its port. One thread, one connection at a time, nothing parsed but the operation and the length.
"""

from __future__ import annotations

import json
import re
import socket
import sys

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_OPERATION = re.compile(rb"\r\nx-amz-target: *\w+\.(\w+)", re.IGNORECASE)


def main() -> None:
    """Serves until it is ended."""
    answers = {name.encode(): _answer(body) for name, body in json.loads(sys.stdin.readline()).items()}
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection:
            _serve(connection, answers)


def _answer(body: object) -> bytes:
    content = json.dumps(body).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: {len(content)}\r\n\r\n"
    return head.encode() + content


def _serve(connection: socket.socket, answers: dict[bytes, bytes]) -> None:
    data = b""
    while piece := connection.recv(65536):
        data += piece
        while (end := data.find(b"\r\n\r\n")) >= 0:
            length, operation = _LENGTH.search(data[:end]), _OPERATION.search(data[:end])
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(data) < whole or operation is None:
                break
            data = data[whole:]
            connection.sendall(answers[operation[1]])


if __name__ == "__main__":
    main()
