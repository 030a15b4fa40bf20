"""What `spamtrap status` knows, as Prometheus reads it: `spamtrap metrics`.

Totals are of what the ledger and the living sinks tell, so they need no process of their own; whoever
scrapes runs the command, or lets a timer write its output for node_exporter's textfile collector.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import get_args

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from trap.backendstate import UP
from trap.envelope import printable
from trap.reports.report import State
from trap.status import Status
from trap.stress import NAMES


def exposition(status: Status) -> str:
    """The metrics of one look, in the text format of Prometheus."""
    registry = CollectorRegistry()
    registry.register(_Look(status))
    return generate_latest(registry).decode()


class _Look(Collector):
    def __init__(self, status: Status) -> None:
        self._status = status

    def collect(self) -> Iterable[Metric]:
        """Every metric, by area."""
        yield from self._queues()
        yield from self._ledger()
        yield from self._spool()
        yield from self._sinks()
        yield from self._backends()
        yield from self._reports()

    def _queues(self) -> Iterator[Metric]:
        queues = {queue.name: queue for queue in self._status.queues}
        for name, what, field in (
            ("waiting", "Jobs that wait", "waiting"),
            ("claimed", "Jobs in the hands of workers", "claimed"),
            ("bad", "Jobs that were put aside", "bad"),
            ("workers", "Workers alive", "workers"),
            ("oldest_seconds", "Age of the oldest job", "oldest_age_s"),
        ):
            metric = GaugeMetricFamily(f"spamtrap_queue_{name}", what, labels=["queue"])
            yield _filled(metric, queues, field)

    def _ledger(self) -> Iterator[Metric]:
        status = self._status
        for name, what, value in (
            ("accepted", "Messages taken in", status.accepted),
            ("archived", "Messages archived", status.archived),
            ("shed", "Jobs shed", status.shed),
            ("purged", "Jobs purged", status.purged),
        ):
            yield CounterMetricFamily(f"spamtrap_{name}", what, value)
        drops = CounterMetricFamily("spamtrap_dropped", "Messages dropped by a stage", labels=["reason"])
        for reason, number in status.drops.items():
            drops.add_metric([printable(reason)], number)
        yield drops
        yield GaugeMetricFamily("spamtrap_in_flight", "Messages on their way", status.in_flight)

    def _spool(self) -> Iterator[Metric]:
        room = self._status.spool
        used = GaugeMetricFamily("spamtrap_spool_used_ratio", "Share of the spool in use", labels=["of"])
        used.add_metric(["bytes"], room.bytes_used_share)
        used.add_metric(["inodes"], room.inodes_used_share)
        yield used

    def _sinks(self) -> Iterator[Metric]:
        sinks = {str(sink.pid): sink for sink in self._status.sinks}
        for name, what, field in (
            ("connections", "Connections open", "connections"),
            ("connections_limit", "Connections that may be open", "limit"),
            ("connections_peak", "Most connections open since the start", "peak"),
            ("memory_bytes", "Messages on their way in", "memory"),
        ):
            yield _filled(GaugeMetricFamily(f"spamtrap_sink_{name}", what, labels=["pid"]), sinks, field)
        for name, what, field in (
            ("sessions", "Connections let in", "sessions"),
            ("messages", "Messages stored", "messages"),
            ("bytes", "Bytes of messages stored", "bytes"),
            ("spilled", "Messages written into the spool as they came", "spilled"),
        ):
            yield _filled(CounterMetricFamily(f"spamtrap_sink_{name}", what, labels=["pid"]), sinks, field)
        level = GaugeMetricFamily("spamtrap_sink_stress", "1 for the level in force", labels=["pid", "level"])
        lag = GaugeMetricFamily(
            "spamtrap_sink_lag_seconds", "Lag of the event loop", labels=["pid", "quantile"]
        )
        refused = CounterMetricFamily(
            "spamtrap_sink_refused", "Refused and hung up on", labels=["pid", "cause"]
        )
        for pid, sink in sinks.items():
            for name in NAMES:
                level.add_metric([pid, name], name == sink.level)
            for quantile, value in (("0.5", sink.lag_p50), ("0.99", sink.lag_p99), ("1", sink.lag_max)):
                lag.add_metric([pid, quantile], value / 1000)
            for cause, number in sink.refused.items():
                refused.add_metric([pid, cause], number)
        yield level
        yield lag
        yield refused

    def _backends(self) -> Iterator[Metric]:
        labels = ["stage", "backend", "address"]
        up = GaugeMetricFamily("spamtrap_backend_up", "1 when the program answers", labels=labels)
        counts = [
            (CounterMetricFamily(f"spamtrap_backend_{name}", what, labels=labels), name)
            for name, what in (
                ("asked", "Conversations about mail"),
                ("failed", "Conversations that broke or took too long"),
                ("opened", "Times it was found away"),
            )
        ]
        for state in self._status.backends:
            values = [state.stage, state.backend, state.address]
            up.add_metric(values, state.state == UP)
            for metric, field in counts:
                metric.add_metric(values, getattr(state, field))
        yield up
        yield from (metric for metric, _ in counts)
        unjudged = CounterMetricFamily(
            "spamtrap_unjudged", "Jobs that passed while nobody could judge them", labels=["stage"]
        )
        for stage, number in self._status.unjudged.items():
            unjudged.add_metric([stage], number)
        yield unjudged

    def _reports(self) -> Iterator[Metric]:
        reports = GaugeMetricFamily(
            "spamtrap_reports", "Reports that are remembered", labels=["stage", "state"]
        )
        for stage, counts in self._status.reports.items():
            for state in get_args(State):
                reports.add_metric([stage, state], counts.get(state, 0))
        yield reports


def _filled(
    metric: GaugeMetricFamily | CounterMetricFamily, things: Mapping[str, object], field: str
) -> Metric:
    """The metric with one attribute of each thing, labelled by its name."""
    for name, thing in things.items():
        metric.add_metric([name], getattr(thing, field))
    return metric
