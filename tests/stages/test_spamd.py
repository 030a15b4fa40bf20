"""spamd: against a real one with rules of our own and a Bayes database, and against what only says it is."""

import asyncio
import logging
import re
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemons import MARKER, SPAMD_RULES, Daemon, told
from daemons import spamd as running_spamd
from fakeserver import Mute, Opened, fake, others_are_answered, says
from hypothesis import given
from hypothesis import strategies as st
from support import mails

from stages.clients.spamd import MAX_ANSWER, MAX_NAME, MAX_RULES, Judgement, Session
from stages.spamd import Spamd
from trap.address import Address
from trap.backend import Broken
from trap.config import Duration, Size
from trap.envelope import Envelope
from trap.job import Job
from trap.stage import Pass, Unavailable

GTUBE = b"XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
HAM = Job.from_message(b"Subject: minutes of Tuesday\r\n\r\nSee you next week.\r\n")
SPAM = Job.from_message(b"Subject: cheap pills\r\n\r\nBuy " + MARKER + b" now")

RULES = (
    SPAMD_RULES
    + f"""
body GTUBE /{re.escape(GTUBE.decode())}/
score GTUBE 1000
body A_NAME_THAT_NEEDS_MORE_ROOM_THAN_THE_TABLE_HAS /room needed/
describe A_NAME_THAT_NEEDS_MORE_ROOM_THAN_THE_TABLE_HAS And a description that a report breaks into lines
score A_NAME_THAT_NEEDS_MORE_ROOM_THAN_THE_TABLE_HAS 0.123
body BAYES_00 eval:check_bayes('0', '0.01')
tflags BAYES_00 nice learn
score BAYES_00 -1.9
body BAYES_99 eval:check_bayes('0.99', '1')
tflags BAYES_99 learn
score BAYES_99 3.5
header TRAP_CLIENT X-Spam-Relays-Untrusted =~ /^\\[ ip=2001:db8::7 rdns=dyn.example helo=pc.example /
score TRAP_CLIENT 0.1
header TRAP_SENDER EnvelopeFrom =~ /^joe\\@spammer.example$/
score TRAP_SENDER 0.1
header TRAP_TRUSTED X-Spam-Relays-Trusted =~ /\\S/
score TRAP_TRUSTED -5
header __NOBODY_LOOKED Received =~ /by \\S+ \\(CommuniGate Pro/
header __NO_NAME X-Spam-Relays-External =~ /^[^\\]]+ rdns= /
meta TRAP_NO_NAME (__NO_NAME && !__NOBODY_LOOKED)
score TRAP_NO_NAME 1
clear_report_template
report Content preview:  _PREVIEW_
report
report " pts rule name              description"
report  ---- ---------------------- --------------------------------------------------
report _SUMMARY_
"""
)
BAYES = """\
use_bayes 1
bayes_path {home}/tmp/bayes
bayes_auto_learn 0
bayes_min_spam_num 3
bayes_min_ham_num 3
"""
WORDS = {
    "spam": "congratulations lottery winner million dollars barrister consignment inheritance beneficiary",
    "ham": "minutes meeting agenda Tuesday projector coffee colleagues schedule review quarterly budget",
}


@pytest.fixture(scope="module")
def spamd() -> Iterator[Daemon]:
    # Not below pytest's own directory: who spamd becomes when root starts it may not look into that.
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        home.chmod(0o755)
        daemon = running_spamd(home, tls=True, allow_tell=True, rules=RULES)
        (home / "site" / "local.cf").write_text(BAYES.format(home=home))
        with daemon:
            for kind, words in WORDS.items():
                for number in range(3):
                    learn(daemon, kind, f"Subject: number {number}\r\n\r\n{words} {number}\r\n".encode())
            yield daemon


def learn(spamd: Daemon, kind: str, message: bytes) -> None:
    head = f"TELL SPAMC/1.5\r\nMessage-class: {kind}\r\nSet: local\r\nContent-length: {len(message)}\r\n\r\n"
    assert b"DidSet: local" in told(spamd.socket, head.encode() + message, seconds=30)


