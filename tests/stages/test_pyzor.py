"""pyzor: against a real pyzord, and against what only says that it is one."""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from checksumkit import HEAD, TEXT, job, trial
from hypothesis import given, settings
from hypothesis import strategies as st
from pyzorkit import KEY, Pyzord, running_pyzord

from stages.clients.pyzor import NOTHING, NoDigest, Session, digest
from stages.pyzor import Pyzor
from trap.address import Address
from trap.config import Duration, Size

pytest.importorskip("pyzor")

Reply = Callable[[bytes], bytes | None]


@pytest.fixture(scope="module")
def pyzord() -> Iterator[Pyzord]:
    with tempfile.TemporaryDirectory() as directory, running_pyzord(Path(directory)) as daemon:
        yield daemon


class Fake(asyncio.DatagramProtocol):
    """Something that speaks UDP, and answers as `reply` does."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.heard: list[bytes] = []

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.heard.append(data)
        if (reply := self.reply(data)) is not None:
            self.transport.sendto(reply, addr)


@asynccontextmanager
async def fake(reply: Reply) -> AsyncIterator[tuple[Fake, str]]:
    loop = asyncio.get_running_loop()
    transport, made = await loop.create_datagram_endpoint(lambda: Fake(reply), ("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    yield made, f"127.0.0.1:{port}"
    transport.close()


def answering(code: str) -> Reply:
    """One that is there, and answers so to a report."""

    def reply(data: bytes) -> bytes:
        thread = data.split(b"Thread: ")[1].split(b"\n")[0]
        told = code.encode() if b"Op: report" in data else b"200"
        return b"Code: " + told + b"\nDiag: OK\nPV: 2.1\nThread: " + thread + b"\n\n"

    return reply


async def test_the_digest_of_a_message_is_counted_once(pyzord: Pyzord, tmp_path: Path) -> None:
    known = await digest(job().message, 10)
    before = pyzord.counted(known)
    async with trial(Pyzor, tmp_path, pyzor=pyzord.tcp) as spam:
        (report,) = await spam.tell(job())
        assert (report.state, report.word) == ("sent", f"200 OK, digest {known}")
        assert report.recipient == f"pyzord at {pyzord.tcp}"
        assert pyzord.counted(known) == before + 1
        (report,) = await spam.again()
        assert pyzord.counted(known) == before + 1
        (report,) = await spam.take_back()
        assert report.state == "sent" and "can't be taken back" in report.word


async def test_near_copies_have_one_digest() -> None:
    """It is made of the original: redacted text would have another wherever an address is a word's part."""
    near = job(TEXT.replace(b"winner", b"winner one@trap.example http://spam.example/?id=2"), HEAD.lower())
    assert await digest(job().message, 10) == await digest(near.message, 10)


async def test_doctor_finds_it(pyzord: Pyzord, tmp_path: Path) -> None:
    async with trial(Pyzor, tmp_path, pyzor=pyzord.tcp) as spam:
        assert await spam.found() == (True, "pyzord, protocol 2.1")


async def test_an_account_signs_what_it_says(pyzord: Pyzord, tmp_path: Path) -> None:
    accounts = tmp_path / "accounts"
    accounts.write_text(f"127.0.0.1 : {pyzord.port} : trap : 0123,{KEY}\n")
    async with trial(Pyzor, tmp_path / "a", pyzor=pyzord.tcp, accounts=str(accounts)) as spam:
        (report,) = await spam.tell(job())
        assert report.state == "sent"
    accounts.write_text(f"127.0.0.1 : {pyzord.port} : trap : 0123,{KEY[::-1]}\n")
    async with trial(Pyzor, tmp_path / "b", pyzor=pyzord.tcp, accounts=str(accounts)) as spam:
        (report,) = await spam.tell(job())
        assert report.state == "gathering" and "answers 401 Unauthorized" in report.word


@pytest.mark.parametrize("text", [b"", b"\r\n\r\n", b"http://spam.example/1\r\n", b"short\r\n"])
async def test_no_text_is_no_report(pyzord: Pyzord, tmp_path: Path, text: bytes) -> None:
    """All such messages have one digest, also those that are no spam."""
    async with trial(Pyzor, tmp_path, pyzor=pyzord.tcp) as spam:
        (report,) = await spam.tell(job(text))
        assert (report.state, report.word) == ("failed", "no text in it that Pyzor would know it by")
    assert pyzord.counted(NOTHING) == 0


