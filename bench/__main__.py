"""`python -m bench [NAME ...] [--quick]`: runs benchmarks, prints one table each, keeps them in bench/results."""

from __future__ import annotations

import argparse
import importlib
import sys

from bench import report

NAMES = (
    "submit", "noop", "latency", "listing", "dag", "start", "csv_load", "small_loads", "table_copy", "arrow",
    "databricks", "glue", "tinybird", "fences",
)  # fmt: skip


def main() -> int:
    """The exit code: 0 when every benchmark asked for ran."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Benchmarks with their peers and limits.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which ones ({', '.join(NAMES)}); all by default")
    parser.add_argument("--quick", action="store_true", help="shorter, and nothing is kept in bench/results")
    parser.add_argument(
        "--runs",
        type=int,
        default=0,
        metavar="N",
        help="submit, noop, listing, dag: with N runs kept (a million; with --quick 20,000), beside 10,000",
    )
    parser.add_argument(
        "--rows",
        type=int,
        default=0,
        metavar="N",
        help="csv_load, table_copy, arrow, tinybird: rows; small_loads: loads",
    )
    parser.add_argument("--seconds", type=float, default=0, metavar="N", help="csv_load: how long it may take")
    given = parser.parse_args()
    if unknown := sorted(set(given.names) - set(NAMES)):
        parser.error(f"there is no benchmark {unknown[0]!r}")
    for name in given.names or NAMES:
        report.show(importlib.import_module(f"bench.{name}").measure(given), keep=not given.quick)
    return 0


if __name__ == "__main__":
    sys.exit(main())
