"""backend: asked of small servers that misbehave on purpose, over real sockets."""

import asyncio
import re
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from echokit import (
    DIALECT,
    Echo,
    Manner,
    Server,
    garbage,
    half,
    late,
    never,
    only_mail_breaks,
    probe,
    reset,
    well,
)
from support import free_port

import trap.backendserver
from trap.backend import MAX_BLAMED, PATIENCE, Backends, Blame, Dialect, Unscannable
from trap.backendserver import FAILURES, MAX_IDLE
from trap.backendstate import AWAY, UP
from trap.stage import Unavailable

SLACK = 3.0
"""Seconds that a busy machine may add to a deadline."""


@pytest.fixture
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Server]:
    unix = getattr(request, "param", "tcp") == "unix"
    made = Server(f"{tmp_path}/echo" if unix else f"127.0.0.1:{free_port()}")
    await made.start()
    yield made
    await made.stop()


@asynccontextmanager
async def spare() -> AsyncIterator[Server]:
    made = Server(f"127.0.0.1:{free_port()}")
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


@asynccontextmanager
async def asking(*servers: Server | str, limit: float = 1.0) -> AsyncIterator[Backends[Echo]]:
    where = [server if isinstance(server, str) else server.where for server in servers]
    backends = Backends(DIALECT, where, limit)
    try:
        yield backends
    finally:
        backends.close()


async def say(backends: Backends[Echo], word: str = "mail", key: str = "") -> str:
    return await backends.ask(lambda session: session.say(word), key)


async def breaks(backends: Backends[Echo]) -> None:
    """As many conversations as send a server away are tried, and each breaks."""
    for _ in range(FAILURES):
        with pytest.raises(Unavailable):
            await say(backends)


async def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for knows of no event
            await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trap.backendserver, "PROBE_PAUSE", 0.1)


both = pytest.mark.parametrize("server", ["tcp", "unix"], indirect=True)

# When all is well


@both
async def test_a_connection_serves_one_question_after_the_other(server: Server) -> None:
    async with asking(server) as backends:
        assert [await say(backends, word) for word in ("one", "two")] == ["you said one", "you said two"]
        assert server.connections == 1
        (state,) = backends.states()
        assert (state.state, state.asked, state.failed) == (UP, 2, 0)


async def test_questions_at_once_have_a_connection_each(server: Server) -> None:
    async with asking(server) as backends:
        await asyncio.gather(*(say(backends, str(n)) for n in range(5)))
        assert server.connections == 5
        await asyncio.gather(*(say(backends, str(n)) for n in range(5)))
        assert server.connections == 5


@both
async def test_a_connection_that_was_closed_meanwhile_is_nobodys_failure(server: Server) -> None:
    async with asking(server) as backends:
        await say(backends)
        await server.stop()
        server._server = None
        await server.start()
        assert await say(backends) == "you said mail"
        assert backends.states()[0].failed == 0


async def test_a_connection_is_not_kept_for_ever(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trap.backendserver, "IDLE", -1.0)
    async with asking(server) as backends:
        await say(backends)
        await say(backends)
        assert server.connections == 2


async def test_a_connection_that_nobody_needs_is_closed(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trap.backendserver, "IDLE", 0.1)
    async with asking(server) as backends:
        await asyncio.gather(*(say(backends) for _ in range(3)))
        await until(lambda: not server._talks)  # though nothing is asked any more
        await say(backends)
        await until(lambda: not server._talks)
        assert server.connections == 4


async def test_only_so_many_connections_are_kept(server: Server) -> None:
    async with asking(server) as backends:
        await asyncio.gather(*(say(backends) for _ in range(3 * MAX_IDLE)))
        await until(lambda: len(server._talks) == MAX_IDLE)


# Whatever the other side does, a question is over in time


@both
@pytest.mark.parametrize("manner", [never, half, late, garbage, reset])
async def test_a_question_ends_in_time_and_three_in_a_row_send_it_away(
    server: Server, manner: Manner
) -> None:
    server.manner = manner
    async with asking(server, limit=0.15) as backends:
        for number in range(FAILURES):
            assert backends.away == ""
            begun = time.monotonic()
            with pytest.raises(Unavailable, match=r"^echod at "):
                await say(backends)
            assert time.monotonic() - begun < 0.15 + SLACK
            assert backends.states()[0].failed == number + 1
        assert backends.away
        state = backends.states()[0]
        assert (state.state, state.opened) == (AWAY, 1)
        heard = len(server.heard)
        with pytest.raises(Unavailable):
            await say(backends)
        assert server.heard[heard:].count("mail") == 0, "mail was used to find out"
        server.manner = well
        await until(lambda: not backends.away)
        assert await say(backends) == "you said mail"


