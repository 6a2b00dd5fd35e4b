"""The composition root: the only module that names concrete stores, executors and faces.

`serve` runs one server from its settings until it is told to stop. Modules that are heavy to import are
imported inside the functions that need them, so that a usage error costs no time.
"""

from __future__ import annotations

import fcntl
import ipaddress
import os
import socket
import sys
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, cast

import msgspec

from runyard.config import Settings, load
from runyard.core.errors import Code, RunyardError, conflict, invalid

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable

    from starlette.types import ASGIApp

    from runyard.core.attempts import Assignment, Places
    from runyard.core.opaque import Opaque
    from runyard.engine.engine import Engine
    from runyard.engine.mails import MailServer
    from runyard.executors.warehouse import WarehouseExecutor
    from runyard.http.card import Card
    from runyard.http.counters import Counters
    from runyard.http.streams import Streams
    from runyard.http.table import RouteTable
    from runyard.http.tokens import Tokens
    from runyard.store.base import Delivery, SharedStore, Store
    from runyard.warehouse.objects import S3


ADDRESS = "address"
"""The file in the data folder that holds the server's URL."""
GC_ALLOCATIONS = 20_000
"""How many new objects the collector lets come together before it looks at them."""


def serve(settings: Settings) -> int:
    """Runs the server until SIGTERM or SIGINT; the exit code. Raises `RunyardError` if it cannot start."""
    check(settings)
    folder = settings.folder
    lock = claim_folder(folder)
    try:
        listener = listen(settings)
        _run(settings, folder, listener)
    finally:
        lock.close()
    return 0


def _run(settings: Settings, folder: Path, listener: socket.socket) -> None:
    import uvloop

    uvloop.run(_serve(settings, folder, listener))


async def _serve(settings: Settings, folder: Path, listener: socket.socket) -> None:
    import asyncio
    import gc
    from concurrent.futures import ThreadPoolExecutor
    from functools import partial

    from runyard.http.server import run
    from runyard.http.streams import Streams
    from runyard.http.tokens import Tokens, load_master_key

    loop, asked = asyncio.get_running_loop(), _asked_to_end()
    loop.set_default_executor(ThreadPoolExecutor(settings.reader_threads, thread_name_prefix="read"))
    tokens, streams = Tokens(load_master_key(folder / "master.key")), Streams()
    engine = build_engine(settings, folder, loop)
    engine.start()
    await _first_principal(settings, engine, tokens)
    # What lives as long as the process need not be looked at by every collection.
    gc.collect()
    gc.freeze()
    # Requests leave hardly any cycles behind, and live runs would be looked at again and again.
    gc.set_threshold(GC_ALLOCATIONS, 20, 20)
    app = build_app(settings, engine, tokens, streams)

    def stopping() -> None:
        engine.stop_claims()
        streams.close()

    if not asked:
        ready = partial(_announce, listener, folder)
        await run(app, listener, ready=ready, stopping=stopping, asked=lambda: bool(asked))
    await engine.drain(settings.grace)


def _asked_to_end() -> list[int]:
    """The signal that asks for the end before the server answers and hears it itself; a second one ends it at once."""
    import signal

    asked: list[int] = []

    def ask(number: int, _: object) -> None:
        asked.append(number)
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask)
    return asked


def _announce(listener: socket.socket, folder: Path) -> None:
    draft = folder / f"{ADDRESS}.new"
    draft.write_text(address(listener))  # programs of attempts that outlived the last server find this one here
    draft.rename(folder / ADDRESS)
    sys.stdout.write(f"ready {address(listener)}\n")
    sys.stdout.flush()


