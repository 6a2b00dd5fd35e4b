"""Triggers and notifications of a real server: chains survive its being killed, and what it tells arrives."""

from __future__ import annotations

import hashlib
import hmac
import random
import socket
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiosmtpd.controller import Controller

from .service import Service, shell, spec, sql, wait

CHAINS = 3


def kept(service: Service, *actions: dict[str, Any], **fields: Any) -> int:
    return int(service.post("/jobs", {**spec(*actions), **fields})["id"])


def standing(service: Service, source: dict[str, Any], *jobs: int, key: str = "") -> int:
    body = {"source": source, "actions": [{"job": job} for job in jobs]}
    return int(service.post(f"/triggers?key={key}" if key else "/triggers", body)["id"])


def after(*jobs: int, **fields: Any) -> dict[str, Any]:
    return {"kind": "after_runs", "watch": [{"job": job} for job in jobs], **fields}


def history(service: Service, trigger: int) -> list[dict[str, Any]]:
    return list(service.get(f"/triggers/{trigger}/firings", limit=200)["items"])


def fired(service: Service, trigger: int) -> list[dict[str, Any]]:
    """What it did, once it did something."""
    return wait(lambda: history(service, trigger) or None, lambda: service.get(f"/triggers/{trigger}"))


def test_chains_go_on_after_kills_and_each_link_fires_once(tmp_path: Path) -> None:
    chance = random.Random(5)
    with Service(tmp_path) as service:
        job = {name: kept(service, shell("sleep 0.02")) for name in ("root", "left", "right", "join")}
        root = standing(service, {"kind": "manual"}, job["root"])
        fork = standing(service, after(job["root"]), job["left"], job["right"])
        join = standing(service, after(job["left"], job["right"]), job["join"])
        chains = []
        for _ in range(CHAINS):
            chains.append(service.post(f"/triggers/{root}/fire")["chain"])
            time.sleep(chance.uniform(0, 0.15))
            service.kill()
            service.start()
        wait(lambda: len(history(service, join)) >= CHAINS or None, lambda: history(service, join))
        for one in (fork, join):
            assert Counter(firing["chain"] for firing in history(service, one)) == Counter(chains)
        for firing in history(service, join):
            [run] = firing["runs"]
            assert service.ended(run)["extras"]["trigger"]["chain"] == firing["chain"]
            assert len(firing["after"]) == 2
        for name in ("root", "left", "right", "join"):
            assert len(service.get("/runs", job=job[name], limit=200)["items"]) == CHAINS


def test_a_statement_that_wrote_a_table_and_a_file_that_came_start_runs(tmp_path: Path) -> None:
    incoming = tmp_path / "incoming"
    incoming.mkdir()
    with Service(tmp_path, allowed_paths=incoming, poll_seconds=0.5) as service:
        job = kept(service, shell("true"))
        tables = standing(service, {"kind": "table_update", "tables": ["orders"]}, job)
        files = standing(service, {"kind": "file_arrival", "location": str(incoming)}, job)
        time.sleep(0.05)
        (incoming / "a.csv").write_text("x\n1\n")
        assert service.ended(service.submit(sql("CREATE TABLE orders AS SELECT 1 AS x")))["state"] == "succeeded"
        source = """
            from runyard import context
            context.write_table("Days", {"day": [1]})
            context.write_table("raw", {"day": [1]}, mode="replace")
        """
        program = {"kind": "python", "source": textwrap.dedent(source)}
        days = standing(service, {"kind": "table_update", "tables": ["days", "raw"], "match": "all"}, job)
        assert service.ended(service.submit(program))["state"] == "succeeded"
        seen: list[tuple[int, dict[str, list[str]]]] = [
            (days, {"tables": ["main.days", "main.raw"]}),
            (tables, {"tables": ["main.orders"]}),
            (files, {"files": ["a.csv"]}),
        ]
        for trigger, data in seen:
            [firing] = fired(service, trigger)
            assert firing["data"] == data
            assert service.ended(firing["runs"][0])["state"] == "succeeded"
        assert len(history(service, tables)) == 1


# --- notifications ---


class Inbox:
    """Keeps what a mail server is given."""

    def __init__(self) -> None:
        self.got: list[Any] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.got.append(envelope)
        return "250 OK"


@pytest.fixture
def inbox() -> Iterator[tuple[Inbox, int]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    handler = Inbox()
    controller = Controller(handler, hostname="127.0.0.1", port=port)
    controller.start()
    yield handler, port
    controller.stop()


@pytest.fixture
def hook() -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    got: list[tuple[dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            # The first message is refused, so that it must be sent again.
            self.send_response(503 if not got else 200)
            self.end_headers()
            got.append((dict(self.headers), body))

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/hook", got
    server.shutdown()
    server.server_close()


def test_a_failure_reaches_its_mailbox_and_its_webhook_signed(
    tmp_path: Path, inbox: tuple[Inbox, int], hook: tuple[str, list[tuple[dict[str, str], bytes]]]
) -> None:
    (handler, port), (url, got) = inbox, hook
    with Service(tmp_path, smtp_url=f"smtp://127.0.0.1:{port}", mail_from="runyard@example.com") as service:
        told = [{"email": ["ann@example.com"]}, {"url": url, "on": ["failure"]}]
        run = service.post("/runs", {"spec": {**spec(shell("exit 3")), "notifications": told}})["id"]
        wait(lambda: (handler.got and len(got) >= 2) or None, lambda: (handler.got, got))
        key = service.get("/webhook-key", url=url)["key"]
        assert handler.got[0].rcpt_tos == ["ann@example.com"]
        assert f"(run {run})" in handler.got[0].content.decode().replace("\r\n ", " ")
        (first, _), (again, body) = got[:2]
        assert first["Runyard-Delivery"] == again["Runyard-Delivery"]
        signed = again["Runyard-Sent-At"].encode() + b"." + body
        assert again["Runyard-Signature"] == f"sha256={hmac.new(key.encode(), signed, hashlib.sha256).hexdigest()}"


def test_e_mail_is_refused_by_a_server_that_has_no_mail_server(tmp_path: Path) -> None:
    with Service(tmp_path) as service:
        body = {**spec(shell("true")), "notifications": [{"email": ["ann@example.com"]}]}
        with pytest.raises((AssertionError, httpx.HTTPError)):
            service.post("/jobs", body)
        refused = service.http.post("/jobs", json=body)
        assert (refused.status_code, refused.json()["field"]) == (400, "notifications[0].email")
