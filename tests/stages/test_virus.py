"""virus: against a real clamd with a database of our own, and against things that only say they are clamd."""

import asyncio
import os
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import uvloop
from daemons import EICAR, MARKER, STREAM_LIMIT, Daemon
from daemons import clamd as running_clamd
from support import free_port

from stages.clamd import BadAnswer, Session, address_of
from stages.virus import MAX_BROKEN, Virus
from trap.config import Duration, Size
from trap.job import Job
from trap.stage import Drop, Pass, Unavailable

CLEAN = Job.from_message(b"Subject: hello\r\n\r\nNothing to see.\r\n")
INFECTED = Job.from_message(b"Subject: hello\r\n\r\nwith a " + MARKER + b" in it\r\n")


@pytest.fixture(scope="module")
def clamd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with running_clamd(tmp_path_factory.mktemp("clamd")) as clamd:
        yield clamd


@pytest.fixture(params=["socket", "tcp"])
def address(request: pytest.FixtureRequest, clamd: Daemon) -> str:
    """Where clamd is, once as a UNIX socket (FILDES), once as TCP (INSTREAM)."""
    return str(getattr(clamd, request.param))


# What a real clamd says


async def test_clean_mail_passes(address: str) -> None:
    verdict = await Virus(clamd=address).process(CLEAN)
    assert isinstance(verdict, Pass) and verdict.to is None
    assert verdict.notes["clean"] is True
    assert verdict.notes["engine"].startswith("ClamAV ")


async def test_infected_mail_is_dropped_with_the_name_of_the_signature(address: str) -> None:
    verdict = await Virus(clamd=address).process(INFECTED)
    assert isinstance(verdict, Drop)
    # clamd marks every signature that does not come from its makers.
    assert verdict.reason == "virus Spamtrap.Test.Marker.UNOFFICIAL"
    assert verdict.notes["virus"] == "Spamtrap.Test.Marker.UNOFFICIAL"


async def test_clamd_looks_into_attachments(address: str) -> None:
    mail = EmailMessage()
    mail.set_content("see attachment")
    mail.add_attachment(EICAR, maintype="application", subtype="octet-stream", filename="eicar.com")
    verdict = await Virus(clamd=address).process(Job.from_message(mail.as_bytes()))
    assert isinstance(verdict, Drop)
    assert verdict.reason == "virus Eicar-Test-Signature.UNOFFICIAL"


async def test_infected_mail_can_be_kept_in_a_queue_of_its_own(address: str) -> None:
    verdict = await Virus(clamd=address, to="malware").process(INFECTED)
    assert isinstance(verdict, Pass)
    assert verdict.to == "malware"
    assert verdict.notes["virus"] == "Spamtrap.Test.Marker.UNOFFICIAL"


async def test_an_empty_message_is_clean(address: str) -> None:
    verdict = await Virus(clamd=address).process(Job.from_message(b""))
    assert isinstance(verdict, Pass) and verdict.notes["clean"]


async def test_mail_above_max_size_is_not_scanned(address: str) -> None:
    verdict = await Virus(clamd=address, max_size=Size(10)).process(INFECTED)
    assert verdict == Pass({"unscanned": "larger than max_size, 10 bytes"})


@pytest.mark.parametrize("factor", [2, 30])
async def test_mail_above_clamds_stream_limit_passes_unscanned_over_tcp(clamd: Daemon, factor: int) -> None:
    big = Job.from_message(INFECTED.message + b"x" * STREAM_LIMIT * factor)
    verdict = await Virus(clamd=clamd.tcp, max_size=Size("1GB")).process(big)
    assert verdict == Pass({"unscanned": "INSTREAM size limit exceeded"})


async def test_the_stream_limit_is_none_for_a_file_passed_over_the_socket(clamd: Daemon) -> None:
    big = Job.from_message(INFECTED.message + b"x" * STREAM_LIMIT * 4)
    assert isinstance(await Virus(clamd=clamd.socket).process(big), Drop)


async def test_fifty_at_once_do_not_mix_up_their_verdicts(address: str) -> None:
    virus = Virus(clamd=address)
    jobs = [CLEAN, INFECTED] * 25
    verdicts = await asyncio.gather(*(virus.process(job) for job in jobs))
    assert [type(verdict) for verdict in verdicts] == [Pass, Drop] * 25


def test_it_runs_on_uvloop_too(address: str) -> None:
    verdict = uvloop.run(Virus(clamd=address).process(INFECTED))
    assert isinstance(verdict, Drop)