async def test_nobody_there_is_asked_again(tmp_path: Path) -> None:
    async with trial(Pyzor, tmp_path, pyzor="127.0.0.1:9", timeout=Duration("1s")) as spam:
        (report,) = await spam.tell(job())
        assert report.state == "gathering" and "pyzord at 127.0.0.1:9" in report.word
        good, text = await spam.found()
        assert not good and "UDP" in text


async def test_a_lost_ping_is_repeated_and_a_lost_report_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stages.clients.pyzor.AGAIN", 0.1)
    lost = [b"Op: ping", b"Op: report"]

    def reply(data: bytes) -> bytes | None:
        for each in lost:
            if each in data:
                lost.remove(each)
                return None
        return answering("200")(data)

    async with fake(reply) as (server, address):
        async with trial(Pyzor, tmp_path, pyzor=address, timeout=Duration("1s")) as spam:
            (report,) = await spam.tell(job())
            assert report.state == "unsure"
            (report,) = await spam.again()
        assert sum(b"Op: report" in each for each in server.heard) == 1
        assert sum(b"Op: ping" in each for each in server.heard) == 2


@pytest.mark.parametrize(
    ("code", "state"),
    [
        ("200", "sent"),
        ("401", "gathering"),
        ("403", "gathering"),
        ("400", "failed"),
        ("505", "failed"),
        *[(code, "unsure") for code in ("500", "", "२००", "20", "OK")],
    ],
)
async def test_what_the_codes_mean(tmp_path: Path, code: str, state: str) -> None:
    async with fake(answering(code)) as (_, address), trial(Pyzor, tmp_path, pyzor=address) as spam:
        (report,) = await spam.tell(job())
        assert report.state == state


@settings(max_examples=10)
@given(st.binary(max_size=300))
async def test_an_answer_to_something_else_is_none(noise: bytes) -> None:
    """Anybody can send a datagram that looks as if it came from there."""

    def reply(data: bytes) -> bytes:
        return b"Code: 200\nThread: 7\nPV: 2.1\nDiag: " + noise

    async with fake(reply) as (_, address):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await Session.open(Address.parse(address), {})


@pytest.mark.parametrize(
    "message",
    [
        b"Content-Type: text/html\r\n\r\n<![x[" + b"<a " * 50,
        b"Content-Type: text/plain; charset=\xff\r\n\r\n" + b"\xff" * 1000,
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n" * 500,
        b"\r\n" + b"\0" * 1000,
    ],
)
async def test_hostile_mail_has_a_digest_or_none(message: bytes) -> None:
    try:
        assert len(await digest(message, 20)) == 40
    except NoDigest as error:
        assert str(error)


async def test_a_digest_that_takes_for_ever_is_none() -> None:
    with pytest.raises(NoDigest, match="no digest of it within"):
        await digest(job().message, 0.001)


async def test_what_would_be_told_is_the_digest(tmp_path: Path) -> None:
    async with trial(Pyzor, tmp_path, pyzor="127.0.0.1:9") as spam:
        (told,) = await spam.reporter.preview(job())
        assert (told.text.decode(), told.why_not) == (f"digest {await digest(job().message, 10)}\n", "")
        (told,) = await spam.reporter.preview(job(b""))
        assert (told.text, told.why_not) == (b"", "no text in it that Pyzor would know it by")


async def test_large_mail_is_left_out(tmp_path: Path) -> None:
    async with trial(Pyzor, tmp_path, pyzor="127.0.0.1:9", max_size=Size("100B")) as spam:
        verdict = await spam.reporter.process(job())
        assert verdict.notes == {"left_out": "larger than max_size, 100 bytes"}


def test_settings_that_make_no_sense(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no address of a pyzord is given"):
        Pyzor(object(), pyzor=[])  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        Pyzor(object(), pyzor="127.0.0.1", accounts=str(tmp_path / "none"))  # type: ignore[arg-type]
    (tmp_path / "empty").write_text("# nobody\n")
    with pytest.raises(ValueError, match=r"accounts: .* has no line as"):
        Pyzor(object(), pyzor="127.0.0.1", accounts=str(tmp_path / "empty"))  # type: ignore[arg-type]


def test_without_the_library_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyzor.account", None)
    with pytest.raises(ValueError, match=r"pip install 'spamtrap\[pyzor\]'"):
        Pyzor(object(), pyzor="127.0.0.1")  # type: ignore[arg-type]
