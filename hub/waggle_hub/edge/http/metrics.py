"""Metrics for Prometheus: the counts of op `stats`, in its text format (protocol 10)."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.responses import Response

from waggle.wire import messages as m
from waggle_hub.edge.asgi import App
from waggle_hub.engine.engine import Engine

from .exchange import Exchange

GAUGES = {
    "keys": "Entries in the store.",
    "bytes": "Bytes of all keys, values and metas.",
    "max_keys": "Entries that the store may hold.",
    "max_bytes": "Bytes that the store may hold.",
    "sessions": "Sessions, those of callers included.",
    "subscriptions": "Subscriptions of all sessions.",
    "locks": "Locks that are held.",
    "waits": "Commands that wait.",
    "connections": "Connections.",
    "slow": "Connections whose agents read more slowly than they are told.",
    "rev": "The newest revision.",
}
COUNTERS = {
    "reads": "Entries asked for by key.",
    "writes": "Entries written.",
    "hits": "Entries asked for that were there.",
    "misses": "Entries asked for that were not there.",
    "evictions": "Cached entries that made room.",
    "expiries": "Entries whose deadline came.",
    "events": "Events of every type.",
    "sends": "Writes to sockets.",
}


class Metrics:
    """The handler of `GET /metrics`."""

    def __init__(self, engine: Engine) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Statistics(engine))
        ProcessCollector(registry=self._registry)

    async def metrics(self, exchange: Exchange) -> App:
        """Handle `GET /metrics` in the format that the client accepts."""
        encode, type = choose_encoder(exchange.header("accept") or "")
        return Response(encode(self._registry), media_type=type)


class _Statistics(Collector):
    """A Prometheus collector that reads the statistics on each scrape."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        statistics = self._engine.statistics()
        for name, text in GAUGES.items():
            yield GaugeMetricFamily(f"waggle_{name}", text, value=getattr(statistics, name))
        for name, text in COUNTERS.items():
            yield CounterMetricFamily(f"waggle_{name}", text, value=getattr(statistics, name))
        yield GaugeMetricFamily(
            "waggle_started_at_seconds", "When the hub started, Unix time.", value=statistics.started_at
        )
        yield GaugeMetricFamily("waggle_ready", "Whether everything is accepted.", value=self._engine.refusal is None)
        yield GaugeMetricFamily("waggle_log_events", "Events in the window of the log.", value=statistics.log.events)
        yield GaugeMetricFamily("waggle_log_bytes", "Bytes in the window of the log.", value=statistics.log.bytes)
        yield from _commands(statistics)
        yield _lateness(statistics)


def _commands(statistics: m.Statistics) -> Iterator[Metric]:
    decided = CounterMetricFamily("waggle_commands", "Commands decided.", labels=["op"])
    refused = CounterMetricFamily("waggle_command_errors", "Commands refused.", labels=["op"])
    seconds = CounterMetricFamily("waggle_command_seconds", "Time spent deciding.", labels=["op"])
    for op, count in sorted(statistics.ops.items()):
        decided.add_metric([op], count.count)
        refused.add_metric([op], count.errors)
        seconds.add_metric([op], count.count * count.mean)
    yield from (decided, refused, seconds)


def _lateness(statistics: m.Statistics) -> Metric:
    late = GaugeMetricFamily(
        "waggle_expiry_lateness_seconds", "How late the last thousand entries expired.", labels=["quantile"]
    )
    for quantile, value in (
        ("0.5", statistics.lateness.p50),
        ("0.99", statistics.lateness.p99),
        ("1", statistics.lateness.max),
    ):
        late.add_metric([quantile], value)
    return late
