"""The stage: what it passes on, for donors and for everybody, and that no mail upsets it."""

import json
import statistics
import time
import zipfile
from io import BytesIO

import bombs
import msgpack
import pytest
from forwardkit import DONOR, FORWARDS, SESSION, SPAM
from support import every

from stages.extract import Extract
from stages.extraction.budget import Budget, Exhausted
from stages.extraction.donors import Donor
from trap.config import Duration, Size
from trap.envelope import Envelope, Rcpt
from trap.job import Job
from trap.stage import Pass


def judged(message: bytes, stage: Extract | None = None, session: Envelope | None = None) -> Pass:
    verdict = (stage or Extract(qr=False)).process(Job.from_message(message, session))
    assert isinstance(verdict, Pass)
    assert msgpack.unpackb(msgpack.packb(verdict.notes)) == verdict.notes
    return verdict


def test_a_message_with_everything():
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("pay.html", "<a href='http://in.archive.example/'>")
    message = bombs.mixed(
        b"Content-Type: text/html\r\n\r\n<a href='http://a.example/'>+1 212 555 0123</a> x@b.example",
        b"Content-Type: application/zip; name=bill.zip\r\n\r\n" + packed.getvalue(),
    )
    notes = judged(message).notes
    assert notes["urls"] == ["http://a.example/", "http://in.archive.example/"]
    assert notes["links"][1] == {"host": "in.archive.example", "from": "link"}
    assert notes["domains"] == ["a.example", "archive.example"]
    assert notes["addresses"] == ["joe@a.example", "x@b.example"]
    assert notes["phones"] == ["+12125550123"]
    assert [(each["name"], each["type"]) for each in notes["attachments"][:1]] == [
        ("bill.zip", "application/zip")
    ]
    assert [each["name"] for each in notes["attachments"]] == ["bill.zip", "pay.html"]
    assert len(notes["attachments"][0]["sha256"]) == 64
    assert notes["archives"][0]["members"] == 1
    assert "truncated" not in notes


def test_files_that_stand_in_the_text():
    (file,) = judged(b"\r\nsee:\r\nbegin 644 a.txt\r\n+:&5L;&\\@=&AE<F4\r\n`\r\nend\r\nbye").notes[
        "attachments"
    ]
    assert (file["name"], file["size"]) == ("a.txt", 11)


def test_what_a_message_has_none_of_is_left_out():
    assert judged(b"Subject: hi\r\n\r\nhello").notes == {"urls": [], "domains": []}


def test_our_own_addresses_are_not_noted():
    session = Envelope(rcpts=[Rcpt(address="Trap@trap.example")])
    notes = judged(b"\r\ntrap@trap.example joe@a.example", session=session).notes
    assert notes["addresses"] == ["joe@a.example"]


@pytest.mark.parametrize("message", FORWARDS.values(), ids=FORWARDS)
def test_what_a_donor_forwards_is_unwrapped(message):
    verdict = judged(message, Extract(donors=[DONOR], qr=False), SESSION)
    assert verdict.sample is not None
    assert verdict.sample.message == SPAM
    assert verdict.sample.envelope.client_ip == "203.0.113.9"
    assert verdict.notes["donor"]["client_ip"] == "192.0.2.25"
    assert verdict.notes["addresses"] == ["evil@spam.example"]


@pytest.mark.parametrize("message", FORWARDS.values(), ids=FORWARDS)
def test_what_anybody_else_forwards_is_not(message):
    stranger = Envelope(client_ip="203.0.113.1", mail_from=SESSION.mail_from, rcpts=SESSION.rcpts)
    verdict = judged(message, Extract(donors=[DONOR], qr=False), stranger)
    assert verdict.sample is None
    assert "donor" not in verdict.notes


def test_the_first_donor_that_fits_counts():
    first = Donor(name="first", rcpt=["gift@trap.example"])
    verdict = judged(FORWARDS["attached"], Extract(donors=[first, DONOR], qr=False), SESSION)
    assert verdict.notes["donor"]["name"] == "first"


@pytest.mark.parametrize("name", bombs.BOMBS)
def test_bombs(name):
    """Each costs seconds of a processor at most, and says what was not looked at."""
    begun = time.thread_time()
    notes = judged(bombs.BOMBS[name](), Extract(time=Duration(1), qr=False)).notes
    assert time.thread_time() - begun < 5
    assert not [why for why in notes.get("truncated", []) if "Error" in why]


def test_too_little_time_is_said():
    text = b"\r\n" + b"http://a.example/ " * 50_000
    notes = judged(text, Extract(time=Duration("2ms"), qr=False)).notes
    assert any("s" in why for why in notes["truncated"])


def test_what_files_cost_hides_nothing_in_the_text(monkeypatch):
    def busy(*_):
        while True:
            pass

    monkeypatch.setattr("stages.extract.examine", busy)
    notes = judged(b"\r\nCall +1 212 555 0123", Extract(time=Duration("400ms"), qr=False)).notes
    assert notes["phones"] == ["+12125550123"]
    assert notes["truncated"] == ["attachments: more than 0.16 s"]


def test_many_parts_hide_no_number():
    text = bombs.html(b"Call +1 212 555 0123" + b"<a href='data:text/html,x'>" * 1999)
    assert judged(text).notes["phones"] == ["+12125550123"]


def test_too_little_room_is_said():
    part = b"Content-Type: application/pdf; name=a.pdf\r\n\r\n" + b"x" * 5000
    notes = judged(bombs.mixed(bombs.TEXT, part), Extract(max_unpacked=Size(1000), qr=False)).notes
    assert any("more than" in why for why in notes["truncated"])


@pytest.mark.parametrize("most", [0, 10_001])
def test_a_setting_that_is_wrong(most):
    with pytest.raises(ValueError, match="not between"):
        Extract(most=most)


def test_codes_that_nobody_can_read(monkeypatch):
    monkeypatch.setattr("stages.extraction.qr.is_available", lambda: False)
    with pytest.raises(ValueError, match="libraries are missing"):
        Extract(qr=True)
    judged(b"\r\nhello", Extract())


def test_a_budget_of_time_is_renewed():
    late = Budget(seconds=0, size=1, items=1)
    assert not late.left
    late.renew(60)
    late.spend(1)
    full = Budget(seconds=60, size=1, items=1)
    with pytest.raises(Exhausted):
        full.spend(2)
    full.renew(60)
    assert not full.left


def test_a_budget_stays_empty():
    budget = Budget(seconds=60, size=10, items=1)
    for items in (1, 1, 0):
        if items and budget.left:
            budget.spend(items=0)
    with pytest.raises(Exhausted, match="more than 1 items"):
        budget.spend(items=2)
    with pytest.raises(Exhausted, match="more than 1 items"):
        budget.spend()
    assert not Budget(seconds=0, size=1, items=1).left


@pytest.mark.parametrize("kind", ["spam", "phish", "ham", "bounce", "malformed"])
def test_real_mail(corpus, kind):
    """Nothing upsets it, most spam has a link, and it costs milliseconds."""
    stage = Extract(qr=False)
    costs, linked = [], 0
    paths = every((corpus / kind).glob("*.eml"), 25)
    for path in paths:
        begun = time.thread_time()
        notes = judged(path.read_bytes(), stage).notes
        costs.append(time.thread_time() - begun)
        linked += bool(notes["urls"])
        json.dumps(notes).encode()
        assert not [why for why in notes.get("truncated", []) if "Error" in why], path
    assert statistics.median(costs) < 0.05
    if kind in ("spam", "phish"):
        assert linked > len(paths) / 2