@pytest.fixture(params=["socket", "tcp", "tls"])
def address(request: pytest.FixtureRequest, spamd: Daemon, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where spamd is, three times."""
    monkeypatch.setenv("SSL_CERT_FILE", str(spamd.certificate))
    return str(getattr(spamd, request.param))


# What a real spamd says


async def test_a_score_and_the_rules_it_comes_from(address: str, opened: Opened) -> None:
    verdict = await opened(Spamd, spamd=address).process(SPAM)
    assert isinstance(verdict, Pass) and verdict.to is None and verdict.sample is None
    assert verdict.notes["engine"]
    assert {**verdict.notes, "engine": ""} == {
        "score": 8.2,
        "required": 5.0,
        "spam": True,
        "rules": {"TRAP_MARKER": 6.5, "TRAP_SUBJECT": 2.2, "TRAP_SEEN": -0.5},
        "bayes": None,  # no word of it was ever learnt
        "engine": "",
    }


async def test_ham_passes_with_its_score(address: str, opened: Opened) -> None:
    notes = (await opened(Spamd, spamd=address).process(HAM)).notes
    assert (notes["spam"], notes["rules"]["TRAP_SEEN"]) == (False, -0.5)
    assert notes["score"] < 0


async def test_the_generic_test_for_spam_is_recognised(spamd: Daemon, opened: Opened) -> None:
    notes = (await opened(Spamd, spamd=spamd.socket).process(Job.from_message(b"\r\n" + GTUBE))).notes
    assert notes["spam"] and notes["score"] > 900 and notes["rules"]["GTUBE"] == 1000


async def test_names_and_descriptions_may_be_long(spamd: Daemon, opened: Opened) -> None:
    job = Job.from_message(b"Subject: x\r\n\r\nroom needed\r\n")
    notes = (await opened(Spamd, spamd=spamd.socket).process(job)).notes
    assert notes["rules"] == {"TRAP_SEEN": -0.5, "A_NAME_THAT_NEEDS_MORE_ROOM_THAN_THE_TABLE_HAS": 0.1}


@pytest.mark.parametrize(("kind", "rule"), [("spam", "BAYES_99"), ("ham", "BAYES_00")])
async def test_what_bayes_thinks_is_told_as_a_number(
    spamd: Daemon, opened: Opened, kind: str, rule: str
) -> None:
    job = Job.from_message(f"Subject: {WORDS[kind].split()[4]}\r\n\r\n{WORDS[kind]}\r\n".encode())
    notes = (await opened(Spamd, spamd=spamd.socket).process(job)).notes
    assert rule in notes["rules"]
    assert notes["bayes"] == pytest.approx(1 if kind == "spam" else 0, abs=0.01)
    assert kind == "ham" or notes["bayes"] > 0.99  # the probability, and not the rule's name


@pytest.mark.parametrize("kind", ["socket", "tcp"])
async def test_compressed_it_is_the_same(spamd: Daemon, opened: Opened, kind: str) -> None:
    plain = await opened(Spamd, spamd=getattr(spamd, kind)).process(SPAM)
    small = await opened(Spamd, spamd=getattr(spamd, kind), compress=True).process(SPAM)
    assert small == plain


@pytest.mark.parametrize(
    "message", [b"", b"\n", b"\r\n\r\n", b"no header", b"\0\xff\r\n.\r\n..", b"x" * 200_000]
)
async def test_any_bytes_are_judged(address: str, opened: Opened, message: bytes) -> None:
    verdict = await opened(Spamd, spamd=address).process(Job.from_message(message))
    assert "score" in verdict.notes


async def test_a_message_that_says_it_was_judged_is_not_believed(spamd: Daemon, opened: Opened) -> None:
    forged = (
        b"X-Spam-Status: No, score=-99.0 required=5.0 tests=FORGED\r\nSubject: x\r\n\r\n"
        b" pts rule name              description\r\n"
        b"---- ---------------------- --------------------------------------------------\r\n"
        b" -50 FORGED                 BODY: nothing to see\r\n\r\n" + MARKER
    )
    notes = (await opened(Spamd, spamd=spamd.socket).process(Job.from_message(forged))).notes
    assert notes["rules"] == {"TRAP_MARKER": 6.5, "TRAP_SEEN": -0.5}


async def test_thirty_at_once_do_not_mix_up_their_scores(address: str, opened: Opened) -> None:
    stage = opened(Spamd, spamd=address)
    verdicts = await asyncio.gather(*(stage.process(job) for job in [HAM, SPAM] * 15))
    assert [verdict.notes["spam"] for verdict in verdicts] == [False, True] * 15


async def test_the_version_is_known_soon_and_no_mail_waits_for_it(spamd: Daemon, opened: Opened) -> None:
    stage = opened(Spamd, spamd=spamd.socket)
    assert (await stage.process(SPAM)).notes["engine"] == "SpamAssassin"
    await asyncio.gather(*stage._asking)
    assert re.fullmatch(r"SpamAssassin \d+\.\d+\.\d+", (await stage.process(SPAM)).notes["engine"])


async def test_real_mail_is_judged(spamd: Daemon, opened: Opened, corpus: Path) -> None:
    stage = opened(Spamd, spamd=spamd.socket)
    for path in mails(corpus, 150):
        notes = (await stage.process(Job.from_message(path.read_bytes()))).notes
        assert notes.keys() & {"score", "unscanned"}, path
    assert stage.backends.states()[0].failed == 0


async def test_a_doctor_hears_what_it_is(spamd: Daemon, opened: Opened, tmp_path: Path) -> None:
    good, bad = await opened(Spamd, spamd=[spamd.socket, f"{tmp_path}/nobody"]).backends.check()
    assert good.good and good.text.startswith("SpamAssassin ")
    assert not bad.good and "no such file or directory; (re)start it" in bad.text


async def test_mail_above_max_size_is_not_scanned(spamd: Daemon, opened: Opened) -> None:
    verdict = await opened(Spamd, spamd=spamd.socket, max_size=Size(10)).process(SPAM)
    assert verdict == Pass({"unscanned": "larger than max_size, 10 bytes"})


async def test_a_certificate_of_nobodys_is_refused(spamd: Daemon, opened: Opened) -> None:
    with pytest.raises(Unavailable, match="TLS: CERTIFICATE_VERIFY_FAILED"):
        await opened(Spamd, spamd=spamd.tls).process(SPAM)


async def test_another_spamd_takes_over(spamd: Daemon, opened: Opened, tmp_path: Path) -> None:
    stage = opened(Spamd, spamd=[f"{tmp_path}/nobody", spamd.socket])
    assert (await stage.process(SPAM)).notes["spam"]
    assert [state.state for state in stage.backends.states()] == ["away", "up"]


# What it hears of the session

TRUSTED = (
    b"Received: from me (localhost [127.0.0.1]) by mx with ESMTPSA id 1; Fri, 20 Nov 2026 10:00:00 +0000\r\n"
)
"""What a spammer writes who knows whom SpamAssassin believes."""
NAMED = {"dns": {"ptr": "dyn.example", "ptr_confirmed": True}}


@pytest.mark.parametrize(
    ("tell", "rules"),
    [
        (["ip", "helo", "from"], {"TRAP_CLIENT", "TRAP_SENDER"}),
        (["ip", "helo"], {"TRAP_CLIENT"}),
        (["ip"], set()),
        ([], {"TRAP_TRUSTED"}),
    ],
)
async def test_who_the_client_was_is_not_left_to_the_spammer(
    spamd: Daemon, opened: Opened, tell: list[str], rules: set[str]
) -> None:
    envelope = Envelope(
        client_ip="2001:db8::7", helo="pc.example", helo_verb="EHLO", mail_from="joe@spammer.example"
    )
    job = Job(HAM.id, envelope, NAMED, TRUSTED + HAM.message)
    notes = (await opened(Spamd, spamd=spamd.socket, tell=tell).process(job)).notes
    assert {rule for rule in notes["rules"] if rule.startswith("TRAP_")} - {"TRAP_SEEN"} == rules


@pytest.mark.parametrize(
    ("noted", "speaks_against_it"), [({}, False), ({"dns": {"ptr": "", "ptr_confirmed": False}}, True)]
)
async def test_a_name_is_missing_only_where_one_was_looked_for(
    spamd: Daemon, opened: Opened, noted: dict[str, object], speaks_against_it: bool
) -> None:
    """As SpamAssassin's RDNS_NONE has it."""
    job = Job(HAM.id, Envelope(client_ip="198.51.100.7", helo="pc.example"), noted, HAM.message)
    notes = (await opened(Spamd, spamd=spamd.socket).process(job)).notes
    assert ("TRAP_NO_NAME" in notes["rules"]) == speaks_against_it


# What is said to it


async def asked(opened: Opened, directory: Path, **settings: object) -> bytes:
    """All that a stage says to spamd about HAM, to the end of its half of the connection."""
    heard = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read())
        await says(answer())(reader, writer)

    async with fake(directory, talk) as server:
        await opened(Spamd, spamd=server.address, **settings).process(HAM)
    return heard[0]


