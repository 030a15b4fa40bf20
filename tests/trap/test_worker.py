"""The worker: claims, asks, obeys, charges, waits and stops; the stage only judges.

Most tests run a worker in this process until its queue is worked off; those in which it dies or
gets a signal run it in a process of its own.
"""

import asyncio
import errno
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from faultkit import Child, fail_with, faulty, in_child
from support import eventually
from watchdog.observers.inotify_c import InotifyFD

import trap.breaker
import trap.wake
import trap.worker
from trap.audit import audit
from trap.breaker import Breaker
from trap.claim import BAD, Claim
from trap.config import Config, Duration, Stage, paths_below
from trap.envelope import Envelope
from trap.job import Job
from trap.ledger import events
from trap.queue import Spool
from trap.stage import Drop, Pass, Unavailable
from trap.worker import Worker

# A worker uses SIGALRM for its stage's deadline, so pytest-timeout can't.
pytestmark = [pytest.mark.timeout(60, method="thread"), pytest.mark.usefixtures("files_are_closed")]


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Ticks and back-offs at a hundredth of their length."""
    monkeypatch.setattr(trap.worker, "TICK", 0.02)
    monkeypatch.setattr(trap.breaker, "BACKOFF", (0.01, 0.02, 0.03))


class UntilDone(Worker):
    """Stops when nothing is left in its queue, or when told."""

    done: Callable[[], bool] | None = None

    def _tick(self) -> None:
        super()._tick()
        if (self.done or (lambda: not self.queue.ids()))():
            self.stop()


def work(config: Config, spool: Spool, stage: Any, done: Callable[[], bool] | None = None) -> Worker:
    """Run a worker of the queue `first` around `stage`."""
    worker = UntilDone(config, "first", spool, stage)
    worker.done = done
    worker.run()
    return worker


def setting(config: Config, **settings: Any) -> Config:
    """The configuration with these settings for the stage `first`."""
    return msgspec.structs.replace(config, stages={"first": Stage(**settings)})


def put(spool: Spool, *messages: bytes, queue: str = "first") -> list[str]:
    return [spool.put(queue, Envelope(), message) for message in messages]


def log_of(config: Config, *kinds: str) -> list[tuple[str, str]]:
    """Event and job id of the lines of these kinds, in their order."""
    found = [(event.e, event.id) for event in events(config.paths.maillog / "mail.log")]
    return [one for one in found if one[0] in kinds]


class Plain:
    """A stage that asks a function."""

    def __init__(self, judge: Callable[[Job], Any]) -> None:
        self.judge = judge

    def process(self, job: Job) -> Any:
        return self.judge(job)


class Async:
    """The same, asynchronous; remembers how many were in flight at once."""

    def __init__(self, judge: Callable[[Job], Any], pause: float = 0.001) -> None:
        self.judge, self.pause = judge, pause
        self.flying: set[bytes] = set()
        self.company: list[set[bytes]] = []

    async def process(self, job: Job) -> Any:
        self.flying.add(job.message)
        self.company.append(set(self.flying))
        try:
            await asyncio.sleep(self.pause)
            return self.judge(job)
        finally:
            self.flying.discard(job.message)


class Batch:
    """The same, for batches; remembers them."""

    def __init__(self, judge: Callable[[Job], Any]) -> None:
        self.judge = judge
        self.company: list[list[bytes]] = []

    def process_batch(self, jobs: list[Job]) -> list[Any]:
        self.company.append([job.message for job in jobs])
        return [self.judge(job) for job in jobs]


EVERY_KIND = pytest.mark.parametrize("kind", [Plain, Async, Batch])


def judge(job: Job) -> Any:
    """Drops what says so, raises at what says so, lets the rest pass."""
    word = job.message.split()[0]
    match word:
        case b"drop":
            return Drop("asked for", {"word": "drop"})
        case b"raise":
            raise ValueError(job.message.decode())
        case b"note":
            return Pass({"seen": 1})
        case b"second":
            return Pass(to="second")
    return Pass()


# Verdicts


@EVERY_KIND
def test_verdicts_are_obeyed(config, spool, kind):
    ids = put(spool, b"pass", b"drop", b"note", b"second")
    work(config, spool, kind(judge))
    with spool["second"].consumer() as second:
        passed = {claim.id: claim.job() for claim in iter(second.claim, None)}
    assert list(passed) == [ids[0], ids[2], ids[3]]
    assert [job.notes for job in passed.values()] == [{}, {"first": {"seen": 1}}, {}]
    assert log_of(config, "passed", "dropped")[0] == ("passed", ids[0])
    assert ("dropped", ids[1]) in log_of(config, "dropped")
    assert audit(config, spool).balanced


def test_a_stage_may_choose_the_word_in_the_log(config, spool):
    class Keeper(Plain):
        log_as = "archived"

    put(spool, b"x")
    work(config, spool, Keeper(judge))
    assert audit(config, spool).archived == 0
    assert len(log_of(config, "archived")) == 1


def test_the_last_stage_ends_the_way(config, spool):
    put(spool, b"x", queue="second")
    worker = UntilDone(config, "second", spool, Plain(judge))
    worker.run()
    assert audit(config, spool).done == 1


def test_parallel_stages_each_get_the_job(tmp_path, config):
    config = msgspec.structs.replace(config, pipeline=["first", ["left", "right"]])
    spool = Spool.open(config)
    put(spool, b"note")
    work(config, spool, Plain(judge))
    for branch in ("left", "right"):
        assert spool[branch].consumer().claim().job().notes == {"first": {"seen": 1}}


@pytest.mark.parametrize(
    ("verdict", "reason"),
    [
        (None, "TypeError: process returned None, not Pass or Drop"),
        (True, "TypeError: process returned True, not Pass or Drop"),
        (Pass, "TypeError: process returned <class 'trap.stage.Pass'>, not Pass or Drop"),
        (Pass(to="nowhere"), "ValueError: can't pass to 'nowhere': no such queue, or not behind this one"),
        (Pass(to=["second"]), "TypeError: unhashable type: 'list'"),
        (Pass(notes={"x": object}), "TypeError: can not serialize 'type' object"),
        (Pass(notes={"x": 2**70}), "OverflowError: Integer value out of range"),
        (Drop(5), "AttributeError"),
        (Drop("x", notes=7), "TypeError"),
    ],
    ids=repr,
)
@EVERY_KIND
def test_a_verdict_that_cannot_be_obeyed_is_charged_to_its_job(config, spool, kind, verdict, reason):
    """It costs this job an attempt, not the worker its life, and the others nothing."""
    job_id, fine = put(spool, b"odd", b"fine")
    work(config, spool, kind(lambda job: verdict if job.message == b"odd" else Pass()))
    assert [job for _, job, _ in spool.bad()] == [job_id]
    assert spool["second"].ids() == {fine}
    lines = list(events(config.paths.maillog / "mail.log"))
    assert [line.e for line in lines if line.id == job_id] == ["accepted", "requeued", "requeued", "bad"]
    assert next(line.reason for line in lines if line.e == "bad").startswith(reason)
    assert audit(config, spool).balanced


def test_notes_hold_whatever_hostile_mail_holds(config, spool):
    """Surrogates, bytes and keys that are numbers go through the job file and the mail log."""
    notes = {"bytes": b"\xff\x00", "text": "\udce9\n", "lone": "\ud800", "table": {1: [1.5, None]}}
    put(spool, b"pass", b"drop")
    work(config, spool, Plain(lambda job: Pass(notes) if job.message == b"pass" else Drop("x", notes)))
    kept = spool["second"].consumer().claim().job().notes["first"]
    assert kept["bytes"] == b"\xff\x00"
    assert kept["lone"] == "\\ud800"
    assert log_of(config, "dropped")


# Failures


@EVERY_KIND
def test_three_attempts_and_it_is_bad_with_its_traceback(config, spool, kind):
    calls = []

    def failing(job: Job) -> Any:
        calls.append(job.message)
        return judge(job)

    (job_id,) = put(spool, b"raise")
    work(config, spool, kind(failing))
    assert len(calls) == 3
    assert list(spool.bad()) == [("first", job_id, 3)]
    why = Job.decode(job_id, Path(spool["first"].bad, f"{job_id}.3").read_bytes()).notes[BAD]
    assert why["queue"] == "first"
    assert why["reason"] == "ValueError: raise"
    assert "Traceback (most recent call last)" in why["traceback"]
    assert "in failing" in why["traceback"]
    assert audit(config, spool).bad == 1


@EVERY_KIND
def test_one_that_fails_takes_nobody_along(config, spool, kind):
    """In a batch, each is asked about alone then, and only the culprit is charged."""
    ids = put(spool, *[b"raise" if number == 7 else b"pass %d" % number for number in range(20)])
    work(config, spool, kind(judge))
    assert list(spool.bad()) == [("first", ids[7], 3)]
    assert spool["second"].ids() == set(ids) - {ids[7]}
    assert {job for _, job in log_of(config, "requeued", "bad")} == {ids[7]}


@pytest.mark.parametrize("answers", [[], [Pass()], [Pass()] * 4, None, 5, (Pass() for _ in range(3))])
def test_a_wrong_number_of_verdicts_is_nobodys_verdict(config, spool, answers):
    """Which is whose? So each is asked about alone, and is bad in the end if that does not help."""

    class Wrong:
        def process_batch(self, jobs: list[Job]) -> Any:
            return [Pass()] if len(jobs) == 1 else answers

    ids = put(spool, b"a", b"b", b"c")
    work(config, spool, Wrong())
    assert spool["second"].ids() == set(ids)
    assert log_of(config, "requeued") == []


def test_batches_are_as_large_as_configured(config, spool):
    stage = Batch(judge)
    put(spool, *[b"%d" % number for number in range(10)])
    work(setting(config, batch=4), spool, stage)
    assert [len(jobs) for jobs in stage.company] == [4, 4, 2]


def test_an_unreadable_file_goes_to_bad_and_the_queue_goes_on(config, spool):
    """A file that is no job is put aside at once: it will not get better."""
    garbage = "1700000000000000deadbeef"
    Path(spool["first"].new, f"{garbage}.0").write_bytes(b"\xc1garbage")
    ids = put(spool, b"a", b"b")
    for stage in (Batch(judge), Async(judge)):
        work(config, spool, stage)
    assert list(spool.bad()) == [("first", garbage, 1)]
    assert Path(spool["first"].bad, f"{garbage}.1").read_bytes() == b"\xc1garbage"
    assert spool["second"].ids() == set(ids)


@EVERY_KIND
def test_a_file_that_cannot_be_read_waits(config, spool, kind, monkeypatch):
    """An error of the disk is not the job's fault: it is not charged, and read again later."""
    (job_id,) = put(spool, b"a")
    real, errors = trap.queue.fsio.read, iter([OSError(errno.EIO, "I/O error")] * 2)

    def read(path: str) -> bytes:
        for error in errors:
            raise error
        return real(path)

    monkeypatch.setattr(trap.queue.fsio, "read", read)
    work(config, spool, kind(judge))
    assert spool["second"].waiting() == [f"{job_id}.0"]
    assert log_of(config, "requeued", "bad") == []


