"""Commands for the server itself: start one, check one, point clients at one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from cyclopts import Parameter

from runyard.cli import exits
from runyard.cli.options import COMMON, Common
from runyard.cli.render import emit_one
from runyard.client.words import nearest_word

NATIVE = {"RUNYARD_URL": "{url}", "RUNYARD_TOKEN": "{token}"}
NO_TOKEN = "YOUR_TOKEN"


def up(
    *,
    host: Annotated[str | None, Parameter(help="address to listen on (127.0.0.1)")] = None,
    port: Annotated[int | None, Parameter(help="port to listen on (8321); 0 takes a free one")] = None,
    data: Annotated[str | None, Parameter(help="folder of everything that is kept (~/.runyard)")] = None,
    store: Annotated[str | None, Parameter(help="store URL; SQLite in the data folder when not given")] = None,
    dev: Annotated[bool | None, Parameter(negative="", help="accept any credential, on loopback only")] = None,
    token: Annotated[str | None, Parameter(help="a token with all rights")] = None,
    allow_private_urls: Annotated[
        bool | None, Parameter(negative="", help="let loads read from private addresses (always so with --dev)")
    ] = None,
) -> int:
    """Start a server. Prints `ready http://HOST:PORT` when it answers; SIGTERM stops it cleanly.

    All other settings are read from RUNYARD_* in the environment.
    """
    from runyard.app import serve
    from runyard.config import load

    given = {"host": host, "port": port, "data": data, "store": store, "dev": dev, "token": token}
    return int(serve(load(given | {"allow_private_urls": allow_private_urls})))


def worker(
    *,
    store: Annotated[str | None, Parameter(help="the servers' PostgreSQL, postgresql://USER@HOST/DATABASE")] = None,
    data: Annotated[str | None, Parameter(help="folder of its attempts, of no other process (~/.runyard)")] = None,
    queues: Annotated[str | None, Parameter(help="only of these queues, divided by commas")] = None,
) -> int:
    """Run process tasks of a store that servers share. Prints `ready NAME`; SIGTERM stops it cleanly.

    All other settings are read from RUNYARD_* in the environment.
    """
    from runyard.app import work
    from runyard.config import load

    names = [name for name in (queues or "").split(",") if name]
    return int(work(load({"store": store, "data": data}), names or None))


def move(
    *,
    source: Annotated[str, Parameter(name="--from", help="data folder of a server that is stopped")],
    target: Annotated[str, Parameter(name="--to", help="empty PostgreSQL, postgresql://USER@HOST/DATABASE")],
    common: Common = COMMON,
) -> None:
    """Copy everything from the SQLite database in a data folder to PostgreSQL. The data folder is left as it is."""
    from pathlib import Path

    from runyard.app import move as copy

    counts = copy(Path(source), target)
    emit_one(counts, common.output, lambda: print(*(f"{count:>9} {name}" for name, count in counts.items()), sep="\n"))


def doctor(*, common: Common = COMMON) -> int:
    """Check Python, the installation, the data folder, the disk and the server."""
    from runyard.cli.checks import print_checks, run_checks

    checks = run_checks(common.client)
    emit_one(checks, common.output, lambda: print_checks(checks))
    return max((check.exit_code for check in checks), default=exits.SUCCEEDED)


def connect(
    name: Annotated[str, Parameter(help="native, or a dialect that the server serves, such as glue")],
    /,
    *,
    common: Common = COMMON,
) -> None:
    """Print the environment lines that point a client at this server: `eval "$(runyard connect native)"`."""
    with common.client() as client:
        lines = NATIVE if name == "native" else _lines_of(client.info, name)
        values = _values(client.url, client.token or NO_TOKEN)
    environment = {key: _fill(text, values) for key, text in lines.items()}
    emit_one(environment, common.output, lambda: _print_exports(environment))


def _values(url: str, token: str) -> dict[str, str]:
    """What stands for {url}, {host} (with its port), {port}, {token} and {key_id}, the access key of who signs."""
    from urllib.parse import urlsplit

    from runyard.http.tokens import key_id

    where = urlsplit(url)
    port = where.port or (443 if where.scheme == "https" else 80)
    return {"url": url, "host": where.netloc, "port": str(port), "token": token, "key_id": key_id(token)}


def _lines_of(info: Callable[[], dict[str, Any]], name: str) -> dict[str, str]:
    served = info().get("dialects") or {}
    if name not in served:
        said = f"The server does not serve the dialect {name!r} (yet)"
        raise exits.Exit(exits.USAGE, f"{said}{nearest_word(name, ['native', *served])}")
    lines = served[name] if isinstance(served, dict) else None
    if not isinstance(lines, dict) or not lines:
        raise exits.Exit(exits.USAGE, f"The server serves {name!r} but does not say which environment points there.")
    return {str(key): str(value) for key, value in lines.items()}


def _fill(text: str, values: dict[str, str]) -> str:
    for key, value in values.items():
        text = text.replace("{" + key + "}", value)
    return text


def _print_exports(environment: dict[str, str]) -> None:
    import shlex

    for key, value in environment.items():
        print(f"export {key}={shlex.quote(value)}")
