"""Dialects through a real socket: look-alikes of an end of data, lines without end, one message each."""

import asyncio
import json
import re
import socket
import ssl
import threading
from pathlib import Path

import msgspec
import pytest
from sinkkit import Inside, MemorySpool, Stored, run, settings, sink, until

from trap.config import paths_below
from trap.tls import server_context

CRLF, LF = b"\r\n", b"\n"
SMUGGLED = b"MAIL FROM:<smuggled@x>", b"RCPT TO:<victim@y>", b"DATA", b"smuggled"


def look_alikes(corpus: Path) -> list[bytes]:
    vectors = json.loads((corpus / "protocol/eod_vectors.json").read_text())["vectors"]
    assert len(vectors) == 14
    return [bytes.fromhex(vector["hex"]) for vector in vectors]


async def deliver(inside: Inside, end: bytes, message: bytes, *, pieces: bool = False) -> list[Stored]:
    """Say one transaction with lines that end so, then the message, and all that was stored."""
    before = len(inside.spool.stored)
    reader, writer = await asyncio.open_connection("127.0.0.1", inside.port)
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    begin = end.join([b"HELO x", b"MAIL FROM:<a@x>", b"RCPT TO:<b@y>", b"DATA", b""])
    writer.write(begin)
    for code in (b"220", b"250", b"250", b"250", b"354"):
        assert (await asyncio.wait_for(reader.readline(), 10)).startswith(code)
    for piece in [message[at : at + 1] for at in range(len(message))] if pieces else [message]:
        writer.write(piece)
        await asyncio.sleep(0)
    writer.write_eof()
    await asyncio.wait_for(reader.read(), 10)
    writer.close()
    await until(lambda: not inside.door.wires)
    return inside.spool.stored[before:]


@pytest.mark.parametrize("pieces", [False, True], ids=["whole", "byte by byte"])
def test_no_look_alike_splits_a_message_of_crlf(corpus, pieces):
    async def test() -> None:
        async with sink() as inside:
            for vector in look_alikes(corpus):
                message = b"before" + vector + CRLF.join([*SMUGGLED, b"after", b""])
                (stored,) = await deliver(inside, CRLF, message + b".\r\n", pieces=pieces)
                # Of a line that begins with a dot the dot is stuffing.
                assert stored.message == message.replace(b"\r\n.", b"\r\n"), vector
                assert stored.envelope.mail_from == "a@x"

    run(test())


@pytest.mark.parametrize("pieces", [False, True], ids=["whole", "byte by byte"])
def test_no_look_alike_splits_a_message_of_lf_but_the_one_that_is_its_end(corpus, pieces):
    """Who never says CRLF ends with LF.LF; all look-alikes but that are content also for it."""

    async def test() -> None:
        async with sink() as inside:
            for vector in look_alikes(corpus):
                message = b"before" + vector + LF.join([*SMUGGLED, b"after", b""])
                if vector == b"\n.\n":
                    stored = await deliver(inside, LF, message, pieces=pieces)
                    assert [one.message for one in stored] == [b"before\n"]
                    continue
                end = b"\r\n.\r\n" if CRLF in message else b".\n"
                (one,) = await deliver(inside, LF, message + end, pieces=pieces)
                kept = message + (CRLF if CRLF in message else b"")
                # A dot that begins a line is stuffing; the one that stands alone before a CRLF is not.
                kept = re.sub(rb"\n\.(?!\r\n)", b"\n", kept)
                assert one.message == kept, vector
                assert one.envelope.dialect["bare_lf"]

    run(test())


@pytest.mark.parametrize("end", [CRLF, LF])
def test_two_messages_are_never_merged(corpus, end):
    async def test() -> None:
        async with sink() as inside:
            for vector in look_alikes(corpus):
                one = vector.replace(b"\r", b"").replace(b"\n.\n", b"") if end == LF else vector
                one = b"one" + one + end
                two = end.join([b".", b"MAIL FROM:<c@x>", b"RCPT TO:<d@y>", b"DATA", b"two", b".", b""])
                stored = await deliver(inside, end, one + two)
                assert [each.envelope.mail_from for each in stored] == ["a@x", "c@x"], vector
                assert stored[1].message == b"two" + end

    run(test())


@pytest.mark.parametrize("end", [CRLF, LF])
def test_a_line_of_a_message_may_be_as_long_as_a_message(end):
    limit = 2_000_000

    async def test() -> None:
        async with sink(settings(f"smtp: {{max_size: {limit}}}")) as inside:
            for more, lines in ((0, 1), (1, 0)):
                line = b"x" * (limit - len(end) + more)
                stored = await deliver(inside, end, line + end + b"." + end)
                assert [one.message == line + end for one in stored] == [True] * lines
            assert inside.door.gate.refused == {"too_large": 1}
            assert inside.intake.memory.held == 0

    run(test())


