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
    reader_threads: Annotated[
        int, Meta(description="Threads, and read-only store connections, for lists and logs.", ge=1, le=64)
    ] = 4
    allow_private_urls: Annotated[
        bool, Meta(description="Let loads and webhooks use private and loopback addresses (always so with dev).")
    ] = False
    allowed_paths: Annotated[
        list[str], Meta(description="Folders on the server that loads may read; divided by colons in the environment.")
    ] = []

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
