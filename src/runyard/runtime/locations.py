"""Files by location, for programs inside an attempt: paths, file://, http(s) and s3:// (a service or a local folder).

The server tells where each may lie (`runyard.runtime.context.world`). Every failure is a `LocationError`, one line.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

MAX_BYTES = 1 << 30
_SECONDS = 30.0
_PIECE = 1 << 20
_REDIRECTS = 5


class LocationError(RuntimeError):
    """A file cannot be had; the text is one sentence."""


class Entry(NamedTuple):
    """A file: its location, when it was last changed (milliseconds), its size in bytes."""

    location: str
    modified: int
    size: int


class Locations:
    """Reads and writes files; `world` is what the server told of this place."""

    def __init__(self, world: dict[str, Any]) -> None:
        self._world = world
        self._stores: dict[str, Any] = {}

    def local(self, location: str) -> Path | None:
        """The path of a location that lies in this machine's files; None for one that must be fetched."""
        scheme = urlsplit(location).scheme if "://" in location else ""
        if scheme in ("s3", "s3a", "s3n"):
            return None if self._world.get("s3_endpoint") else self._in_s3_root(location)
        if scheme in ("http", "https"):
            return None
        if scheme not in ("", "file"):
            raise LocationError(f"{location}: only paths, file://, http(s):// and s3:// are known.")
        path = Path(unquote(urlsplit(location).path) if scheme else location)
        self._check_allowed(path, location)
        return path

    def _in_s3_root(self, location: str) -> Path:
        bucket, key = _bucket_and_key(location)
        root = Path(self._world.get("s3_root") or "s3").resolve()
        path = Path(os.path.normpath(root / bucket / key))
        if not path.is_relative_to(root / bucket):
            raise LocationError(f"{location} leaves its bucket.")
        return path

    def _check_allowed(self, path: Path, location: str) -> None:
        allowed = self._world.get("allowed_paths")
        real = path.resolve()
        if allowed is None or any(real.is_relative_to(Path(one).resolve()) for one in allowed):
            return
        raise LocationError(
            f"{location} lies outside the folders that this server allows: add its folder to the setting "
            f"allowed_paths, or put it below {allowed[0] if allowed else 'one of them'}."
        )

    def fetch(self, location: str, folder: Path) -> Path:
        """A local file with the content: the file itself where it lies here, else a copy in `folder`."""
        path = self.local(location)
        if path is not None:
            if not path.is_file():
                raise LocationError(f"{location} does not exist{_looked_at(location, path)}.")
            return path
        folder.mkdir(parents=True, exist_ok=True)
        name = os.path.basename(urlsplit(location).path) or "file"
        target = folder / name
        if location.startswith("http"):
            self._download(location, target)
        else:
            (module, store), key = self._store(location)
            with _said(location), open(target, "wb") as file:
                for piece in module.get(store, key).stream():
                    file.write(piece)
        return target

    def _download(self, location: str, target: Path) -> None:
        from urllib.parse import urljoin

        from runyard.net.addresses import resolve, split
        from runyard.net.connect import pinned
        from runyard.net.connect import target as request_line

        private = bool(self._world.get("allow_private_urls"))
        url = location
        with _said(location):
            for _ in range(_REDIRECTS):
                parts = split(url)
                connection = pinned(parts, resolve(parts, allow_private=private), _SECONDS)
                try:
                    connection.request("GET", request_line(parts), headers={"Accept-Encoding": "identity"})
                    answer = connection.getresponse()
                    if answer.status in (301, 302, 303, 307, 308) and answer.headers.get("Location"):
                        url = urljoin(url, str(answer.headers["Location"]))
                        continue
                    if answer.status != 200:
                        raise LocationError(f"{location} cannot be fetched: the server answers {answer.status}.")
                    _copy(answer, target, location)
                    return
                finally:
                    connection.close()
        raise LocationError(f"{location} redirects more than {_REDIRECTS} times.")

    # --- folders of data ---

    def files(self, location: str, *, recurse: bool) -> list[Entry]:
        """The files of a location in the order of their names: itself, or what lies below it."""
        path = self.local(location)
        if path is None:
            if location.startswith("http"):
                return [Entry(location, 0, 0)]
            return self._list_store(location, recurse)
        if path.is_file():
            return [_entry(path, location)]
        if not path.is_dir():
            raise LocationError(f"{location} does not exist{_looked_at(location, path)}.")
        base = location.rstrip("/")
        found = path.rglob("*") if recurse else path.glob("*")
        names = sorted(str(one.relative_to(path)) for one in found if one.is_file())
        return [_entry(path / name, f"{base}/{name}") for name in names if not _hidden(name)]

    def _list_store(self, location: str, recurse: bool) -> list[Entry]:
        (module, store), key = self._store(location)
        bucket, _ = _bucket_and_key(location)
        found = []
        with _said(location):
            for page in module.list(store, prefix=key or None):
                for one in page:
                    rest = one["path"][len(key) :].strip("/")
                    if (recurse or "/" not in rest) and not _hidden(rest):
                        modified = round(one["last_modified"].timestamp() * 1000)
                        found.append(Entry(f"s3://{bucket}/{one['path']}", modified, one["size"]))
        return sorted(found)

    def write(self, location: str, source: Path) -> None:
        """Puts a local file at a location, whole or not at all."""
        path = self.local(location)
        if path is not None:
            import shutil  # here, for it brings compressors along that few scripts need

            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.with_name(f".{path.name}.{os.getpid()}")

            shutil.copyfile(source, draft)
            os.replace(draft, path)
            return
        if location.startswith("http"):
            raise LocationError(f"{location} cannot be written: give a path or s3://.")
        (module, store), key = self._store(location)
        with _said(location):
            module.put(store, key, source)

    def _store(self, location: str) -> tuple[tuple[Any, Any], str]:
        bucket, key = _bucket_and_key(location)
        if bucket not in self._stores:
            try:
                module = importlib.import_module("obstore")
                stores = importlib.import_module("obstore.store")
            except ImportError:
                raise LocationError(f"{location}: install runyard[s3] to use an S3 service.") from None
            endpoint = str(self._world["s3_endpoint"])
            options: dict[str, Any] = {"endpoint": endpoint, "region": self._world.get("s3_region") or "us-east-1"}
            options |= {"client_options": {"allow_http": endpoint.startswith("http:")}}
            options |= _credentials(self._world)
            self._stores[bucket] = (module, stores.S3Store(bucket, **options))
        return self._stores[bucket], key


