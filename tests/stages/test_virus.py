"""virus: against a real clamd with a database of our own, and against things that only say they are clamd."""

import asyncio
import os
import re
import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from email.message import EmailMessage
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import uvloop
from daemons import EICAR, MARKER, STREAM_LIMIT, Daemon
from daemons import clamd as running_clamd
from fakeserver import Opened, Talk, fake, others_are_answered, relay, says
from support import every, free_port

from stages.clients.clamd import MAX_SCANS, Session
from stages.virus import Virus
from trap.address import Address
from trap.backend import Broken
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


async def test_clean_mail_passes(address: str, opened: Opened) -> None:
    verdict = await opened(Virus, clamd=address).process(CLEAN)
    assert isinstance(verdict, Pass) and verdict.to is None
    assert verdict.notes["clean"] is True
    assert verdict.notes["engine"].startswith("ClamAV ")


async def test_infected_mail_is_dropped_with_the_name_of_the_signature(address: str, opened: Opened) -> None:
    verdict = await opened(Virus, clamd=address).process(INFECTED)
    assert isinstance(verdict, Drop)
    # clamd marks every signature that does not come from its makers.
    assert verdict.reason == "virus Spamtrap.Test.Marker.UNOFFICIAL"
    assert verdict.notes["virus"] == "Spamtrap.Test.Marker.UNOFFICIAL"


async def test_clamd_looks_into_attachments(address: str, opened: Opened) -> None:
    mail = EmailMessage()
    mail.set_content("see attachment")
    mail.add_attachment(EICAR, maintype="application", subtype="octet-stream", filename="eicar.com")
    verdict = await opened(Virus, clamd=address).process(Job.from_message(mail.as_bytes()))
    assert isinstance(verdict, Drop)
    assert verdict.reason == "virus Eicar-Test-Signature.UNOFFICIAL"


async def test_infected_mail_can_be_kept_in_a_queue_of_its_own(address: str, opened: Opened) -> None:
    verdict = await opened(Virus, clamd=address, to="malware").process(INFECTED)
    assert isinstance(verdict, Pass)
    assert verdict.to == "malware"
    assert verdict.notes["virus"] == "Spamtrap.Test.Marker.UNOFFICIAL"


async def test_an_empty_message_is_clean(address: str, opened: Opened) -> None:
    verdict = await opened(Virus, clamd=address).process(Job.from_message(b""))
    assert isinstance(verdict, Pass) and verdict.notes["clean"]


async def test_mail_above_max_size_is_not_scanned(address: str, opened: Opened) -> None:
    verdict = await opened(Virus, clamd=address, max_size=Size(10)).process(INFECTED)
    assert verdict == Pass({"unscanned": "larger than max_size, 10 bytes"})


@pytest.mark.parametrize("factor", [2, 30])
async def test_mail_above_clamds_stream_limit_passes_unscanned_over_tcp(
    clamd: Daemon, factor: int, opened: Opened
) -> None:
    big = Job.from_message(INFECTED.message + b"x" * STREAM_LIMIT * factor)
    verdict = await opened(Virus, clamd=clamd.tcp, max_size=Size("1GB")).process(big)
    assert verdict == Pass({"unscanned": "INSTREAM size limit exceeded"})


async def test_the_stream_limit_is_none_for_a_file_passed_over_the_socket(
    clamd: Daemon, opened: Opened
) -> None:
    big = Job.from_message(INFECTED.message + b"x" * STREAM_LIMIT * 4)
    assert isinstance(await opened(Virus, clamd=clamd.socket).process(big), Drop)


async def test_fifty_at_once_do_not_mix_up_their_verdicts(address: str, opened: Opened) -> None:
    virus = opened(Virus, clamd=address)
    jobs = [CLEAN, INFECTED] * 25
    verdicts = await asyncio.gather(*(virus.process(job) for job in jobs))
    assert [type(verdict) for verdict in verdicts] == [Pass, Drop] * 25


