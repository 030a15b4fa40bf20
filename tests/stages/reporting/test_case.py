"""What a case knows of its copies: they show what was made for one recipient."""

import time
from pathlib import Path

import msgspec
import pytest

from stages.reporting.case import Case
from stages.reporting.facts import Facts
from stages.reporting.record import record
from trap.config import Accept, Config, Tagged, paths_below
from trap.envelope import Envelope, Rcpt
from trap.job import Job
from trap.place import Place
from trap.reports import Report


@pytest.fixture
def place(tmp_path: Path) -> Place:
    config = Config(
        accept=Accept(domains={"trap.example": Tagged()}), paths=paths_below(tmp_path), pipeline=["arf"]
    )
    return Place(config, "arf")


def report() -> Report:
    now = time.time()
    return Report(
        "1", "abuse@isp.example", "c", "gathering", 2, now, now, now, now, now, 0,
        released=False, word="", sent=0.0,
    )  # fmt: skip


def copy(to: str, file: bytes, helo: str = "", **notes: object) -> Job:
    message = (
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nhi\r\n--x\r\n"
        b"Content-Type: application/pdf\r\n\r\n%%PDF-1.4 %b\r\n--x--\r\n" % file
    )
    envelope = Envelope(
        client_ip="93.184.216.34", helo=helo, mail_from="a@shop.example", rcpts=[Rcpt(address=to)]
    )
    made = Job.from_message(message, envelope)
    return Job(made.id, envelope, dict(notes), message)


def test_a_file_that_only_one_recipient_got_is_not_told(place: Place):
    mine, other = copy("joe@trap.example", b"one"), copy("ann@trap.example", b"two")
    assert b"PDF-1.4 one" in Case(place, report(), [mine]).message
    assert b"PDF-1.4 one" in Case(place, report(), [mine, copy("ann@trap.example", b"one")]).message
    assert b"PDF-1.4 one" in Case(place, report(), [mine, copy("joe@trap.example", b"two")]).message
    case = Case(place, report(), [mine, other])
    assert b"PDF" not in case.message
    assert case.blanked == ["part 2 (application/pdf)"]


def test_a_name_of_its_own_for_each_recipient_is_masked_and_the_hosts_own_is_not(place: Place):
    host = "u8fq3xk2.t.shop.example"
    assert "u8fq3xk2" not in str(Case(place, report(), [copy("joe@trap.example", b"", host)]).envelope.helo)
    known = {"ptr": host, "ptr_confirmed": True}
    assert Case(place, report(), [copy("joe@trap.example", b"", host, dns=known)]).envelope.helo == host


def test_of_an_ipv6_address_its_network_is_told(place: Place):
    """Who has a /64 can send to every recipient from another address, with a name for each."""
    job = copy("joe@trap.example", b"")
    envelope = msgspec.structs.replace(job.envelope, client_ip="2a01:4f8:1:2:3:4:5:6", client_port=25)
    dns = {"client": "2a01:4f8:1:2:3:4:5:6", "ptr": "k7.shop.example", "ptr_confirmed": True, "asn": "24940"}
    case = Case(place, report(), [Job(job.id, envelope, {"dns": dns}, job.message)])
    facts = Facts(case, 60.0)
    assert str(facts.client) == record(case).ip == "2a01:4f8:1:2::"
    assert facts.client_name == ""
    assert case.notes["dns"]["asn"] == "24940"
