"""Datafiles: the text of a .datasource or .pipe file as a value. Pure.

Source of the grammar: Tinybird reference, 'Datafiles', and what the newer client accepts.
"""

from __future__ import annotations

import re
import textwrap

import msgspec

from runyard.core.errors import RunyardError, invalid

DATASOURCE, PIPE, CONNECTION = "datasource", "pipe", "connection"
_BOTH = {"description", "token", "tags", "type", "version"}
_ENGINE = {
    "engine", "engine_partition_key", "engine_sorting_key", "engine_primary_key", "engine_sampling_key", "engine_ver",
    "engine_is_deleted", "engine_sign", "engine_version", "engine_ttl", "engine_settings", "engine_columns",
}  # fmt: skip
_PARTS: dict[str, set[str]] = {
    DATASOURCE: _BOTH | _ENGINE | {"schema", "indexes", "shared_with", "forward_query", "backfill"},
    PIPE: _BOTH
    | {
        "node", "sql", "datasource", "target_datasource", "copy_schedule", "copy_mode", "mode", "on_demand_compute",
        "deployment_method", "export_connection_name", "export_schedule", "export_bucket_uri", "export_file_template",
        "export_format", "export_strategy", "export_compression", "export_write_strategy", "export_service",
    },
}  # fmt: skip
_LONG = {"description", "schema", "indexes", "sql", "forward_query", "shared_with", "tags"}
"""Commands whose argument may stand below them, after `>`."""
_OUTSIDE = ("kafka_", "import_", "pg_", "s3_", "gcs_", "dynamodb_", "export_kafka_")
_COMMAND = re.compile(r"[A-Z][A-Z_]+(?:\s|$)")
_PERMISSIONS = {DATASOURCE: ("READ", "APPEND"), PIPE: ("READ",)}
_WORD = re.compile(r"\"([^\"]*)\"|'([^']*)'|(\S+)")


class Token(msgspec.Struct, frozen=True):
    """`TOKEN name READ`: a token that may do this with what the file defines."""

    name: str
    permission: str


class Datafile(msgspec.Struct, kw_only=True):
    """One file. `settings` are its commands by their names in lower case; `nodes` are a pipe's, in order."""

    name: str
    kind: str
    settings: dict[str, str] = {}
    nodes: list[dict[str, str]] = []
    tokens: list[Token] = []
    warnings: list[str] = []


def read(path: str, text: str) -> Datafile:
    """The file of this path; raises `invalid` with the line."""
    base = path.rsplit("/", 1)[-1]
    name, _, kind = base.rpartition(".")
    if kind == CONNECTION:
        return _connection(name, text)
    if kind not in _PARTS or not name:
        raise invalid(f"{base!r} is no datafile: its name must end in .datasource or .pipe.")
    file = _Reader(Datafile(name=name, kind=kind)).read(text)
    _check(file)
    return file


def _connection(name: str, text: str) -> Datafile:
    """An S3 connection, which sinks name; it is not used, since the server's own settings say how to sign in."""
    found = re.search(r"^\s*TYPE\s+[\"']?(\w+)", text, re.IGNORECASE | re.MULTILINE)
    kind = found.group(1).lower() if found else ""
    if kind not in ("s3", "s3_iamrole"):
        raise invalid(f"Connections to {kind or 'nothing'} belong to the platform's own accounts. Leave the file out.")
    told = "The connection is not used: this server signs in at its object store as its own settings say."
    return Datafile(name=name, kind=CONNECTION, warnings=[told])


