"""rspamd: against a real one with rules and a fuzzy storage of our own, and against what only says it is."""

import asyncio
import json
import os
import re
import ssl
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard
from daemons import MARKER, RSPAMD_PASSWORD, certify
from daemons import Rspamd as Daemon
from daemons import redis as running_redis
from daemons import rspamd as running_rspamd
from fakeserver import Mute, Opened, Talk, fake, others_are_answered, relay, says
from hypothesis import given
from hypothesis import strategies as st
from support import mails

from stages.clients.rspamd import MAX_ANSWER, MAX_FIELD, MAX_FUZZY, MAX_NAME, MAX_SYMBOLS, Judgement, Session
from stages.rspamd import Rspamd
from trap.address import Address
from trap.backend import Broken
from trap.config import Duration, Size
from trap.envelope import Envelope, Rcpt
from trap.job import Job
from trap.stage import Pass, Unavailable

GTUBE = b"XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
HAM = Job.from_message(b"Subject: minutes of Tuesday\r\n\r\nSee you next week.\r\n")
SPAM = Job.from_message(b"Subject: cheap pills\r\n\r\nBuy " + MARKER + b" now\r\n")
KNOWN = b"Content-Type: text/plain\r\n\r\n" + b" ".join(b"word%dabc" % n for n in range(100)) + b"\r\n"
ENVELOPE = Envelope(
    client_ip="192.0.2.7",
    helo="spammer.example",
    mail_from="sender@spammer.example",
    rcpts=[Rcpt(address="one@trap.example"), Rcpt(address="two@trap.example")],
)
"""Rules that tell what rspamd was told of a session."""
TELLING = """\
rspamd_config:register_symbol{ name = 'TOLD', score = 0.5, callback = function(task)
  local ip, from, rcpts = task:get_from_ip(), task:get_from('smtp'), task:get_recipients('smtp')
  local told = { 'queue=' .. tostring(task:get_queue_id()), 'helo=' .. tostring(task:get_helo()) }
  if ip and ip:is_valid() then table.insert(told, 'ip=' .. ip:to_string()) end
  if from then table.insert(told, 'from=' .. from[1].addr) end
  for _, rcpt in ipairs(rcpts or {}) do table.insert(told, 'rcpt=' .. rcpt.addr) end
  return true, 1.0, told
end }
"""


@pytest.fixture(scope="module")
def rspamd() -> Iterator[Daemon]:
    with tempfile.TemporaryDirectory() as directory:
        home, store = Path(directory, "rspamd"), Path(directory, "redis")
        home.mkdir()
        store.mkdir()
        with running_redis(store) as redis:
            daemon = running_rspamd(home, redis=redis.tcp)
            with (home / "rules.lua").open("a") as rules:
                rules.write(TELLING)
            with daemon:
                learn(daemon, KNOWN)
                yield daemon


def learn(rspamd: Daemon, message: bytes) -> None:
    """Put the fuzzy hashes of a message into the storage."""
    headers = {"Flag": "1", "Weight": "10", "Password": RSPAMD_PASSWORD}
    request = urllib.request.Request(f"http://{rspamd.controller}/fuzzyadd", message, headers)
    with urllib.request.urlopen(request, timeout=20) as response:
        assert json.load(response)["success"]


@pytest.fixture(params=["socket", "tcp"])
def address(request: pytest.FixtureRequest, rspamd: Daemon) -> str:
    """Where its scanner is, twice."""
    return str(getattr(rspamd, request.param))


# What a real rspamd says


@pytest.mark.parametrize("compress", [False, True])
async def test_a_score_and_the_symbols_it_comes_from(address: str, opened: Opened, compress: bool) -> None:
    verdict = await opened(Rspamd, rspamd=address, compress=compress).process(SPAM)
    assert isinstance(verdict, Pass) and verdict.to is None and verdict.sample is None
    notes = verdict.notes
    assert re.fullmatch(r"rspamd/\d+\.\d+.*", notes.pop("engine"))
    assert notes == {
        "score": 8.75,
        "required": 15.0,
        "action": "add header",
        "symbols": {"TRAP_MARKER": 6.5, "TRAP_SUBJECT": 2.25, "TOLD": 0.5, "TRAP_SEEN": -0.5},
        "fuzzy": [],
    }


async def test_ham_passes_with_its_score(address: str, opened: Opened) -> None:
    notes = (await opened(Rspamd, rspamd=address).process(HAM)).notes
    assert (notes["score"], notes["action"]) == (0.0, "no action")


async def test_the_generic_test_for_spam_is_recognised(rspamd: Daemon, opened: Opened) -> None:
    job = Job.from_message(b"Subject: x\r\n\r\nIs this spam? " + GTUBE + b"\r\n")
    notes = (await opened(Rspamd, rspamd=rspamd.socket).process(job)).notes
    assert notes["action"] == "reject" and notes["skipped"] and "GTUBE" in notes["symbols"]


