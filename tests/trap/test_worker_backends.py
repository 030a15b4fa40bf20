"""A worker whose stage asks other programs: while they are away jobs pass or wait at once, uncharged."""

import asyncio
import errno
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from echokit import DIALECT, Echo, Server, never, reset, well
from support import eventually

import trap.backendserver
import trap.worker
from trap import backendstate, fsio
from trap.audit import audit
from trap.backend import Backends
from trap.backendstate import AWAY, UP
from trap.config import Config, Duration, Stage
from trap.configfile import ConfigError
from trap.envelope import Envelope
from trap.job import Job
from trap.ledger import events
from trap.plugin import build
from trap.queue import Spool
from trap.stage import Pass, Sample, Unavailable, Verdict
from trap.worker import Worker

pytestmark = [pytest.mark.timeout(60, method="thread"), pytest.mark.usefixtures("files_are_closed")]


class Asking:
    """A stage that has every message said back to it."""

    def __init__(self, where: str, when_unavailable: str = "pass", limit: float = 0.3) -> None:
        self.when_unavailable = when_unavailable
        self.backends: Backends[Echo] = Backends(DIALECT, where, limit)

    async def process(self, job: Job) -> Verdict:
        return Pass({"said": await self.backends.ask(lambda echo: echo.say(job.message.decode()), job.id)})


class Keeping(Asking):
    """A stage that asks for itself, when it likes to."""

    keeps = True

    async def process(self, job: Job) -> Verdict:
        with suppress(Unavailable):
            await self.backends.ask(lambda echo: echo.say("there?"))
        return Pass({"kept": True})


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trap.worker, "TICK", 0.02)
    monkeypatch.setattr(trap.backendserver, "PROBE_PAUSE", 0.05)


