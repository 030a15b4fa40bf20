"""spamd_learn: against a real spamd with Bayes, with and without --allow-tell; and one that dies of it."""

import asyncio
import re
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from checksumkit import TEXT, job, trial
from daemons import Daemon, told
from daemons import spamd as running_spamd
from fakeserver import Mute, Talk, fake, others_are_answered
from hypothesis import given
from hypothesis import strategies as st

from stages.clients.spamd import Session
from stages.reporting.terms import Terms
from stages.spamd_learn import SpamdLearn
from trap.address import Address
from trap.backend import Broken
from trap.config import Duration
from trap.job import Job

BAYES = """\
use_bayes 1
bayes_path {home}/tmp/bayes
bayes_auto_learn 0
bayes_min_spam_num 1
bayes_min_ham_num 1
"""
RULES = """\
required_score 5.0
body BAYES_99 eval:check_bayes('0.90', '1.00')
tflags BAYES_99 learn
score BAYES_99 3.5
clear_report_template
report _SUMMARY_
"""
HAM = b"Subject: minutes\r\n\r\nThe agenda of Tuesday, and the projector is broken.\r\n"


@pytest.fixture(scope="module")
def spamd() -> Iterator[Daemon]:
    # Not below pytest's own directory: who spamd becomes when root starts it may not look into that.
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        home.chmod(0o755)
        daemon = running_spamd(home, allow_tell=True, rules=RULES, max_children=1)
        (home / "site" / "local.cf").write_text(BAYES.format(home=home))
        with daemon:
            yield daemon


@pytest.fixture(scope="module")
def strict() -> Iterator[Daemon]:
    """One that was started without --allow-tell."""
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        home.chmod(0o755)
        with running_spamd(home, max_children=1) as daemon:
            yield daemon


def answering(reply: bytes) -> Talk:
    """One that may be told, and answers so when it is."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(reply if b"Set:" in await reader.read() else b"SPAMD/1.1 0 EX_OK\r\n\r\n\r\n")
        await writer.drain()

    return talk


def learn_ham(spamd: Daemon) -> None:
    """Bayes says nothing before it has seen both."""
    head = b"TELL SPAMC/1.5\r\nMessage-class: ham\r\nSet: local\r\nContent-length: %d\r\n\r\n" % len(HAM)
    assert b"DidSet: local" in told(spamd.socket, head + HAM, seconds=30)


async def known(spamd: Daemon, message: Job) -> bool:
    """Whether Bayes takes it for spam."""
    session = await Session.open(Address.parse(spamd.socket))
    judgement = await session.check(message.message, tabled=False)
    session.close()
    return "BAYES_99" in judgement.rules


async def test_what_the_trap_got_is_known_then(spamd: Daemon, tmp_path: Path) -> None:
    learn_ham(spamd)
    async with trial(SpamdLearn, tmp_path, spamd=spamd.socket) as spam:
        assert not await known(spamd, job())
        (report,) = await spam.tell(job())
        assert (report.state, report.word) == ("sent", "DidSet: local")
        assert report.recipient == f"local of spamd at {spamd.socket}"
        near = job(TEXT + b"Now.\r\n", head=b"Message-ID: <2@spammer.example>\r\n")
        assert await known(spamd, near)

        (report,) = await spam.take_back()
        assert (report.state, report.word) == ("retracted", "DidRemove: local")
        assert not await known(spamd, near)


async def test_a_message_that_it_knows_is_not_learnt_twice(spamd: Daemon, tmp_path: Path) -> None:
    """Its id is the same: another trap may have told it before."""
    message = job(b"Cheap watches, and more of them.\r\n", head=b"Message-ID: <3@spammer.example>\r\n")
    async with (
        trial(SpamdLearn, tmp_path / "one", spamd=spamd.tcp) as first,
        trial(SpamdLearn, tmp_path / "two", spamd=spamd.tcp) as second,
    ):
        (report,) = await first.tell(message)
        assert report.state == "sent"
        (report,) = await second.tell(message)
        assert report.state == "failed" and "it knows the message, or Bayes is off" in report.word
        await first.take_back()


async def test_without_allow_tell_nothing_is_told_and_doctor_says_why(strict: Daemon, tmp_path: Path) -> None:
    async with trial(SpamdLearn, tmp_path, spamd=strict.socket) as spam:
        (report,) = await spam.tell(job(b"word " * 100_000))
        assert report.state == "gathering" and "set the --allow-tell switch" in report.word
        good, text = await spam.found()
        assert not good and "start spamd with --allow-tell" in text


async def test_where_it_is_allowed_doctor_is_content(spamd: Daemon, tmp_path: Path) -> None:
    async with trial(SpamdLearn, tmp_path, spamd=spamd.tcp) as spam:
        assert await spam.found() == (True, "spamd, to be told (TELL)")


async def test_networks_get_to_see_the_redacted_message_only(tmp_path: Path) -> None:
    """A plugin of spamd's may mail it to somebody whole."""
    heard = bytearray()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.extend(await reader.read())
        done = b"DidSet: remote\r\n" if b"Set:" in heard else b""
        writer.write(b"SPAMD/1.1 0 EX_OK\r\n" + done + b"\r\n\r\n")
        await writer.drain()

    async with fake(tmp_path, talk) as server:
        settings = {"spamd": server.address, "tell": ["remote", "local"]}
        terms = Terms(gather=Duration("0s"))
        async with trial(SpamdLearn, tmp_path, terms=terms, **settings) as spam:
            (report,) = await spam.tell(job())
            assert (report.state, report.word) == ("sent", "DidSet: remote")
            assert report.recipient.startswith("local and remote of spamd")
            assert b"barrister" in heard and b"trap.example" not in heard
            assert b"Set: local, remote\r\n" in heard
            (shown,) = await spam.reporter.preview(job())
            assert b"barrister" in shown.text and b"trap.example" not in shown.text


