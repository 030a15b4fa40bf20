"""Samples come out of forwarded mail to the byte, and no donor is taken for a spammer."""

import hashlib

import msgspec
import pytest
from forwardkit import DONOR, FORWARDS, ORIGINAL, SESSION, SPAM, TEXT, forward, quoted, rfc822
from hypothesis import given
from hypothesis import strategies as st

from stages.extraction.donors import Donor, hop, journey
from stages.extraction.unwrap import unwrap
from trap.envelope import Envelope, Rcpt
from trap.job import Job


def unwrapped(message: bytes, donor: Donor = DONOR, session: Envelope = SESSION):
    return unwrap(Job.from_message(message, session), donor)


@pytest.mark.parametrize("message", FORWARDS.values(), ids=FORWARDS)
def test_the_sample_is_cut_out_to_the_byte(message):
    found = unwrapped(message)
    assert found.sample.message == SPAM
    assert found.note["how"] == "attached"


def test_a_sample_in_quoted_printable():
    plain = SPAM.replace(b"\n mixed ends\n", b"\r\n").replace(b"  \r\n", b"\r\n")
    assert unwrapped(forward(quoted(plain))).sample.message == plain


def test_the_donor_is_in_the_note_and_nowhere_else():
    message = forward(TEXT, rfc822(SPAM))
    found = unwrapped(message)
    assert found.note == {
        "name": "joe",
        "client_ip": "192.0.2.25",
        "helo": "out.donor.example",
        "mail_from": "joe@donor.example",
        "rcpts": ["gift@trap.example"],
        "sha256": hashlib.sha256(message).hexdigest(),
        "size": len(message),
        "how": "attached",
    }
    assert b"192.0.2.25" not in msgspec.json.encode(found.sample.envelope)


def test_the_session_is_what_the_donors_servers_saw():
    """And not what the spammer wrote below their lines."""
    assert unwrapped(forward(rfc822(SPAM))).sample.envelope == Envelope(
        client_ip="203.0.113.9",
        helo="spammer",
        mail_from="evil@spam.example",
        rcpts=[Rcpt(address="joe@donor.example", tag="donated")],
        listener="mx",
        received_at=1e9,
    )


def test_without_trusted_servers_nothing_is_believed():
    donor = Donor(name="joe", network=["192.0.2.0/24"])
    session = unwrapped(forward(rfc822(SPAM)), donor).sample.envelope
    assert (session.client_ip, session.helo, session.mail_from) == ("", None, "")
    assert session.rcpts == SESSION.rcpts


def test_several_messages_stay_together():
    """A job is one message: none of them is lost, and the donor is not blamed."""
    other = SPAM.replace(b"Buy", b"Sell")
    message = forward(rfc822(SPAM), rfc822(other))
    found = unwrapped(message)
    assert found.sample.message == message
    assert found.sample.envelope.client_ip == ""
    assert found.note["how"] == "several"
    assert [each["sha256"] for each in found.note["samples"]] == [
        hashlib.sha256(each).hexdigest() for each in (SPAM, other)
    ]


REDIRECTED = {
    "Received lines": b"",
    "by .forward": b"Resent-From: joe@donor.example\r\nX-Forwarded-To: gift@trap.example\r\n",
    "filtered": b"X-Spam-Flag: YES\r\nX-Spam-Report: long\r\n\tand folded\r\n",
    "delivered": b"X-Original-To: joe@donor.example\r\nDelivered-To: gift@trap.example\r\n",
}


@pytest.mark.parametrize("fields", REDIRECTED.values(), ids=REDIRECTED)
def test_forwarding_headers_are_taken_out(fields):
    found = unwrapped(fields + SPAM)
    assert found.sample.message == ORIGINAL
    assert found.note["how"] == "redirected"
    assert found.sample.envelope.client_ip == "203.0.113.9"


def test_fields_of_the_message_stay_wherever_they_stand():
    message = b"Subject: on top\r\nX-Spam-Flag: YES\r\n" + SPAM + b"X-Spam-Flag: in the body\r\n"
    expected = b"Subject: on top\r\n" + ORIGINAL + b"X-Spam-Flag: in the body\r\n"
    assert unwrapped(message).sample.message == expected


def test_strip_says_what_is_taken_out():
    donor = msgspec.structs.replace(DONOR, strip=["X-Filter*"])
    found = unwrapped(forward(rfc822(b"X-Filter-Score: 9\r\nX-Spam-Flag: NO\r\nSubject: a\r\n\r\nb")), donor)
    assert found.sample.message == b"X-Spam-Flag: NO\r\nSubject: a\r\n\r\nb"


def test_the_sender_of_redirected_mail():
    kept = msgspec.structs.replace(SESSION, mail_from="evil@spam.example")
    rewritten = msgspec.structs.replace(SESSION, mail_from="SRS0=aB1c=XY=spam.example=evil@donor.example")
    message = b"X-Forwarded-To: x\r\n" + ORIGINAL
    for session in (kept, rewritten):
        assert unwrapped(message, session=session).sample.envelope.mail_from == "evil@spam.example"
    assert unwrapped(message).sample.envelope.mail_from == ""