def address(listener: socket.socket) -> str:
    """The URL under which the server answers."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def check(settings: Settings) -> None:
    """Refuses settings that would let anybody in from elsewhere."""
    if settings.dev and not _is_loopback(settings.host):
        message = f"--dev accepts any credential, so it binds to loopback only, not to {settings.host}."
        raise invalid(f"{message} Leave out --dev, or use --host 127.0.0.1.", field="host")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def claim_folder(folder: Path) -> IO[str]:
    """Makes the data folder, for its owner only, and locks it; the lock holds until the file is closed.

    Raises `conflict` when another server has it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = open(folder / "lock", "a+", encoding="ascii")  # noqa: SIM115 - the open file is the lock
    try:
        # A record lock and not flock: children that are forked must not keep it when the server is killed.
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.seek(0)
        other = lock.read().strip()
        lock.close()
        raise conflict(f"Another server (process {other}) uses {folder}. Stop it, or give another --data.") from None
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def listen(settings: Settings) -> socket.socket:
    """The bound socket; port 0 becomes a free one."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        raise conflict(
            f"Cannot listen on {where}: {os.strerror(error.errno or 0)}. Give another --port, or 0 for any."
        ) from None


def open_store(settings: Settings) -> Store:
    """The store of the settings, migrated; raises unavailable when it cannot be used."""
    if not settings.shared:
        from runyard.store.sqlite import SqliteStore

        return SqliteStore(settings.database, readers=settings.reader_threads)
    _need_psycopg()
    from runyard.store.postgres import PostgresStore

    return PostgresStore(settings.store, readers=settings.reader_threads)


def _need_psycopg() -> None:
    """Refuses a PostgreSQL store where its driver is missing."""
    try:
        import psycopg  # noqa: F401 - only whether it is there
    except ImportError:
        message = "A PostgreSQL store needs the driver psycopg: pip install 'runyard[postgres]'."
        raise RunyardError(Code.UNAVAILABLE, message, field="store") from None


def work(settings: Settings, queues: list[str] | None = None) -> int:
    """Runs process tasks of the shared store, of these queues or of all, until SIGTERM or SIGINT; the exit code."""
    if not settings.shared:
        message = "A worker needs a store that it can share: --store postgresql://USER@HOST/DATABASE."
        raise invalid(f"{message} On SQLite the server does all work itself.", field="store")
    lock = claim_folder(settings.folder)
    try:
        import uvloop

        uvloop.run(_work(settings, settings.folder, set(queues) if queues else None))
    finally:
        lock.close()
    return 0


async def _work(settings: Settings, folder: Path, queues: set[str] | None) -> None:
    import asyncio
    import signal

    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    engine = build_engine(settings, folder, loop, Part(worker=True, queues=queues))
    engine.start()
    sys.stdout.write(f"ready {engine.worker.name}\n")
    sys.stdout.flush()
    await stop.wait()
    await engine.drain(settings.grace)


def move(folder: Path, url: str) -> dict[str, int]:
    """Copies what a data folder's own database keeps into an empty PostgreSQL; the rows of each table there.

    Raises conflict while a server uses the folder, or when the target is not empty.
    """
    settings = load({"data": str(folder), "store": url}, {})
    if not settings.shared:
        raise invalid("Everything moves to PostgreSQL: --to postgresql://USER@HOST/DATABASE.", field="to")
    database = msgspec.structs.replace(settings, store="").database
    if not database.exists():
        raise invalid(
            f"There is no {database.name} in {settings.folder}: give the data folder of a server.", field="from"
        )
    _need_psycopg()
    from runyard.store.move import move as copy

    lock = claim_folder(settings.folder)
    try:
        return copy(database, settings.folder / "attempts", url)
    finally:
        lock.close()


class Part(NamedTuple):
    """What this process is among those that share a store."""

    worker: bool = False
    """Only runs process tasks: it answers no requests, has no tables and never leads."""
    queues: set[str] | None = None
    """The queues that it works for; None: all."""


SERVER = Part()


def build_engine(settings: Settings, folder: Path, loop: AbstractEventLoop, part: Part = SERVER) -> Engine:
    """The engine over its store and its executors."""
    from functools import partial

    from runyard.core.attempts import Places
    from runyard.core.opaque import Opaque
    from runyard.engine.engine import Engine
    from runyard.engine.folders import Folders
    from runyard.engine.uploads import Uploads
    from runyard.executors.local import LocalExecutor
    from runyard.http.tokens import Tokens, load_master_key

    files = folder / "files"
    private = settings.allow_private_urls or settings.dev
    key = load_master_key(folder / "master.key")
    tokens, mail = Tokens(key), _mail_server(settings)
    store = open_store(settings)
    node = node_name(folder) if settings.shared else None
    warehouse = build_warehouse(settings, folder, key) if not part.worker and _has_tables(store, node) else None
    opaque = Opaque(tokens.purpose("ids"))
    places = Places(
        files=str(files),
        environments=str(folder / "environments"),
        checkouts=str(folder / "checkouts"),
        allowed=settings.allowed_paths,
        private_urls=private,
    )

    def equip(one: Assignment) -> Assignment:
        token = tokens.derive_attempt(one.task_run_id, one.token)
        return msgspec.structs.replace(
            one,
            places=places,
            world=world(settings, folder, opaque, one),
            tables=warehouse.grant(one) if warehouse is not None else {},
            server={"address": str(folder / ADDRESS), "token": token},
        )

    processes = LocalExecutor(
        folder / "attempts",
        settings.process_capacity or 4 * (os.cpu_count() or 1),
        log_bytes=settings.log_cap,
        memory_bytes=settings.process_memory or None,
        equip=equip,
        tidy=partial(_tidy, places, settings.unused_days * 86_400) if settings.unused_days else None,
    )
    return Engine(
        store,
        [processes, warehouse] if warehouse is not None else [processes],
        grace=settings.grace,
        loop=loop,
        tables=warehouse,
        uploads=Uploads(folder / "uploads", settings.upload_cap),
        keep_days=settings.keep_days or None,
        post=_post(tokens, mail, allow_private=private),
        mail=mail is not None,
        folders=Folders([files, *map(Path, settings.allowed_paths)], allow_private_urls=private),
        poll_seconds=settings.poll_seconds,
        node=node,
        lease=settings.lease,
        queues=part.queues,
        may_lead=not part.worker,
    )


def _tidy(places: Places, keep_seconds: float, oldest: float) -> None:
    """Removes what no attempt has used for so long, nor one that still runs."""
    from runyard.work import unused

    unused.remove(places, min(oldest, time.time() - keep_seconds))


def build_warehouse(settings: Settings, folder: Path, key: bytes) -> WarehouseExecutor:
    """The executor of tables, which lie in the data folder."""
    import hmac

    from runyard.executors.warehouse import WarehouseExecutor

    return WarehouseExecutor(
        folder / "warehouse",
        capacity=settings.warehouse_capacity,
        memory_limit=f"{settings.warehouse_memory}B" if settings.warehouse_memory else None,
        disk_limit=f"{settings.warehouse_disk}B" if settings.warehouse_disk else None,
        allow_private_urls=settings.allow_private_urls or settings.dev,
        allowed_paths=[folder / "files", folder / "databricks", *map(Path, settings.allowed_paths)],
        attempts=folder / "attempts",
        uploads=folder / "uploads",
        objects=Path(settings.s3_root or folder / "s3"),
        s3=_s3(settings),
        # The same after a restart: attempts that outlive the server keep their access.
        key=hmac.digest(key, b"tables", "sha256"),
    )


def _has_tables(store: Store, node: str | None) -> bool:
    """Whether this server has the tables: of several, the one that was there first, for they lie on its disk."""
    return node is None or cast("SharedStore", store).home("default", node) == node


def node_name(folder: Path) -> str:
    """This server's name among those that share its store: it stays with the data folder."""
    from runyard.store import files

    file = folder / "node"
    name = file.read_text().strip() if file.exists() else ""
    if not name:
        name = f"{socket.gethostname()}-{os.urandom(4).hex()}"
        files.keep(file, f"{name}\n".encode())
    return name