@pytest.mark.parametrize("call", ["writev", "write", "rename", "link"])
@EVERY_KIND
def test_no_room_is_not_the_jobs_fault(config, spool, kind, call):
    """New notes, the log, the next queue: what does not fit is tried again, and nothing is charged."""
    config = msgspec.structs.replace(config, pipeline=["first", ["left", "right"]])
    spool = Spool.open(config)
    (job_id,) = put(spool, b"note")
    stage, calls = kind(judge), []

    def full_the_first_time(job: Job) -> Any:
        calls.append(1)
        return judge(job)

    stage.judge = full_the_first_time
    worker = UntilDone(config, "first", spool, stage)
    # The first rename is the claim, the third call of its kind the move: so fail each in turn.
    for at in (1, 2):
        with faulty(at, fail_with(errno.ENOSPC), frozenset({call})):
            try:
                worker.stopping = False
                worker.run()
            except OSError:
                spool.recover()  # the claim itself failed, and the worker died of it
    worker.stopping = False
    worker.run()
    assert spool["left"].ids() == spool["right"].ids() == {job_id}
    assert spool["left"].consumer().claim().job().notes == {"first": {"seen": 1}}
    assert audit(config, spool).balanced
    assert list(spool.bad()) == []


def test_trouble_is_waited_out_longer_and_longer():
    breaker = Breaker()
    assert breaker.remaining == 0
    pauses = [breaker.trip(time.monotonic()) for _ in range(5)]
    assert pauses == [0.01, 0.02, 0.03, 0.03, 0.03]
    assert 0 < breaker.remaining <= 0.03
    assert breaker.reset() is True
    assert breaker.reset() is False
    assert breaker.remaining == 0


