"""rspamd_learn: against a real rspamd with fuzzy hashes and Bayes, and against what only says it is one."""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from checksumkit import TEXT, job, trial
from daemons import RSPAMD_PASSWORD
from daemons import Rspamd as Daemon
from daemons import redis as running_redis
from daemons import rspamd as running_rspamd
from fakeserver import Mute, Talk, fake
from hypothesis import given
from hypothesis import strategies as st
from support import free_port

from stages.clients.controller import Controller
from stages.clients.rspamd import Session
from stages.rspamd_learn import RspamdLearn
from trap.address import Address
from trap.backend import Broken
from trap.job import Job

SPAM = TEXT + b" ".join(b"word%dabc" % number for number in range(100)) + b"\r\n"
CLASSIFIER = """\
classifier "bayes" {{ tokenizer {{ name = "osb"; }} backend = "redis"; servers = "{redis}";
  min_tokens = 3; min_learns = 1;
  statfile {{ symbol = "BAYES_HAM"; spam = false; }} statfile {{ symbol = "BAYES_SPAM"; spam = true; }} }}
worker "controller" {{ bind_socket = "127.0.0.1:{strict}"; count = 1;
  password = "to-look"; enable_password = "to-tell"; }}
"""
OK = b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{"success":true,"read_only":false}'


@pytest.fixture(scope="module")
def rspamd() -> Iterator[tuple[Daemon, str]]:
    """One, and the address of a controller of its that wants passwords; the other one knows loopback."""
    with tempfile.TemporaryDirectory() as directory:
        home, store, strict = Path(directory, "rspamd"), Path(directory, "redis"), free_port()
        home.mkdir()
        store.mkdir()
        with running_redis(store) as redis:
            extra = CLASSIFIER.format(redis=redis.tcp, strict=strict)
            with running_rspamd(home, redis=redis.tcp, extra=extra) as daemon:
                yield daemon, f"127.0.0.1:{strict}"


async def hits(rspamd: Daemon, message: Job, expected: int) -> int:
    """How many fuzzy hits a message has; the storage learns in the background."""
    for _ in range(200):
        session = await Session.open(Address.parse(rspamd.socket))
        found = len((await session.check(message.message)).fuzzy())
        session.close()
        if found == expected:
            break
        await asyncio.sleep(0.05)
    return found


async def test_a_near_copy_of_what_the_trap_got_is_found_by_its_fuzzy_hash(
    rspamd: tuple[Daemon, str], tmp_path: Path
) -> None:
    daemon, _ = rspamd
    near = job(SPAM.replace(b"word7abc", b"word7abd"), head=b"Message-ID: <2@spammer.example>\r\n")
    async with trial(RspamdLearn, tmp_path, rspamd=daemon.controller, flag=1) as spam:
        assert await hits(daemon, near, 0) == 0
        (report,) = await spam.tell(job(SPAM))
        assert (report.state, report.word) == ("sent", "1 fuzzy hashes added")
        assert report.recipient == f"fuzzy of rspamd at {daemon.controller}"
        assert await hits(daemon, near, 1) == 1

        (report,) = await spam.take_back()
        assert (report.state, report.word) == ("retracted", "1 fuzzy hashes deleted")
        assert await hits(daemon, near, 0) == 0


async def test_bayes_learns_once(rspamd: tuple[Daemon, str], tmp_path: Path) -> None:
    daemon, _ = rspamd
    message = job(b"Cheap watches, and more of them for everybody.\r\n")
    for directory, word in (("one", "learnt as spam"), ("two", "known already")):
        settings = {"rspamd": daemon.controller, "tell": ["bayes"]}
        async with trial(RspamdLearn, tmp_path / directory, **settings) as spam:
            (report,) = await spam.tell(message)
            assert (report.state, report.word) == ("sent", word)
    async with trial(RspamdLearn, tmp_path / "two", **settings) as spam:
        (report,) = await spam.take_back()
        assert report.state == "sent" and "rspamd can't unlearn" in report.word


async def test_hashes_and_bayes_are_reports_of_their_own(rspamd: tuple[Daemon, str], tmp_path: Path) -> None:
    """A list that rspamd has not is a mistake in one of them."""
    daemon, _ = rspamd
    message = job(b"Replicas of bags and shoes, delivered tomorrow.\r\n")
    settings = {"rspamd": daemon.controller, "tell": ["fuzzy", "bayes"], "flag": 9}
    async with trial(RspamdLearn, tmp_path, **settings) as spam:
        reports = {report.recipient.split()[0]: report for report in await spam.tell(message)}
    assert reports["bayes"].state == "sent" and reports["fuzzy"].state == "failed"
    assert "404 No fuzzy rules matched for flag 9" in reports["fuzzy"].word