@pytest.mark.parametrize(
    ("settings", "sender"),
    [
        ({"trusted": ["*.donor.example"]}, "joe@donor.example"),
        ({"trusted": ["mx.donor.example"]}, "joe@lists.donor.example"),
        ({"from_": ["*@donor.example"], "trusted": []}, "joe@donor.example"),
        ({"trusted": []}, "joe@elsewhere.example"),
        ({}, "joe+caf_=gift=trap.example@elsewhere.example"),
    ],
)
def test_the_donor_is_not_taken_for_the_sender(settings, sender):
    session = msgspec.structs.replace(SESSION, mail_from=sender)
    donor = msgspec.structs.replace(DONOR, **settings)
    found = unwrapped(b"X-Forwarded-To: x\r\n" + ORIGINAL, donor, session)
    assert (found.note["how"], found.sample.envelope.mail_from) == ("redirected", "")


def test_mail_of_a_donors_that_holds_nothing_stays_as_it_is():
    message = b"From: joe@donor.example\r\nSubject: hello\r\n\r\nHow are you?\r\n"
    found = unwrapped(message)
    assert (found.sample.message, found.note["how"]) == (message, "whole")


def test_a_bounce_is_no_forward():
    message = forward(TEXT, rfc822(SPAM), kind=b"multipart/report; report-type=delivery-status")
    assert unwrapped(message).sample.message == message


def test_an_abuse_report_is_one_and_tells_more():
    feedback = (
        b"Content-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\nVersion: 1\r\n"
        b"Source-IP: 203.0.113.77\r\nOriginal-Mail-From: <x@spam.example>\r\n"
    )
    bare = b"Subject: spam\r\nFrom: x@spam.example\r\n\r\nbuy"
    message = forward(TEXT, feedback, rfc822(bare), kind=b"multipart/report; report-type=feedback-report")
    found = unwrapped(message)
    assert found.sample.message == bare
    assert (found.sample.envelope.client_ip, found.sample.envelope.mail_from) == (
        "203.0.113.77",
        "x@spam.example",
    )


FROM_OUTSIDE = (
    b"Received: from evil (pc.isp.example [203.0.113.66]) by mx.donor.example with ESMTP; today\r\n"
)
FROM_JOE = (
    b"Received: from pc (home.isp.example [198.51.100.5]) by mx.donor.example with ESMTPSA id 1; today\r\n"
)
REPORT = (
    b"Content-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\nVersion: 1\r\n"
    b"Source-IP: 203.0.113.77\r\n"
)


@pytest.mark.parametrize(
    "wrapped",
    [
        forward(rfc822(SPAM)),
        forward(REPORT, rfc822(SPAM), kind=b"multipart/report; report-type=feedback-report"),
    ],
)
def test_who_writes_to_a_donor_blames_nobody(wrapped):
    """What is attached looks like a sample that the donor got from a victim's address."""
    session = unwrapped(FROM_OUTSIDE + wrapped).sample.envelope
    assert (session.client_ip, session.helo, session.mail_from) == ("", None, "")


def test_who_forwards_from_home_is_believed_and_not_blamed():
    other = SPAM.replace(b"Buy", b"Sell")
    assert unwrapped(FROM_JOE + forward(rfc822(SPAM))).sample.envelope.client_ip == "203.0.113.9"
    for message in (forward(rfc822(SPAM), rfc822(other)), b"Subject: hello\r\n\r\nHow are you?\r\n"):
        found = unwrapped(FROM_JOE + message)
        assert found.sample.message == FROM_JOE + message
        assert found.sample.envelope.client_ip == ""


def test_a_donor_that_redirects_has_what_is_attached_left_in_place():
    message = forward(rfc822(SPAM))
    found = unwrapped(FROM_OUTSIDE + message, msgspec.structs.replace(DONOR, way="redirected"))
    assert found.sample.message == message
    assert found.sample.envelope.client_ip == "203.0.113.66"


def test_a_donor_that_attaches_is_believed():
    donor = msgspec.structs.replace(DONOR, way="attached")
    assert unwrapped(FROM_OUTSIDE + forward(rfc822(SPAM)), donor).sample.envelope.client_ip == "203.0.113.9"
    assert unwrapped(SPAM, donor).sample.message == SPAM


def test_forwards_of_forwards_are_unwrapped_as_deep_as_said():
    once = forward(rfc822(SPAM), boundary=b"one")
    twice = forward(rfc822(once), boundary=b"two")
    message = forward(rfc822(twice), boundary=b"three")
    for depth, inner in ((1, twice), (2, once), (3, SPAM), (5, SPAM)):
        assert unwrapped(message, msgspec.structs.replace(DONOR, depth=depth)).sample.message == inner


