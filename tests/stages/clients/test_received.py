"""received: the fields that a scanner is shown above a message, whatever a client said."""

import email
import email.policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.clients.received import received
from trap.envelope import Envelope, Rcpt
from trap.job import Job

ID = "179519278000000000000abc"
ALL = ("ip", "helo", "from")
MESSAGE = b"Subject: hello\r\n\r\nhello\r\n"
SESSION = Envelope(
    client_ip="192.0.2.7",
    server_ip="198.51.100.1",
    helo="pc.example",
    helo_verb="EHLO",
    mail_from="joe@spammer.example",
    rcpts=[Rcpt(address="secret@trap.example")],
)


def above(envelope: Envelope, message: bytes = MESSAGE, **notes: object) -> bytes:
    return received(Job(ID, envelope, notes, message), ALL)


def test_what_a_mail_server_writes() -> None:
    assert above(SESSION).decode().splitlines() == [
        "Received: from pc.example (unknown [192.0.2.7])",
        f"\tby trap.invalid (CommuniGate Pro SMTP) with ESMTP id {ID} (envelope-from joe@spammer.example);",
        "\tFri, 20 Nov 2026 16:39:40 -0000",
    ]


def test_a_null_sender_an_old_greeting_and_ipv6() -> None:
    session = Envelope(client_ip="2001:DB8::7", helo="[IPv6:2001:db8::7]", helo_verb="helo")
    assert above(session).decode().splitlines()[:3] == [
        "Return-Path: <>",
        "Received: from [IPv6:2001:db8::7] (unknown [IPv6:2001:db8::7])",
        f"\tby trap.invalid (CommuniGate Pro SMTP) with SMTP id {ID};",
    ]


@pytest.mark.parametrize(
    ("noted", "name"),
    [
        ({"ptr": "dyn.example", "ptr_confirmed": True}, "dyn.example"),
        ({"ptr": "dyn.example", "ptr_confirmed": False}, "unknown"),
        ({"ptr": "", "ptr_confirmed": False}, "unknown"),
        ({"ptr": "a) by b (", "ptr_confirmed": True}, "unknown"),
        ({"ptr": 7, "ptr_confirmed": True}, "unknown"),
    ],
)
def test_the_name_that_dns_has_confirmed(noted: object, name: str) -> None:
    first, second, _ = above(SESSION, dns=noted).decode().splitlines()
    assert first.endswith(f"({name} [192.0.2.7])") and "(spamtrap)" in second


@pytest.mark.parametrize("noted", [None, "unjudged", {}, {"missing": ["ptr"], "ptr": "dyn.example"}])
def test_that_nobody_has_looked_for_a_name_does_not_speak_against_it(noted: object) -> None:
    first, second, _ = above(SESSION, dns=noted).decode().splitlines()
    assert first.endswith("(unknown [192.0.2.7])") and "(CommuniGate Pro SMTP)" in second


def test_lines_end_as_those_of_the_message() -> None:
    assert b"\r" not in above(SESSION, b"Subject: hello\n\nhello\n")
    assert above(SESSION).count(b"\n") == above(SESSION).count(b"\r\n")


@pytest.mark.parametrize(
    "message", [b"", b" by mx with ESMTPSA\r\n", b"\tfolded\r\n", b"\r\ntext", b"From joe Fri\r\n", b"text"]
)
def test_nothing_goes_above_what_does_not_begin_with_a_field(message: bytes) -> None:
    assert above(SESSION, message) == b""


@pytest.mark.parametrize("client", ["", "unix", "192.0.2.7\r\n"])
def test_nothing_is_made_up_where_no_client_is_known(client: str) -> None:
    assert above(Envelope(client_ip=client, helo="x")) == b""


WORDS = st.text() | st.sampled_from(
    ["a) by b with ESMTPSA (c", "a\r\nX: y", "\udcff@\udcfe", "ä@ö.example", "<>", "a\0@\x1b[2J", "a\ud800@b"]
)


@given(WORDS, WORDS, WORDS)
def test_no_word_of_the_client_changes_the_form(helo: str, sender: str, name: str) -> None:
    session = Envelope(client_ip="192.0.2.7", helo=helo, mail_from=sender)
    fields = above(session, dns={"ptr": name, "ptr_confirmed": True})
    mail = email.message_from_bytes(fields + MESSAGE, policy=email.policy.compat32)
    assert set(mail.keys()) <= {"Return-Path", "Received", "Subject"}
    assert (len(mail.get_all("Received", [])), mail["Subject"]) == (1, "hello")
    assert fields.decode().replace("\r\n", "").replace("\t", "").isprintable()
    line = str(mail["Received"])
    assert line.count(" by ") + line.count("\tby ") == 1 and "ESMTPSA" not in line.upper().split(" ID ")[0]


def test_recipients_and_the_server_are_not_told() -> None:
    assert b"trap.example" not in above(SESSION) and b"198.51.100.1" not in above(SESSION)