async def test_what_has_no_text_has_no_hash(rspamd: tuple[Daemon, str], tmp_path: Path) -> None:
    daemon, _ = rspamd
    async with trial(RspamdLearn, tmp_path, rspamd=daemon.controller, flag=1) as spam:
        (report,) = await spam.tell(job(b""))
        assert report.state == "failed" and "No content to generate fuzzy" in report.word


@pytest.mark.parametrize(
    ("password", "word"),
    [("", "refuses the password"), ("wrong", "refuses the password"), ("to-look", "may only read")],
)
async def test_without_the_password_nothing_is_told_and_doctor_says_why(
    rspamd: tuple[Daemon, str], tmp_path: Path, password: str, word: str
) -> None:
    async with trial(RspamdLearn, tmp_path, rspamd=rspamd[1], password=password, flag=1) as spam:
        (report,) = await spam.tell(job(SPAM))
        assert report.state == "gathering" and word in report.word
        good, text = await spam.found()
        assert not good and word in text and "enable_password" in text


async def test_with_the_password_it_is_told(rspamd: tuple[Daemon, str], tmp_path: Path) -> None:
    async with trial(RspamdLearn, tmp_path, rspamd=rspamd[1], password="to-tell", flag=1) as spam:
        good, text = await spam.found()
        assert good and text.startswith("rspamd/")
        (report,) = await spam.tell(job(SPAM.replace(b"word", b"term")))
        assert report.state == "sent"


async def test_a_scanner_is_no_controller(rspamd: tuple[Daemon, str], tmp_path: Path) -> None:
    async with trial(RspamdLearn, tmp_path, rspamd=rspamd[0].tcp, password=RSPAMD_PASSWORD) as spam:
        good, text = await spam.found()
        assert not good and "no controller?" in text


def answering(reply: bytes) -> Talk:
    """One that lets us in, and answers so to a command."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(OK if head.startswith(b"POST /auth") else reply)
        await writer.drain()

    return talk


@pytest.mark.parametrize(
    ("reply", "state"),
    [
        (OK, "sent"),
        (b"HTTP/1.1 208 Known\r\nContent-Length: 0\r\n\r\n", "sent"),
        (b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", "gathering"),
        (b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", "gathering"),
        (b"HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n", "failed"),
        (b"HTTP/1.1 204 Skipped\r\n\r\n", "failed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n[", "unsure"),
        (b"HTTP/1.1 200", "unsure"),
        (b"", "unsure"),
    ],
)
async def test_what_an_answer_means(tmp_path: Path, reply: bytes, state: str) -> None:
    async with (
        fake(None, answering(reply)) as server,
        trial(RspamdLearn, tmp_path, rspamd=server.address) as spam,
    ):
        (report,) = await spam.tell(job())
        assert report.state == state
        (report,) = await spam.again()
        assert report.state == state


async def test_a_spare_is_not_told_what_the_first_may_have(tmp_path: Path) -> None:
    heard = bytearray()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.extend(await reader.read(1 << 16))
        writer.write(OK)
        await writer.drain()

    async with (
        fake(None, answering(b"")) as first,
        fake(None, talk) as spare,
        trial(RspamdLearn, tmp_path, rspamd=[first.address, spare.address]) as spam,
    ):
        (report,) = await spam.tell(job())
        assert report.state == "unsure" and first.accepted == 2
    assert b"/auth" in heard and b"/fuzzyadd" not in heard


async def test_what_would_be_told_are_the_commands(tmp_path: Path) -> None:
    async with trial(RspamdLearn, tmp_path, rspamd="127.0.0.1:1", tell=["fuzzy", "bayes"]) as spam:
        told = [each.text.decode() for each in await spam.reporter.preview(job())]
    size = job().size
    assert told == [
        f"/fuzzyadd, flag 11, weight 10, the original of {size} bytes\n",
        f"/learnspam, the original of {size} bytes\n",
    ]


async def test_nobody_there(tmp_path: Path) -> None:
    async with trial(RspamdLearn, tmp_path, rspamd="127.0.0.1:1") as spam:
        (report,) = await spam.tell(job())
        assert report.state == "gathering" and "connection refused" in report.word


@given(st.binary(max_size=200))
async def test_an_answer_of_any_bytes_is_one_or_none(body: bytes) -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(b"HTTP/1.1 200 OK\r\n\r\n" + body)
    reader.feed_eof()
    session = Controller(reader, Mute())  # type: ignore[arg-type]
    try:
        assert (await session.tell("fuzzyadd", b"", [])).status == 200
    except Broken as error:
        assert "without sense" in str(error)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"tell": []}, "tell: the list is empty"),
        ({"flag": 0}, "flag: 0 is none; they are 1 to 255"),
        ({"weight": -1}, "weight: -1 is none"),
    ],
)
def test_settings_that_make_no_sense(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RspamdLearn(object(), **wrong)  # type: ignore[arg-type]