def answer(report: bytes = b"", spam: bytes = b"False ; -0.5 / 5.0") -> bytes:
    return b"SPAMD/1.1 0 EX_OK\r\nContent-length: %d\r\nSpam: %b\r\n\r\n%b" % (len(report), spam, report)


async def test_the_question(opened: Opened, tmp_path: Path) -> None:
    size = str(HAM.size).encode()
    head = b"REPORT SPAMC/1.5\r\nContent-length: " + size + b"\r\n\r\n"
    assert await asked(opened, tmp_path) == head + HAM.message


async def test_the_question_for_a_user_and_compressed(opened: Opened, tmp_path: Path) -> None:
    said = await asked(opened, tmp_path, user="trap@trap.example", compress=True)
    head, _, body = said.partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"REPORT SPAMC/1.5",
        b"Content-length: %d" % len(body),
        b"User: trap@trap.example",
        b"Compress: zlib",
    ]
    assert zlib.decompress(body) == HAM.message


async def test_where_reports_have_no_table_the_names_are_asked_for(
    opened: Opened, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        verb = (await reader.readline()).split()[0]
        body = {b"REPORT": b"It's spam, believe us.\n", b"SYMBOLS": b"ONE,BAYES_80,TWO"}.get(verb, b"")
        writer.write(answer(body))
        await reader.read()

    async with fake(tmp_path, talk) as server:
        stage = opened(Spamd, spamd=server.address)
        assert (await stage.process(HAM)).notes["rules"] == {}
        for _ in range(2):
            notes = (await stage.process(HAM)).notes
            assert notes["rules"] == {"ONE": None, "BAYES_80": None, "TWO": None}
            assert notes["bayes"] == 0.8
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "have no table: of rules only names are noted" in caplog.text


# A spamd that is there and does not judge


@pytest.mark.parametrize(
    ("reply", "complaint"),
    [
        (b"", "hung up"),
        (b"SPAMD/1.1 0 EX", "hung up after b'SPAMD/1.1 0 EX'"),
        (b"220 mail.example ESMTP\r\n", "answers '220 mail.example ESMTP'"),
        (b"SPAMD/1.0 69 Service Unavailable: no SQL\r\n", "answers 69 Service Unavailable: no SQL"),
        (b"SPAMD/1.0 76 Bad header line: \x1b[31m\r\n", "answers 76 Bad header line: \\x1b[31m"),
        (b"SPAMD/1.0 79 Timeout: (300 second timeout)\r\n", "answers 79 Timeout: (300 second timeout)"),
        (b"SPAMD/1.1 0 EX_OK\r\n", "tells no length of its answer"),
        (b"SPAMD/1.1 0 EX_OK\r\nContent-length: 0\r\n\r\n", "gives no score, but ''"),
        (b"SPAMD/1.1 0 EX_OK\r\nSpam: True ; 1 / 5\r\n\r\n", "tells no length of its answer"),
        (answer(spam=b"Perhaps ; 1.0 / 5.0"), "gives no score, but ' Perhaps ; 1.0 / 5.0'"),
        (answer(spam=b"True ; nan / 5.0"), "gives no score, but ' True ; nan / 5.0'"),
        (answer(b"half")[:-2], "hung up after 2 bytes of 4"),
        (answer().replace(b"h: 0", b"h: -1"), "announces an answer of -1 bytes"),
        (
            answer().replace(b"h: 0", b"h: %d" % (MAX_ANSWER + 1)),
            f"announces an answer of {MAX_ANSWER + 1} bytes",
        ),
        (b"x" * 200_000, "answers without an end"),
        (
            b"SPAMD/1.1 0 EX_OK\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(99)),
            "answers without an end",
        ),
    ],
)
async def test_what_is_no_answer_is_told(
    opened: Opened, tmp_path: Path, reply: bytes, complaint: str
) -> None:
    async with fake(tmp_path, says(reply)) as server:
        with pytest.raises(Unavailable, match=f"^spamd at {tmp_path}/s: {re.escape(complaint)}"):
            await opened(Spamd, spamd=server.address).process(HAM)


async def test_the_third_broken_conversation_is_the_mails_fault(opened: Opened, tmp_path: Path) -> None:
    async with fake(tmp_path, says(b"SPAMD/1.0 79 Timeout: too slow\r\n")) as server:
        stage = opened(Spamd, spamd=server.address)
        for _ in range(2):
            with pytest.raises(Unavailable):
                await stage.process(HAM)
            others_are_answered(stage)
        why = f"3 conversations broke: spamd at {server.address}: answers 79 Timeout: too slow"
        assert await stage.process(HAM) == Pass({"unscanned": why})


async def test_one_that_never_answers_is_given_up_in_time(opened: Opened, tmp_path: Path) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        await asyncio.sleep(60)

    async with fake(tmp_path, talk) as server:
        stage = opened(Spamd, spamd=server.address, timeout=Duration("200ms"))
        async with asyncio.timeout(3):
            with pytest.raises(Unavailable, match=r"no answer within 0\.2 s"):
                await stage.process(HAM)


async def test_a_frozen_spamd_is_away_and_comes_back(spamd: Daemon, opened: Opened) -> None:
    stage = opened(Spamd, spamd=spamd.socket, timeout=Duration("200ms"))
    with spamd.frozen():
        for _ in range(3):
            with pytest.raises(Unavailable):
                await stage.process(Job.from_message(b"another each time"))
        assert stage.backends.away
    for _ in range(200):
        await asyncio.sleep(0.05)
        if not stage.backends.away:
            break
    assert (await stage.process(SPAM)).notes["spam"]


# Hostile answers


def heard(reply: bytes) -> Judgement | None:
    """What is made of an answer; None when it is none."""

    async def judged() -> Judgement:
        reader = asyncio.StreamReader()
        reader.feed_data(reply)
        reader.feed_eof()
        return await Session(reader, Mute(), Address("x", 1)).check(b"")  # type: ignore[arg-type]

    try:
        return asyncio.run(judged())
    except Broken as error:
        assert str(error).isprintable()
        return None


TABLE = b" pts rule\n---- ---- -----\n"


@given(
    st.one_of(
        st.binary(),
        st.binary().map(answer),
        st.binary().map(lambda report: answer(TABLE + report)),
        st.lists(
            st.sampled_from([b" 1.0 A", b"-2 BAYES_99 x", b"[score: 0.5]", b"---- --- ---", b"9" * 9])
        ).map(lambda lines: answer(TABLE + b"\n".join(lines))),
    )
)
def test_any_answer_is_a_judgement_or_none(reply: bytes) -> None:
    judgement = heard(reply)
    if judgement:
        assert len(judgement.rules) <= MAX_RULES
        assert all(len(name) <= MAX_NAME and name.isprintable() for name in judgement.rules)
        assert judgement.bayes is None or 0 <= judgement.bayes <= 1


def test_an_endless_table_is_cut() -> None:
    lines = b"".join(b" 1.0 RULE_%d_%b a description\n" % (n, b"X" * 200) for n in range(1000))
    judgement = heard(answer(TABLE + lines))
    assert judgement and len(judgement.rules) == MAX_RULES
    assert {len(name) for name in judgement.rules} == {MAX_NAME}


# Settings


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"spamd": "spamd:port"}, "is not the address of a server"),
        ({"spamd": []}, "no address of a spamd is given"),
        ({"user": "a b"}, "user: 'a b' is no user's name"),
        ({"user": "a\r\nSet: local"}, "is no user's name"),
        ({"spamd": ["/run/spamd.sock", "tls://far.example"], "compress": True}, "use one of the two"),
    ],
)
def test_settings_that_can_not_be(settings: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Spamd(**settings)  # type: ignore[arg-type]


def test_the_port_is_the_usual_one() -> None:
    assert [state.address for state in Spamd(spamd=["::1", "far.example"]).backends.states()] == [
        "[::1]:783",
        "far.example:783",
    ]
