"""Webhooks: what arrives at a real server is signed, whole, redacted and told once."""

import asyncio
import base64
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from checksumkit import job, trial
from fakeserver import fake
from receiverkit import Receiver
from starlette.responses import Response

from stages.reporting.record import Record
from stages.reporting.site import Web
from stages.reporting.tell import Tell
from stages.reporting.terms import Terms
from stages.webhook import Webhook, event, key, revoked, signed
from trap.config import Duration
from trap.stage import Pass

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
AT_ONCE = Terms(gather=Duration(0))
BLANK = b"\r\n\r\n"
TRAP = b"trap.example"


def recipe() -> Callable[[dict[str, str], bytes, str], bool]:
    """What the documentation tells receivers to do, to the letter."""
    text = (Path(__file__).parents[2] / "docs" / "webhook.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    made: dict[str, Any] = {}
    exec(code, made)
    return made["verify"]


verify = recipe()


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def settings(server: Receiver, secret: Path) -> dict[str, Any]:
    return {
        "url": f"{server.url}/hook?to=us",
        "secret": secret,
        "web": Web(ca=server.ca),
        "terms": AT_ONCE,
    }


# What arrives


async def test_a_report_arrives_and_whoever_follows_the_recipe_can_verify_it(
    tmp_path: Path, server: Receiver, settings: dict[str, Any]
):
    async with trial(Webhook, tmp_path, **settings) as hook:
        (report,) = await hook.tell(job())
    assert (report.state, report.word) == ("sent", "200 OK thank you")
    (taken,) = server.taken
    assert (taken.method, taken.target) == ("POST", "/hook?to=us")
    assert verify(taken.fields, taken.body, SECRET)
    assert not verify(taken.fields, taken.body + b" ", SECRET)
    assert not verify(taken.fields, taken.body, "whsec_" + base64.b64encode(bytes(32)).decode())
    late = taken.fields | {"webhook-timestamp": str(int(time.time()) - 1000)}
    assert not verify(late, taken.body, SECRET)
    told = json.loads(taken.body)
    assert told["type"] == "spamtrap.report" and told["data"]["subject"] == "you won"
    assert told["timestamp"] == told["data"]["last"]
    assert told["data"]["id"] == taken.fields["webhook-id"]
    assert taken.fields["idempotency-key"] == f'"{told["data"]["id"]}"'


async def test_nobody_learns_the_trap(tmp_path: Path, server: Receiver, settings: dict[str, Any]):
    async with trial(Webhook, tmp_path, **settings, tell=Tell(sample="message")) as hook:
        (report,) = await hook.tell(job())
        assert report.state == "sent"
        sent = hook.reporter._book.text(report.id)
    (taken,) = server.taken
    assert sent == taken.body  # what is on record is what was sent
    sample = base64.b64decode(json.loads(taken.body)["data"]["sample"])
    assert b"Subject: you won" in sample
    for text in (taken.body, sample, repr(taken.fields).encode()):
        assert TRAP not in text and b"one@" not in text


def test_the_signature_is_the_standard_s_own_example():
    fields = dict(signed([key(SECRET)], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'))
    assert fields["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_while_a_secret_is_changed_both_are_good(
    tmp_path: Path, server: Receiver, settings: dict[str, Any]
):
    new = "whsec_" + base64.b64encode(b"n" * 32).decode()
    settings["secret"].write_text(f"# since Monday\n{new}\n{SECRET}\n")
    async with trial(Webhook, tmp_path, **settings) as hook:
        await hook.tell(job())
    (taken,) = server.taken
    assert verify(taken.fields, taken.body, SECRET) and verify(taken.fields, taken.body, new)


async def test_a_report_is_taken_back(tmp_path: Path, server: Receiver, settings: dict[str, Any]):
    async with trial(Webhook, tmp_path, **settings) as hook:
        await hook.tell(job())
        (report,) = await hook.take_back()
    assert report.state == "retracted"
    first, back = server.taken
    assert verify(back.fields, back.body, SECRET)
    told = json.loads(back.body)
    assert told["type"] == "spamtrap.revoked"
    assert (
        told["data"]["id"] == first.fields["webhook-id"] == back.fields["webhook-id"].removesuffix("-revoked")
    )


async def test_what_would_be_sent_can_be_seen_and_is_not_sent(
    tmp_path: Path, server: Receiver, settings: dict[str, Any]
):
    async with trial(Webhook, tmp_path, **settings) as hook:
        (preview,) = await hook.reporter.preview(job())
    assert json.loads(preview.text)["data"]["subject"] == "you won"
    assert preview.to == server.url.removeprefix("https://")
    assert server.taken == []


# What is answered


async def test_refused_for_good(tmp_path: Path, server: Receiver, settings: dict[str, Any]):
    server.answer = lambda _: Response("because", 422)
    async with trial(Webhook, tmp_path, **settings) as hook:
        (report,) = await hook.tell(job())
        assert (report.state, report.word[-7:]) == ("failed", "because")
        await hook.again()
    assert len(server.taken) == 1


@pytest.mark.parametrize("status", [307, 401, 503])
async def test_no_for_now(tmp_path: Path, server: Receiver, settings: dict[str, Any], status: int):
    """Also where it is us, or the way there: what came while a key was changed must not be lost."""
    server.answer = lambda _: Response("because", status, {"location": f"{server.url}/elsewhere"})
    async with trial(Webhook, tmp_path, **settings) as hook:
        (report,) = await hook.tell(job())
        assert report.state == "gathering" and str(status) in report.word
        assert 30 < report.due - time.time() < 90
        server.forget()
        (report,) = await hook.again()
    assert report.state == "sent"
    (taken,) = server.taken
    assert taken.target == "/hook?to=us"


@pytest.mark.parametrize(("status", "state"), [(502, "unsure"), (503, "gathering")])
async def test_who_knows_no_ids_is_not_told_again_what_he_may_have_taken(
    tmp_path: Path, server: Receiver, settings: dict[str, Any], status: int, state: str
):
    server.answer = lambda _: Response(status_code=status)
    async with trial(Webhook, tmp_path, **settings, repeat=False) as hook:
        (report,) = await hook.tell(job())
    assert report.state == state


async def test_it_may_say_for_how_long(tmp_path: Path, server: Receiver, settings: dict[str, Any]):
    server.answer = lambda _: Response(status_code=429, headers={"retry-after": "1800"})
    async with trial(Webhook, tmp_path, **settings) as hook:
        (report,) = await hook.tell(job())
    assert 1700 < report.due - time.time() <= 1800


# Nobody there, or nobody of sense


def plain(address: str, secret: Path, **more: Any) -> dict[str, Any]:
    """Settings for a server without TLS."""
    web = Web(timeout=Duration(0.5))
    return {"url": f"http://{address}/", "secret": secret, "web": web, "terms": AT_ONCE, **more}


@pytest.mark.parametrize(("repeat", "state"), [(True, "gathering"), (False, "unsure")])
async def test_when_the_answer_is_lost(tmp_path: Path, secret: Path, repeat: bool, state: str):
    """The receiver may have it: it is sent again under its id, or, to one that knows no ids, never."""
    heard: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(BLANK))
        if len(heard) > 1:
            writer.write(b"HTTP/1.1 204 Thanks" + BLANK)

    async with (
        fake(None, talk) as dying,
        trial(Webhook, tmp_path, **plain(dying.address, secret, repeat=repeat)) as hook,
    ):
        (report,) = await hook.tell(job())
        assert (report.state, report.attempts) == (state, 0)
        (report,) = await hook.again()
        assert report.state == ("sent" if repeat else "unsure")
    ids = [re.findall(rb"webhook-id: (.+)\r", each) for each in heard]
    assert len(ids) == (2 if repeat else 1) and all(each == ids[0] for each in ids)


async def test_nobody_there(tmp_path: Path, secret: Path):
    """Nothing is charged; the report waits for as long as it may, and is never unsure."""
    async with trial(Webhook, tmp_path, **plain("127.0.0.1:1", secret, repeat=False)) as hook:
        (report,) = await hook.tell(job())
        assert (report.state, report.attempts) == ("gathering", 0)
        assert hook.reporter.backends.away
        good, text = await hook.found()
    assert not good and "certificate" in text


async def test_a_stranger_learns_nothing(tmp_path: Path, server: Receiver, settings: dict[str, Any]):
    async with trial(Webhook, tmp_path, **settings | {"web": Web()}) as hook:
        (report,) = await hook.tell(job())
    assert report.state == "gathering" and "TLS" in report.word
    assert server.taken == []


async def test_a_slow_one_is_over_when_its_time_is(tmp_path: Path, secret: Path):
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(BLANK)
        while True:
            writer.write(b"H")
            await asyncio.sleep(0.05)

    begun = time.monotonic()
    async with fake(None, talk) as slow, trial(Webhook, tmp_path, **plain(slow.address, secret)) as hook:
        (report,) = await hook.tell(job())
    assert report.state == "gathering" and "no answer within" in report.word
    assert time.monotonic() - begun < 0.5 + 3


# How it is seen to be there


@pytest.mark.parametrize(
    ("probe", "status", "good"),
    [
        ("options", 405, True),
        ("head", 200, True),
        ("options", 503, False),
        ("ping", 204, True),
        ("ping", 401, False),
    ],
)
async def test_a_probe_is_small_and_never_a_report(
    tmp_path: Path, server: Receiver, settings: dict[str, Any], probe: str, status: int, good: bool
):
    server.answer = lambda _: Response(status_code=status)
    async with trial(Webhook, tmp_path, **settings, probe=probe) as hook:
        assert (await hook.found())[0] == good
    (taken,) = server.taken
    assert taken.method == ("POST" if probe == "ping" else probe.upper())
    assert taken.body in (b"", b'{"type":"spamtrap.ping"}')
    assert probe != "ping" or verify(taken.fields, taken.body, SECRET)


# What it is told


async def test_nobody_else_reads_the_secret(tmp_path: Path, settings: dict[str, Any]):
    settings["secret"].chmod(0o640)
    with pytest.raises(ValueError, match="chmod 600"):
        async with trial(Webhook, tmp_path, **settings):
            pass


@pytest.mark.parametrize("line", ["password", "whsec_", "whsec_c2hvcnQ=", "whsec_!!!", "whsec_" + "A" * 200])
def test_a_secret_that_is_none_is_not_shown(line: str):
    with pytest.raises(ValueError, match="openssl rand") as told:
        key(line)
    assert line not in str(told.value) or line == "whsec_"


def test_all_that_is_posted_is_an_object_with_a_type():
    told = Record(version=1, id="i", campaign="c", first="f", last="l", weight=1, subject='a"b\\c')
    for data, kind in ((told, "report"), (revoked("i"), "revoked"), (None, "ping")):
        assert json.loads(event(data))["type"] == f"spamtrap.{kind}"
    assert json.loads(event(told))["data"]["subject"] == 'a"b\\c'


async def test_mail_of_typo_traps_is_nobody_s_business(
    tmp_path: Path, server: Receiver, settings: dict[str, Any]
):
    mail = job()
    rcpt = mail.envelope.rcpts[0]
    tagged = type(mail).from_message(
        mail.message, type(mail.envelope)(rcpts=[type(rcpt)(address=rcpt.address, tag="typo")])
    )
    async with trial(Webhook, tmp_path, **settings) as hook:
        verdict = await hook.reporter.process(tagged)
    assert isinstance(verdict, Pass) and "left_out" in verdict.notes
    assert server.taken == []