def test_jobs_in_flight_count_one_outage_once():
    """Twenty that were asked before the first failure was known say nothing that it did not."""
    breaker = Breaker()
    asked = time.monotonic()
    assert breaker.trip(asked) == 0.01
    assert [breaker.trip(asked) for _ in range(19)] == [0.0] * 19
    assert breaker.failures == 1
    assert breaker.trip(time.monotonic()) == 0.02


# Deadlines


@EVERY_KIND
def test_a_worker_that_cannot_give_a_job_back_ends(config, spool, kind, monkeypatch):
    """It would hold the job for as long as it lives; the next worker recovers it."""
    (job_id,) = put(spool, b"x")
    real, errors = trap.claim.Claim.give_back, iter([OSError(errno.EIO, "I/O error")])

    def give_back(claim: Claim, **keywords: Any) -> None:
        for error in errors:
            raise error
        real(claim, **keywords)

    def away(job: Job) -> Any:
        raise Unavailable("clamd is away")

    monkeypatch.setattr(trap.claim.Claim, "give_back", give_back)
    with pytest.raises(OSError, match="I/O error"):
        work(config, spool, kind(away), done=lambda: False)
    work(config, spool, kind(judge))
    assert spool["second"].ids() == {job_id}


def test_what_is_in_flight_when_a_worker_ends_lands(config, spool, monkeypatch):
    """It is not cancelled, so it is neither lost nor charged."""
    put(spool, b"away")
    fine = put(spool, b"a", b"b")

    def give_back(claim: Claim, **keywords: Any) -> None:
        raise OSError(errno.EIO, "I/O error")

    def away(job: Job) -> Any:
        if job.message == b"away":
            raise Unavailable("clamd is away")
        return Pass()

    class Slow:
        async def process(self, job: Job) -> Any:
            await asyncio.sleep(0.05 if job.message == b"away" else 0.1)
            return away(job)

    monkeypatch.setattr(trap.claim.Claim, "give_back", give_back)
    with pytest.raises(OSError, match="I/O error"):
        work(config, spool, Slow(), done=lambda: False)
    assert spool["second"].ids() == set(fine)
    assert log_of(config, "requeued", "bad") == []


