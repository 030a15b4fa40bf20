"""forward: mail that is passed on to a peer, once, and to nobody else."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from daemons import certify
from mailboxkit import Mailbox, mailbox
from peerkit import Peer

from stages.clients.manner import Manner
from stages.forward import HOPS, Forward
from stages.reporting.terms import Terms
from trap.config import Duration, Share, Size
from trap.configfile import parse
from trap.envelope import Envelope, Rcpt
from trap.job import Job
from trap.maillog import MailLog
from trap.place import Place
from trap.queue import Spool
from trap.redact import Redacted
from trap.reports import Book
from trap.stage import Pass

FEED = "feed@peer.example"
TRAP = "joe.doe@trap.example"
MAIL = (
    b"Received: from evil.example by mx.trap.example for <joe.doe@trap.example>;\r\n"
    b"\tTue, 3 Nov 2026 09:00:00 +0000\r\n"
    b"To: Joe <joe.doe@trap.example>\r\nSubject: buy\r\n\r\nDear joe.doe@trap.example, buy %s.\r\n"
)
NOW = Terms(rate=0, gather=Duration(0))
ORIGINALS: dict[str, Any] = {"what": "original", "trusted": True}
CONFIG = "accept: {domains: [trap.example]}\nsmtp: {hostname: mx.trap.example}\n"


def job(text: bytes = b"now", message: bytes = MAIL, **envelope: Any) -> Job:
    message = message.replace(b"%s", text)
    rcpts = [Rcpt(address=TRAP)]
    return Job.from_message(
        message, Envelope(client_ip="192.0.2.9", mail_from="evil@spam.example", rcpts=rcpts, **envelope)
    )


def place(home: Path, queue: str = "forward") -> Place:
    return Place(parse(CONFIG + f"paths: {{state: {home}/state}}"), queue)


@asynccontextmanager
async def forward(
    home: Path, peer: Peer | None = None, queue: str = "forward", **settings: Any
) -> AsyncIterator[Forward]:
    """The stage in a trap of its own, as a worker would have it."""
    address = peer.address if peer else "127.0.0.1:1"
    stage = Forward(place(home, queue), **{"recipients": [FEED], "smtp": address, "terms": NOW, **settings})
    try:
        yield stage
        await stage.finish()
    finally:
        stage.backends.close()
        stage.close()


async def sent(stage: Forward, *jobs: Job) -> list[Any]:
    """Have it pass these on, and wait for what comes of it; the verdicts."""
    verdicts = [await stage.process(job) for job in jobs]
    stage.tick()
    while stage._flying:
        await asyncio.wait(stage._flying.values())
    return verdicts


def states(home: Path, queue: str = "forward") -> list[tuple[str, str]]:
    """State and answer of all that stands in the book."""
    book = Book(home / "state/reports", queue)
    try:
        return sorted((report.state, report.word) for report in book.reports())
    finally:
        book.close()


async def until(done: Callable[[], object]) -> None:
    """Wait until it is true."""
    async with asyncio.timeout(30):
        while not done():  # noqa: ASYNC110 - it is another process that makes it true
            await asyncio.sleep(0.02)


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async with Peer() as peer:
        yield peer


# -- what is passed on, and to whom --------------------------------------------------------------


async def test_a_trusted_peer_gets_the_original_with_a_mark_on_top(tmp_path: Path, peer: Peer) -> None:
    async with forward(tmp_path, peer, **ORIGINALS) as stage:
        [verdict] = await sent(stage, job())
    assert list(verdict.notes["reports"]) == [FEED]
    [taken] = peer.taken
    mark, _, message = taken.data.partition(b"\r\n")
    assert re.fullmatch(rb"X-Loop: [0-9a-f]{20}\.[0-9a-f]{32}", mark)
    assert message == MAIL.replace(b"%s", b"now")
    assert taken.mail.startswith("MAIL FROM:<> ") and taken.rcpts == [FEED]
    assert states(tmp_path) == [("sent", "250 queued")]


async def test_others_get_nothing_that_tells_the_recipient(tmp_path: Path, peer: Peer) -> None:
    async with forward(tmp_path, peer) as stage:
        await sent(stage, job())
    [taken] = peer.taken
    assert b"trap.example" not in taken.data and b"joe.doe" not in taken.data
    assert b"buy now." in taken.data and b"Subject: buy" in taken.data
    assert states(tmp_path) == [("sent", "250 queued")]


async def test_two_peers_can_not_tell_that_they_got_the_same(tmp_path: Path, peer: Peer) -> None:
    async with Peer() as other, forward(tmp_path, peer) as one, forward(tmp_path, other, "forward-b") as two:
        message = job()
        await sent(one, message)
        await sent(two, message)
        [mine], [theirs] = peer.taken, other.taken
    assert mine.data.splitlines()[0] != theirs.data.splitlines()[0]
    assert mine.data.splitlines()[1] != theirs.data.splitlines()[1]


async def test_what_the_gate_finds_is_held(
    tmp_path: Path, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stages.reporting.case.Redactor.redact", unredacted)
    async with forward(tmp_path, peer) as stage:
        await sent(stage, job())
        monkeypatch.undo()
    assert not peer.taken
    [(state, why)] = states(tmp_path)
    assert state == "held" and "gate found" in why


def unredacted(_: Any, message: bytes, *__: Any) -> Any:
    return Redacted(message, {}, [], [], [])


async def test_every_recipient_is_sent_one_of_his_own(tmp_path: Path, peer: Peer) -> None:
    async with forward(tmp_path, peer, recipients=[FEED, "b@peer.example", FEED]) as stage:
        await sent(stage, job())
    assert sorted(taken.rcpts for taken in peer.taken) == [["b@peer.example"], [FEED]]


async def test_copies_are_passed_on_each_or_one_a_campaign(tmp_path: Path, peer: Peer) -> None:
    copies = [job(text) for text in (b"now", b"soon", b"later")]
    for copy in copies:
        copy.notes = {"dedup": {"campaign": "c1", "window_count": 1, "count": 1}}
    async with forward(tmp_path, peer) as stage, forward(tmp_path, peer, "other", each="campaign") as other:
        await sent(stage, *copies)
        assert len(peer.taken) == 3
        await sent(other, *copies)
        assert len(peer.taken) == 4


async def test_what_differs_between_copies_is_masked_in_each(tmp_path: Path, peer: Peer) -> None:
    text = "Dear customer, your parcel waits, come and see what we have for you: http://shop.example/see?u={}\r\n"
    copies = [
        job(message=f"Subject: parcel\r\n\r\n{text.format(number)}".encode()) for number in (4711, 4832, 9055)
    ]
    for number, copy in enumerate(copies):
        copy.envelope = Envelope(rcpts=[Rcpt(address=f"someone{number}@trap.example")])
        copy.notes = {"dedup": {"campaign": "c1", "window_count": 1, "count": 1}}
    async with forward(tmp_path, peer) as stage:
        for copy in copies:
            stage._siblings.add("c1", copy)
        await sent(stage, *copies)
    got = b"".join(taken.data for taken in peer.taken)
    assert len(peer.taken) == 3 and b"http://shop.example/see?u=" in got
    assert not any(word in got for word in (b"4711", b"4832", b"9055"))


async def test_a_preview_is_what_would_be_sent(tmp_path: Path) -> None:
    async with forward(tmp_path) as stage, forward(tmp_path, queue="b", **ORIGINALS) as other:
        [redacted], [original] = await stage.preview(job()), await other.preview(job())
    assert redacted.to == original.to == FEED and not redacted.why_not
    assert redacted.text.startswith(b"X-Loop: ") and b"joe.doe" not in redacted.text
    assert original.text.startswith(b"X-Loop: ") and original.text.endswith(MAIL.replace(b"%s", b"now"))


async def test_fields_on_top_may_tell_how_it_came(tmp_path: Path, peer: Peer) -> None:
    async with forward(tmp_path, peer, trace=True, sender="out@feeds.example") as stage:
        await sent(stage, job(helo="joe.doe.trap.example\r\nX: y", received_at=1e9))
    [taken] = peer.taken
    head = taken.data.split(b"\r\n")[1:6]
    assert head[0] == b"X-Spamtrap-Client: 192.0.2.9"
    assert (
        head[1].startswith(b"X-Spamtrap-Helo: ")
        and b"trap" not in head[1][12:]
        and b"\\x0d\\x0aX: y" in head[1]
    )
    assert head[2:4] == [
        b"X-Spamtrap-Mail-From: <evil@spam.example>",
        b"X-Spamtrap-Received: Sun, 09 Sep 2001 01:46:00 +0000",
    ]
    assert taken.mail.startswith("MAIL FROM:<out@feeds.example>")


# -- what is not ---------------------------------------------------------------------------------


async def test_mail_that_is_too_large_or_came_a_long_way_is_unfit(tmp_path: Path) -> None:
    async with forward(tmp_path, max_size=Size(300)) as stage:
        assert await stage.process(job(b"x" * 300)) == Pass({"left_out": "larger than max_size, 300 bytes"})
    round_and_round = b"Received: by a.example\r\n" * (HOPS + 1) + MAIL
    async with forward(tmp_path) as stage:
        assert await stage.process(job(message=round_and_round)) == Pass(
            {"left_out": f"more than {HOPS} hosts have passed it on"}
        )


async def test_a_share_is_the_same_each_time_and_of_the_size_that_is_wanted(tmp_path: Path) -> None:
    jobs = [job() for _ in range(400)]
    async with (
        forward(tmp_path, share=Share("25%")) as stage,
        forward(tmp_path, queue="b", share=Share("25%")) as other,
    ):
        drawn = [not stage.unfit(job) for job in jobs]
        assert drawn == [not stage.unfit(job) for job in jobs]
        assert 50 < sum(drawn) < 150
        assert drawn != [not other.unfit(job) for job in jobs]
    async with (
        forward(tmp_path, queue="c", share=Share(0)) as none,
        forward(tmp_path, queue="d") as all_of_it,
    ):
        assert {none.unfit(job) for job in jobs} == {"not in the share"}
        assert {all_of_it.unfit(job) for job in jobs} == {""}


@pytest.mark.parametrize(
    "back",
    [
        lambda got: got,
        lambda got: b"Received: by peer.example\r\n" + got,
        lambda got: got.replace(b"X-Loop", b"x-loop").replace(b"\r\n", b"\n"),
        lambda got: (
            b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n"
            + got
            + b"\r\n--b--\r\n"
        ),
    ],
)
@pytest.mark.parametrize("settings", [{}, ORIGINALS])
async def test_what_comes_back_is_not_passed_on_again(
    tmp_path: Path, peer: Peer, back: Callable[[bytes], bytes], settings: dict[str, Any]
) -> None:
    async with forward(tmp_path, peer, **settings) as stage, forward(tmp_path, peer, "forward-b") as other:
        await sent(stage, job())
        returned = Job.from_message(back(peer.taken[0].data), Envelope())
        for each in (stage, other):
            assert await each.process(returned) == Pass({"left_out": "came back: we passed it on before"})


async def test_a_mark_that_is_not_ours_keeps_nobody_from_being_passed_on(tmp_path: Path) -> None:
    forged = b"X-Loop: %s.%s\r\n" % (b"0" * 20, b"1" * 32)
    async with forward(tmp_path) as stage:
        assert not stage.unfit(job(message=forged + MAIL))
        assert stage.unfit(job(message=forged * 101 + MAIL))


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"what": "original"}, "trusted: has to be true"),
        ({"recipients": []}, "recipients: nobody is named"),
        ({"recipients": ["peer.example"]}, "'peer.example' is no mail address"),
        ({"recipients": ["a@peer.example>\r\nRCPT TO:<b@c"]}, "is no mail address"),
        ({"recipients": ["x@sub.Trap.example"]}, "is an address of this trap"),
        ({"sender": "out@trap.example"}, "is an address of this trap"),
        ({"session": Manner(helo="mx.trap.example")}, "would tell everybody where the trap is"),
    ],
)
async def test_settings_that_would_burn_the_trap_are_mistakes(
    tmp_path: Path, settings: dict[str, Any], why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        async with forward(tmp_path, **settings):
            pass


# -- when the peer says no, or nothing -------------------------------------------------------------


async def test_a_peer_that_says_no_for_now_is_asked_again(
    tmp_path: Path, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stages.reporting.outbox.FIRST_RETRY", 0.0)
    peer.replies["RCPT"] = ["450 4.2.0 greylisted"]
    async with forward(tmp_path, peer) as stage:
        await sent(stage, job())
    assert len(peer.taken) == 1 and peer.heard.count("RSET") == 1
    assert states(tmp_path) == [("sent", "250 queued")]


async def test_a_peer_that_says_no_for_good_is_not(tmp_path: Path, peer: Peer) -> None:
    peer.replies["."] = ["554 5.7.1 spam"]
    async with forward(tmp_path, peer) as stage:
        await sent(stage, job(), job(b"more"))
    assert states(tmp_path) == [("failed", "554 5.7.1 spam"), ("sent", "250 queued")]


async def test_a_peer_that_dies_after_the_message_is_not_sent_it_again(tmp_path: Path, peer: Peer) -> None:
    peer.replies["."] = [""]
    async with forward(tmp_path, peer) as stage:
        await sent(stage, job())
        stage.tick()
        await sent(stage, job(b"more"))
    assert len(peer.taken) == 1
    assert [state for state, _ in states(tmp_path)] == ["sent", "unsure"]


async def test_a_peer_that_is_away_costs_nothing_but_time(
    tmp_path: Path, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stages.reporting.outbox.SOON", 0.0)
    monkeypatch.setattr("trap.backendserver.PROBE_PAUSE", 0.01)
    await peer.__aexit__()
    async with forward(tmp_path, peer) as stage:
        await sent(stage, *(job(b"%d" % number) for number in range(5)))
        assert stage.backends.away
        assert [state for state, _ in states(tmp_path)] == ["gathering"] * 5
        await peer.__aenter__(peer.port)
        await until(lambda: not stage.backends.away)
        await until(lambda: stage.tick() or len(peer.taken) == 5)
    assert len({taken.data for taken in peer.taken}) == len(peer.taken) == 5


@asynccontextmanager
async def worker(home: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A worker of a trap below this directory, as `spamtrap up` has it."""
    command = [sys.executable, "-m", "trap", "--dir", str(home), "work", "forward"]
    process = await asyncio.create_subprocess_exec(*command)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_a_worker_that_is_killed_before_the_answer_sends_nothing_twice(
    tmp_path: Path, peer: Peer
) -> None:
    """The peer takes its time with the answer, and the worker is killed meanwhile."""
    settings = f"{{recipients: [{FEED}], smtp: '{peer.address}', terms: {{gather: 0s}}}}"
    (tmp_path / "spamtrap.yaml").write_text(f"pipeline: [forward]\n{CONFIG}stages: {{forward: {settings}}}\n")
    spool = Spool(tmp_path / "spool", MailLog(tmp_path / "state/maillog"), ["forward"])
    peer.replies["."] = [None]
    spool.put("forward", job().envelope, job(b"before").message)
    async with worker(tmp_path):
        await until(lambda: "DATA" in peer.heard and states(tmp_path)[0][0] == "sending")
    spool.put("forward", job().envelope, job(b"then").message)
    async with worker(tmp_path):
        await until(lambda: peer.taken)
        await until(lambda: {state for state, _ in states(tmp_path)} == {"sent", "unsure"})
    assert [b"buy then" in taken.data for taken in peer.taken] == [True]
    assert sum(line == "DATA" for line in peer.heard) == 2