@contextmanager
def serving(path: Path) -> Iterator[Callable[[Callable[[Server], Awaitable[None] | None]], None]]:
    """A server in a thread of its own; what is yielded does things to it there."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = Server(str(path))

    async def act(what: Callable[[Server], Awaitable[None] | None]) -> None:
        if done := what(server):
            await done

    def there(what: Callable[[Server], Awaitable[None] | None]) -> None:
        asyncio.run_coroutine_threadsafe(act(what), loop).result(10)

    there(Server.start)
    try:
        yield there
    finally:
        there(Server.stop)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextmanager
def working(config: Config, spool: Spool, stage: Any) -> Iterator[Worker]:
    worker = Worker(config, "first", spool, stage)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield worker
    finally:
        worker.stop()
        thread.join(20)
        assert not thread.is_alive()


def manner(how: Any) -> Callable[[Server], None]:
    return lambda server: setattr(server, "manner", how)


def put(spool: Spool, number: int, word: str = "mail") -> list[str]:
    return [spool.put("first", Envelope(), f"{word}{index}".encode()) for index in range(number)]


def notes(spool: Spool) -> list[dict[str, Any]]:
    """What the stage noted of the jobs that are in the next queue, oldest first."""
    with spool["second"].consumer() as consumer:
        return [claim.job().notes["first"] for claim in iter(consumer.claim, None)]


def charged(config: Config) -> list[str]:
    log = events(config.paths.maillog / "mail.log")
    return [event.id for event in log if event.e in ("requeued", "bad")]


def waits(spool: Spool, queue: str, number: int) -> None:
    eventually(lambda: len(spool[queue].ids()) == number, what=f"{number} jobs in {queue}")


def test_jobs_pass_at_once_while_nobody_can_be_asked(config: Config, spool: Spool, tmp_path: Path) -> None:
    with serving(tmp_path / "echo") as there, working(config, spool, Asking(f"{tmp_path}/echo")):
        put(spool, 3)
        waits(spool, "second", 3)
        there(manner(never))
        put(spool, 50, "lost")
        waits(spool, "second", 53)
        eventually(lambda: backendstate.read(config).backends[0].state == AWAY)
        seen = backendstate.read(config)
        assert (seen.backends[0].stage, seen.backends[0].backend) == ("first", "echod")
        assert "no answer" in seen.backends[0].cause
        there(Server.stop)
        there(manner(well))
        there(Server.start)
        eventually(lambda: backendstate.read(config).backends[0].state == UP)
        put(spool, 3, "late")
        waits(spool, "second", 56)
        eventually(lambda: backendstate.read(config).unjudged == {"first": 50})
    found = notes(spool)
    assert [note["said"] for note in found[:3]] == ["you said mail0", "you said mail1", "you said mail2"]
    assert all(note["unjudged"].startswith(f"echod at {tmp_path}/echo: no answer") for note in found[3:53])
    assert [note["said"] for note in found[53:]] == ["you said late0", "you said late1", "you said late2"]
    assert audit(config, spool).balanced
    assert not [
        event for event in events(config.paths.maillog / "mail.log") if event.e in ("requeued", "bad")
    ]
    assert backendstate.read(config).backends == [], "who is gone tells nothing"


def test_jobs_wait_uncharged_while_nobody_can_be_asked(config: Config, spool: Spool, tmp_path: Path) -> None:
    with serving(tmp_path / "echo") as there:
        there(manner(reset))
        with working(config, spool, Asking(f"{tmp_path}/echo", "wait")):
            put(spool, 30)
            eventually(lambda: [s for s in backendstate.read(config).backends if s.state == AWAY])
            waits(spool, "second", 0)
            there(manner(well))
            waits(spool, "second", 30)
    assert all("said" in note for note in notes(spool))
    assert not [
        event for event in events(config.paths.maillog / "mail.log") if event.e in ("requeued", "bad")
    ]


def test_a_stage_that_keeps_what_it_asks_takes_jobs_in_all_the_while(
    config: Config, spool: Spool, tmp_path: Path
) -> None:
    stage = Keeping(f"{tmp_path}/nobody")
    with working(config, spool, stage):
        put(spool, 30)
        waits(spool, "second", 30)
        eventually(lambda: [s for s in backendstate.read(config).backends if s.state == AWAY])
        put(spool, 30)
        waits(spool, "second", 60)
    assert charged(config) == []


def test_workers_of_one_stage_are_counted_together(config: Config, spool: Spool, tmp_path: Path) -> None:
    with serving(tmp_path / "echo"):
        stages = Asking(f"{tmp_path}/echo"), Asking(f"{tmp_path}/echo")
        with working(config, spool, stages[0]), working(config, spool, stages[1]):
            put(spool, 40)
            waits(spool, "second", 40)
            eventually(lambda: sum(state.asked for state in backendstate.read(config).backends) == 40)
            assert len(backendstate.read(config).backends) == 1


def test_the_order_is_the_pipelines_and_what_was_never_needed_is_not_called_up(config: Config) -> None:
    tellers = [backendstate.Teller(config, stage) for stage in ("second", "gone", "first")]
    for teller in tellers:
        spare = backendstate.BackendState("echod", "/spare")
        teller.tell([backendstate.BackendState("echod", "/x", asked=1), spare], 0)
    states = backendstate.read(config).backends
    assert [(state.stage, state.word) for state in states] == [
        (stage, word) for stage in ("first", "second", "gone") for word in ("up", "not asked")
    ]
    for teller in tellers:
        teller.close()


def test_news_that_found_no_room_are_told_again(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    teller = backendstate.Teller(config, "first")
    away = backendstate.BackendState("echod", "/x", state=AWAY)
    with monkeypatch.context() as patch:
        patch.setattr(fsio, "rename", full)
        teller.tell([away], 0)
    assert backendstate.read(config).backends == []
    teller.tell([away], 0)  # though nothing has changed since
    assert [state.state for state in backendstate.read(config).backends] == [AWAY]
    teller.close()


def test_a_backend_must_be_given_up_before_its_job_is(config: Config) -> None:
    stage = Stage(use=f"{__name__}:Asking", deadline=Duration("10s"), settings={"where": "/x", "limit": 10.0})
    with pytest.raises(ConfigError, match=r"stages\.first\.timeout: 10 s is not below the stage's deadline"):
        build(msgspec.structs.replace(config, stages={"first": stage}), "first")


def test_who_can_do_one_at_a_time_is_asked_about_few(config: Config, spool: Spool, tmp_path: Path) -> None:
    """Twenty in flight would all but five come too late here."""
    busy = asyncio.Semaphore(1)

    async def one_at_a_time(line: str, writer: asyncio.StreamWriter) -> None:
        async with busy:
            await asyncio.sleep(0.1)
        await well(line, writer)

    with serving(tmp_path / "echo") as there:
        there(manner(one_at_a_time))
        put(spool, 30)
        with working(config, spool, Asking(f"{tmp_path}/echo", limit=1.0)) as worker:
            waits(spool, "second", 30)
            assert worker._backends and worker._backends.states()[0].failed == 0
    assert all("said" in note for note in notes(spool))


class Unwrapping:
    """A stage that hands on what a message holds."""

    async def process(self, job: Job) -> Verdict:
        if job.message.startswith(b"wrapped "):
            sample = Sample(job.message.removeprefix(b"wrapped "), Envelope(client_ip="192.0.2.7"))
            return Pass({"donor": job.envelope.client_ip}, sample=sample)
        return Pass()


def test_a_sample_takes_the_place_of_what_it_was_wrapped_in(config: Config, spool: Spool) -> None:
    wrapped = spool.put("first", Envelope(client_ip="198.51.100.9"), b"wrapped spam")
    plain = spool.put("first", Envelope(client_ip="198.51.100.9"), b"spam")
    with working(config, spool, Unwrapping()):
        waits(spool, "second", 2)
    with spool["second"].consumer() as consumer:
        jobs = {claim.id: claim.job() for claim in iter(consumer.claim, None)}
    assert jobs[wrapped].message == jobs[plain].message == b"spam"
    assert jobs[wrapped].envelope.client_ip == "192.0.2.7"
    assert jobs[wrapped].notes == {"first": {"donor": "198.51.100.9"}}
    assert jobs[plain].envelope.client_ip == "198.51.100.9"
    assert audit(config, spool).balanced
