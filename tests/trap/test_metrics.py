"""What `spamtrap metrics` prints is what Prometheus's own parser reads."""

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from trap.backendstate import AWAY, BackendState
from trap.live import Live
from trap.metrics import exposition
from trap.status import QueueStatus, Room, Status

QUIET = Status(
    queues=[QueueStatus("dedup", 3, 1, 2.5, 1, 10.0, 2, True)],
    bad=2,
    accepted=100,
    archived=70,
    drops={"duplicate": 20, 'virus "x"\n': 1},
    shed=3,
    purged=0,
    in_flight=4,
    accept_rate=1.0,
    spool=Room("/run/spamtrap", True, 1000, 0.25, 100, 0.5),
    sink=None,
    sinks=[],
)


def read(status: Status) -> dict[tuple[str, ...], float]:
    """Name and label values, in the order of the labels' names -> value."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(exposition(status))
        for sample in family.samples
    }


def test_queues_and_ends():
    values = read(QUIET)
    assert values["spamtrap_queue_waiting", "dedup"] == 3
    assert values["spamtrap_queue_oldest_seconds", "dedup"] == 2.5
    assert values[("spamtrap_accepted_total",)] == 100
    assert values["spamtrap_dropped_total", "duplicate"] == 20
    assert values["spamtrap_dropped_total", 'virus "x"\\x0a'] == 1
    assert values["spamtrap_spool_used_ratio", "inodes"] == 0.5


def test_each_sink_with_its_stress():
    live = Live(pid=7, level="red", connections=90, limit=100, lag_p99=12.0, refused={"connections": 5})
    values = read(msgspec.structs.replace(QUIET, sinks=[live]))
    assert [values["spamtrap_sink_stress", level, "7"] for level in ("green", "yellow", "red")] == [0, 0, 1]
    assert values["spamtrap_sink_connections", "7"] == 90
    assert values["spamtrap_sink_refused_total", "connections", "7"] == 5
    assert values["spamtrap_sink_lag_seconds", "7", "0.99"] == 0.012


def test_without_a_sink_there_is_nothing_to_say_of_one():
    assert not [key for key in read(QUIET) if key[0].startswith("spamtrap_sink")]


def test_each_program_that_is_asked():
    away = BackendState("spamd", "127.0.0.1:783", "spamd", AWAY, asked=9, failed=3, opened=1)
    values = read(msgspec.structs.replace(QUIET, backends=[away], unjudged={"spamd": 4}))
    key = ("127.0.0.1:783", "spamd", "spamd")
    assert values["spamtrap_backend_up", *key] == 0
    assert values["spamtrap_backend_asked_total", *key] == 9
    assert values["spamtrap_backend_failed_total", *key] == 3
    assert values["spamtrap_backend_opened_total", *key] == 1
    assert values["spamtrap_unjudged_total", "spamd"] == 4


def test_what_was_reported():
    values = read(msgspec.structs.replace(QUIET, reports={"arf": {"sent": 7, "held": 1}}))
    assert values["spamtrap_reports", "arf", "sent"] == 7
    assert values["spamtrap_reports", "arf", "held"] == 1
    assert values["spamtrap_reports", "arf", "unsure"] == 0