def world(settings: Settings, folder: Path, opaque: Opaque, one: Assignment) -> dict[str, Any]:
    """What the program of an attempt is told of this server: where files may be, and what its run is called.

    A Glue script is given the keys of the S3 service too, for its data lies there; other programs are not.
    """
    from runyard.dialects.glue.compile import is_script

    return {
        "run": opaque.text(one.run_id),
        "job": opaque.text(one.job_id) if one.job_id is not None else None,
        "job_name": one.job_name,
        "chain": opaque.text(one.chain) if one.chain is not None else None,
        "scope": one.scope,
        # With --dev a script may lie anywhere: whoever may start it could as well paste its text.
        "allowed_paths": None if settings.dev else [str(folder / "files"), *settings.allowed_paths],
        "s3_root": settings.s3_root or str(folder / "s3"),
        "s3_endpoint": settings.s3_endpoint,
        "modules": str(folder / "modules"),
        "allow_private_urls": settings.allow_private_urls or settings.dev,
        **(_s3_keys(settings) if settings.s3_endpoint and is_script(one.action) else {}),
    }


def _s3_keys(settings: Settings) -> dict[str, str]:
    return {
        "s3_region": settings.s3_region,
        "s3_access_key": settings.s3_access_key,
        "s3_secret_key": settings.s3_secret_key,
    }