KNOWN_BY = {
    "network": ({"network": ["192.0.2.0/24"]}, True),
    "another network": ({"network": ["198.51.100.0/24", "2001:db8::/32"]}, False),
    "rcpt": ({"rcpt": ["GIFT@trap.example"]}, True),
    "another rcpt": ({"rcpt": ["other@*"]}, False),
    "from": ({"network": ["192.0.2.25"], "from": ["*@donor.example"]}, True),
    "another from": ({"network": ["192.0.2.25"], "from": ["*@other.example"]}, False),
    "a header": ({"rcpt": ["gift@*"], "headers": {"Subject": "^Fwd$"}}, True),
    "no such header": ({"rcpt": ["gift@*"], "headers": {"X-Key": "secret"}}, False),
    "one thing of three is wrong": (
        {"network": ["192.0.2.25"], "rcpt": ["gift@*"], "from": ["eve@*"]},
        False,
    ),
}


@pytest.mark.parametrize(("known", "is_it"), KNOWN_BY.values(), ids=KNOWN_BY)
def test_who_is_a_donor(known, is_it):
    donor = msgspec.convert({"name": "joe", **known}, Donor)
    assert donor.sent(SESSION, Job.from_message(forward(rfc822(SPAM))).headers) is is_it


@pytest.mark.parametrize(
    ("setting", "error"),
    [
        ({"from": ["*@donor.example"]}, "anybody could pass for donor 'joe'"),
        ({"network": ["192.0.2.1/24"]}, "host bits"),
        ({"rcpt": ["a@b"], "headers": {"X": "("}}, "no regular expression"),
        ({"rcpt": ["a@b"], "depth": 9}, "not between 1 and 5"),
        ({"rcpt": ["a@b"], "form": "x"}, "unknown field"),
    ],
)
def test_settings_that_are_wrong(setting, error):
    with pytest.raises(msgspec.ValidationError, match=error):
        msgspec.convert({"name": "joe", **setting}, Donor)


RECEIVED = {
    "Postfix": (
        "from h (p.a.example [192.0.2.7]) by mx.b.example (Postfix) with SMTP id 1",
        "h",
        "192.0.2.7",
    ),
    "Postfix, IPv6": ("from h (unknown [IPv6:2001:db8::7]) by mx.b.example (Postfix)", "h", "2001:db8::7"),
    "Sendmail": ("from h ([192.0.2.7]) by mx.b.example (8.17/8) with ESMTP id x", "h", "192.0.2.7"),
    "Exim": ("from p.a.example ([192.0.2.7] helo=h) by mx.b.example with esmtp", "h", "192.0.2.7"),
    "Exim, no name": ("from [192.0.2.7] (helo=h) by mx.b.example with smtp", "h", "192.0.2.7"),
    "qmail": ("from unknown (HELO h) (192.0.2.7) by mx.b.example with SMTP", "h", "192.0.2.7"),
    "Exchange": ("from h (192.0.2.7) by mx.b.example (10.1.2.3) with Microsoft SMTP", "h", "192.0.2.7"),
    "local": ("by mx.b.example (Postfix, from userid 33)", "", ""),
}


@pytest.mark.parametrize(("line", "helo", "ip"), RECEIVED.values(), ids=RECEIVED)
def test_received_lines(line, helo, ip):
    assert hop(f"{line};\r\n Tue, 3 Nov 2026 10:00:00 +0000")[:3] == (helo, ip, "mx.b.example")


FORGED = {
    "HELO with a by": "from x by mx.donor.example (pc.isp.example [203.0.113.9]) by mx.donor.example",
    "HELO with an address": "from a ([198.51.100.1]) by mx.donor.example ([203.0.113.9]) by mx.donor.example",
    "HELO of the donor's": "from mx.donor.example (mx.donor.example [203.0.113.9]) by mx.donor.example",
    "Exim's HELO": "from pc ([203.0.113.9] helo=[198.51.100.1]) by mx.donor.example",
}


@pytest.mark.parametrize("line", FORGED.values(), ids=FORGED)
def test_a_client_cant_write_the_donors_lines(line):
    """It chooses its HELO and its name in the DNS: what the server saw counts."""
    below = "from bank.example (bank.example [198.51.100.1]) by mx.donor.example"
    count, entry = journey(DONOR, [line, below])
    assert count == 1
    assert entry is not None
    assert entry.ip == "203.0.113.9"


def test_a_line_without_an_address_ends_the_search():
    assert journey(DONOR, ["from x by mx.donor.example", "from b ([198.51.100.1]) by mx.donor.example"]) == (
        1,
        None,
    )


PIECES = st.sampled_from(
    [
        b"\r\n",
        b"\n",
        b"--outer",
        b"--outer--",
        b"Received: from [",
        b" by mx.donor.example",
        b"203.0.113.9",
        b"(",
        b"]",
        b"Content-Type: multipart/mixed; boundary=outer",
        b"Content-Type: message/rfc822",
        b"Return-Path: <a@b>",
        b"\xff",
    ]
)


@given(st.lists(PIECES | st.binary(max_size=4), max_size=40).map(b"".join))
def test_whatever_the_bytes(message):
    for wrapped in (message, forward(rfc822(message))):
        found = unwrapped(wrapped)
        assert found.sample.envelope.client_ip != "192.0.2.25"
        assert Job.from_message(found.sample.message, found.sample.envelope).encode()
