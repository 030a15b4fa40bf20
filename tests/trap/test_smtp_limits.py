"""Limits as clients meet them: what they hear, that they are put out, and under which name it is counted."""

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
from sinkkit import Inside, run, settings, sink, until

from trap import connection

BEGIN = [b"HELO x", b"MAIL FROM:<a@x>", b"RCPT TO:<b@y>", b"DATA"]


class Client:
    """Says lines, reads replies."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def hear(self) -> str:
        """One line; empty when it is over."""
        try:
            return (await asyncio.wait_for(self.reader.readline(), 10)).decode().rstrip()
        except ConnectionError:
            return ""

    async def say(self, *lines: bytes) -> str:
        """The answer to the last of some lines, each said when the one before was answered."""
        heard = ""
        for line in lines:
            self.writer.write(line + b"\r\n")
            heard = await self.hear()
        return heard

    async def put_out(self) -> str:
        """The last words before the end."""
        said = ""
        while heard := await self.hear():
            said = heard
        return said


@asynccontextmanager
async def client(inside: Inside, address: str = "127.0.0.1"):
    reader, writer = await asyncio.open_connection("127.0.0.1", inside.port, local_addr=(address, 0))
    yield Client(reader, writer)
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def come(stack: AsyncExitStack, inside: Inside, address: str = "127.0.0.1") -> str:
    """One more client comes, and stays; what it hears."""
    return await (await stack.enter_async_context(client(inside, address))).hear()


@pytest.mark.parametrize(
    ("limit", "inside_it", "beyond", "elsewhere", "cause"),
    [
        ("connections: 3", ["127.0.0.1", "127.0.1.1", "127.1.1.1"], "127.2.2.2", "", "connections"),
        ("per_address: 2", ["127.0.0.1", "127.0.0.1"], "127.0.0.1", "127.0.0.2", "address"),
        ("per_network: 2", ["127.0.0.1", "127.0.0.2"], "127.0.0.3", "127.0.1.1", "network"),
        ("connection_rate: 2", ["127.0.0.1", "127.0.0.1"], "127.0.0.1", "127.0.0.2", "connection_rate"),
    ],
)
def test_who_is_too_many_hears_so_and_may_come_again(limit, inside_it, beyond, elsewhere, cause):
    async def test() -> None:
        async with sink(settings(f"limits: {{{limit}}}")) as inside:
            async with AsyncExitStack() as stack:
                for address in inside_it:
                    assert (await come(stack, inside, address)).startswith("220")
                for _ in range(3):
                    async with client(inside, beyond) as refused:
                        assert (await refused.hear()).startswith("421 4.3.2")
                        assert await refused.hear() == ""
                if elsewhere:
                    assert (await come(stack, inside, elsewhere)).startswith("220")
                assert inside.door.gate.refused == {cause: 3}
                assert inside.door.gate.open == len(inside_it) + bool(elsewhere)
            await until(lambda: not inside.door.wires)
            assert inside.door.gate.open == 0
            if cause != "connection_rate":  # what is gone makes room
                async with client(inside, beyond) as again:
                    assert (await again.hear()).startswith("220")

    run(test())


def test_messages_have_a_rate_and_an_address_that_sends_more_is_put_out():
    async def test() -> None:
        async with sink(settings("limits: {message_rate: 2}")) as inside:
            for sent in range(3):
                async with client(inside) as one:
                    await one.hear()
                    assert (await one.say(b"DATA")).startswith("503")  # which is no message
                    answer = await one.say(*BEGIN)
                    assert answer.startswith("354" if sent < 2 else "421 4.7.0"), answer
                    if sent == 2:
                        assert await one.hear() == ""
                    else:
                        assert (await one.say(b".")).startswith("250")
            async with client(inside, "127.0.0.2") as other:
                await other.hear()
                assert (await other.say(*BEGIN)).startswith("354")
            assert len(inside.spool.stored) == 2
            assert inside.door.gate.refused == {"message_rate": 1, "rate": 1, "order": 3}

    run(test())


@pytest.mark.parametrize(
    ("text", "lines", "last", "cause"),
    [
        ("limits: {errors: 3}", [b"RCPT TO:<a@y>"] * 9, "421 4.7.0", "errors"),
        ("limits: {errors: 3}", [b"XYZZY"] * 9, "421 4.7.0", "errors"),
        ("limits: {junk: 3}", [b"NOOP"] * 9, "421 4.7.0", "errors"),
        ("limits: {commands: 4}", [b"HELO x", b"MAIL FROM:<a@x>"] * 9, "421 4.7.0", "commands"),
        ("smtp: {timeout: 200ms}", [b"HELO x"], "421 4.4.2", "timeout"),
        ("smtp: {timeout: 200ms}", [], "421 4.4.2", "timeout"),
        ("smtp: {timeout: 200ms}", BEGIN, "421 4.4.2", "timeout"),
        ("limits: {duration: 200ms}", [b"HELO x"], "421 4.4.2", "duration"),
    ],
)
def test_a_session_that_comes_to_nothing_is_ended(text, lines, last, cause):
    async def test() -> None:
        async with sink(settings(text)) as inside:
            async with client(inside) as one:
                one.writer.write(b"".join(line + b"\r\n" for line in lines))
                assert (await one.put_out()).startswith(last)
                await until(lambda: not inside.door.wires)
            assert inside.door.gate.refused[cause] == 1
            assert inside.door.gate.open == 0

    run(test())


@pytest.mark.parametrize(
    ("text", "begin", "drip"),
    [
        ("limits: {deadline: 200ms}", [], b"N"),
        ("limits: {deadline: 200ms}", [b"AUTH LOGIN"], b"N"),
        ("limits: {min_rate: 1MB}", BEGIN, b"x\r\n"),
        ("limits: {min_rate: 1MB}", [*BEGIN[:3], b"BDAT 1000000"], b"x"),
    ],
)
def test_a_slow_one_is_put_out_however_regularly_it_drips(monkeypatch, text, begin, drip):
    """Slowloris: a byte now and then is no reason to wait for ever."""
    monkeypatch.setattr(connection, "GRACE", 0.2)

    async def test() -> None:
        async with sink(settings(text)) as inside:
            async with client(inside) as one:
                await one.hear()
                for line in begin:
                    one.writer.write(line + b"\r\n")
                    if not line.startswith(b"BDAT"):
                        assert (await one.hear())[0] in "23"

                async def dripping() -> None:
                    while True:
                        one.writer.write(drip)
                        await asyncio.sleep(0.01)

                drips = asyncio.ensure_future(dripping())
                assert (await one.put_out()).startswith("421 4.4.2")
                drips.cancel()
                await until(lambda: not inside.door.wires)
            assert inside.door.gate.refused == {"slow": 1}
            assert inside.intake.memory.held == 0

    run(test())


def test_a_message_in_good_time_is_none_of_these(monkeypatch):
    monkeypatch.setattr(connection, "GRACE", 0.1)

    async def test() -> None:
        async with (
            sink(settings("limits: {min_rate: 100, deadline: 200ms}")) as inside,
            client(inside) as one,
        ):
            await one.hear()
            assert (await one.say(*BEGIN)).startswith("354")
            for _ in range(30):
                one.writer.write(b"x" * 100 + b"\r\n")
                await asyncio.sleep(0.02)
            assert (await one.say(b".")).startswith("250")
            assert not inside.door.gate.refused

    run(test())


def test_under_stress_sessions_that_last_are_held_to_the_limits_of_the_day():
    text = """
    limits: {connections: 10}
    stress:
      yellow: {connections: 40%}
      red: {connections: 50%, lag: 1h, spool: 100%, timeout: 200ms, hint: busy}
    """

    async def test() -> None:
        async with sink(settings(text)) as inside:
            async with AsyncExitStack() as stack:
                waiting = [await stack.enter_async_context(client(inside)) for _ in range(6)]
                assert (await waiting[0].hear()).endswith("ESMTP")
                await until(lambda: inside.door.stress.policy.level == "red")
                for one in waiting:
                    assert (await one.put_out()).startswith("521 5.4.2")
            async with client(inside) as late:
                assert (await late.hear()).endswith("busy")
            assert inside.door.gate.refused["timeout"] >= 6

    run(test())


def test_what_comes_before_a_late_banner_stays_with_the_kernel():
    async def test() -> None:
        async with sink(settings("smtp: {banner_delay: 400ms}")) as inside:
            reader, writer = await asyncio.open_connection("127.0.0.1", inside.port)
            await until(lambda: inside.door.wires)
            await asyncio.sleep(0.05)
            writer.write(b"NOOP\r\n" * 10)
            await asyncio.sleep(0.05)
            (wire,) = inside.door.wires
            assert (wire._ahead, inside.intake.memory.held) == (b"", 0)
            assert (await asyncio.wait_for(reader.readline(), 10)).startswith(b"220")
            for _ in range(10):
                assert (await asyncio.wait_for(reader.readline(), 10)).startswith(b"250")
            assert wire.session.dialect["pregreet"] is True
            writer.close()

    run(test())


def test_what_waits_for_who_does_not_read_is_counted_and_let_go():
    async def test() -> None:
        async with sink(settings("limits: {commands: 0, junk: 0}")) as inside:
            _, writer = await asyncio.open_connection("127.0.0.1", inside.port)
            writer.transport.pause_reading()
            while inside.intake.memory.held < 1 << 16:
                writer.write(b"EHLO x\r\n" * 10_000)
                await asyncio.sleep(0.01)
            writer.transport.abort()
            await until(lambda: inside.intake.memory.held == 0)

    run(test())


def test_when_memory_is_short_who_makes_others_wait_is_put_out():
    async def test() -> None:
        async with sink(settings("limits: {memory: 70kB, commands: 0, junk: 0}")) as inside:
            _, writer = await asyncio.open_connection("127.0.0.1", inside.port)
            writer.transport.pause_reading()
            with suppress(ConnectionError):
                while not inside.door.gate.refused["busy"]:
                    writer.write(b"EHLO x\r\n" * 10_000)
                    await asyncio.sleep(0.01)
            writer.transport.abort()
            await until(lambda: not inside.door.wires)
            assert inside.intake.memory.held == 0

    run(test())


def test_a_balancer_says_its_header_in_time():
    async def test() -> None:
        async with sink(settings("limits: {deadline: 200ms}"), balancers=["127.0.0.1/32"]) as inside:
            reader, writer = await asyncio.open_connection("127.0.0.1", inside.port)
            writer.write(b"PROXY TCP4 1")
            assert await asyncio.wait_for(reader.read(), 10) == b""
            assert inside.door.gate.refused["proxy"] == 1
            writer.close()

    run(test())