@EVERY_KIND
def test_a_stage_that_takes_too_long_is_interrupted_and_its_job_charged(config, spool, kind):
    def slow(job: Job) -> Any:
        if job.message == b"slow":
            time.sleep(30)
        return Pass()

    class SlowAsync:
        async def process(self, job: Job) -> Any:
            if job.message == b"slow":
                await asyncio.sleep(30)
            return Pass()

    job_id, fine = put(spool, b"slow", b"fine")
    stage = SlowAsync() if kind is Async else kind(slow)
    work(setting(config, deadline=Duration(0.05)), spool, stage)
    assert list(spool.bad()) == [("first", job_id, 3)]
    assert spool["second"].ids() == {fine}
    lines = list(events(config.paths.maillog / "mail.log"))
    assert {line.reason for line in lines if line.e in {"requeued", BAD}} == {
        "DeadlineExceeded: took too long"
    }


def test_a_time_out_of_the_stages_own_is_its_own(config, spool):
    """Not every TimeoutError is our deadline."""

    class Own:
        async def process(self, job: Job) -> Any:
            raise TimeoutError("clamd took too long")

    put(spool, b"x")
    work(config, spool, Own())
    reasons = {line.reason for line in events(config.paths.maillog / "mail.log") if line.e == BAD}
    assert reasons == {"TimeoutError: clamd took too long"}


