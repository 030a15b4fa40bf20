"""What reporters send: once, whatever befalls the book, the worker or the counterpart meanwhile."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from stages.reporting.case import Case, Letter
from stages.reporting.outbox import TRIES
from stages.reporting.reporter import Reporter
from stages.reporting.terms import Terms
from trap.backend import Broken
from trap.config import Accept, Config, Duration, Tagged, paths_below
from trap.envelope import Envelope, Rcpt
from trap.job import Job
from trap.place import Place
from trap.reports import Later, Report, Sending
from trap.reports.desk import Desk, Unknown
from trap.stage import Pass, Unavailable

NOW = Terms(gather=Duration(0))


class Told(Reporter):
    """Tells one who takes everything, and then raises what it is given to raise, or locks the book."""

    def __init__(self, place: Place, terms: Terms = NOW) -> None:
        super().__init__(place, terms)
        self.taken: list[str] = []
        self.has_it = asyncio.Event()
        self.then: BaseException | None = None
        self.locked: sqlite3.Connection | None = None

    async def recipients(self, job: Job) -> list[str]:
        return ["abuse@isp.example"]

    def compose(self, case: Case, to: str) -> bytes:
        return case.message

    async def deliver(self, letter: Letter, sending: Sending) -> str:
        sending.commit()
        self.taken.append(letter.id)
        if self.then:
            raise self.then
        if self.locked:
            self.locked.execute("BEGIN IMMEDIATE")
        self.has_it.set()
        return "250 ok"


class Knowing(Told):
    """Its counterpart takes each report once."""

    repeatable = True

    async def retract(self, letter: Letter, sending: Sending) -> str:
        self.taken.remove(letter.id)
        return "forgotten"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SOON", "FIRST_RETRY", "AGAIN"):
        monkeypatch.setattr(f"stages.reporting.outbox.{name}", 0.01)
    monkeypatch.setattr("stages.reporting.outbox.PATIENCE", 0.01)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    accept = Accept(domains={"trap.example": Tagged()})
    return Config(accept=accept, paths=paths_below(tmp_path), pipeline=["told"])


@pytest.fixture
def told(config: Config) -> Iterator[Told]:
    stage = Told(Place(config, "told"))
    yield stage
    stage.close()


def job(campaign: str = "") -> Job:
    envelope = Envelope(client_ip="198.51.100.7", rcpts=[Rcpt(address="joe@trap.example")])
    made = Job.from_message(b"Subject: pills\r\n\r\nbuy cheap pills\r\n", envelope)
    notes = {"dedup": {"campaign": campaign or made.id, "count": 1, "window_count": 1}}
    return Job(made.id, envelope, notes, made.message)


async def landed(stage: Reporter) -> None:
    stage.tick()
    while stage._flying:
        await asyncio.wait(stage._flying.values())


def run(stage: Reporter, *jobs: Job) -> list[Any]:
    """Give it jobs, and let it send what is due."""

    async def work() -> list[Any]:
        verdicts = [await stage.process(each) for each in jobs]
        await landed(stage)
        return verdicts

    return asyncio.run(work())


def only(stage: Reporter) -> Report:
    (report,) = stage._book.reports()
    return report


@contextmanager
def locked(stage: Reporter) -> Iterator[sqlite3.Connection]:
    """The book, while somebody else writes it."""
    other = sqlite3.connect(stage._book.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield other
    if other.in_transaction:
        other.execute("ROLLBACK")
    other.close()


# The book can't be written


def test_what_was_answered_is_written_down_as_soon_as_that_is_possible(told: Told) -> None:
    told.locked = sqlite3.connect(told._book.path, isolation_level=None)

    async def work() -> None:
        await told.process(job())
        told.tick()
        await told.has_it.wait()
        await asyncio.sleep(0.05)
        assert (only(told).state, len(told._flying)) == ("sending", 1)
        told.locked.execute("ROLLBACK")
        told.locked.close()
        await landed(told)

    asyncio.run(work())
    assert (only(told).state, only(told).word, len(told.taken)) == ("sent", "250 ok", 1)


def test_a_worker_that_has_to_end_waits_for_the_book_not_for_ever(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stages.reporting.outbox.LAST_TRIES", 0.05)
    told.locked = sqlite3.connect(told._book.path, isolation_level=None)

    async def work() -> None:
        await told.process(job())
        told.tick()
        await told.has_it.wait()
        await told.finish()

    asyncio.run(work())
    told.locked.execute("ROLLBACK")
    told.locked.close()
    assert only(told).state == "sending"  # the next sender calls it unsure


def test_a_locked_book_lets_jobs_wait_and_charges_nobody(told: Told) -> None:
    with locked(told), pytest.raises(Unavailable, match="locked"):
        run(told, job())
    run(told, job())
    assert only(told).state == "sent"


def test_a_damaged_book_lets_jobs_wait_and_says_what_to_do(told: Told) -> None:
    run(told, job())
    told._book._db.execute("PRAGMA wal_checkpoint(truncate)")
    told._book.path.write_bytes(b"x" * 40_960)
    told._book._db.execute("PRAGMA shrink_memory")
    with pytest.raises(Unavailable, match="bring back a copy"):
        run(told, job())
    assert len(told.taken) == 1


def test_who_can_not_read_what_was_left_is_not_the_sender(config: Config) -> None:
    first, second = Told(Place(config, "told")), Told(Place(config, "told"))
    run(first, job())
    first._book._db.execute("UPDATE report SET state = 'sending'")
    first.close()
    with locked(second):
        second.tick()
    assert second._lock is None
    second.tick()
    assert (only(second).state, second.taken) == ("unsure", [])
    second.close()


# The worker ends


def test_what_kills_its_worker_is_found_out(config: Config) -> None:
    """Composing may take a worker with it, by its memory say: else all others would wait for good."""
    stage = Told(Place(config, "told"))
    for _ in range(TRIES):
        stage._letter = die  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
            run(stage, job("deadly"))
        stage.close()
        stage = Told(Place(config, "told"))
    run(stage, job())
    states = {report.campaign == "deadly": (report.state, report.word) for report in stage._book.reports()}
    assert states[True] == ("failed", "3 times its worker ended while it was composed")
    assert states[False][0] == "sent"
    stage.close()


def die(*_: object) -> None:
    raise KeyboardInterrupt


def test_who_is_asked_to_stop_begins_no_delivery(told: Told) -> None:
    def compose(case: Case, to: str) -> bytes:
        told._stopping = True
        return case.message

    told.compose = compose  # type: ignore[method-assign]
    run(told, job())
    assert (only(told).state, only(told).attempts, told.taken) == ("gathering", 0, [])
    told._stopping = False
    del told.compose
    run(told)
    assert only(told).state == "sent"


def test_what_is_not_composed_in_time_keeps_nobody_waiting(
    told: Told, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.setattr("stages.reporting.outbox.LONGEST_COMPOSED", 0.05)
    monkeypatch.setattr("stages.reporting.outbox.FIRST_RETRY", 600.0)
    end = threading.Event()
    told.compose = lambda case, to: b"" if end.wait(10) else case.message  # type: ignore[method-assign]
    run(told, job())
    assert (only(told).attempts, only(told).word) == (1, "RuntimeError: not composed within 0.05 s")
    del told.compose
    monkeypatch.undo()
    run(told, job())
    end.set()
    assert sorted(report.state for report in told._book.reports()) == ["gathering", "sent"]


# Doubt


def test_what_arrived_perhaps_counts_for_the_rate(config: Config, caplog: Any) -> None:
    stage = Told(Place(config, "told"), Terms(gather=Duration(0), rate=3))
    stage.then = Broken("hung up")  # each time, after it has all of it
    run(stage, *(job() for _ in range(9)))
    run(stage)
    assert (len(stage.taken), stage._book.counts()) == (3, {"unsure": 3, "gathering": 6})
    stage.close()


def test_what_arrived_perhaps_is_taken_back_and_not_called_unsent(config: Config) -> None:
    stage = Knowing(Place(config, "told"))
    stage.then = Broken("hung up")
    run(stage, job())
    report = only(stage)
    assert (report.state, report.doubtful) == ("gathering", True)
    assert stage._book.retract(report.id)
    stage.then = None
    run(stage)
    assert (only(stage).state, stage.taken) == ("retracted", [])
    stage.close()


def test_so_is_what_a_killed_worker_had_on_its_way(config: Config) -> None:
    stage = Knowing(Place(config, "told"))
    stage.then = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        run(stage, job())
    stage.close()
    stage = Knowing(Place(config, "told"))
    stage._is_the_sender()
    assert (only(stage).state, only(stage).doubtful) == ("gathering", True)
    run(stage)
    assert (only(stage).state, only(stage).doubtful) == ("sent", False)
    stage.close()


def test_what_can_not_be_taken_back_stays_unsure(config: Config, told: Told, caplog: Any) -> None:
    told.then = Broken("hung up")
    run(told, job())
    report = only(told)
    assert told._book.release(report.id)  # a person wants it sent again, and thinks better of it
    assert only(told).doubtful
    assert told._book.retract(report.id, possible=False)
    assert only(told).state == "unsure"
    with pytest.raises(Unknown):
        Desk(config).retract(Desk(config).entry(report.id))


# What waits


def test_what_nobody_could_send_is_given_up_while_nobody_is_there(config: Config) -> None:
    stage = Told(Place(config, "told"), Terms(gather=Duration(0), max_age=Duration(0.1)))
    stage.then = Later("451 not now")
    run(stage, job())
    stage._stopping = True  # as good as away: nothing is begun
    time.sleep(0.12)
    stage._cleaned = 0.0
    stage.tick()
    assert (only(stage).state, only(stage).word) == ("failed", "too old: 451 not now")
    stage.close()


def test_more_than_can_be_told_in_time_does_not_hold_up_the_queue(config: Config) -> None:
    """At so many an hour what is last in the line would be too old when its turn comes."""
    stage = Told(Place(config, "told"), Terms(gather=Duration("1h"), rate=1, max_age=Duration("2h")))
    run(stage, *(job(f"c{number}") for number in range(3)))
    stage._waiting = (0, 0.0)  # as a second later
    (verdict,) = run(stage, job("c4"))
    assert isinstance(verdict, Pass) and "wait already" in verdict.notes["left_out"]
    run(stage, job("c1"))  # a copy of what waits is weight, not work
    assert sorted(report.weight for report in stage._book.reports()) == [1, 1, 2]
    stage.close()
