"""The reaper: what it throws away, what it leaves, and what stands in the log."""

import time
from collections import Counter
from functools import partial
from unittest import mock

import msgspec
import pytest

from trap import fsio, job
from trap.audit import audit
from trap.config import Config, Duration, Reaper, Room
from trap.envelope import Envelope
from trap.job import id_time
from trap.ledger import events
from trap.queue import Spool
from trap.reaper import Reaper as TheReaper
from trap.reaper import purge

HOUR = 3600


def put(spool: Spool, queue: str = "first", age: float = 0, size: int = 100) -> str:
    """A message that was accepted `age` seconds ago."""
    with mock.patch.object(job.time, "time_ns", lambda: int((time.time() - age) * 1e9)):
        return spool.put(queue, Envelope(), b"x" * size)


def reaper(config: Config, spool: Spool, **settings: object) -> TheReaper:
    return TheReaper(msgspec.structs.replace(config, reaper=Reaper(**settings)), spool)  # type: ignore[arg-type]


def logged(config: Config) -> Counter[tuple[str, str]]:
    return Counter((event.e, event.reason) for event in events(config.paths.maillog / "mail.log"))


def test_old_jobs_are_shed_and_fresh_ones_stay(config: Config, spool: Spool) -> None:
    put(spool, age=7 * HOUR)
    fresh = put(spool)
    done = reaper(config, spool, max_age=Duration("6h")).round()
    assert done["shed: too old"] == 1
    assert set(spool["first"].ids()) == {fresh}
    assert logged(config)["shed", "too old"] == 1
    assert audit(config, spool).balanced


def test_of_too_many_the_newest_stay(config: Config, spool: Spool) -> None:
    ids = [put(spool, age=100 - at) for at in range(10)]
    assert reaper(config, spool, max_count=4).round()["shed: too many"] == 6
    assert [name.partition(".")[0] for name in spool["first"].waiting()] == ids[6:]


def test_no_room_sheds_the_oldest_of_all_queues(config: Config, spool: Spool) -> None:
    first = [put(spool, "first", age=200 - at, size=50_000) for at in range(5)]
    second = [put(spool, "second", age=100 - at, size=50_000) for at in range(5)]
    total, _ = fsio.usage(str(spool.root))
    done = reaper(config, spool, max_bytes=Room(total - 3 * 50_000), max_inodes=Room("100%")).round()
    assert done["shed: no room"] in {3, 4}  # blocks are rounded up
    left = {name.partition(".")[0] for queue in spool for name in spool[queue].waiting()}
    gone = {*first, *second} - left
    assert gone == set(first[: len(gone)]), "the oldest went, whatever their queue"


def test_on_a_shared_file_system_only_what_is_ours_counts(config: Config, spool: Spool) -> None:
    """A disk that others filled to the brim must not make the trap throw its mail away."""
    put(spool)
    full = fsio.Space(bytes_total=10**12, bytes_free=1, inodes_total=10**6, inodes_free=1)
    with mock.patch.object(fsio, "space", return_value=full):
        assert reaper(config, spool).round()["shed: no room"] == 0


def test_inodes_count_too(config: Config, spool: Spool) -> None:
    for at in range(20):
        put(spool, age=100 - at)
    _, files = fsio.usage(str(spool.root))
    small = fsio.Space(bytes_total=10**12, bytes_free=10**12, inodes_total=100, inodes_free=100 - files)
    with (
        mock.patch.object(fsio, "space", return_value=small),
        mock.patch.object(fsio, "is_mount", return_value=True),
    ):
        shed = reaper(config, spool, max_inodes=Room(f"{files - 5}%")).round()["shed: no room"]
    assert shed == 5


def test_claimed_jobs_are_left_to_their_worker(config: Config, spool: Spool) -> None:
    put(spool, age=7 * HOUR)
    with spool["first"].consumer() as worker:
        claim = worker.claim()
        assert reaper(config, spool).round().total() == 0
        assert claim is not None
        claim.forward([])


def test_orphans_are_returned(config: Config, spool: Spool) -> None:
    put(spool)
    worker = spool["first"].consumer()
    worker.claim()
    worker.crash()
    assert reaper(config, spool).round()["returned"] == 1
    assert spool["first"].stats().waiting == 1


def test_purge_by_the_clock_empties_every_queue(config: Config, spool: Spool) -> None:
    put(spool, "first")
    put(spool, "second")
    nightly = reaper(config, spool, purge="15 3 * * *")
    assert nightly.round()["purged"] == 0, "not before its time"
    with mock.patch("trap.reaper.time.time", return_value=time.time() + 24 * HOUR):
        assert nightly.round()["purged"] == 2
    assert logged(config)["purged", "by the clock"] == 2
    assert audit(config, spool).purged == 2


@pytest.mark.parametrize(
    ("older_than", "keep_newest", "most", "left"),
    [
        (0, 0, None, 0),
        (1.5 * HOUR, 0, None, 2),
        (0, 3, None, 3),
        (HOUR / 2, 3, None, 3),
        (1.5 * HOUR, 0, 2, 3),
    ],
)
def test_purge_by_command(
    spool: Spool, older_than: float, keep_newest: int, most: int | None, left: int
) -> None:
    ids = [put(spool, age=at * HOUR) for at in (4, 3, 2, 1, 0)]
    act = partial(
        purge,
        spool,
        ["first"],
        "by command",
        before=time.time() - older_than,
        keep_newest=keep_newest,
        most=most,
    )
    assert act(dry_run=True)["first"] == 5 - left
    assert len(spool["first"].waiting()) == 5, "a dry run touches nothing"
    act()
    assert [name.partition(".")[0] for name in spool["first"].waiting()] == ids[5 - left :]


def test_bad_jobs_are_purged_when_nobody_looked_for_too_long(config: Config, spool: Spool) -> None:
    for age in (15 * 24 * HOUR, HOUR):
        put(spool, age=age)
        with spool["first"].consumer() as worker:
            claim = worker.claim()
            assert claim is not None
            claim.condemn("for the test")
    assert reaper(config, spool).round()["purged bad"] == 1
    [(_, job_id, _)] = spool.bad()
    assert time.time() - id_time(job_id) < 2 * HOUR
    account = audit(config, spool)
    assert (account.bad, account.purged, account.balanced) == (1, 1, True)


def test_a_full_disk_does_not_end_the_reaper(config: Config, spool: Spool) -> None:
    worker = reaper(config, spool, interval=Duration(0.01))
    calls = []

    def fail() -> Counter[str]:
        calls.append(1)
        if len(calls) == 3:
            worker.stop()
        raise OSError(28, "No space left on device")

    with mock.patch.object(worker, "round", fail):
        worker.run()
    assert len(calls) == 3


def test_the_log_is_rotated_and_old_files_go(config: Config, spool: Spool) -> None:
    small = msgspec.structs.replace(
        config, maillog=msgspec.structs.replace(config.maillog, rotate=100, keep=2)
    )
    for _ in range(6):
        put(spool)
        with spool["first"].consumer() as worker:
            claim = worker.claim()
            assert claim is not None
            claim.drop("done with")
        TheReaper(small, spool).round()
    assert len(list(config.paths.maillog.glob("mail.log.*"))) <= 3
    account = audit(small, spool)
    assert (account.accepted, account.dropped, account.balanced) == (6, {"done with": 6}, True)
