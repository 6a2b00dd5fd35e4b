"""Migrations: numbered SQL files, checksummed, forward only."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec

from runyard.core.errors import Code, RunyardError


class Migration(msgspec.Struct, frozen=True, order=True):
    """One numbered step of a schema."""

    number: int
    name: str
    text: str
    checksum: str

    @classmethod
    def read(cls, name: str, text: str) -> Migration:
        """From a file such as `0001_core.sql`."""
        return cls(int(name.split("_", 1)[0]), name, text, hashlib.sha256(text.encode()).hexdigest())


def pending(all_: Iterable[Migration], applied: dict[int, str]) -> list[Migration]:
    """What is still to be applied, in order; refuses a database that was changed by other steps than ours."""
    known = {migration.number: migration for migration in all_}
    for number, checksum in applied.items():
        if number not in known:
            raise RunyardError(
                Code.UNAVAILABLE,
                f"The database has migration {number}, which this version does not know: it was used by a newer "
                "version. Start that version, or restore a backup from before the upgrade.",
            )
        if known[number].checksum != checksum:
            raise RunyardError(
                Code.UNAVAILABLE, f"Migration {known[number].name} was applied in another form than this version's."
            )
    return [known[number] for number in sorted(set(known) - set(applied))]