async def test_nobody_there_is_known_at_once(tmp_path: Path) -> None:
    async with asking(f"{tmp_path}/nobody", limit=30) as backends:
        with pytest.raises(Unavailable, match="nobody: no such file or directory"):
            await say(backends)
        assert "no such file" in backends.away
        server = Server(f"{tmp_path}/nobody")
        await server.start()
        await until(lambda: not backends.away)
        assert await say(backends)
        await server.stop()


async def test_a_full_queue_of_connections_is_waited_for_not_longer_than_the_rest(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(f"{tmp_path}/full")
        listener.listen(0)
        first.connect(f"{tmp_path}/full")
        async with asking(f"{tmp_path}/full", limit=0.3) as backends:
            with pytest.raises(Unavailable, match=r"no answer within 0\.\d s"):
                await say(backends)


async def test_how_long_it_was_away_does_not_depend_on_the_clock_on_the_wall(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with asking(server) as backends:
        server.manner = reset
        await breaks(backends)
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now - 3600)
        server.manner = well
        await until(lambda: not backends.away)
    assert re.search(r"answers again after \d+\.\d s", caplog.text)


async def test_a_server_that_was_back_too_early_is_sent_away_by_one_failure(server: Server) -> None:
    server.manner = only_mail_breaks
    async with asking(server) as backends:
        await breaks(backends)
        await until(lambda: not backends.away)
        with pytest.raises(Unavailable):
            await say(backends)
        assert backends.away
        assert backends.states()[0].opened == 2


async def test_there_is_one_probe_at_a_time_however_many_ask(server: Server) -> None:
    server.manner = never
    async with asking(server, limit=0.2) as backends:
        await asyncio.gather(*(say(backends) for _ in range(20)), return_exceptions=True)
        heard = len(server.heard)
        await asyncio.sleep(1.0)
        assert 1 <= server.heard[heard:].count("hello") <= 5
        assert "no answer to a probe within 0.2 s" in backends.away


async def test_an_answer_to_what_was_asked_before_says_nothing_of_now(server: Server) -> None:
    async with asking(server, limit=5.0) as backends:
        server.manner = late
        slow = asyncio.create_task(say(backends, "slow"))
        await until(lambda: "slow" in server.heard)
        server.manner = reset
        await breaks(backends)
        assert backends.away
        assert await slow == "you said slow"
        assert backends.away
        server.manner = well
        await until(lambda: not backends.away)


async def test_a_probe_that_fails_by_a_mistake_of_ours_is_made_again(server: Server) -> None:
    mistakes = iter([ZeroDivisionError(), None])

    async def faulty(session: Echo) -> str:
        if mistake := next(mistakes, None):
            raise mistake
        return await probe(session)

    backends = Backends(Dialect("echod", Echo.open, faulty, ""), server.where, 1.0)
    server.manner = reset
    await breaks(backends)
    server.manner = well
    await until(lambda: not backends.away)
    backends.close()


# Several servers


async def test_the_first_that_is_there_is_asked(server: Server, tmp_path: Path) -> None:
    async with spare() as second, asking(f"{tmp_path}/dead", server, second) as backends:
        assert await say(backends)
        assert await say(backends)
        assert (server.heard.count("mail"), second.heard) == (2, [])
        dead, alive, _ = backends.states()
        assert (dead.state, alive.state) == (AWAY, UP)
        assert dead.asked == 1, "what is away was asked again"
        assert backends.away == ""


async def test_who_hangs_leaves_time_for_the_spare(server: Server) -> None:
    server.manner = never
    async with spare() as second, asking(server, second, limit=1.0) as backends:
        begun = time.monotonic()
        assert await say(backends) == "you said mail"
        assert time.monotonic() - begun < 1.0 + SLACK
        assert second.heard == ["mail"]


async def test_with_all_away_each_says_why(tmp_path: Path) -> None:
    async with asking(f"{tmp_path}/one", f"{tmp_path}/two") as backends:
        with pytest.raises(Unavailable, match="two: no such file"):
            await say(backends)
        assert backends.away.count("no such file or directory") == 2


def test_addresses_are_checked_at_the_start() -> None:
    with pytest.raises(ValueError, match="no address of a echod is given"):
        Backends(DIALECT, [], 1.0)
    with pytest.raises(ValueError, match="'nonsense' is not the address of a server"):
        Backends(DIALECT, "nonsense", 1.0)


# A message that breaks every conversation


async def test_a_message_that_breaks_scanners_is_to_blame(server: Server) -> None:
    async def killer(line: str, writer: asyncio.StreamWriter) -> None:
        await (reset if line == "killer" else well)(line, writer)

    server.manner = killer
    async with asking(server) as backends:
        for _ in range(PATIENCE - 1):
            with pytest.raises(Unavailable):
                await say(backends, "killer", "job 1")
            assert await say(backends, "mail", "job 2")
        with pytest.raises(Unscannable, match=r"3 conversations broke: echod at .*: "):
            await say(backends, "killer", "job 1")


async def test_a_message_that_breaks_all_in_flight_takes_no_other_along(server: Server) -> None:
    there: set[asyncio.StreamWriter] = set()

    async def killer(line: str, writer: asyncio.StreamWriter) -> None:
        there.add(writer)
        await asyncio.sleep(0.02 if line == "killer" else 0.05)
        if line == "killer":
            while there:
                there.pop().transport.abort()
        elif not writer.is_closing():
            await well(line, writer)

    async def asked(word: str) -> str:
        while True:  # as a worker does that lets jobs wait
            await until(lambda: not backends.away)
            with suppress(Unavailable):
                try:
                    return await say(backends, word, word)
                except Unscannable:
                    return "unscannable"

    server.manner = killer
    async with asking(server, limit=5.0) as backends:
        answers = await asyncio.gather(*(asked(word) for word in ("one", "two", "killer", "three", "four")))
    assert answers == ["you said one", "you said two", "unscannable", "you said three", "you said four"]


async def test_a_server_that_answers_nobody_is_no_message_s_fault(server: Server) -> None:
    server.manner = never
    async with asking(server, limit=0.1) as backends:
        for _ in range(PATIENCE * 2):  # there is no other mail
            with pytest.raises(Unavailable):
                await say(backends, "mail", "job 1")
        assert backends.away
        server.manner = well
        await until(lambda: not backends.away)
        assert await say(backends, "mail", "job 1") == "you said mail"


async def test_who_has_to_wait_for_others_that_broke_conversations_is_not_blamed(server: Server) -> None:
    server.manner = never
    async with asking(server, limit=0.5) as backends:
        for key in ("job 1", "job 2"):
            backends._blamed[key] = Blame(PATIENCE - 1, -1)
        first, second = await asyncio.gather(
            say(backends, "one", "job 1"), say(backends, "two", "job 2"), return_exceptions=True
        )
    assert isinstance(first, Unscannable)
    assert isinstance(second, Unavailable) and "are asked about before it" in str(second)
    assert server.heard == ["one"]


async def test_what_was_asked_before_it_came_back_does_not_send_it_away(server: Server) -> None:
    async with asking(server, limit=1.0) as backends:
        server.manner = never
        old = asyncio.create_task(say(backends, "old"))
        await until(lambda: "old" in server.heard)
        server.manner = reset
        await breaks(backends)
        server.manner = well
        await until(lambda: not backends.away)
        with pytest.raises(Unavailable):
            await old
        assert (backends.away, backends.states()[0].opened) == ("", 1)


async def test_an_outage_blames_nobody(tmp_path: Path) -> None:
    async with asking(f"{tmp_path}/nobody") as backends:
        for _ in range(PATIENCE * 2):
            with pytest.raises(Unavailable):
                await say(backends, "mail", "job 1")


async def test_what_is_remembered_of_messages_is_bounded(server: Server) -> None:
    server.manner = only_mail_breaks
    async with asking(server) as backends:
        for number in range(MAX_BLAMED + 10):
            backends._is_to_blame(str(number))
        assert len(backends._blamed) == MAX_BLAMED


# For people


async def test_a_check_says_what_is_there_or_what_to_do(server: Server, tmp_path: Path) -> None:
    async with asking(server, f"{tmp_path}/dead") as backends:
        good, bad = await backends.check()
        assert (good.good, good.text) == (True, "Echo 1.0")
        assert (bad.good, bad.text) == (
            False,
            "no such file or directory; start it: systemctl start echod",
        )
        server.manner = never
        assert (await backends.check(0.1))[0].text.startswith("no answer within 0.1 s; ")


async def test_nothing_is_left_open_or_running(server: Server) -> None:
    async with asking(server) as backends:
        await say(backends)
        server.manner = reset
        for _ in range(FAILURES):
            with suppress(Unavailable):
                await say(backends)
    await asyncio.sleep(0.05)
    mine = asyncio.all_tasks() - {asyncio.current_task()} - server._talks
    assert not [task for task in mine if "_watch" in repr(task)]


async def test_who_is_silent_for_long_is_probed_less_often(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a probe began may be in hand there for as long as the trouble lasts."""
    monkeypatch.setattr(trap.backendserver, "PROBE_PATIENCE", 0.1)
    monkeypatch.setattr(trap.backendserver, "PROBES_ALIKE", 1)
    server.manner = never
    async with asking(server, limit=0.4) as backends:
        await asyncio.gather(*(say(backends) for _ in range(FAILURES)), return_exceptions=True)
        for seconds in (0.1, 0.2, 0.4, 0.4):
            await until(lambda: f"no answer to a probe within {seconds:g} s" in backends.away)  # noqa: B023
        server.manner = well
        await until(lambda: not backends.away)