async def test_what_a_fuzzy_storage_knows_is_told(rspamd: Daemon, opened: Opened) -> None:
    stage = opened(Rspamd, rspamd=rspamd.socket)
    for _ in range(100):  # the storage learns in the background
        notes = (await stage.process(Job.from_message(b"Subject: again\r\n" + KNOWN))).notes
        if notes["fuzzy"]:
            break
        await asyncio.sleep(0.1)
    [hit] = notes["fuzzy"]
    assert hit["symbol"] == "TRAP_FUZZY" and hit["score"] == notes["symbols"]["TRAP_FUZZY"] > 5
    assert re.fullmatch(r"1:[0-9a-f]{10}:1\.00:txt", hit["match"])


@pytest.mark.parametrize("message", [b"", b"\n", b"no header", b"\0\xff\r\n.\r\n..", b"x" * 2_000_000])
async def test_any_bytes_are_judged(address: str, opened: Opened, message: bytes) -> None:
    verdict = await opened(Rspamd, rspamd=address).process(Job.from_message(message))
    assert "score" in verdict.notes


async def test_thirty_at_once_do_not_mix_up_their_scores(address: str, opened: Opened) -> None:
    stage = opened(Rspamd, rspamd=address)
    verdicts = await asyncio.gather(*(stage.process(job) for job in [HAM, SPAM] * 15))
    assert [verdict.notes["action"] for verdict in verdicts] == ["no action", "add header"] * 15


async def told(opened: Opened, rspamd: Daemon, envelope: Envelope, **settings: Any) -> set[str]:
    """What rspamd heard of a session."""
    job = Job.from_message(HAM.message, envelope)
    stage = opened(Rspamd, rspamd=rspamd.tcp, **settings)
    judgement = await stage.backends.ask(lambda session: session.check(job.message, stage._fields(job)))
    assert f"queue={job.id}" in judgement.symbols["TOLD"].options
    return {option for option in judgement.symbols["TOLD"].options if not option.startswith("queue=")}


async def test_recipients_are_not_told_unless_they_may_be(rspamd: Daemon, opened: Opened) -> None:
    usual = {"ip=192.0.2.7", "helo=spammer.example", "from=sender@spammer.example"}
    traps = {"rcpt=one@trap.example", "rcpt=two@trap.example"}
    assert await told(opened, rspamd, ENVELOPE) == usual
    assert await told(opened, rspamd, ENVELOPE, tell=["ip", "helo", "from", "rcpt"]) == usual | traps
    assert await told(opened, rspamd, ENVELOPE, tell=[]) == {"helo=nil"}


async def test_what_a_client_says_stays_in_its_line(rspamd: Daemon, opened: Opened) -> None:
    helo = "a\r\nRcpt: <b@trap.example>\r\n\r\n\0\udcff \u00e4 " + "x" * 5000
    envelope = Envelope(helo=helo, mail_from="\r\nIP: 192.0.2.9")
    heard = await told(opened, rspamd, envelope)
    assert not any(option.startswith(("rcpt=", "ip=")) for option in heard)


async def test_a_word_that_is_cut_behind_a_space_is_no_bad_header(rspamd: Daemon, opened: Opened) -> None:
    heard = await told(opened, rspamd, Envelope(helo="x" * (MAX_FIELD - 1) + " y"), tell=["helo"])
    assert heard == {"helo=" + "x" * (MAX_FIELD - 1)}


async def test_real_mail_is_judged(rspamd: Daemon, opened: Opened, corpus: Path) -> None:
    stage = opened(Rspamd, rspamd=rspamd.socket)
    for path in mails(corpus, 100):
        assert "score" in (await stage.process(Job.from_message(path.read_bytes()))).notes, path
    assert stage.backends.states()[0].failed == 0


async def test_a_doctor_hears_what_it_is(rspamd: Daemon, opened: Opened, tmp_path: Path) -> None:
    good, bad = await opened(Rspamd, rspamd=[rspamd.socket, f"{tmp_path}/nobody"]).backends.check()
    assert good.good and good.text.startswith("rspamd/")
    assert not bad.good and "no such file or directory; (re)start it" in bad.text


async def test_mail_above_max_size_is_not_scanned(opened: Opened) -> None:
    verdict = await opened(Rspamd, max_size=Size(10)).process(SPAM)
    assert verdict == Pass({"unscanned": "larger than max_size, 10 bytes"})


async def test_a_controller_wants_a_password(rspamd: Daemon, opened: Opened, tmp_path: Path) -> None:
    assert (
        "score"
        in (await opened(Rspamd, rspamd=rspamd.controller, password=RSPAMD_PASSWORD).process(HAM)).notes
    )


