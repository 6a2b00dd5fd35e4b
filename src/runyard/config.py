"""The settings: one frozen value, read once from the command line and `RUNYARD_*`, and passed on from there.

An argument wins over the environment, the environment over the default. Each field's description is the
documentation that the command line and docs show.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from runyard.core.errors import invalid

MIB = 1024 * 1024


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that can be set. Sizes are in bytes, times in seconds."""

    host: Annotated[str, Meta(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Meta(description="Port to listen on; 0 takes a free one.", ge=0, le=65535)] = 8321
    data: Annotated[str, Meta(description="Folder of everything that is kept; made with mode 0700.")] = "~/.runyard"
    store: Annotated[
        str,
        Meta(
            description="Store URL, sqlite:///FILE or postgresql://USER@HOST/DATABASE; empty means a file in the data "
            "folder.",
            pattern="^(sqlite:///.+|postgres(ql)?://.*)?$",
        ),
    ] = ""
    dev: Annotated[bool, Meta(description="Accept any credential, on loopback only: for local work and tests.")] = False
    token: Annotated[
        str, Meta(description="A token with all rights that this server accepts beside those it issues.")
    ] = ""
    process_capacity: Annotated[
        int, Meta(description="How many process tasks run at once; 0 means four for each processor.", ge=0, le=10_000)
    ] = 0
    warehouse_capacity: Annotated[int, Meta(description="How many warehouse tasks run at once.", ge=1, le=1_000)] = 8
    warehouse_memory: Annotated[
        int, Meta(description="Memory of the warehouse process; 0 leaves the choice to DuckDB.", ge=0)
    ] = 0
    warehouse_disk: Annotated[
        int, Meta(description="Disk for what its statements do not hold in memory; 0 means 90 % of what is free.", ge=0)
    ] = 0
    process_memory: Annotated[
        int, Meta(description="Memory limit of a process task that sets none; 0 means no limit.", ge=0)
    ] = 0
    grace: Annotated[
        float, Meta(description="How long work may take to end politely before it is killed.", ge=0, le=3600)
    ] = 10.0
    body_cap: Annotated[int, Meta(description="The largest request body.", ge=1024)] = 16 * MIB
    upload_cap: Annotated[int, Meta(description="The largest upload for a load.", ge=1024)] = 4096 * MIB
    log_cap: Annotated[int, Meta(description="The largest log of one attempt, unless its task says less.", ge=1024)] = (
        64 * MIB
    )
    keep_days: Annotated[
        float, Meta(description="Remove runs that ended longer ago than this many days; 0 keeps everything.", ge=0)
    ] = 0.0
    unused_days: Annotated[
        float,
        Meta(
            description="Remove environments of requirements, and mirrors of repositories, that no task used for this "
            "many days; 0 keeps them.",
            ge=0,
        ),
    ] = 30.0
    lease: Annotated[
        float,
        Meta(
            description="How long a server that shares a PostgreSQL store may be silent before its work is started "
            "elsewhere.",
            ge=3,
            le=300,
        ),
    ] = 9.0
    reader_threads: Annotated[
        int, Meta(description="Threads, and read-only store connections, for lists and logs.", ge=1, le=64)
    ] = 4
    s3_endpoint: Annotated[str, Meta(description="URL of an S3 service for s3:// paths; empty uses s3_root.")] = ""
    s3_root: Annotated[
        str, Meta(description="Folder that holds BUCKET/KEY for s3:// paths; empty means s3 in the data folder.")
    ] = ""
    s3_region: Annotated[str, Meta(description="Region of the S3 service.")] = "us-east-1"
    s3_access_key: Annotated[
        str, Meta(description="Access key for the S3 service, given to Glue scripts too; empty: requests are unsigned.")
    ] = ""
    s3_secret_key: Annotated[str, Meta(description="Secret key for the S3 service; best given in the environment.")] = (
        ""
    )
    allow_private_urls: Annotated[
        bool,
        Meta(description="Let loads, webhooks, wheels and repositories use private addresses (always so with dev)."),
    ] = False
    smtp_url: Annotated[
        str, Meta(description="Mail server, smtp://HOST:PORT or smtps://USER:PASSWORD@HOST:PORT; empty: no e-mail.")
    ] = ""
    mail_from: Annotated[str, Meta(description="The sender of e-mail, such as runyard@example.com.")] = ""
    allowed_paths: Annotated[
        list[str],
        Meta(
            description="Folders that loads may read, triggers watch, and repositories lie in; "
            "divided by colons in the environment."
        ),
    ] = []
    poll_seconds: Annotated[
        float, Meta(description="How often triggers look at URLs, and at folders of which nothing was heard.", ge=0.1)
    ] = 60.0
    record_only: Annotated[
        bool,
        Meta(description="Accept tasks of vendors' services that cannot run here: they are kept, and passed over."),
    ] = False

    account: Annotated[
        str, Meta(description="The account number that AWS clients are told.", pattern="^[0-9]{12}$")
    ] = "123456789012"
    account_runs: Annotated[
        int,
        Meta(description="How many runs may be unfinished when AWS clients start one without queuing; 0: any.", ge=0),
    ] = 50

    options: Annotated[
        list[str],
        Meta(description="Options of faces, FACE.NAME=VALUE each (see their pages); colons divide RUNYARD_OPTIONS."),
    ] = []

    def options_of(self, face: str) -> dict[str, str]:
        """The options of one face by name; raises `invalid` for what is not FACE.NAME=VALUE."""
        found: dict[str, str] = {}
        for one in self.options:
            name, mark, value = one.partition("=")
            owner, dot, key = name.strip().partition(".")
            if not (mark and dot and key):
                raise invalid(f"The setting options holds {one!r}; each must be FACE.NAME=VALUE.", field="options")
            if owner == face:
                found[key] = value.strip()
        return found

    @property
    def folder(self) -> Path:
        """The data folder as an absolute path."""
        return Path(self.data).expanduser().absolute()

    @property
    def shared(self) -> bool:
        """Whether the store is a PostgreSQL, which other servers may use too."""
        return self.store.startswith("postgres")

    @property
    def database(self) -> Path:
        """The file of the embedded store."""
        return Path(self.store.removeprefix("sqlite:///")).absolute() if self.store else self.folder / "runyard.db"


_LISTS = ("allowed_paths", "options")


def load(arguments: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings from arguments (None: not given) and environment; raises `invalid` naming the field."""
    given: dict[str, Any] = {}
    for name in Settings.__struct_fields__:
        if arguments.get(name) is not None:
            given[name] = arguments[name]
        elif text := environment.get(f"RUNYARD_{name.upper()}"):
            given[name] = text.split(os.pathsep) if name in _LISTS else text
    try:
        return msgspec.convert(given, Settings, strict=False)
    except msgspec.ValidationError as error:
        name = str(error).rpartition("`$.")[2].strip("`")
        raise invalid(f"The setting {name} is wrong: {error}. See `runyard up --help`.", field=name) from None
