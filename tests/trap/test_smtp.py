"""How the sink speaks: the dialogues of tests/dialogs, and what can't be written down as one."""

import asyncio
import contextlib
import errno
import os
import shutil
import smtplib
import threading
from pathlib import Path

import hypothesis
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sinkkit import MemorySpool, play, run, settings, sink, until

from trap import fsio, shortage
from trap.config import Room, SpoolSettings, paths_below
from trap.session import Session
from trap.tls import server_context

DIALOGS = sorted((Path(__file__).parent.parent / "dialogs").glob("*.txt"))


@pytest.mark.parametrize("dialog", DIALOGS, ids=lambda path: path.stem)
def test_dialog(dialog):
    run(play(dialog.read_text()))


class Client:
    """Says lines and reads whole replies."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def at(cls, port: int) -> "Client":
        client = cls(*await asyncio.open_connection("127.0.0.1", port))
        assert (await client.reply()).startswith("220")
        return client

    async def reply(self) -> str:
        line = await asyncio.wait_for(self.reader.readline(), 10)
        return line.decode() if line[3:4] != b"-" else await self.reply()

    async def say(self, text: bytes) -> str:
        self.writer.write(text)
        return await self.reply()

    async def begin(self) -> None:
        """All up to the message."""
        for line in (b"MAIL FROM:<a@x>\r\n", b"RCPT TO:<b@y>\r\n", b"DATA\r\n"):
            assert (await self.say(line))[0] in "23"


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_no_room_is_452_and_the_session_goes_on(caplog):
    async def test():
        spool = MemorySpool()
        async with sink(spool=spool) as inside:
            client = await Client.at(inside.port)
            for _ in range(3):
                spool.fail["first"] = FULL
                await client.begin()
                assert (await client.say(b"x\r\n.\r\n")).startswith("452 4.3.1")
                spool.fail.clear()
                await client.begin()
                assert (await client.say(b"x\r\n.\r\n")).startswith("250")
            assert len(spool.stored) == 3
            assert spool.stored[-1].envelope.errors == ["452 4.3.1 Insufficient system storage"] * 3
            client.writer.close()

    run(test())
    assert [record.message for record in caplog.records] == [f"spool: {FULL}: 1 answered 452"]


def test_smtp_has_one_answer_for_two_queues_and_lmtp_one_a_recipient():
    config = settings('route: [{rcpt: "o@*", to: other}]')

    async def answers(lmtp: bool) -> list[str]:
        spool = MemorySpool()
        spool.fail["other"] = FULL
        async with sink(config, spool=spool, lmtp=lmtp) as inside:
            client = await Client.at(inside.port)
            await client.say(b"MAIL FROM:<a@x>\r\n")
            await client.say(b"RCPT TO:<a@x>\r\n")
            await client.say(b"RCPT TO:<o@x>\r\n")
            await client.say(b"DATA\r\n")
            client.writer.write(b"x\r\n.\r\nNOOP\r\n")
            client.writer.write_eof()
            said = (await client.reader.read()).decode().splitlines()
            client.writer.close()
            return [line[:9] for line in said]

    async def test():
        assert await answers(lmtp=False) == ["452 4.3.1", "250 2.0.0"]
        assert await answers(lmtp=True) == ["250 2.0.0", "452 4.3.1", "250 2.0.0"]

    run(test())


def test_below_the_reserve_no_message_is_begun(monkeypatch):
    left = {"bytes": 100, "inodes": 100}
    monkeypatch.setattr(fsio, "space", lambda _: fsio.Space(1000, left["bytes"], 1000, left["inodes"]))
    monkeypatch.setattr(shortage, "_LOOK_EVERY", 0.0)
    config = msgspec.structs.replace(settings(), spool=SpoolSettings(reserve=Room("10%")))

    async def test():
        async with sink(config) as inside:
            client = await Client.at(inside.port)
            await client.begin()
            assert (await client.say(b"x\r\n.\r\n")).startswith("250")
            for short in ("bytes", "inodes"):
                left.update(bytes=100, inodes=100)
                left[short] = 99
                await client.say(b"MAIL FROM:<a@x>\r\n")
                await client.say(b"RCPT TO:<b@y>\r\n")
                assert (await client.say(b"DATA\r\n")).startswith("452 4.3.1")
                assert (await client.say(b"BDAT 5 LAST\r\nNOOP\n")).startswith("452 4.3.1")
            client.writer.close()

    run(test())


def test_a_spool_that_is_gone_is_452(tmp_path, caplog):
    (tmp_path / "gone/first/new").mkdir(parents=True)

    async def test():
        async with sink(spool=MemorySpool(tmp_path / "gone")) as inside:
            shutil.rmtree(tmp_path / "gone")
            client = await Client.at(inside.port)
            await client.say(b"MAIL FROM:<a@x>\r\n")
            await client.say(b"RCPT TO:<b@y>\r\n")
            assert (await client.say(b"DATA\r\n")).startswith("452 4.3.1")
            client.writer.close()

    run(test())
    assert "No such file or directory" in caplog.text


def test_a_line_may_be_long_but_not_endless():
    async def test():
        async with sink() as inside:
            client = await Client.at(inside.port)
            assert (await client.say(b"MAIL FROM:<" + b"a" * 8000 + b"@x>\r\n")).startswith("250")
            assert (await client.say(b"NOOP " + b"a" * 12_288 + b"\r\n")).startswith(
                "500 5.5.2 Line too long"
            )
            assert (await client.say(b"NOOP " + b"a" * 1_000_000 + b"\r\n")).startswith("500 5.5.2 Line")
            assert (await client.say(b"NOOP\r\n")).startswith("250")
            client.writer.close()

    run(test())


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_message_in_small_pieces_is_the_same(size):
    message = bytes(range(256)) * 3 + b"\r\n..\r\n.\n\r\n"
    wire = message.replace(b"\r\n.", b"\r\n..") + b".\r\n"

    async def test():
        async with sink() as inside:
            client = await Client.at(inside.port)
            await client.begin()
            for at in range(0, len(wire), size):
                client.writer.write(wire[at : at + size])
                await asyncio.sleep(0)
            assert (await client.reply()).startswith("250")
            assert inside.spool.stored[0].message == message
            client.writer.close()

    run(test())


def test_with_fsync_other_sessions_are_served_while_one_waits_for_the_disk():
    slow, go_on = threading.Event(), threading.Event()

    class Disk(MemorySpool):
        def put(self, *args):
            slow.set()
            assert go_on.wait(10)
            return super().put(*args)

    async def test():
        spool = Disk()
        spool.sync = True
        async with sink(spool=spool) as inside:
            one, other = await Client.at(inside.port), await Client.at(inside.port)
            await one.begin()
            one.writer.write(b"x\r\n.\r\n")
            await until(slow.is_set)
            assert (await other.say(b"NOOP\r\n")).startswith("250")
            assert not spool.stored
            go_on.set()
            assert (await one.reply()).startswith("250")
            assert len(spool.stored) == 1
            one.writer.close()
            other.writer.close()

    run(test())


def test_at_a_stop_idle_clients_hear_421_and_a_message_is_finished_first():
    async def test():
        async with sink() as inside:
            idle, busy, chunked = [await Client.at(inside.port) for _ in range(3)]
            await busy.begin()
            await chunked.say(b"MAIL FROM:<a@x>\r\n")
            await chunked.say(b"RCPT TO:<b@y>\r\n")
            assert (await chunked.say(b"BDAT 1\r\nx")).startswith("250")
            for wire in tuple(inside.door.wires):
                wire.stop()
            assert (await idle.reply()).startswith("421 4.3.2")
            assert await idle.reader.read() == b""
            assert (await busy.say(b"x\r\n.\r\n")).startswith("250")
            assert (await busy.reply()).startswith("421 4.3.2")
            assert (await chunked.say(b"BDAT 1 LAST\r\ny")).startswith("250")
            assert (await chunked.reply()).startswith("421 4.3.2")
            assert sorted(stored.message for stored in inside.spool.stored) == [b"x\r\n", b"xy"]
            for client in (idle, busy, chunked):
                client.writer.close()

    run(test())


def test_chunks_of_a_client_that_is_gone_are_let_go_at_once():
    """A connection is a web of references: what hangs in it waits for the garbage collector."""

    async def test():
        async with sink() as inside:
            client = await Client.at(inside.port)
            await client.say(b"MAIL FROM:<a@x>\r\n")
            await client.say(b"RCPT TO:<b@y>\r\n")
            assert (await client.say(b"BDAT 5\r\nhello")).startswith("250")
            (wire,) = inside.door.wires
            assert inside.intake.memory.held == 5
            client.writer.transport.abort()
            await asyncio.wait_for(until(lambda: inside.intake.memory.held == 0), 10)
            assert wire._transfer is None

    run(test())


def test_a_mistake_of_ours_ends_one_session_and_is_told(monkeypatch, caplog):
    monkeypatch.setattr(Session, "rcpt", lambda self, argument: 1 / 0)

    async def test():
        async with sink() as inside:
            client = await Client.at(inside.port)
            await client.say(b"MAIL FROM:<a@x>\r\n")
            assert (await client.say(b"RCPT TO:<b@y>\r\n")).startswith("421 4.3.0")
            assert await client.reader.read() == b""
            client.writer.close()
            other = await Client.at(inside.port)
            assert (await other.say(b"NOOP\r\n")).startswith("250")
            other.writer.close()

    run(test())
    assert "ZeroDivisionError" in caplog.text


def test_a_client_that_reads_nothing_is_got_rid_of():
    async def test():
        async with sink(settings("smtp: {timeout: 300ms}")) as inside:
            client = await Client.at(inside.port)
            client.reader._transport.pause_reading()  # type: ignore[attr-defined]
            with contextlib.suppress(ConnectionError, TimeoutError):
                for _ in range(2000):
                    client.writer.write(b"HELP\r\n" * 1000)
                    await asyncio.wait_for(client.writer.drain(), 1)
            await until(lambda: not inside.door.wires)
            client.writer.transport.abort()

    run(test())


def test_smtplib():
    """DATA by an ordinary client: what was on the wire is what is stored."""

    def send(port: int) -> None:
        with smtplib.SMTP("127.0.0.1", port) as client:
            client.sendmail("a@x", ["b@y", "c@y"], "Subject: x\n\n.dot\nend")
            client.sendmail("a@x", "b@y", b"Subject: x\r\n\r\n\xff\0.\r\n")
            client.sendmail("a@x", "b@y", b"Subject: x\n\nonly LF\n")

    async def test():
        async with sink() as inside:
            await asyncio.to_thread(send, inside.port)
            assert [stored.message for stored in inside.spool.stored] == [
                b"Subject: x\r\n\r\n.dot\r\nend\r\n",
                b"Subject: x\r\n\r\n\xff\0.\r\n",
                b"Subject: x\n\nonly LF\n\r\n",
            ]

    run(test())


SCRAPS = [
    *(
        b"EHLO x\r\n",
        b"HELO\n",
        b"LHLO x\r\n",
        b"MAIL FROM:<a@x>\r\n",
        b"MAIL FROM:<\xff\0\r\n",
        b"mail\tfrom a\n",
    ),
    *(
        b"RCPT TO:<b@y>\r\n",
        b"RCPT TO:b@y\n",
        b"DATA\r\n",
        b"DATA\n",
        b"\r\n.\r\n",
        b"\n.\n",
        b".\r",
        b"\n",
        b"\r",
    ),
    *(
        b"BDAT 3\r\nabc",
        b"BDAT 2 LAST\r\nab",
        b"BDAT 9999999999999999\r\n",
        b"BDAT\r\n",
        b"RSET\r\n",
        b"QUIT\r\n",
    ),
    *(
        b"STARTTLS\r\n",
        b"AUTH LOGIN\r\n",
        b"\0",
        b"text",
        b"x" * 9000,
        b"\x16\x03\x01\x02\0\x01\0",
        b"HELP\r\n",
    ),
]


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    base = tmp_path_factory.mktemp("tls")
    return server_context(msgspec.structs.replace(settings(), paths=paths_below(base)))


@hypothesis.settings(deadline=None, max_examples=150)
@given(said=st.lists(st.sampled_from(SCRAPS), max_size=40), lmtp=st.booleans(), drip=st.booleans())
def test_whatever_is_said_the_sink_answers_and_lives(tls, said, lmtp, drip):
    async def test():
        async with sink(lmtp=lmtp, tls=tls) as inside:
            errors: list[object] = []
            asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
            reader, writer = await asyncio.open_connection("127.0.0.1", inside.port)
            with contextlib.suppress(ConnectionError, RuntimeError):  # it may hang up before the end
                for scrap in said:
                    writer.write(scrap)
                    await asyncio.sleep(0.001 if drip else 0)
                writer.write_eof()
                heard = await asyncio.wait_for(reader.read(), 10)
                assert heard.startswith(b"220 ")
                assert b"Internal error" not in heard
            writer.close()
            await until(lambda: not inside.door.wires)
            assert not errors

    run(test())
