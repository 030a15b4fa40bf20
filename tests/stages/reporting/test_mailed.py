"""Reporters by mail, and a real Postfix that takes what they send."""

import asyncio
import base64
import email
import json
from collections import Counter
from typing import Any

import pytest
import xarf
from feedbackkit import fields, job, parts, report, reporter, states, tells_nothing
from mailboxkit import Mailbox, mailbox

from stages.arf import Arf
from stages.reporting.contacts import Sources
from stages.reporting.terms import Terms
from stages.spamcop import Spamcop
from stages.xarf import Xarf
from trap.config import Duration

NETWORK = Sources(default=["abuse@isp.example"])


@pytest.fixture(scope="module")
def postfix():
    with mailbox() as taken:
        yield taken


def taken(postfix: Mailbox, to: str) -> list[bytes]:
    """What has come to somebody, as it lies in his mailbox."""
    postfix.postfix.delivers_all()
    mails = [path.read_bytes() for path in (postfix.postfix.directory / "mail/all/new").iterdir()]
    return [mail for mail in mails if f"\nTo: {to}\n".encode() in mail]


async def test_a_campaign_is_one_report(postfix, tmp_path):
    soon = Terms(gather=Duration("100ms"))
    async with reporter(Arf, tmp_path, postfix.address, contacts=NETWORK, terms=soon) as stage:
        verdicts = [await stage.process(job(copy=number)) for number in (1, 2, 3)]
        await asyncio.sleep(0.2)
        await report(stage)
    assert len({verdict.notes["reports"]["abuse@isp.example"] for verdict in verdicts}) == 1
    (mail,) = await asyncio.to_thread(taken, postfix, "abuse@isp.example")
    assert fields(mail)["Incidents"] == "3"
    assert fields(mail)["Source-IP"] == "192.0.2.7"
    assert tells_nothing(mail)
    assert states(tmp_path, "arf")[0][0] == "sent"


async def test_a_report_in_xarf(postfix, tmp_path):
    async with reporter(
        Xarf, tmp_path, postfix.address, contacts=Sources(default=["abuse@x.example"])
    ) as stage:
        await report(stage, job())
    (mail,) = await asyncio.to_thread(taken, postfix, "abuse@x.example")
    _, (*_, attached) = parts(mail)
    told = json.loads(attached.get_content())
    assert xarf.parse(told).errors == []
    sample = base64.b64decode(told["evidence"][0]["payload"])
    assert email.message_from_bytes(sample)["From"] == "Shop <x@spammer.example>"
    assert tells_nothing(mail) and tells_nothing(sample)


async def test_several_messages_for_spamcop_in_one_mail(postfix, tmp_path):
    chosen: dict[str, Any] = {"submit": "submit@spamcop.example", "linger": Duration("300ms")}
    async with reporter(Spamcop, tmp_path, postfix.address, **chosen) as stage:
        await report(stage, job(b"one"), job(b"two"), job(b"three"))
    mails = await asyncio.to_thread(taken, postfix, "submit@spamcop.example")
    attached = [part for mail in mails for part in parts(mail)[1][1:]]
    assert len(attached) == 3
    assert all("[192.0.2.7]" in part.get_content()["Received"] for part in attached)
    assert all(map(tells_nothing, mails))
    assert Counter(state for state, _ in states(tmp_path, "spamcop")) == {"sent": 3}


@pytest.mark.parametrize(
    ("to", "message"),
    [
        ("eight@isp.example", b"Subject: \xfcber\r\n\r\n8 bit: \xe4\xf6\r\n"),
        ("long@isp.example", b"Subject: x\n\n" + b"y" * 5000 + b"\n"),
        ("zero@isp.example", b"Subject: x\r\n\r\n\0\0.\r\n.\r\n..\r\n\r"),
        ("bare@isp.example", b"\r\nno header at all"),
    ],
)
async def test_odd_messages_arrive(postfix, tmp_path, to, message):
    async with reporter(Arf, tmp_path, postfix.address, contacts=Sources(default=[to])) as stage:
        await report(stage, job(message=message))
    (mail,) = await asyncio.to_thread(taken, postfix, to)
    assert [part.get_content_type() for part in parts(mail)[1]] == [
        "text/plain",
        "message/feedback-report",
        "message/rfc822",
    ]
    sample = mail.partition(b"Content-Type: message/rfc822")[2]
    assert sample.count(b"y") >= message.count(b"y") and sample.count(b"\xe4") == message.count(b"\xe4")


ODD: list[tuple[dict[str, Any], str]] = [
    ({"reporter": "nobody"}, "reporter: 'nobody' is no sender"),
    ({"reporter": "x@a.trap.example"}, "reporter: x@a.trap.example would tell everybody of trap.example"),
    ({"reporter": "Joe Secretword <x@example.org>"}, "'secretword' is a word that tells of the trap"),
    ({"sender": "x@trap.example"}, "sender: x@trap.example would tell everybody of trap.example"),
    ({"sender": "nobody"}, "sender: 'nobody' is no address"),
    ({"smtp": "nowhere:x"}, "'nowhere:x' is not the address of a server"),
    ({"contacts": "/nowhere/contacts"}, "/nowhere/contacts: no such file or directory"),
    ({"contacts": Sources(default=["abuse@trap.example"])}, "is at a name of the trap's own"),
]


@pytest.mark.parametrize(("settings", "why"), ODD)
async def test_settings_that_make_no_sense(tmp_path, settings, why):
    with pytest.raises(ValueError, match=why):
        async with reporter(Arf, tmp_path, **{"smtp": "127.0.0.1:1", "contacts": NETWORK, **settings}):
            pass
