"""Tells stories: `python -m sim --seeds 5000`, or one of them step by step: `python -m sim --seed 17`."""

from __future__ import annotations

import argparse
import os
import sys
import time

from .mutants import MUTANTS
from .runner import Report, run, tell


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m sim", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many stories to tell")
    parser.add_argument("--first", type=int, default=0, help="the seed of the first one")
    parser.add_argument("--seed", type=int, help="tell this one story, step by step")
    parser.add_argument("--mutant", choices=sorted(MUTANTS), help="break the engine in this way first")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="on how many processes")
    parser.add_argument("--seconds", type=float, help="tell only as many as fit into this time")
    given = parser.parse_args(arguments)
    if given.seed is not None:
        failure = tell(given.seed, given.mutant, _say)
        _say(failure or "everything held")
        return 1 if failure else 0
    began = time.monotonic()
    report = run(
        given.first, given.seeds, jobs=given.jobs, mutant=given.mutant, seconds=given.seconds, heard=_say_failures
    )
    seconds = time.monotonic() - began
    rate = report.told / seconds
    _say(f"{report.told} stories in {seconds:.1f} s ({rate:.0f} a second), {len(report.failures)} broke a promise")
    return 1 if report.failures else 0


def _say_failures(report: Report) -> None:
    for seed, failure in report.failures:
        _say(f"seed {seed}: {failure[:600]}")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
