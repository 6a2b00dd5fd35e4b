"""Objects of an S3 service, or of the folder that stands for one where no endpoint is set.

obstore is imported when the first object is asked for; it is the extra `s3`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from runyard.warehouse.failures import LoadFailed

_CHUNK = 1 << 20
_TRIES = 5
_CONNECT_SECONDS = 15


class S3(msgspec.Struct, frozen=True, kw_only=True):
    """An S3 service. It is the operator's choice, so its address is not checked; without a key nothing is signed."""

    endpoint: str
    region: str = "us-east-1"
    access_key: str = ""
    secret_key: str = ""


def is_object(target: str) -> bool:
    """Whether a source or target is an object."""
    return target.startswith("s3://")


def split(url: str) -> tuple[str, str]:
    """Bucket and key; raises `LoadFailed` for a URL that names none."""
    parts = urlsplit(url)
    bucket, key = parts.netloc, parts.path.lstrip("/")
    names = key.split("/")
    if not bucket or not key or parts.query or parts.fragment or {"", ".", ".."} & {bucket, *names}:
        raise LoadFailed(f"{url} is no object: write s3://BUCKET/KEY.")
    return bucket, key


def local(url: str, root: str) -> Path:
    """Where the object lies when a folder stands for the service; raises `LoadFailed` for a place outside of it."""
    bucket, key = split(url)
    path = Path(os.path.realpath(Path(root) / bucket / key))
    if not path.is_relative_to(os.path.realpath(root)):
        raise LoadFailed(f"{url} does not lie in the folder of objects.")
    return path


def put(url: str, source: Path, service: S3) -> None:
    """Sends a file as one object, in parts when it is large; the object appears whole. Raises `LoadFailed`."""
    bucket, key = split(url)
    store, problem = _store(bucket, service)
    import obstore

    try:
        obstore.put(store, key, source)
    except problem as error:
        raise LoadFailed(f"{url} cannot be written: {_said(error, service)}", retry=True) from None


def get(
    url: str, to: Path, service: S3, *, most: int, seconds: float, tell: Callable[[int, int], None]
) -> tuple[int, str]:
    """Streams an object into a file, going on where it broke off; the bytes and the content type.

    `tell` hears how many of how many bytes have come. Raises `LoadFailed` also over `most` bytes or `seconds`.
    """
    bucket, key = split(url)
    store, problem = _store(bucket, service)
    import obstore

    try:
        head: Any = obstore.head(store, key)
        size, tag = int(head["size"]), head.get("e_tag")
    except (FileNotFoundError, problem) as error:
        raise LoadFailed(f"{url} cannot be read: {_said(error, service)}") from None
    if size > most:
        raise LoadFailed(f"{url} has {size} bytes, more than the limit of {most}.")
    until, got, tries = time.monotonic() + seconds, 0, _TRIES
    with to.open("wb") as file:
        while got < size:
            before = got
            try:
                options: Any = {"range": {"offset": got}, **({"if_match": tag} if tag else {})}
                for chunk in obstore.get(store, key, options=options).stream(min_chunk_size=_CHUNK):
                    file.write(chunk)
                    got += len(chunk)
                    tell(got, size)
                    if time.monotonic() > until:
                        raise LoadFailed(f"The download took longer than {seconds:g} seconds.", retry=True)
            except problem as error:
                tries = _TRIES if got > before else tries - 1
                if not tries:
                    said = f"broke off after {got} of {size} bytes: {_said(error, service)}"
                    raise LoadFailed(f"The download of {url} {said}", retry=True) from None
                time.sleep(0.2)
    return got, ""


def _store(bucket: str, service: S3) -> tuple[Any, type[Exception]]:
    """The bucket, and the error that its calls raise; raises `LoadFailed` without the extra."""
    try:
        from obstore.exceptions import BaseError
        from obstore.store import S3Store
    except ImportError:
        raise LoadFailed("s3:// needs the extra s3: install runyard[s3].") from None
    keys: dict[str, Any] = {"skip_signature": True}
    if service.access_key:
        keys = {"access_key_id": service.access_key, "secret_access_key": service.secret_key}
    options: Any = {"allow_http": service.endpoint.startswith("http://"), "connect_timeout": f"{_CONNECT_SECONDS}s"}
    store = S3Store(
        bucket,
        endpoint=service.endpoint,
        region=service.region,
        client_options=options,
        retry_config={"max_retries": 2},
        **keys,
    )
    return store, BaseError


def _said(error: Exception, service: S3) -> str:
    """One line for people, without a secret."""
    line = (str(error).strip() or type(error).__name__).splitlines()[0][:500]
    return line.replace(service.secret_key, "...") if service.secret_key else line