async def test_another_rspamd_takes_over(rspamd: Daemon, opened: Opened, tmp_path: Path) -> None:
    stage = opened(Rspamd, rspamd=[f"{tmp_path}/nobody", rspamd.socket])
    assert (await stage.process(SPAM)).notes["score"] == 8.75
    assert [state.state for state in stage.backends.states()] == ["away", "up"]


async def test_a_frozen_rspamd_is_away_and_comes_back(rspamd: Daemon, opened: Opened) -> None:
    stage = opened(Rspamd, rspamd=rspamd.socket, timeout=Duration("200ms"))
    with rspamd.frozen():
        for _ in range(3):
            with pytest.raises(Unavailable):
                await stage.process(Job.from_message(b"another each time"))
        assert stage.backends.away
    for _ in range(200):
        await asyncio.sleep(0.05)
        if not stage.backends.away:
            break
    assert "score" in (await stage.process(SPAM)).notes


# Connections


def http(body: bytes | dict[str, Any], status: str = "200 OK", *headers: str) -> bytes:
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status}", "Server: rspamd/9.9", f"Content-Length: {len(body)}", *headers]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode() + body


GOOD = {
    "score": 1.5,
    "required_score": 15,
    "action": "no action",
    "symbols": {"A": {"score": 1.5}},
    "more": [],
}


