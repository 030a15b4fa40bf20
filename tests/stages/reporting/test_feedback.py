"""Reports in the Abuse Reporting Format: what RFC 5965 asks for, read by others' parsers."""

import re
from collections import Counter
from email.utils import parsedate_to_datetime
from ipaddress import ip_address

import pytest
from feedbackkit import WRITER, fields, parts, sisimai, spam
from hookkit import MESSAGE
from hypothesis import given
from hypothesis import strategies as st

from stages.bounces.bounce import recognise
from stages.reporting.feedback import feedback_report
from trap.envelope import Envelope
from trap.job import Job
from trap.reports import Refused

ONCE = {
    *("Feedback-Type", "User-Agent", "Version"),  # RFC 5965, 3.1
    *("Original-Envelope-Id", "Original-Mail-From", "Arrival-Date", "Reporting-MTA", "Source-IP"),  # 3.2
    *("Incidents", "Source-Port"),  # 3.2, RFC 6692
}
OFTEN = {"Authentication-Results", "Original-Rcpt-To", "Reported-Domain", "Reported-URI"}  # 3.3


def report(*, attach="message", max_size=100_000, precision=60.0, **changes) -> bytes:
    return feedback_report(
        spam(**changes), "abuse@isp.example", WRITER, attach=attach, max_size=max_size, precision=precision
    )


def test_three_parts():
    whole, found = parts(report())
    assert whole.get_content_type() == "multipart/report"
    assert whole.get_param("report-type") == "feedback-report"
    assert [part.get_content_type() for part in found] == [
        "text/plain",
        "message/feedback-report",
        "message/rfc822",
    ]


def test_its_fields():
    assert fields(report()).items() == [
        ("Feedback-Type", "abuse"),
        ("User-Agent", "spamtrap/1"),
        ("Version", "1"),
        ("Original-Mail-From", "<joe@spammer.example>"),
        ("Arrival-Date", "Fri, 20 Nov 2026 07:02:00 +0000"),
        ("Source-IP", "192.0.2.7"),
        ("Source-Port", "40123"),
        ("Incidents", "12"),
        ("Reported-Domain", "shop.example"),
        ("Reported-URI", "http://shop.example/?id=1"),
    ]


def test_no_line_is_too_long_for_mail():
    """However long the names are that a sender chose."""
    name = ".".join(["d" * 60] * 4)
    signed = {"result": "fail", "domain": name, "selector": name}
    auth = {"spf": {"result": "pass", "domain": name}, "dkim": [signed] * 5, "dmarc": signed}
    told = report(notes={"auth": auth}, session={"mail_from": f"{'a' * 300}@b.example"})
    assert max(map(len, told.split(b"\r\n"))) <= 998
    (said,) = fields(told).get_all("Authentication-Results")
    assert said.count("dkim=fail") == 5


@given(
    st.text(max_size=30),
    st.lists(st.text(max_size=30).map(lambda text: f"http://shop.example/{text}"), max_size=5),
    st.text(max_size=10),
    st.binary(max_size=500),
)
def test_the_rules_of_its_fields(mail_from, urls, result, message):
    """Each that must be there is, none twice that may not, none that is not known, all in lines of ASCII."""
    notes = {"extract": {"urls": urls}, "auth": {"spf": {"result": result, "domain": result}}}
    text = report(session={"mail_from": mail_from}, notes=notes, message=message)
    machine = re.search(
        rb"feedback-report\r\nContent-Disposition: inline\r\n\r\n(.*?)\r\n\r\n--", text, re.DOTALL
    )
    assert machine
    lines = machine[1].replace(b"\r\n ", b" ").split(b"\r\n")
    said = Counter(line.partition(b": ")[0].decode() for line in lines)
    assert said.keys() <= ONCE | OFTEN
    assert all(said[name] == 1 for name in ("Feedback-Type", "User-Agent", "Version"))
    assert all(said[name] <= 1 for name in ONCE)
    assert all(re.fullmatch(rb"[!-~][ -~]*", line) for line in lines), lines


def test_who_received_it_is_never_named():
    names = fields(report()).keys()
    assert not {"Original-Rcpt-To", "Reporting-MTA", "Original-Envelope-Id"} & set(names)


def test_how_it_is_authenticated_is_said_by_the_reporter():
    notes = {"auth": {"spf": {"result": "fail", "identity": "mailfrom", "domain": "spammer.example"}}}
    said = fields(report(notes=notes))["Authentication-Results"]
    assert said == "example.org; spf=fail smtp.mailfrom=spammer.example"


def test_bounces_have_a_null_sender():
    assert fields(report(session={"mail_from": ""}))["Original-Mail-From"] == "<>"


def test_the_message_stands_in_it_as_it_was_redacted():
    assert MESSAGE in report()


def test_a_larger_message_is_shown_by_its_header():
    _, (*_, sample) = parts(report(max_size=300, message=MESSAGE + b"x" * 100))
    assert sample.get_content_type() == "text/rfc822-headers"
    assert b"cheap" in report(max_size=300) and b"Buy now" not in report(max_size=300)


def test_the_header_alone_if_that_is_wanted():
    _, (*_, sample) = parts(report(attach="header"))
    assert sample.get_content_type() == "text/rfc822-headers"


def test_words_for_people():
    _, (human, *_) = parts(report(notes={"virus": {"virus": "Win.Trojan.Agent"}}))
    text = human.get_content()
    assert "Mail with a virus" in text
    assert "192.0.2.7, port 40123" in text
    assert "2026-11-20 07:02 UTC" in text
    assert "12, between" in text
    assert "Win.Trojan.Agent" in text


def test_it_says_that_it_is_redacted_and_what_no_longer_verifies():
    _, (human, *_) = parts(report())
    assert "is redacted" in human.get_content()
    assert "no longer verify" in human.get_content()
    assert "dkim d=spammer.example" in human.get_content()
    _, (human, *_) = parts(report(signatures=[]))
    assert "no longer verifies" in human.get_content()


def test_its_subject_is_that_of_the_message():
    whole, _ = parts(report())
    assert whole["Subject"] == "FW: cheap € pills"


def test_nobody_answers_for_it():
    with pytest.raises(Refused, match="no host in the Internet"):
        report(session={"client_ip": "10.0.0.1"})


def test_sisimai_reads_it():
    (found,) = sisimai(report())
    assert found["reason"] == "feedback"
    assert found["feedbacktype"] == "abuse"
    assert found["rhost"] == "192.0.2.7"
    assert found["addresser"] == "joe@spammer.example"
    assert found["timestamp"] == parsedate_to_datetime("Fri, 20 Nov 2026 07:02:00 +0000").timestamp()


def test_addresses_of_ipv6():
    assert ip_address(fields(report(session={"client_ip": "2001:db8::7"}))["Source-IP"]).version == 6


def test_our_own_trap_takes_it_for_a_report():
    """Should one come to it, it is no spam."""
    found = recognise(Job.from_message(report(), Envelope(mail_from="")))
    assert found.kind == "feedback"