class _Reader:
    """Goes through the lines of a file, and puts what they say into it."""

    def __init__(self, file: Datafile) -> None:
        self._file = file
        self._parts = _PARTS[file.kind]

    def read(self, text: str) -> Datafile:
        lines = text.replace("\r\n", "\n").split("\n")
        at = 0
        while at < len(lines):
            command, rest = _divided(lines[at])
            begun = at + 1
            at += 1
            if not command:
                continue
            self._known(command, begun)
            if rest == ">":
                if command not in _LONG:
                    raise _wrong(begun, f"{command.upper()} takes its value on the same line.")
                block: list[str] = []
                while at < len(lines) and not self._begins(lines[at], block):
                    block.append(lines[at])
                    at += 1
                self._take(command, _block(block), begun)
            else:
                if command in ("sql", "forward_query"):
                    raise _wrong(begun, f"{command.upper()} must be followed by > and the query below it.")
                self._take(command, rest, begun)
        return self._file

    def _begins(self, line: str, block: list[str]) -> bool:
        """Whether a line ends a block: a known command that is not indented; or one that looks so, under what is."""
        if line.startswith((" ", "\t")):
            return False
        indented = any(one.strip() for one in block) and all(
            one.startswith((" ", "\t")) for one in block if one.strip()
        )
        return _divided(line)[0] in self._parts or (indented and _COMMAND.match(line) is not None)

    def _known(self, command: str, line: int) -> None:
        if command in self._parts:
            return
        if command.startswith(_OUTSIDE):
            said = "connects the platform's own accounts with other services, which this server does not"
            raise _wrong(line, f"{command.upper()} {said}.")
        raise _wrong(line, f"{command.upper()} is not a valid option in {self._file.kind} files.")

    def _take(self, command: str, value: str, line: int) -> None:
        file = self._file
        if command == "token":
            file.tokens = [*file.tokens, _token(file.kind, value, line)]
        elif command == "node":
            if not _plain(value):
                raise _wrong(line, "NODE needs a name.")
            file.nodes = [*file.nodes, {"name": _plain(value)}]
        elif command in ("version", "export_service"):
            file.warnings = [*file.warnings, f"{command.upper()} has been deprecated and will be ignored."]
        else:
            kept = value if command in _LONG else _plain(value)
            place = file.nodes[-1] if file.nodes else file.settings
            if file.kind == PIPE and not file.nodes and command not in _BOTH:
                raise _wrong(line, f"{command.upper()} must stand below a NODE.")
            if command in place and command != "description":
                raise _wrong(line, f"{command.upper()} stands here for the second time.")
            if file.nodes:
                place[command] = kept
            else:
                file.settings = {**place, command: kept}


def _divided(line: str) -> tuple[str, str]:
    """The command and its argument; none for a comment and an empty line."""
    text = line.strip()
    if not text or text.startswith("#"):
        return "", ""
    word, _, rest = text.partition(" ")
    return word.lower(), rest.strip()


def _plain(value: str) -> str:
    found = _WORD.match(value)
    if found is not None and found.end() == len(value):
        return next(group for group in found.groups() if group is not None)
    return value.split(" #", 1)[0].strip().strip("\"'")


def _block(lines: list[str]) -> str:
    return textwrap.dedent("\n".join(lines)).strip("\n").rstrip()


def _token(kind: str, value: str, line: int) -> Token:
    words = ["".join(group for group in found.groups() if group) for found in _WORD.finditer(value)]
    if len(words) != 2:
        raise _wrong(line, 'TOKEN takes two values, a name and a permission: TOKEN "dashboard" READ.')
    if words[1].upper() not in _PERMISSIONS[kind]:
        known = " and ".join(_PERMISSIONS[kind])
        raise _wrong(line, f"Invalid permission {words[1]} for the token {words[0]!r}; a {kind} file allows {known}.")
    return Token(words[0], words[1].upper())


def _wrong(line: int, message: str) -> RunyardError:
    return invalid(f"Line {line}: {message}")


def _check(file: Datafile) -> None:
    """What must be there."""
    if file.kind == DATASOURCE:
        if not file.settings.get("schema", "").strip():
            raise invalid("SCHEMA is mandatory.")
        if file.settings.get("shared_with"):
            raise invalid("SHARED_WITH is not answered here: each workspace is a database of its own.")
        if file.settings.get("backfill", "skip").lower() != "skip":
            raise invalid("BACKFILL takes one value: skip.")
        return
    if not file.nodes:
        raise invalid("A pipe file needs at least one NODE.")
    for node in file.nodes:
        if not node.get("sql", "").strip():
            raise invalid(f"The node {node['name']!r} needs its SQL.")
    doing = [node["name"] for node in file.nodes if node.get("type", "standard").lower() not in ("", "standard")]
    if len(doing) > 1:
        raise invalid(f"A pipe has one node that is not standard; {', '.join(doing)} are {len(doing)}.")
