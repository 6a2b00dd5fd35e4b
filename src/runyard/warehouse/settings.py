"""What a warehouse process is started with."""

from __future__ import annotations

import msgspec


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Passed as one JSON argument; sizes in bytes, times in seconds."""

    database: str
    """Path of the DuckDB file."""
    attempts: str
    """Folder of attempts: a large output is `<attempts>/<run id>/<task run id>/output.parquet`."""
    uploads: str
    """Folder of uploaded bodies, each under its id."""
    objects: str
    """Folder that stands for the S3 service where there is none: `<folder>/<bucket>/<key>`."""
    control_fd: int
    parent: int
    capacity: int = 16
    memory_limit: str | None = None
    """As DuckDB writes it (`4GB`); None: DuckDB's default."""
    disk_limit: str | None = None
    """Of what statements spill, likewise."""
    threads: int | None = None
    allow_private_urls: bool = False
    """Whether a load may read from private, loopback and link-local addresses."""
    allowed_paths: list[str] = []
    """Folders below which a load may read files."""
    download_bytes: int = 64 * 1024**3
    """A download, and what it unpacks to, may not be larger."""
    unpack_ratio: int = 200
    """A file of more than 256 MiB unpacked may not be more than so many times as large as it came."""
    download_seconds: float = 6 * 3600.0
    read_seconds: float = 30.0
    """How long a download may stay silent before it is resumed or given up."""
