"""Which hour of the day to avoid at an airport: reads the flights, publishes the hour for the next task.

runyard hands in the URL and the airport; by hand: python report.py URL JFK
"""

import csv
import io
import statistics
import sys
import urllib.request
from collections import defaultdict

from runyard import context

STEP = 25_000  # rows between two words on progress


def read_delays(url: str) -> dict[str, dict[int, list[float]]]:
    """The delays in minutes of all flights that left, by airport and scheduled hour."""
    delays: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    with urllib.request.urlopen(url) as answer:
        size = answer.length or 0
        count = 0
        flights = csv.DictReader(io.TextIOWrapper(answer, encoding="utf-8", newline=""))
        for count, flight in enumerate(flights, start=1):
            if flight["dep_delay"] not in ("", "NA"):
                delays[flight["origin"]][int(flight["hour"])].append(float(flight["dep_delay"]))
            if count % STEP == 0:
                context.progress(1 - (answer.length or 0) / size if size else None, rows=count)
        context.progress(1.0, rows=count)
    return delays


def main(url: str, airport: str) -> None:
    """Prints the report of one airport and publishes `hour`, the worst one."""
    delays = read_delays(url)
    if airport not in delays:
        raise ValueError(f"no flight leaves from {airport!r}; the airports are {', '.join(sorted(delays))}")
    # Nine flights of ten leave with at most this delay; hours with few flights say little.
    bounds = {hour: statistics.quantiles(of, n=10)[-1] for hour, of in delays[airport].items() if len(of) >= 1000}
    for hour, minutes in sorted(bounds.items()):
        print(f"{airport} {hour:2d}:00  {'#' * round(minutes / 4)} {minutes:.0f} min")
    worst = max(bounds, key=lambda hour: bounds[hour])
    print(f"Avoid {worst}:00: one flight of ten leaves more than {bounds[worst]:.0f} minutes late.")
    context.set_value("hour", worst)


if __name__ == "__main__":
    main(*sys.argv[1:])
