"""HTTP on the wire: whole requests and answers take the short way, everything else uvicorn's; nobody sees which."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from runyard.http.answers import Whole, nothing
from runyard.http.protocol import Exchange, Protocol
from runyard.http.request import Request, exchange

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter, ServerState], Awaitable[None]]
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Gives back path and body; some paths do something else."""
    request = Request(scope, receive, 1_000_000)
    path = scope["path"]
    if path == "/slow":
        await asyncio.sleep(0.05)
    if path == "/nothing":
        return await nothing()(scope, receive, send)
    if path == "/split":
        return await Whole(b"", "text/plain", 200, {"X": "a\r\nb: c"})(scope, receive, send)
    if path == "/messages":
        del scope["extensions"]
    said = path.encode() + b" " + await request.whole()
    assert await request.whole() == said.partition(b" ")[2]
    return await Whole(said, "text/plain")(scope, receive, send)


def talk(body: Talk) -> None:
    """One connection to a server of this process."""

    async def run() -> None:
        config = uvicorn.Config(
            app, http=Protocol, ws="none", lifespan="off", log_config=None, proxy_headers=False, timeout_keep_alive=1
        )
        config.load()
        state = ServerState()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Protocol(config, state, {}), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        try:
            async with asyncio.timeout(20):
                await body(reader, writer, state)
        finally:
            writer.close()
            await writer.wait_closed()
            server.close()
            await server.wait_closed()

    asyncio.run(run())


def request(path: str, body: bytes = b"", method: str = "POST", more: str = "") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\n{more}Content-Length: {len(body)}\r\n\r\n".encode() + body


def only(state: ServerState) -> Protocol:
    (connection,) = state.connections
    assert isinstance(connection, Protocol)
    return connection


def said(path: str, body: bytes = b"") -> bytes:
    text = path.encode() + b" " + body
    return HEAD + b"content-length: %d\r\n\r\n" % len(text) + text


def test_a_body_that_comes_in_pieces_is_read_whole() -> None:
    async def body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, state: ServerState) -> None:
        whole = request("/a", b"x" * 5000)
        for piece in (whole[:7], whole[7:60], whole[60:3000], whole[3000:]):
            writer.write(piece)
            await asyncio.sleep(0.02)
        assert await reader.readexactly(len(said("/a", b"x" * 5000))) == said("/a", b"x" * 5000)

    talk(body)


def test_pipelined_requests_are_answered_in_their_order() -> None:
    async def body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, state: ServerState) -> None:
        writer.write(
            request("/slow", b"1") + request("/b", b"2") + request("/messages", b"3") + request("/d%2De", b"4")
        )
        wanted = said("/slow", b"1") + said("/b", b"2") + said("/messages", b"3") + said("/d-e", b"4")
        assert await reader.readexactly(len(wanted)) == wanted
        assert len(state.tasks) == 0

    talk(body)


def test_head_has_the_length_and_not_the_body() -> None:
    async def body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, state: ServerState) -> None:
        writer.write(request("/a", method="HEAD") + request("/nothing") + request("/b"))
        wanted = HEAD + b"content-length: 3\r\n\r\n" + b"HTTP/1.1 204 No Content\r\n\r\n" + said("/b")
        assert await reader.readexactly(len(wanted)) == wanted

    talk(body)


def test_who_expects_100_is_told_to_go_on() -> None:
    async def body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, state: ServerState) -> None:
        whole = request("/a", b"body", more="Expect: 100-continue\r\n")
        writer.write(whole[:-4])
        assert await reader.readexactly(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(whole[-4:])
        assert await reader.readexactly(len(said("/a", b"body"))) == said("/a", b"body")

    talk(body)


def test_close_is_said_and_done() -> None:
    async def body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, state: ServerState) -> None:
        writer.write(request("/a", more="Connection: close\r\n"))
        assert await reader.read() == said("/a").replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")

    talk(body)


def test_a_header_cannot_begin_another_one() -> None:
    async def body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, state: ServerState) -> None:
        writer.write(request("/split"))
        answered = await reader.read()
        assert answered.startswith(b"HTTP/1.1 500 ")
        assert b"b: c" not in answered

    talk(body)


def test_only_an_idle_connection_is_closed() -> None:
    async def body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, state: ServerState) -> None:
        connection = only(state)
        later = asyncio.get_running_loop().time() + 5
        connection.close_if_idle(later)  # no request yet
        writer.write(request("/slow"))
        await asyncio.sleep(0.01)
        connection.close_if_idle(later)  # under way
        assert await reader.readexactly(len(said("/slow"))) == said("/slow")
        connection.close_if_idle(later - 5)  # not long enough
        writer.write(request("/a"))
        assert await reader.readexactly(len(said("/a"))) == said("/a")
        connection.close_if_idle(later)
        assert await reader.read() == b""

    talk(body)


def test_a_client_that_leaves_is_noticed_by_who_waits_for_it() -> None:
    async def body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, state: ServerState) -> None:
        writer.write(request("/slow", b"x"))
        await asyncio.sleep(0.01)
        cycle = only(state).cycle
        assert isinstance(cycle, Exchange)
        assert exchange(dict(cycle.scope)) is cycle
        assert cycle.taken() == b"x"
        waiting = asyncio.create_task(cycle.receive())
        await asyncio.sleep(0.01)
        assert not waiting.done()
        writer.close()
        assert (await waiting)["type"] == "http.disconnect"
        assert cycle.taken() is None

    talk(body)
