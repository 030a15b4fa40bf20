"""arf: a report to whom the source of a message belongs to."""

import pytest
from feedbackkit import fields, job, parts, report, reporter, sisimai, states, tells_nothing
from peerkit import Peer

from stages.arf import Arf
from stages.reporting.contacts import Sources
from trap.config import Duration, Size
from trap.configfile import parse
from trap.plugin import build

CONTACTS = Sources(default=["abuse@isp.example"])


@pytest.fixture
async def peer():
    async with Peer() as there:
        yield there


async def test_one_mail_to_one_contact(tmp_path, peer):
    (tmp_path / "contacts").write_text("192.0.2.0/24 abuse@isp.example noc@isp.example\n")
    async with reporter(Arf, tmp_path, peer.address, contacts=str(tmp_path / "contacts")) as stage:
        (verdict,) = await report(stage, job())
    assert sorted(verdict.notes["reports"]) == ["abuse@isp.example", "noc@isp.example"]
    assert sorted(taken.rcpts for taken in peer.taken) == [["abuse@isp.example"], ["noc@isp.example"]]
    assert all(tells_nothing(taken.data) for taken in peer.taken)


async def test_two_contacts_can_not_tell_that_it_is_the_same_trap(tmp_path, peer):
    contacts = Sources(default=["abuse@isp.example", "noc@isp.example"])
    async with reporter(Arf, tmp_path, peer.address, contacts=contacts) as stage:
        await report(stage, job())
    one, other = (parts(taken.data) for taken in peer.taken)
    assert one[0]["Message-ID"] != other[0]["Message-ID"]
    assert one[1][2].get_content()["To"] != other[1][2].get_content()["To"]


async def test_others_read_it(tmp_path, peer):
    async with reporter(Arf, tmp_path, peer.address, contacts=CONTACTS) as stage:
        await report(stage, job())
    (found,) = sisimai(peer.taken[0].data)
    assert (found["feedbacktype"], found["rhost"]) == ("abuse", "192.0.2.7")


@pytest.mark.parametrize(
    ("sender", "said"),
    [(None, "<reports@example.org>"), ("", "<>"), ("returns@example.org", "<returns@example.org>")],
)
async def test_to_whom_it_returns(tmp_path, peer, sender, said):
    async with reporter(Arf, tmp_path, peer.address, contacts=CONTACTS, sender=sender) as stage:
        await report(stage, job())
    assert peer.taken[0].mail.startswith(f"MAIL FROM:{said} ")


async def test_how_much_is_told_may_be_chosen(tmp_path, peer):
    chosen = {"attach": "header", "precision": Duration("1h")}
    async with reporter(Arf, tmp_path, peer.address, contacts=CONTACTS, **chosen) as stage:
        await report(stage, job())
    _, (*_, sample) = parts(peer.taken[0].data)
    assert sample.get_content_type() == "text/rfc822-headers"
    assert fields(peer.taken[0].data)["Arrival-Date"].endswith(":00:00 +0000")


async def test_of_a_large_message_the_header(tmp_path, peer):
    async with reporter(Arf, tmp_path, peer.address, contacts=CONTACTS, max_size=Size("500B")) as stage:
        await report(stage, job(message=b"Subject: x\r\n\r\n" + b"spam\r\n" * 200))
    _, (*_, sample) = parts(peer.taken[0].data)
    assert sample.get_content_type() == "text/rfc822-headers"


async def test_a_preview_is_what_would_be_sent_and_sends_nothing(tmp_path, peer):
    async with reporter(Arf, tmp_path, peer.address, contacts=CONTACTS) as stage:
        (shown,) = await stage.preview(job())
    assert (shown.to, shown.why_not) == ("abuse@isp.example", "")
    assert fields(shown.text)["Feedback-Type"] == "abuse"
    assert tells_nothing(shown.text)
    assert peer.connections == 0


async def test_mail_from_nowhere_is_nobodys(tmp_path, peer):
    async with reporter(Arf, tmp_path, peer.address, contacts=CONTACTS) as stage:
        (verdict,) = await report(stage, job(client_ip="10.0.0.1"))
    assert verdict.notes == {"left_out": "nobody to tell"}
    assert not peer.taken


async def test_a_contact_that_is_gone(tmp_path, peer):
    peer.replies["RCPT"] = "550 5.1.1 no such user"
    async with reporter(Arf, tmp_path, peer.address, contacts=CONTACTS) as stage:
        await report(stage, job())
    assert states(tmp_path, "arf") == [("failed", "550 5.1.1 no such user")]


async def test_a_server_that_would_name_the_trap_is_not_used(tmp_path, peer):
    """It writes its name into the Received field of all that it passes on."""
    peer.name = "mx.trap.example"
    async with reporter(Arf, tmp_path, peer.address, contacts=CONTACTS) as stage:
        await report(stage, job())
        (finding,) = await stage.backends.check()
    assert not peer.taken
    assert states(tmp_path, "arf")[0][0] == "gathering"
    assert not finding.good and "mx.trap.example" in finding.text


async def test_doctor_sees_what_is_known_of_contacts(tmp_path, peer):
    (tmp_path / "contacts").write_text("192.0.2.0/24 abuse@isp.example\nAS64496 -\n")
    async with reporter(Arf, tmp_path, peer.address, contacts=str(tmp_path / "contacts")) as stage:
        (finding,) = await stage.check()
    assert finding.text == "1 networks, 1 systems and 0 domains"


def test_from_a_configuration(tmp_path):
    (tmp_path / "contacts").write_text("192.0.2.0/24 abuse@isp.example\n")
    config = parse(f"""
paths: {{state: {tmp_path}/state}}
pipeline: [dedup, arf]
stages:
  arf:
    reporter: Example Reports <reports@example.org>
    contacts:
      map: {tmp_path}/contacts
      rdap: {{servers: {{192.0.0.0/8: "https://rdap.example/"}}, keep: 14d}}
      default: [abuse@isp.example]
      never: [evil.example]
    session: {{helo: out.example.org}}
    precision: 1h
    terms: {{gather: 0s, rate: 20}}
""")
    stage = build(config, "arf")
    assert stage.terms.rate == 20
    stage.close()
