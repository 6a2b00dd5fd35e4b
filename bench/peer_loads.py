"""What a user would pick instead of a load task: `python -m bench.peer_loads WHO FILE FOLDER` prints [seconds, rows].

`pandas`: read_csv in pieces, to_sql into SQLite. `dlt`: its filesystem source with read_csv, into DuckDB. Neither has
a quarantine; both infer the types.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import time
from pathlib import Path

_PIECE = 100_000


def _pandas(file: Path, folder: Path) -> int:
    import pandas

    connection = sqlite3.connect(folder / "pandas.db")
    for piece in pandas.read_csv(file, chunksize=_PIECE):
        piece.to_sql("events", connection, if_exists="append", index=False)
    connection.commit()
    rows = int(connection.execute("SELECT count(*) FROM events").fetchone()[0])
    connection.close()
    return rows


def _dlt(file: Path, folder: Path) -> int:
    os.environ.update({"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "ERROR"})
    import dlt
    import duckdb
    from dlt.sources.filesystem import filesystem, read_csv

    place = str(folder / "dlt.duckdb")
    pipeline = dlt.pipeline("events", destination=dlt.destinations.duckdb(place), pipelines_dir=str(folder / "dlt"))
    source = filesystem(bucket_url=file.parent.as_uri(), file_glob=file.name) | read_csv(chunksize=_PIECE)
    pipeline.run(source.with_name("events"))
    with duckdb.connect(place) as connection:
        row = connection.execute("SELECT count(*) FROM events_dataset.events").fetchone()
    return int(row[0]) if row else 0


def main(who: str, file: str, folder: str) -> None:
    """Loads the file once."""
    began = time.perf_counter()
    rows = {"pandas": _pandas, "dlt": _dlt}[who](Path(file), Path(folder))
    print(json.dumps([time.perf_counter() - began, rows]))


if __name__ == "__main__":
    main(*sys.argv[1:])
