"""Mail to SpamCop: the source on top, no larger and no older than it takes, nothing of the trap."""

import pytest
from feedbackkit import ENVELOPE, WRITER, parts, spam
from hookkit import MESSAGE
from hypothesis import given
from hypothesis import strategies as st

from stages.reporting.mail import Part
from stages.reporting.submission import MAX_SIZE, attachment, submission
from trap.reports import Refused

NOW = ENVELOPE.received_at + 600


def attached(**changes) -> Part:
    return attachment(spam(**changes), NOW, "reports.example.org")


def test_the_source_stands_on_top():
    assert attached().body.partition(b"From:")[0] == (
        b"Received: from pc.example (unknown [192.0.2.7])\r\n"
        b"\tby reports.example.org with ESMTP id aaaaaaaaaaaaaaaaaaaa;\r\n"
        b"\tFri, 20 Nov 2026 07:02:00 +0000\r\n"
    )
    assert attached().body.endswith(MESSAGE)


def test_with_its_name_if_dns_confirms_it():
    body = attached(notes={"dns": {"ptr": "mail.isp.example", "ptr_confirmed": True}}).body
    assert b"(mail.isp.example [192.0.2.7])" in body


@pytest.mark.parametrize("helo", ["", None, "a b", "x)\r\nReceived: from evil", "ü"])
def test_an_odd_greeting_is_not_repeated(helo):
    assert attached(session={"helo": helo}).body.startswith(b"Received: from unknown (")


def test_addresses_of_ipv6():
    assert b"[IPv6:2001:db8::7]" in attached(session={"client_ip": "2001:db8::7"}).body


@given(st.binary(max_size=2000), st.integers(0, 3000))
def test_no_larger_than_it_takes(line, more):
    message = b"Subject: x\r\n\r\n" + line + b"\r\n" + b"0123456789\r\n" * (4000 + more)
    body = attached(message=message).body
    assert len(body) <= MAX_SIZE + 1000  # what was no line end has become one
    assert body.endswith(b"\r\n")


def test_cut_at_the_end_of_a_line():
    body = attached(message=b"Subject: x\r\n\r\n" + b"0123456789\r\n" * 10_000).body
    assert MAX_SIZE - 1000 < len(body) <= MAX_SIZE
    assert body.endswith(b"\n0123456789\r\n")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"first": NOW - 3 * 86_400}, "older than two days"),
        ({"session": {"client_ip": "10.0.0.1"}}, "no host in the Internet"),
        ({"message": b"no header\r\n"}, "without a header"),
    ],
)
def test_what_it_does_not_take(changes, why):
    with pytest.raises(Refused, match=why):
        attached(**changes)


def test_several_in_one_mail():
    mail = submission(WRITER, "submit.x@spam.spamcop.example", "b1", [attached(), attached(id="b" * 20)])
    whole, (words, *found) = parts(mail)
    assert whole["To"] == "submit.x@spam.spamcop.example"
    assert "2 messages" in words.get_content()
    assert [each.get_content_type() for each in found] == ["message/rfc822"] * 2
    assert [each.get_content()["Subject"] for each in found] == ["cheap € pills"] * 2
    assert [each.get_filename() for each in found] == ["a" * 20 + ".eml", "b" * 20 + ".eml"]
