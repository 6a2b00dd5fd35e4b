"""getResolvedOptions: the job's arguments as a dictionary."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

RESERVED = (
    "job_bookmark_option", "job_bookmark_from", "job_bookmark_to", "JOB_ID", "JOB_RUN_ID", "SECURITY_CONFIGURATION",
    "encryption_type", "enable_data_lineage", "RedshiftTempDir", "TempDir",
)  # fmt: skip
BOOKMARK_OPTIONS = ("job-bookmark-enable", "job-bookmark-pause", "job-bookmark-disable")
_CONTINUATION = {
    "continuation-enabled": "job-bookmark-enable",
    "continuation-readonly": "job-bookmark-pause",
    "continuation-ignore": "job-bookmark-disable",
}


class GlueArgumentError(Exception):
    """An argument that the script needs was not given, or has a value that it cannot have."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise GlueArgumentError(message)


def getResolvedOptions(args: Sequence[str], options: Sequence[str]) -> dict[str, str]:  # the name is Glue's
    """The values of these options, given as `--name value` or `--name=value`; all others are left alone.

    Always holds job_bookmark_option too, and what Glue itself passes. Raises `GlueArgumentError` for an option
    that is not there, RuntimeError for a reserved name and for half a bookmark window.
    """
    taken = sorted(set(options) & {name for name in RESERVED if name not in ("JOB_ID", "JOB_RUN_ID", "TempDir")})
    if taken:
        raise RuntimeError(f"Using reserved arguments {taken}")
    parser = _Parser(allow_abbrev=False, add_help=False)
    for name in RESERVED:
        parser.add_argument(f"--{name}", *_dashed(name), dest=name)
    parser.add_argument("--continuation-option", dest="continuation", choices=sorted(_CONTINUATION))
    for name in dict.fromkeys(options):
        if name not in RESERVED:
            parser.add_argument(f"--{name}", dest=name, required=True)
    known, _ = parser.parse_known_args(list(args[1:]))
    found = {key: value for key, value in vars(known).items() if value is not None}
    missing = sorted(set(options) - set(found))
    if missing:
        raise GlueArgumentError(f"the following arguments are required: {', '.join(f'--{name}' for name in missing)}")
    found["job_bookmark_option"] = _bookmark_option(found)
    _check_window(found)
    if "TempDir" in found:
        found["RedshiftTempDir"] = found["TempDir"]
    return found


def _dashed(name: str) -> list[str]:
    return [f"--{name.replace('_', '-')}"] if name.startswith("job_bookmark") else []


def _bookmark_option(found: dict[str, str]) -> str:
    legacy = found.pop("continuation", None)
    option = found.get("job_bookmark_option") or _CONTINUATION.get(legacy or "", "job-bookmark-disable")
    if option not in BOOKMARK_OPTIONS:
        raise GlueArgumentError(f"argument --job-bookmark-option: {option!r} is none of {', '.join(BOOKMARK_OPTIONS)}")
    return option


def _check_window(found: dict[str, str]) -> None:
    """A window has both ends, and is for a paused bookmark only."""
    ends = [name for name in ("job_bookmark_from", "job_bookmark_to") if name in found]
    if found["job_bookmark_option"] == "job-bookmark-pause":
        if len(ends) == 1:
            missing = ({"job_bookmark_from", "job_bookmark_to"} - set(ends)).pop()
            raise RuntimeError(f"Missing option or value for --{missing.replace('_', '-')}")
    elif ends:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in ends)
        raise RuntimeError(f"Invalid option(s) {names}: they go with job-bookmark-pause only")