def test_it_runs_on_uvloop_too(address: str) -> None:
    async def judged() -> list[object]:
        with closing(Virus(clamd=address).backends) as backends:
            return [await backends.ask(lambda session: session.scan(INFECTED.message)) for _ in range(2)]

    assert [bool(answer.signature) for answer in uvloop.run(judged())] == [True, True]


async def test_one_session_scans_one_message_after_the_other(address: str) -> None:
    session = await Session.open(Address.parse(address))
    try:
        for _ in range(3):
            assert (await session.scan(CLEAN.message)).signature == ""
            assert (await session.scan(INFECTED.message)).signature.startswith("Spamtrap.Test.Marker")
    finally:
        session.close()


async def test_malformed_mail_gets_a_verdict(address: str, corpus: Path, opened: Opened) -> None:
    virus = opened(Virus, clamd=address)
    for path in every((corpus / "malformed").glob("*.eml"), 12):
        verdict = await virus.process(Job.from_message(path.read_bytes()))
        assert verdict.notes.keys() & {"clean", "virus", "unscanned"}, path


async def test_connections_are_kept(clamd: Daemon, opened: Opened) -> None:
    async with fake(None, relay("127.0.0.1", clamd.port)) as counter:
        virus = opened(Virus, clamd=counter.address)
        for _ in range(20):
            assert isinstance(await virus.process(CLEAN), Pass)
            assert isinstance(await virus.process(INFECTED), Drop)
    assert counter.accepted == 1


