"""The metrics page: what requests did, what work there is, how commits group. Rendered at each scrape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from runyard.http.counters import BOUNDS, Counters, Tally

_REQUEST = ["face", "method", "path", "status"]
_WORKER = ["name", "executor"]


def render(info: dict[str, Any], counters: Counters, streams: int) -> bytes:
    """The page as Prometheus reads it; `info` is the engine's own account."""
    registry = CollectorRegistry()
    registry.register(_Page(info, counters, streams))
    return generate_latest(registry)


class _Page(Collector):
    """One scrape."""

    def __init__(self, info: dict[str, Any], counters: Counters, streams: int) -> None:
        self._info = info
        self._counters = counters
        self._streams = streams

    def collect(self) -> Iterator[Metric]:
        """Every family."""
        yield self._requests()
        yield GaugeMetricFamily("runyard_streams", "Event streams that are open.", value=self._streams)
        yield from self._workers()
        yield self._live_runs()
        # Commands divided by commits is how many requests share one wait for the disk.
        yield CounterMetricFamily("runyard_commits", "Transactions on disk.", value=self._info["commits"])
        yield CounterMetricFamily("runyard_commands", "Commands in them.", value=self._info["commands"])

    def _requests(self) -> Metric:
        family = HistogramMetricFamily("runyard_http_request_seconds", "Time until an answer starts.", labels=_REQUEST)
        for key, tally in list(self._counters.tallies.items()):
            labels = [key.face, key.method, key.path, str(key.status)]
            family.add_metric(labels, _buckets(tally), tally.seconds)
        return family

    def _live_runs(self) -> Metric:
        family = GaugeMetricFamily("runyard_runs", "Runs that are not over, by state.", labels=["state"])
        for state, number in self._info["live_runs"].items():
            family.add_metric([str(state)], number)
        return family

    def _workers(self) -> Iterator[Metric]:
        workers = self._info["workers"]
        for field, text in (("capacity", "Attempts that a worker can hold."), ("active", "Attempts that it holds.")):
            family = GaugeMetricFamily(f"runyard_worker_{field}", text, labels=_WORKER)
            for worker in workers:
                family.add_metric([worker["name"], worker["executor"]], worker[field])
            yield family


def _buckets(tally: Tally) -> list[tuple[str, float]]:
    """Prometheus buckets are cumulative."""
    total, said = 0, []
    for bound, count in zip([*map(str, BOUNDS), "+Inf"], tally.buckets, strict=True):
        total += count
        said.append((bound, float(total)))
    return said