@pytest.mark.parametrize("delay", ["0s", "300ms"])
def test_tls_without_starttls_is_answered_with_tls(tmp_path, delay):
    """To a client that says a TLS hello before anything else it is given, and the banner in it."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    tls = server_context(msgspec.structs.replace(settings(), paths=paths_below(tmp_path)))

    async def test() -> None:
        async with sink(settings(f"smtp: {{banner_delay: {delay}}}"), tls=tls) as inside:
            sock = socket.create_connection(("127.0.0.1", inside.port))
            if delay != "0s":
                await until(lambda: inside.door.wires)  # it comes amid the delay
                await asyncio.sleep(0.05)
            # The hello is sent before the sink has seen the connection: it shares our thread.
            begun, out = ssl.MemoryBIO(), ssl.MemoryBIO()
            talk = context.wrap_bio(begun, out)
            with pytest.raises(ssl.SSLWantReadError):
                talk.do_handshake()
            sock.sendall(out.read())
            reader, writer = await asyncio.open_connection(sock=sock)

            async def heard(what: object) -> object:
                while True:
                    try:
                        return what()  # type: ignore[operator]
                    except ssl.SSLWantReadError:
                        writer.write(out.read())
                        begun.write(await asyncio.wait_for(reader.read(65_536), 10))
                    finally:
                        writer.write(out.read())

            await heard(talk.do_handshake)
            assert (await heard(lambda: talk.read(4))) == b"220 "
            talk.write(b"EHLO x\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\nx\r\n.\r\n")
            writer.write(out.read())
            await until(lambda: inside.spool.stored)
            (stored,) = inside.spool.stored
            assert stored.envelope.dialect["tls_first"] is True
            assert stored.envelope.tls_version.startswith("TLSv1.")
            writer.close()

    run(test())


@pytest.mark.parametrize("what", ["junk", "gone", "done"])
def test_a_handshake_that_fails_leaves_nothing(tmp_path, caplog, what):
    tls = server_context(msgspec.structs.replace(settings(), paths=paths_below(tmp_path)))

    async def test() -> None:
        async with sink(tls=tls) as inside:
            reader, writer = await asyncio.open_connection("127.0.0.1", inside.port)
            await reader.readline()
            writer.write(b"STARTTLS\r\n")
            assert (await reader.readline()).startswith(b"220")
            if what == "junk":
                writer.write(b"no handshake\r\n" * 100)
            elif what == "gone":
                writer.transport.abort()
            else:
                writer.write_eof()
            await until(lambda: not inside.door.wires)
            assert inside.door.gate.open == 0
            assert inside.door.gate.refused["tls"] == 1
            writer.close()

    run(test())
    assert not caplog.records


@pytest.mark.parametrize("what", ["silent", "gone", "junk", "stopped"])
def test_a_tls_hello_without_an_end_leaves_nothing(tmp_path, caplog, what):
    tls = server_context(msgspec.structs.replace(settings(), paths=paths_below(tmp_path)))

    async def test() -> None:
        async with sink(settings("smtp: {timeout: 300ms}"), tls=tls) as inside:
            with socket.create_connection(("127.0.0.1", inside.port)) as client:
                client.sendall(b"\x16\x03\x01\x02\0\x01\0")
                await until(lambda: inside.door.wires)
                (wire,) = inside.door.wires
                assert wire.session.dialect == {"pregreet": True, "tls_first": True}
                if what == "gone":
                    client.close()
                elif what == "junk":
                    client.sendall(b"no handshake\r\n" * 100)
                elif what == "stopped":
                    wire.abort()
                await until(lambda: not inside.door.wires)
            assert inside.door.gate.open == 0
            assert inside.door.gate.refused["tls"] == 1

    run(test())
    assert not caplog.records


def test_a_message_over_tls_is_stored_although_its_client_has_gone_before_the_disk_was_done(tmp_path, caplog):
    go_on = threading.Event()

    class Disk(MemorySpool):
        def put(self, *args):
            assert go_on.wait(10)
            return super().put(*args)

    tls = server_context(msgspec.structs.replace(settings(), paths=paths_below(tmp_path)))
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    async def test() -> None:
        spool = Disk()
        spool.sync = True
        async with sink(spool=spool, tls=tls) as inside:
            reader, writer = await asyncio.open_connection("127.0.0.1", inside.port)
            await reader.readline()
            writer.write(b"STARTTLS\r\n")
            assert (await reader.readline()).startswith(b"220")
            await writer.start_tls(context)
            writer.write(b"MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\nx\r\n.\r\n")
            for _ in range(3):
                await asyncio.wait_for(reader.readline(), 10)
            writer.close()
            await until(lambda: not inside.door.wires)
            go_on.set()
            await until(lambda: spool.stored)
            assert spool.stored[0].message == b"x\r\n"

    run(test())
    assert not caplog.records