def answers(*replies: bytes) -> Talk:
    """One that answers so many questions over one connection, and hangs up."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for reply in replies:
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(re.search(rb"Content-Length: (\d+)", head, re.I)[1]))  # type: ignore[index]
            writer.write(reply)
            await writer.drain()

    return talk


async def test_a_connection_is_kept_where_the_server_keeps_it(opened: Opened, tmp_path: Path) -> None:
    async with fake(tmp_path, answers(*[http(GOOD)] * 3)) as server:
        stage = opened(Rspamd, rspamd=server.address)
        for _ in range(5):
            assert (await stage.process(HAM)).notes["score"] == 1.5
        assert server.accepted == 2
        assert stage.backends.states()[0].failed == 0


async def test_the_scanner_hangs_up_after_each_answer(rspamd: Daemon, opened: Opened) -> None:
    async with fake(None, relay("127.0.0.1", rspamd.port)) as counter:
        stage = opened(Rspamd, rspamd=counter.address)
        for _ in range(3):
            assert "score" in (await stage.process(HAM)).notes
    assert counter.accepted == 3


@pytest.mark.parametrize("extra", [b"HTTP/1.1 200 OK\r\n", b"x"])
async def test_one_that_says_more_than_it_was_asked_is_not_asked_again(
    opened: Opened, tmp_path: Path, extra: bytes
) -> None:
    async with fake(tmp_path, answers(http(GOOD) + extra, http(GOOD))) as server:
        stage = opened(Rspamd, rspamd=server.address)
        for _ in range(2):
            await stage.process(HAM)
        assert server.accepted == 2


async def test_one_that_stops_reading_holds_nothing(opened: Opened, tmp_path: Path) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    async with fake(tmp_path, talk) as server:
        stage = opened(Rspamd, rspamd=server.address, timeout=Duration("200ms"))
        before = len(os.listdir("/proc/self/fd"))
        async with asyncio.timeout(3):
            with pytest.raises(Unavailable, match=r"no answer within 0\.2 s"):
                await stage.process(Job.from_message(b"x" * 3_000_000))
        await asyncio.sleep(0.01)
        assert len(os.listdir("/proc/self/fd")) <= before + 1  # the fake's own end


async def test_it_may_stand_behind_tls(
    rspamd: Daemon, opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certify(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", f"{tmp_path}/cert.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    async with fake(None, relay("127.0.0.1", rspamd.port), context) as server:
        stage = opened(Rspamd, rspamd=f"tls://{server.address}")
        assert (await stage.process(SPAM)).notes["score"] == 8.75


async def test_an_interim_answer_is_waited_over(opened: Opened, tmp_path: Path) -> None:
    async with fake(tmp_path, answers(b"HTTP/1.1 100 Continue\r\n\r\n" + http(GOOD))) as server:
        assert (await opened(Rspamd, rspamd=server.address).process(HAM)).notes["score"] == 1.5


# An rspamd that is there and does not judge

BOMB = zstandard.ZstdCompressor().compress(b" " * (MAX_ANSWER + 1))


@pytest.mark.parametrize(
    ("reply", "complaint"),
    [
        (b"", "hung up"),
        (b"HTTP/1.1 200 O", "hung up after b'HTTP/1.1 200 O'"),
        (http(GOOD)[:-9], "hung up within its answer"),
        (b"220 mail.example ESMTP\r\n", "hung up after b'220 mail.example"),
        (b"220 mail.example ESMTP\r\n\r\n", "answers no good HTTP: "),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000, "answers no good HTTP: "),
        (http(b"x" * (MAX_ANSWER + 1)), "answers without an end"),
        (http(BOMB, "200 OK", "Compression: zstd"), "answers without an end"),
        (http(b"no zstd", "200 OK", "Compression: zstd"), "answers with broken zstd: "),
        (http({"error": "busy\n"}, "503 Not now"), "answers 503 busy\\x0a"),
        (http(b"", "403 Forbidden"), "answers 403 Forbidden"),
        (http(b"<html>", "500 Oops"), "answers 500 without a judgement: "),
        (http(b""), "answers 200 without a judgement: "),
        (http(b"[" * 100_000), "answers 200 without a judgement: "),
        (http({**GOOD, "score": "much"}), "answers 200 without a judgement: "),
        (http({"score": 1}), "answers 200 without a judgement: "),
        (http({**GOOD, "score": float("nan")}), "answers 200 without a judgement: "),
        (http(b'{"score": 1e999, "required_score": 1, "action": ""}'), "answers "),
    ],
)
async def test_what_is_no_answer_is_told(
    opened: Opened, tmp_path: Path, reply: bytes, complaint: str
) -> None:
    async with fake(tmp_path, says(reply)) as server:
        with pytest.raises(Unavailable, match=f"^rspamd at {tmp_path}/s: {re.escape(complaint)}") as raised:
            await opened(Rspamd, rspamd=server.address).process(HAM)
        assert str(raised.value).isprintable()


async def test_the_third_broken_conversation_is_the_mails_fault(opened: Opened, tmp_path: Path) -> None:
    async with fake(tmp_path, says(http({"error": "no"}, "500 Oops"))) as server:
        stage = opened(Rspamd, rspamd=server.address)
        for _ in range(2):
            with pytest.raises(Unavailable):
                await stage.process(HAM)
            others_are_answered(stage)
        why = f"3 conversations broke: rspamd at {server.address}: answers 500 no"
        assert await stage.process(HAM) == Pass({"unscanned": why})


# Hostile answers


def heard(reply: bytes) -> Judgement | None:
    """What is made of an answer; None when it is none."""

    async def judged() -> Judgement:
        reader = asyncio.StreamReader()
        reader.feed_data(reply)
        reader.feed_eof()
        return await Session(reader, Mute()).check(b"")  # type: ignore[arg-type]

    try:
        return asyncio.run(judged())
    except Broken as error:
        assert str(error).isprintable()
        return None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
SYMBOLS = st.dictionaries(
    st.text(), st.fixed_dictionaries({}, optional={"score": JSON, "options": st.lists(JSON)})
)


@given(
    st.one_of(
        st.binary(),
        st.binary().map(http),
        JSON.map(lambda data: http(json.dumps(data).encode())),
        st.fixed_dictionaries(
            {"score": st.floats(), "required_score": st.integers(), "action": st.text(), "symbols": SYMBOLS}
        ).map(http),
    )
)
def test_any_answer_is_a_judgement_or_none(reply: bytes) -> None:
    judgement = heard(reply)
    if judgement:
        assert all(name.isprintable() and len(name) <= MAX_NAME for name in judgement.scores())
        assert json.dumps([judgement.fuzzy(), judgement.scores(), judgement.score], allow_nan=False)


def test_endless_lists_are_cut_and_the_heaviest_kept() -> None:
    options = [f"1:{n:064x}:1.00:txt" for n in range(1000)]
    symbols = {f"S{n:04d}" + "x" * 200: {"score": n - 500, "options": options} for n in range(1000)}
    judgement = heard(http({**GOOD, "symbols": dict(list(symbols.items())[:8])}))
    assert judgement and len(judgement.fuzzy()) == MAX_FUZZY
    judgement = heard(http({**GOOD, "symbols": {name: {"score": i - 500} for i, name in enumerate(symbols)}}))
    assert judgement and len(judgement.scores()) == MAX_SYMBOLS
    assert list(judgement.scores().values())[:3] == [-500, -499, 499]


# Settings


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"rspamd": "rspamd:port"}, "is not the address of a server"),
        ({"rspamd": []}, "no address of a rspamd"),
    ],
)
def test_settings_that_can_not_be(settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Rspamd(**settings)


def test_the_port_is_the_usual_one() -> None:
    assert Rspamd(rspamd="far.example").backends.states()[0].address == "far.example:11333"


async def test_it_says_whom_it_asks() -> None:
    address = Address.parse("[::1]:11333")
    assert Session(asyncio.StreamReader(), Mute(), f"[{address.host}]")._http._host == "[::1]"  # type: ignore[arg-type]