@EVERY_KIND
def test_a_stage_that_ends_the_program_is_charged(config, spool, kind):
    """Else one message could stop the trap: some exit codes end `spamtrap up`, too."""

    def leaving(job: Job) -> Any:
        if job.message == b"x":
            raise SystemExit(os.EX_CONFIG)
        return Pass()

    job_id, fine = put(spool, b"x", b"fine")
    work(config, spool, kind(leaving))
    assert list(spool.bad()) == [("first", job_id, 3)]
    assert spool["second"].ids() == {fine}


@EVERY_KIND
def test_what_a_message_makes_a_stage_say_is_no_command_to_the_terminal(config, spool, kind, caplog):
    def speaking(job: Job) -> Any:
        raise ValueError("bad subject \x1b]0;title\x07\nsecond line")

    put(spool, b"x")
    work(config, spool, kind(speaking))
    said = [record.getMessage() for record in caplog.records]
    assert said
    assert all(line.isprintable() for line in said)


def test_a_stage_whose_own_task_was_cancelled_is_charged(config, spool):
    class Cancelled:
        async def process(self, job: Job) -> Any:
            raise asyncio.CancelledError

    (job_id,) = put(spool, b"x")
    work(config, spool, Cancelled())
    assert list(spool.bad()) == [("first", job_id, 3)]


def test_no_alarm_outlives_its_job(config, spool):
    put(spool, b"x")
    work(config, spool, Plain(judge))
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


# Unavailable