async def test_a_connection_is_kept_over_the_socket_as_well(
    clamd: Daemon, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    virus = opened(Virus, clamd=clamd.socket)
    await virus.process(CLEAN)
    monkeypatch.setattr("trap.address._connect_unix", None)  # there will be no other connection
    for _ in range(5):
        assert isinstance(await virus.process(INFECTED), Drop)


async def test_connections_that_are_kept_leave_room_for_others(address: str, opened: Opened) -> None:
    for _ in range(3):
        virus = opened(Virus, clamd=address)
        verdicts = await asyncio.gather(*(virus.process(INFECTED) for _ in range(40)))
        assert all(isinstance(verdict, Drop) for verdict in verdicts)


async def test_a_session_ends_after_so_many_scans(address: str) -> None:
    session = await Session.open(Address.parse(address))
    try:
        for _ in range(MAX_SCANS - 1):
            assert session.reusable
            await session.scan(b"x")
        assert not session.reusable
    finally:
        session.close()


async def test_one_that_hangs_up_on_idle_sessions_is_none_the_worse(clamd: Daemon, opened: Opened) -> None:
    virus = opened(Virus, clamd=clamd.socket)
    for _ in range(2):
        for job, kind in ((CLEAN, Pass), (INFECTED, Drop)):
            assert isinstance(await virus.process(job), kind)
        clamd.restart()
    assert isinstance(await virus.process(INFECTED), Drop)
    [state] = virus.backends.states()
    assert (state.state, state.asked, state.failed) == ("up", 5, 0)


async def test_another_clamd_takes_over(clamd: Daemon, opened: Opened, tmp_path: Path) -> None:
    virus = opened(Virus, clamd=[f"{tmp_path}/nobody", clamd.socket])
    for _ in range(3):
        assert isinstance(await virus.process(INFECTED), Drop)
    first, second = virus.backends.states()
    assert (first.state, first.asked, first.failed) == ("away", 1, 1)
    assert (second.state, second.asked, second.failed) == ("up", 3, 0)


async def test_a_doctor_hears_what_it_is(clamd: Daemon, opened: Opened, tmp_path: Path) -> None:
    good, bad = await opened(Virus, clamd=[clamd.socket, f"{tmp_path}/nobody"]).backends.check()
    assert good.good and good.text.startswith("ClamAV ")
    assert not bad.good and "no such file or directory; (re)start it" in bad.text


async def test_neither_connections_nor_files_are_left_open(clamd: Daemon, tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for address in (clamd.socket, clamd.tcp, str(tmp_path / "nobody")):
        virus = Virus(clamd=address)
        for job in (CLEAN, INFECTED):
            with suppress(Unavailable):
                await virus.process(job)
        virus.backends.close()
    assert len(os.listdir("/proc/self/fd")) == before


# A clamd that is away


async def test_no_socket(opened: Opened, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=f"^clamd at {tmp_path}/clamd.ctl: no such file or directory$"):
        await opened(Virus, clamd=f"{tmp_path}/clamd.ctl").process(CLEAN)


async def test_nobody_listens(opened: Opened) -> None:
    port = free_port()
    with pytest.raises(Unavailable, match=f"^clamd at localhost:{port}: connection refused$"):
        await opened(Virus, clamd=f"localhost:{port}").process(CLEAN)


async def test_a_name_that_does_not_resolve(opened: Opened) -> None:
    with pytest.raises(Unavailable, match=r"^clamd at clamd\.invalid:3310: \w"):
        await opened(Virus, clamd="clamd.invalid:3310").process(CLEAN)


async def test_a_frozen_clamd_never_greets_and_is_never_the_mails_fault(
    clamd: Daemon, opened: Opened
) -> None:
    virus = opened(Virus, clamd=clamd.socket, timeout=Duration("50ms"))
    with clamd.frozen():
        for _ in range(5):
            with pytest.raises(Unavailable, match=r"no answer .*within 0\.\d+ s"):
                await virus.process(CLEAN)


async def test_a_full_queue_of_connections_is_waited_for_until_the_deadline(
    opened: Opened, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(f"{tmp_path}/s")
        listener.listen(0)
        first.connect(f"{tmp_path}/s")  # and the queue is full
        with pytest.raises(Unavailable, match=r"no answer within 0\.\d s"):
            await opened(Virus, clamd=f"{tmp_path}/s", timeout=Duration("100ms")).process(CLEAN)


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    assert await reader.readexactly(len(b"zIDSESSION\0zVERSION\0")) == b"zIDSESSION\0zVERSION\0"
    writer.write(b"1: ClamAV 9.9/1/today\0")


def greets_and_says(reply: bytes) -> Talk:
    """A clamd that answers `reply` to the scan and hangs up."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await greet(reader, writer)
        await says(reply)(reader, writer)

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
    opened: Opened, tmp_path: Path, reply: bytes, complaint: str
) -> None:
    async with fake(tmp_path, says(reply)) as server:
        virus = opened(Virus, clamd=server.address)
        for _ in range(5):
            with pytest.raises(Unavailable, match=f"^clamd at {tmp_path}/s: {re.escape(complaint)}"):
                await virus.process(CLEAN)
        assert virus.backends.away


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
    opened: Opened, tmp_path: Path, reply: bytes, complaint: str
) -> None:
    async with fake(tmp_path, greets_and_says(reply)) as server:
        virus = opened(Virus, clamd=server.address)
        for _ in range(2):
            with pytest.raises(Unavailable, match=re.escape(complaint)):
                await virus.process(CLEAN)
            others_are_answered(virus)
        verdict = await virus.process(CLEAN)
        assert verdict == Pass(
            {"unscanned": f"3 conversations broke: clamd at {server.address}: {complaint}"}
        )


async def test_a_message_that_takes_clamd_too_long_does_not_hold_up_the_queue(
    opened: Opened, tmp_path: Path
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await greet(reader, writer)
        await reader.read()

    async with fake(tmp_path, talk) as server:
        virus = opened(Virus, clamd=server.address, timeout=Duration("300ms"))
        for _ in range(2):
            with pytest.raises(Unavailable, match=r"no answer within 0\.\d s"):
                await virus.process(CLEAN)
            others_are_answered(virus)
        verdict = await virus.process(CLEAN)
        assert re.match(r"3 conversations broke: .*no answer within 0\.\d s", verdict.notes["unscanned"])


@pytest.mark.parametrize("lack", ["fd[10]: Can't allocate memory", "Error writing to temporary file."])
async def test_a_clamd_that_lacks_something_is_away_and_that_is_no_verdict(
    opened: Opened, tmp_path: Path, lack: str
) -> None:
    async with fake(tmp_path, greets_and_says(f"2: {lack} ERROR\0".encode())) as server:
        virus = opened(Virus, clamd=server.address)
        for _ in range(3):
            with pytest.raises(Unavailable, match=lack.removeprefix("fd[10]: ").removesuffix(".")):
                await virus.process(Job.from_message(b"another each time"))
        assert virus.backends.away


@pytest.mark.parametrize(
    ("reply", "note"),
    [
        (b"2: INSTREAM size limit exceeded. ERROR\0", "INSTREAM size limit exceeded"),
        (b"2: fd[10]: Can't parse data ERROR\0", "Can't parse data"),
        (b"2: fd[10]: \x1b[31m\xff ERROR\0", "\\x1b[31m\ufffd"),
    ],
)
async def test_what_clamd_says_against_the_message_is_a_note(
    opened: Opened, tmp_path: Path, reply: bytes, note: str
) -> None:
    async with fake(tmp_path, greets_and_says(reply)) as server:
        verdict = await opened(Virus, clamd=server.address).process(CLEAN)
    assert verdict == Pass({"unscanned": note})


async def test_the_name_of_a_signature_is_cut_and_printable(opened: Opened, tmp_path: Path) -> None:
    async with fake(tmp_path, greets_and_says(b"2: fd[1]: \x07" + b"n" * 2000 + b" FOUND\0")) as server:
        verdict = await opened(Virus, clamd=server.address).process(INFECTED)
        assert isinstance(verdict, Drop)
        assert verdict.reason == "virus \\x07" + "n" * 76


async def test_the_message_is_streamed_when_the_file_gets_lost_on_its_way(
    opened: Opened, tmp_path: Path
) -> None:
    received = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await greet(reader, writer)
        await reader.readexactly(len(b"zFILDES\0f"))
        writer.write(b"2: No file descriptor received. ERROR\0")
        received.append(await reader.readexactly(len(b"zINSTREAM\0") + 4 + CLEAN.size + 4))
        writer.write(b"3: stream: OK\0")

    async with fake(tmp_path, talk) as server:
        verdict = await opened(Virus, clamd=server.address).process(CLEAN)
    assert verdict.notes["clean"]
    assert received == [
        b"zINSTREAM\0" + CLEAN.size.to_bytes(4, "big") + CLEAN.message + b"\0\0\0\0",
    ]


async def test_a_session_that_was_closed_with_a_word_is_replaced(opened: Opened, tmp_path: Path) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await greet(reader, writer)
        await reader.readexactly(len(b"zFILDES\0f"))
        writer.write(b"2: fd[10]: OK\0")
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.write(b"3: COMMAND READ TIMED OUT\0")

    async with fake(tmp_path, talk) as server:
        virus = opened(Virus, clamd=server.address)
        for _ in range(3):
            assert (await virus.process(CLEAN)).notes["clean"]
            await asyncio.sleep(0.1)
        assert server.accepted == 3
        assert virus.backends.states()[0].failed == 0


# Settings


@pytest.mark.parametrize("text", ["", "clamd.ctl", ":3310", "clamav:", "clamav:0", "clamav:99999", "a:b"])
def test_what_is_no_address_is_refused_at_the_start(text: str) -> None:
    with pytest.raises(ValueError, match=f"^{text!r} is not the address of a server"):
        Virus(clamd=text)


def test_clamd_is_not_asked_for_tls() -> None:
    with pytest.raises(ValueError, match="clamd speaks no TLS"):
        Virus(clamd="tls://clamav:3310")


def test_clamav_is_another_name_of_it() -> None:
    entries = entry_points(group="spamtrap.stages", name="clamav")
    assert [entry.load() for entry in entries] == [Virus]


async def test_a_session_that_fails_to_open_closes_its_socket(tmp_path: Path) -> None:
    async with fake(tmp_path, says(b"no\0")) as server:
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(Broken):
            await Session.open(Address.parse(server.address))
        await asyncio.sleep(0.01)
        assert len(os.listdir("/proc/self/fd")) <= before