async def test_one_session_scans_one_message_after_the_other(address: str) -> None:
    session = await Session.open(address_of(address))
    try:
        for _ in range(3):
            assert (await session.scan(CLEAN.message)).signature == ""
            assert (await session.scan(INFECTED.message)).signature.startswith("Spamtrap.Test.Marker")
    finally:
        session.close()


async def test_malformed_mail_gets_a_verdict(address: str, corpus: Path) -> None:
    virus = Virus(clamd=address)
    for path in sorted((corpus / "malformed").glob("*.eml"))[::12]:
        verdict = await virus.process(Job.from_message(path.read_bytes()))
        assert verdict.notes.keys() & {"clean", "virus", "unscanned"}, path


async def test_neither_connections_nor_files_are_left_open(clamd: Daemon, tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for address in (clamd.socket, clamd.tcp, str(tmp_path / "nobody")):
        for job in (CLEAN, INFECTED):
            with suppress(Unavailable):
                await Virus(clamd=address).process(job)
    assert len(os.listdir("/proc/self/fd")) == before


# A clamd that is away


async def test_no_socket(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=f"^clamd at {tmp_path}/clamd.ctl: no such file or directory$"):
        await Virus(clamd=f"{tmp_path}/clamd.ctl").process(CLEAN)


async def test_nobody_listens() -> None:
    port = free_port()
    with pytest.raises(Unavailable, match=f"^clamd at localhost:{port}: connection refused$"):
        await Virus(clamd=f"localhost:{port}").process(CLEAN)


async def test_a_name_that_does_not_resolve() -> None:
    with pytest.raises(Unavailable, match=r"^clamd at clamd\.invalid:3310: \w"):
        await Virus(clamd="clamd.invalid:3310").process(CLEAN)


async def test_a_frozen_clamd_never_greets_and_is_never_the_mails_fault(clamd: Daemon) -> None:
    virus = Virus(clamd=clamd.socket, timeout=Duration("50ms"))
    with clamd.frozen():
        for _ in range(5):
            with pytest.raises(Unavailable, match=r"no greeting within 0\.05 s"):
                await virus.process(CLEAN)


async def test_a_full_queue_of_connections_is_waited_for_until_the_deadline(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(f"{tmp_path}/s")
        listener.listen(0)
        first.connect(f"{tmp_path}/s")  # and the queue is full
        with pytest.raises(Unavailable, match=r"no greeting within 0\.1 s"):
            await Virus(clamd=f"{tmp_path}/s", timeout=Duration("100ms")).process(CLEAN)


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[Any]]


@asynccontextmanager
async def fake(path: Path, talk: Talk, patience: str = "20s") -> AsyncIterator[Virus]:
    """Something at a UNIX socket that behaves as `talk` does, and a stage that asks it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_unix_server(serve, path / "s")
    async with server:
        yield Virus(clamd=str(path / "s"), timeout=Duration(patience))


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    assert await reader.readexactly(len(b"zIDSESSION\0zVERSION\0")) == b"zIDSESSION\0zVERSION\0"
    writer.write(b"1: ClamAV 9.9/1/today\0")


def says(reply: bytes, *, greets: bool = True) -> Talk:
    """One that answers `reply` to the scan, or to the greeting, and hangs up."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if greets:
            await greet(reader, writer)
        await reader.read(100)
        writer.write(reply)

    return talk


@pytest.mark.parametrize(
    ("reply", "complaint"),
    [
        (b"", "hung up"),
        (b"220 mail.example ESMTP\r\n", "hung up after b'220 mail.example ESMTP"),
        (b"UNKNOWN COMMAND\0", "answers b'UNKNOWN COMMAND'"),
        (b"1: OK\0", "greets with 'OK'"),
        (b"x" * 10_000, "answers without an end: b'xxx"),
    ],
)
async def test_one_that_does_not_greet_like_clamd_is_away(
    tmp_path: Path, reply: bytes, complaint: str
) -> None:
    async with fake(tmp_path, says(reply, greets=False)) as virus:
        for _ in range(5):
            with pytest.raises(Unavailable, match=f"^clamd at {tmp_path}/s: {re.escape(complaint)}"):
                await virus.process(CLEAN)


# A clamd that is there and fails on a message


@pytest.mark.parametrize(
    ("reply", "complaint"),
    [
        (b"", "hung up"),
        (b"2: fd[10]: O", "hung up after b'2: fd[10]: O'"),
        (b"2: all is well\0", "answers 'all is well'"),
        (b"7: fd[10]: OK\0", "answers b'7: fd[10]: OK'"),
        (b"2: fd[10]: OK or so\0", "answers 'fd[10]: OK or so'"),
    ],
)
async def test_the_third_broken_conversation_is_the_mails_fault(
    tmp_path: Path, reply: bytes, complaint: str
) -> None:
    async with fake(tmp_path, says(reply)) as virus:
        for _ in range(2):
            with pytest.raises(Unavailable, match=re.escape(complaint)):
                await virus.process(CLEAN)
        assert await virus.process(CLEAN) == Pass({"unscanned": f"clamd failed on it 3 times: {complaint}"})


async def test_a_message_that_takes_clamd_too_long_does_not_hold_up_the_queue(tmp_path: Path) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await greet(reader, writer)
        await reader.read()

    async with fake(tmp_path, talk, patience="300ms") as virus:
        for _ in range(2):
            with pytest.raises(Unavailable, match=r"no verdict within 0\.3 s"):
                await virus.process(CLEAN)
        verdict = await virus.process(CLEAN)
        assert verdict.notes == {"unscanned": "clamd failed on it 3 times: no verdict within 0.3 s"}


async def test_what_is_remembered_of_broken_conversations_is_bounded(tmp_path: Path) -> None:
    async with fake(tmp_path, says(b"")) as virus:
        for _ in range(MAX_BROKEN + 50):
            with pytest.raises(Unavailable):
                await virus.process(Job.from_message(b"x"))
        assert len(virus._broken) == MAX_BROKEN


@pytest.mark.parametrize(
    ("reply", "note"),
    [
        (b"2: fd[10]: Can't allocate memory ERROR\0", "Can't allocate memory"),
        (b"2: Error writing to temporary file. ERROR\0", "Error writing to temporary file"),
        (b"2: fd[10]: \x1b[31m\xff ERROR\0", "\\x1b[31m\ufffd"),
    ],
)
async def test_an_error_of_clamd_is_a_note(tmp_path: Path, reply: bytes, note: str) -> None:
    async with fake(tmp_path, says(reply)) as virus:
        assert await virus.process(CLEAN) == Pass({"unscanned": note})


async def test_the_name_of_a_signature_is_cut_and_printable(tmp_path: Path) -> None:
    async with fake(tmp_path, says(b"2: fd[1]: \x07" + b"n" * 2000 + b" FOUND\0")) as virus:
        verdict = await virus.process(INFECTED)
        assert isinstance(verdict, Drop)
        assert verdict.reason == "virus \\x07" + "n" * 76


async def test_the_message_is_streamed_when_the_file_gets_lost_on_its_way(tmp_path: Path) -> None:
    received = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await greet(reader, writer)
        await reader.readexactly(len(b"zFILDES\0f"))
        writer.write(b"2: No file descriptor received. ERROR\0")
        received.append(await reader.readexactly(len(b"zINSTREAM\0") + 4 + CLEAN.size + 4))
        writer.write(b"3: stream: OK\0")

    async with fake(tmp_path, talk) as virus:
        verdict = await virus.process(CLEAN)
    assert verdict.notes["clean"]
    assert received == [
        b"zINSTREAM\0" + CLEAN.size.to_bytes(4, "big") + CLEAN.message + b"\0\0\0\0",
    ]


# Settings


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("/run/clamav/clamd.ctl", "/run/clamav/clamd.ctl"),
        ("clamav:3310", ("clamav", 3310)),
        ("127.0.0.1:3310", ("127.0.0.1", 3310)),
        ("[::1]:3310", ("::1", 3310)),
    ],
)
def test_addresses(text: str, address: object) -> None:
    assert address_of(text) == address


@pytest.mark.parametrize("text", ["", "clamd.ctl", ":3310", "clamav:", "clamav:0", "clamav:99999", "a:b"])
def test_what_is_no_address_is_refused_at_the_start(text: str) -> None:
    with pytest.raises(ValueError, match=f"^{text!r} is not a clamd address"):
        Virus(clamd=text)


async def test_a_session_that_fails_to_open_closes_its_socket(tmp_path: Path) -> None:
    async with fake(tmp_path, says(b"no\0", greets=False)):
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(BadAnswer):
            await Session.open(str(tmp_path / "s"))
        await asyncio.sleep(0.01)
        assert len(os.listdir("/proc/self/fd")) <= before