# -- a real Postfix ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def postfix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mailbox]:
    """One that insists on TLS."""
    home = tmp_path_factory.mktemp("tls")
    certify(home)
    with mailbox(home, "encrypt") as box:
        yield box


@pytest.fixture
def secure(postfix: Mailbox) -> Manner:
    """TLS with it, and its certificate looked at."""
    assert postfix.certificate
    return Manner(starttls="required", ca_file=str(postfix.certificate / "cert.pem"))


async def test_postfix_takes_it_over_tls_and_once_although_it_is_killed(
    tmp_path: Path, postfix: Mailbox, secure: Manner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stages.reporting.outbox.SOON", 0.0)
    monkeypatch.setattr("trap.backendserver.PROBE_PAUSE", 0.05)
    odd = MAIL.replace(b"\r\n", b"\n") + b".\n..\nnul: \0, eight: \xe4\xff, long: " + b"x" * 5000 + b"\r\rend"
    async with forward(tmp_path, smtp=postfix.address, session=secure, **ORIGINALS) as stage:
        await sent(stage, job(b"before", odd))
        postfix.kill()
        await sent(stage, *(job(b"%d" % number) for number in range(3)))
        assert stage.backends.away
        postfix.start()
        await until(lambda: stage.tick() or {state for state, _ in states(tmp_path)} == {"sent"})
    got = postfix.delivered()
    assert len(got) == len({each.fields["x-loop"] for each in got}) == 4
    [first] = [each for each in got if b"buy before" in each.data]
    assert first.data.endswith(b"\n.\n..\nnul: \0, eight: \xe4\xff, long: " + b"x" * 5000 + b"\n\nend\n")
    assert "with ESMTPS id" in first.fields["received"]


async def test_a_postfix_that_insists_on_tls_is_away_for_those_that_speak_none(
    tmp_path: Path, postfix: Mailbox
) -> None:
    async with forward(tmp_path, smtp=postfix.address, session=Manner(starttls="never")) as stage:
        await sent(stage, job())
    [(state, why)] = states(tmp_path)
    assert state == "gathering" and "530 5.7.0 Must issue a STARTTLS" in why