def _credentials(world: dict[str, Any]) -> dict[str, Any]:
    """The server's own: those of the environment are for this server, not for the S3 service."""
    key, secret = world.get("s3_access_key"), world.get("s3_secret_key")
    if key and secret:
        return {"access_key_id": key, "secret_access_key": secret}
    return {"skip_signature": True}


def _bucket_and_key(location: str) -> tuple[str, str]:
    parts = location.split("://", 1)[1]
    bucket, _, key = parts.partition("/")
    if not bucket or bucket in (".", ".."):
        raise LocationError(f"{location} names no bucket: write s3://BUCKET/KEY.")
    return bucket, key


def _entry(path: Path, location: str) -> Entry:
    facts = path.stat()
    return Entry(location, facts.st_mtime_ns // 1_000_000, facts.st_size)


def _hidden(name: str) -> bool:
    """What Spark and its kin leave out: markers and drafts."""
    return not name or any(part.startswith((".", "_")) for part in name.split("/"))


def _looked_at(location: str, path: Path) -> str:
    return f" (looked at {path})" if location.startswith("s3") else ""


def _copy(answer: Any, target: Path, location: str) -> None:
    size = 0
    with open(target, "wb") as file:
        while piece := answer.read(_PIECE):
            size += len(piece)
            if size > MAX_BYTES:
                raise LocationError(f"{location} is larger than {MAX_BYTES} bytes.")
            file.write(piece)


@contextlib.contextmanager
def _said(location: str) -> Iterator[None]:
    """Whatever goes wrong, as one line about the location."""
    try:
        yield
    except LocationError:
        raise
    except Exception as error:
        first = str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
        raise LocationError(f"{location} cannot be read: {first}") from error