async def test_one_that_dies_of_it_is_told_again_what_it_learns_once(tmp_path: Path) -> None:
    """But no message may end spamd for ever."""
    async with (
        fake(tmp_path, answering(b"")) as server,
        trial(SpamdLearn, tmp_path, spamd=server.address) as spam,
    ):
        (report,) = await spam.tell(job())
        assert report.state == "gathering" and "hung up" in report.word
        for _ in range(2):
            others_are_answered(spam.reporter)
            (report,) = await spam.again()
        assert report.state == "failed" and "3 conversations broke" in report.word
        assert server.accepted == 4


async def test_one_that_dies_of_it_is_not_told_again_what_it_passes_on(tmp_path: Path) -> None:
    settings = {"tell": ["remote"], "terms": Terms(gather=Duration("0s"))}
    async with (
        fake(tmp_path, answering(b"")) as server,
        trial(SpamdLearn, tmp_path, spamd=server.address, **settings) as spam,
    ):
        (report,) = await spam.tell(job())
        assert report.state == "unsure" and "hung up" in report.word
        (report,) = await spam.again()
        assert report.state == "unsure" and server.accepted == 2


@pytest.mark.parametrize(
    ("code", "state"),
    [(75, "gathering"), (69, "gathering"), (79, "gathering"), (65, "failed"), (76, "failed")],
)
async def test_a_no_is_for_now_or_for_good(tmp_path: Path, code: int, state: str) -> None:
    reply = b"SPAMD/1.0 %d EX_SOMETHING\r\n" % code
    async with (
        fake(tmp_path, answering(reply)) as server,
        trial(SpamdLearn, tmp_path, spamd=server.address) as spam,
    ):
        (report,) = await spam.tell(job())
        assert (report.state, report.word) == (state, f"spamd answers {code} EX_SOMETHING")


@given(st.binary(max_size=200) | st.from_regex(rb"SPAMD/1.1 0 EX_OK\r\n(DidSet: ?\w+\r\n)?\r\n"))
async def test_it_is_done_only_if_it_says_so(answer: bytes) -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(answer)
    reader.feed_eof()
    session = Session(reader, Mute(), Address())  # type: ignore[arg-type]
    with suppress(Broken):
        done = await session.tell(b"", put=["local"])
        assert done <= {"local", "remote"}
        assert not done or re.search(rb"(?i)didset:[^\n]*(local|remote)", answer)


async def test_what_would_be_told_is_the_command(tmp_path: Path) -> None:
    async with trial(SpamdLearn, tmp_path, spamd="127.0.0.1:1") as spam:
        (told,) = await spam.reporter.preview(job())
        assert told.text.decode() == f"TELL, Set: local, the original of {job().size} bytes\n"


def test_settings_that_make_no_sense(tmp_path: Path) -> None:
    place = object()
    with pytest.raises(ValueError, match=r"tell: the list is empty; write local, remote, or both"):
        SpamdLearn(place, tell=[])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"user: 'a b' is no user's name"):
        SpamdLearn(place, user="a b")  # type: ignore[arg-type]