def _s3(settings: Settings) -> S3 | None:
    from runyard.warehouse.objects import S3

    if not settings.s3_endpoint:
        return None
    return S3(
        endpoint=settings.s3_endpoint,
        region=settings.s3_region,
        access_key=settings.s3_access_key,
        secret_key=settings.s3_secret_key,
    )


def _mail_server(settings: Settings) -> MailServer | None:
    if not settings.smtp_url:
        return None
    from runyard.engine.mails import mail_server

    return mail_server(settings.smtp_url, settings.mail_from)


def _post(tokens: Tokens, mail: MailServer | None, *, allow_private: bool) -> Callable[[Delivery], str]:
    """How a message is sent, by its address."""
    from runyard.engine import webhooks
    from runyard.engine.notices import MAILTO

    def post(delivery: Delivery) -> str:
        if not delivery.url.startswith(MAILTO):
            return webhooks.post(delivery, allow_private=allow_private, key=tokens.webhook_key)
        if mail is None:
            return "This server sends no e-mail: smtp_url is not set."
        from runyard.engine import mails

        return mails.post(delivery, mail)

    return post


def build_table(
    engine: Engine, tokens: Tokens, streams: Streams, counters: Counters, settings: Settings | None = None
) -> RouteTable:
    """The routes of all faces: each dialect is one line here."""
    from runyard.api.routes import card as native
    from runyard.core.opaque import Opaque
    from runyard.dialects.databricks.routes import card as databricks
    from runyard.dialects.glue.routes import card as glue
    from runyard.dialects.tinybird.routes import card as tinybird
    from runyard.http.table import RouteTable
    from runyard.web.routes import card as web

    settings = settings or Settings()
    opaque = Opaque(tokens.purpose("ids"))
    dialects: list[Card] = [
        databricks(
            engine,
            settings.folder,
            record_only=settings.record_only,
            mail=bool(settings.smtp_url),
            options=settings.options_of("databricks"),
        ),
        glue(engine, opaque, settings),
        tinybird(engine, tokens, settings.folder / "files" / "tinybird", settings.options_of("tinybird")),
    ]
    environments = {card.name: card.connect for card in dialects}
    return RouteTable([native(engine, tokens, streams, counters, environments), web(engine, streams), *dialects])


def build_app(settings: Settings, engine: Engine, tokens: Tokens, streams: Streams) -> ASGIApp:
    """The one ASGI application."""
    from runyard.http.counters import Counters
    from runyard.http.front import Front
    from runyard.http.gate import Gate, OpenGate

    counters = Counters()
    gate = OpenGate() if settings.dev else Gate(tokens, engine.registry.principal, settings.token or None)
    table = build_table(engine, tokens, streams, counters, settings)
    return Front(table, gate, settings.body_cap, counters, settings.upload_cap)


async def _first_principal(settings: Settings, engine: Engine, tokens: Tokens) -> None:
    """Where nobody could sign in, makes an administrator and shows its token, this once."""
    if settings.dev or settings.token or engine.registry.principals():
        return
    admin = await engine.registry.create_principal("admin", ["admin"], None, "runyard")
    sys.stderr.write(f"admin token, shown only now: {tokens.derive(admin)}\n")
    sys.stderr.flush()


def main() -> int:
    """Starts a server from the environment alone; the exit code is 2 when it cannot start."""
    try:
        return serve(load({}))
    except (RunyardError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
