"""xarf: the same to those who read JSON."""

import json

import pytest
import xarf
from feedbackkit import job, parts, report, reporter, tells_nothing
from peerkit import Peer

from stages.reporting.contacts import Sources
from stages.xarf import Xarf

CONTACTS = Sources(default=["abuse@isp.example"])


@pytest.fixture
async def peer():
    async with Peer() as there:
        yield there


async def test_a_report(tmp_path, peer):
    async with reporter(Xarf, tmp_path, peer.address, contacts=CONTACTS) as stage:
        await report(stage, job())
    (taken,) = peer.taken
    assert taken.rcpts == ["abuse@isp.example"]
    _, (*_, attached) = parts(taken.data)
    told = json.loads(attached.get_content())
    assert xarf.parse(told).errors == []
    assert told["source_identifier"] == "192.0.2.7"
    assert told["smtp_from"].endswith("@spammer.example")
    assert tells_nothing(taken.data) and tells_nothing(json.dumps(told).encode())


async def test_a_preview(tmp_path, peer):
    async with reporter(Xarf, tmp_path, peer.address, contacts=CONTACTS) as stage:
        (shown,) = await stage.preview(job())
    assert b"xarf.json" in shown.text and shown.why_not == ""


@pytest.mark.parametrize("session", [{"mail_from": ""}, {"client_port": 0}, {"mail_from": "joe"}])
async def test_what_xarf_has_no_room_for_is_left_out(tmp_path, peer, session):
    async with reporter(Xarf, tmp_path, peer.address, contacts=CONTACTS) as stage:
        (verdict,) = await report(stage, job(**session))
    assert verdict.notes == {"left_out": "nobody to tell"}
    assert not peer.taken