class Backend:
    """A stage whose backend is away until it has been asked so often."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.asked: list[str] = []

    def process(self, job: Job) -> Any:
        self.asked.append(job.id)
        if len(self.asked) <= self.failures:
            raise Unavailable("clamd at /run/x: connection refused")
        return Pass()


class AsyncBackend(Backend):
    async def process(self, job: Job) -> Any:  # type: ignore[override]
        await asyncio.sleep(0.001)
        return super().process(job)


class BatchBackend(Backend):
    process = None  # type: ignore[assignment]

    def process_batch(self, jobs: list[Job]) -> list[Any]:
        return [Backend.process(self, job) for job in jobs]


EVERY_BACKEND = pytest.mark.parametrize("kind", [Backend, AsyncBackend, BatchBackend])


@EVERY_BACKEND
def test_while_the_backend_is_away_jobs_wait_uncharged(config, spool, kind):
    ids = put(spool, b"a", b"b", b"c")
    work(config, spool, kind(4))
    assert sorted(spool["second"].waiting()) == [f"{job_id}.0" for job_id in ids]
    assert log_of(config, "requeued", "bad") == []
    assert [event for event, _ in log_of(config, "passed")] == ["passed"] * 3


@EVERY_BACKEND
def test_while_the_backend_is_away_jobs_pass_with_a_note(config, spool, kind):
    ids = put(spool, *[b"%d" % number for number in range(30)])
    stage = kind(10**6)
    work(setting(config, when_unavailable="pass"), spool, stage)
    with spool["second"].consumer() as second:
        notes = {claim.id: claim.job().notes["first"]["unjudged"] for claim in iter(second.claim, None)}
    assert list(notes) == ids
    assert set(notes.values()) <= {"backend away", "clamd at /run/x: connection refused"}
    assert len(stage.asked) < 30, "not every job asks a backend that is known to be away"


def test_what_passes_unjudged_is_not_said_to_be_archived(config, spool):
    class Archive(Backend):
        log_as = "archived"
        when_unavailable = "pass"

    put(spool, b"x")
    work(config, spool, Archive(10**6))
    assert log_of(config, "archived") == []
    assert len(log_of(config, "passed")) == 1


def test_the_configuration_overrides_the_stages_choice(config, spool):
    class Eager(Backend):
        when_unavailable = "pass"

    put(spool, b"x")
    stage = Eager(3)
    work(setting(config, when_unavailable="wait"), spool, stage)
    assert len(stage.asked) == 4


def test_one_job_of_a_batch_finds_out_whether_the_backend_is_back(config, spool):
    """After the first failure only one at a time is asked about, until it is answered."""
    stage, sizes = BatchBackend(5), []
    real = stage.process_batch
    stage.process_batch = lambda jobs: (sizes.append(len(jobs)), real(jobs))[1]  # type: ignore[method-assign]
    put(spool, *[b"%d" % number for number in range(40)])
    work(setting(config, batch=10), spool, stage)
    assert sizes[:7] == [10, 1, 1, 1, 1, 1, 10]
    assert len(spool["second"].ids()) == 40


def test_one_job_in_flight_finds_out_whether_the_backend_is_back(config, spool):
    """Twenty meet the outage together; from then on one at a time flies until one is answered."""
    company: list[int] = []

    class Away:
        def __init__(self) -> None:
            self.flying = 0
            self.all_here = asyncio.Event()

        async def process(self, job: Job) -> Any:
            self.flying += 1
            company.append(self.flying)
            number = len(company)
            if number == 20:
                self.all_here.set()
            await (self.all_here.wait() if number <= 20 else asyncio.sleep(0.001))
            self.flying -= 1
            if number <= 25:
                raise Unavailable("away")
            return Pass()

    put(spool, *[b"%d" % number for number in range(40)])
    work(setting(config, concurrency=20), spool, Away())
    assert len(company) == 40 + 25
    assert company[:20] == list(range(1, 21))
    assert company[20:26] == [1] * 6
    assert max(company[26:]) > 1
    assert len(spool["second"].ids()) == 40


def test_a_batch_taken_apart_stops_asking_when_the_backend_goes(config, spool, monkeypatch):
    """One of ten raises; asked about alone, the second finds the backend away: the others go back unasked."""
    monkeypatch.setattr(trap.breaker, "BACKOFF", (0.3,))  # longer than a busy machine takes to look again

    class Going:
        def __init__(self) -> None:
            self.asked: list[int] = []

        def process_batch(self, jobs: list[Job]) -> list[Any]:
            self.asked.append(len(jobs))
            if len(jobs) > 1 and len(self.asked) == 1:
                raise ValueError("one of you")
            if len(self.asked) == 3:
                raise Unavailable("gone")
            return [Pass() for _ in jobs]

    stage = Going()
    put(spool, *[b"%d" % number for number in range(10)])
    work(config, spool, stage)
    assert stage.asked == [10, 1, 1, 1, 8]
    assert len(spool["second"].ids()) == 10


def test_a_batch_taken_apart_is_left_when_the_worker_is_to_stop(config, spool):
    """Each of many jobs may take its deadline: the rest go back, and nobody waits for them."""

    class Slow:
        def __init__(self) -> None:
            self.asked: list[int] = []

        def process_batch(self, jobs: list[Job]) -> list[Any]:
            self.asked.append(len(jobs))
            if len(jobs) > 1:
                raise ValueError("one of you")
            worker.stop()
            return [Pass() for _ in jobs]

    stage = Slow()
    put(spool, *[b"%d" % number for number in range(10)])
    worker = Worker(config, "first", spool, stage)
    worker.run()
    assert stage.asked == [10, 1]
    assert (len(spool["first"].ids()), len(spool["second"].ids())) == (9, 1)
    assert all(name.endswith(".0") for name in spool["first"].waiting()), "uncharged"


def test_a_branch_does_not_pass_back_into_the_trunk(tmp_path):
    config = Config(pipeline=["first", ["left", "right"]], paths=paths_below(tmp_path))
    spool = Spool.open(config)
    put(spool, b"round", queue="left")
    worker = Worker(config, "left", spool, Plain(lambda _: Pass(to="first")))
    with spool["left"].consumer() as consumer:
        worker._judge(worker._claim_batch(consumer))
    assert not spool["first"].ids()
    assert spool["left"].waiting()[0].endswith(".1"), "charged with an attempt"


# Workers that die


def die_working(config: Config, spool: Spool, stage: Any) -> int:
    """Run workers, each in a process of its own, until one stops by itself; returns how many died."""

    def once() -> None:
        InotifyFD._instance = None  # the parent's watching thread does not exist here
        fresh = Spool.open(config)
        work(config, fresh, stage)

    for deaths in range(20):
        if in_child(once) == 0:
            return deaths
    raise AssertionError("it never ends")


def running(config: Config, stage: Any) -> Child:
    """A worker in a process of its own, as `spamtrap work` runs it."""

    def run() -> None:
        InotifyFD._instance = None  # the parent's watching thread does not exist here
        trap.worker.build = lambda *_: stage  # type: ignore[assignment]
        assert trap.worker.run(config, "first") == 0

    return Child(run)


@EVERY_KIND
def test_poison_ends_in_bad_and_takes_nobody_along(config, spool, kind):
    """It kills the process itself. All that were in hand are charged once; from then on it dies alone."""

    def poisoned(job: Job) -> Any:
        if job.message == b"poison":
            os._exit(1)
        return Pass()

    messages = [b"poison" if number == 3 else b"%d" % number for number in range(12)]
    ids = put(spool, *messages)
    deaths = die_working(config, spool, kind(poisoned))
    spool.recover()
    assert deaths == 3
    assert list(spool.bad()) == [("first", ids[3], 3)]
    assert spool["second"].ids() == set(ids) - {ids[3]}
    account = audit(config, spool)
    assert (account.balanced, account.bad, account.in_flight) == (True, 1, 11)


@pytest.mark.parametrize("kind", [Async, Batch])
def test_what_failed_before_is_judged_alone(config, spool, kind):
    put(spool, *[b"%d" % number for number in range(6)])
    with spool["first"].consumer() as worker:
        for _ in range(2):
            worker.claim().fail("its worker died")
    stage = kind(judge)
    work(config, spool, stage)
    for suspect in (b"0", b"1"):
        assert [list(company) for company in stage.company if suspect in company] == [[suspect]]
    assert len(spool["second"].ids()) == 6


def test_a_stage_stuck_beyond_reach_ends_the_process(config, spool, monkeypatch):
    """Deaf to signals, as inside a C library: a thread ends the process, and the job is charged."""
    monkeypatch.setattr(trap.worker, "HARD_LIMIT", 1.0)

    def deaf(job: Job) -> Any:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
        time.sleep(20)

    (job_id,) = put(spool, b"x")

    def once() -> None:
        InotifyFD._instance = None
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        work(setting(config, deadline=Duration(0.05)), Spool.open(config), Plain(deaf))

    assert in_child(once) == 1
    spool.recover()
    assert spool["first"].waiting() == [f"{job_id}.1"]


@EVERY_KIND
def test_sigterm_finishes_what_is_in_hand_and_leaves_the_rest(config, spool, tmp_path, kind):
    """Exit status 0, nothing claimed, nothing charged, close() called."""
    ids = put(spool, *[b"%d" % number for number in range(50)])
    begun = tmp_path / "begun"

    class Closing(kind):
        def close(self) -> None:
            (tmp_path / "closed").touch()

    def slow(job: Job) -> Any:
        begun.touch()
        if kind is not Async:
            time.sleep(0.02)
        return Pass()

    stage = Closing(slow, 0.05) if kind is Async else Closing(slow)
    config = setting(config, batch=5, concurrency=5)
    with running(config, stage) as child:
        eventually(begun.exists)
        os.kill(child.pid, signal.SIGTERM)
        assert child.wait() == 0
    passed, left = spool["second"].ids(), spool["first"].ids()
    assert passed | left == set(ids)
    assert passed
    assert left
    assert all(name.endswith(".0") for name in spool["first"].waiting())
    assert os.listdir(spool["first"].work) == []
    assert (tmp_path / "closed").exists()
    assert spool.recover() == 0


def test_sigterm_wakes_a_worker_that_waits(config, spool, monkeypatch):
    monkeypatch.setattr(trap.worker, "TICK", 40.0)
    with running(config, Plain(judge)) as child:
        eventually(lambda: os.listdir(spool["first"].work))
        time.sleep(0.1)
        os.kill(child.pid, signal.SIGTERM)
        assert child.wait() == 0


@pytest.mark.parametrize("kind", [Plain, Async])
def test_an_arrival_wakes_a_worker_that_waits(config, spool, monkeypatch, kind):
    """Long before the next tick."""
    monkeypatch.setattr(trap.worker, "TICK", 40.0)
    with running(config, kind(judge)):
        eventually(lambda: os.listdir(spool["first"].work))
        for number in range(3):
            time.sleep(0.05)
            put(spool, b"x")
            eventually(lambda number=number: len(spool["second"].waiting()) == number + 1)


def test_who_was_busy_naps_before_it_asks_to_be_woken(config, spool, monkeypatch):
    """What comes meanwhile wakes nobody."""

    def nap(seconds: float) -> None:
        assert seconds == trap.worker.NAP
        put(spool, b"x")

    monkeypatch.setattr(trap.worker, "time", SimpleNamespace(sleep=nap, monotonic=time.monotonic))
    put(spool, b"x")
    worker = work(config, spool, Plain(judge), lambda: len(spool["second"].ids()) == 5)
    assert worker.wake.events == 0


@pytest.mark.parametrize("kind", [Plain, Async])
def test_an_arrival_just_before_the_watch_is_found(config, spool, monkeypatch, kind):
    """The worker has looked and seen nothing; then a job comes, and only then the watch is set."""
    real = trap.wake.Wake.arm

    def arm(wake: trap.wake.Wake) -> None:
        if not wake.events and not spool["second"].ids():
            put(spool, b"x")
        real(wake)

    monkeypatch.setattr(trap.wake.Wake, "arm", arm)
    monkeypatch.setattr(trap.worker, "TICK", 40.0)
    with running(config, kind(judge)):
        eventually(spool["second"].waiting)


# Housekeeping


@EVERY_KIND
def test_ticks_come_between_jobs_and_when_idle(config, spool, kind):
    class Ticking(kind):
        ticks = 0

        def tick(self) -> None:
            self.ticks += 1
            if self.ticks == 2:
                raise RuntimeError("a tick that fails stops nothing")

    stage = Ticking(judge)
    put(spool, b"x")
    work(config, spool, stage, done=lambda: stage.ticks > 4)
    assert spool["second"].ids()


def test_the_worker_returns_orphans_before_it_begins(config, spool):
    (job_id,) = put(spool, b"x")
    dead = spool["first"].consumer()
    dead.claim()
    dead.crash()
    work(config, spool, Plain(judge))
    assert spool["second"].ids() == {job_id}


def test_the_stage_is_built_from_the_configuration(config, spool, tmp_path):
    (tmp_path / "first.py").write_text(
        "from trap.stage import Drop\n"
        "class First:\n"
        "    def __init__(self, word: str = 'x') -> None:\n        self.word = word\n"
        "    def process(self, job):\n        return Drop(self.word)\n"
    )
    config = msgspec.structs.replace(
        config,
        paths=msgspec.structs.replace(config.paths, plugins=tmp_path),
        stages={"first": Stage(settings={"word": "oversize"})},
    )
    put(spool, b"x")
    worker = UntilDone(config, "first", spool)
    worker.run()
    assert audit(config, spool).dropped == {"oversize": 1}
