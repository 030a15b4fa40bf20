"""facts: what is told of a message."""

import random
import string
from email.message import EmailMessage
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.reports.facts import CHARSETS, CLASSES, LANGUAGES, Fact, gather
from stages.reports.guard import Guard
from trap.envelope import Envelope, Rcpt
from trap.job import Job

GUARD = Guard(b"a key")
TIME = "2025-11-20T12:00Z"


def facts(
    message: bytes = b"\r\n", notes: dict[str, dict[str, object]] | None = None, **said: object
) -> Fact:
    envelope = msgspec.convert({"rcpts": [{"address": "joe@trap.example"}], **said}, Envelope)
    return gather(Job("1763640000000000deadbeef", envelope, notes or {}, message), GUARD, TIME)


def test_a_phish() -> None:
    mail = EmailMessage()
    mail["Subject"] = "Your account, Joe"
    mail.set_content('<a href="https://a.example/joe">x</a> http://b.example:80 https://a.example/2', "html")
    mail.add_attachment(b"%PDF-1.4", maintype="application", subtype="pdf", filename="joe.pdf")
    mail["Content-Language"] = "de-AT"
    fact = facts(
        mail.as_bytes(),
        {"dedup": {"campaign": "0123456789ab", "count": 7}},
        client_ip="2001:db8:1:2::3",
        helo="mx1.mailer.de",
        mail_from="bounce-joe=trap.example@x17.mailer.de",
        tls_version="TLSv1.3",
    )
    assert msgspec.structs.replace(fact, id="", campaign="", subject="", size=0) == Fact(
        id="",
        time=TIME,
        copies=7,
        net="2001:db8:1::/48",
        helo="mailer.de",
        sender="mailer.de",
        country="de",
        charset="utf-8",
        language="de",
        parts=1,
        links=2,
        tls="TLSv1.3",
    )
    assert fact.campaign == GUARD.campaign("0123456789ab") != "0123456789ab"
    assert fact.size > 0


def test_what_is_empty_is_left_out_of_the_line() -> None:
    line = msgspec.json.decode(msgspec.json.encode(facts(b"")))
    assert set(line) == {"id", "time", "helo", "sender"}


def test_the_same_job_gives_the_same_line() -> None:
    assert facts(b"Subject: x\r\n\r\n") == facts(b"Subject: x\r\n\r\n")


def test_the_length_of_a_name_does_not_show() -> None:
    sizes = {facts(b"\r\nDear " + name + b"," + b"." * 5000).size for name in (b"Jo", b"Bartholomew")}
    assert sizes == {4096}


def test_the_subject_is_told_by_its_hash_only() -> None:
    first, again, other = (
        facts(b"Subject: " + said + b"\r\n\r\n").subject
        for said in (b"Hi  there", b"hi\r\n there", b"hi here")
    )
    assert first == again != other
    assert facts(b"Subject:\r\n\r\n").subject == ""


@pytest.mark.parametrize(
    ("helo", "told"),
    [
        (None, "none"),
        ("mail.mailer.net", "mailer.net"),
        ("trap.example", "own"),
        ("[203.0.113.9]", "address"),
        ("[IPv6:2001:db8::1]", "address"),
        ("203.0.113.9", "address"),
        ("WIN-JOE", "word"),
        ("\udcff\udcfe.example", "word"),
    ],
)
def test_greetings(helo: str | None, told: str) -> None:
    assert facts(helo=helo).helo == told


@pytest.mark.parametrize(
    ("mail_from", "told"),
    [
        ("", "null"),
        ("a@b.mailer.fr", "mailer.fr"),
        ("joe@trap.example", "own"),
        ("anybody@mail.trap.example", "own"),
        ("no-at-sign", "other"),
        ("a@[203.0.113.9]", "other"),
        ("a@münchen.de", "other"),
    ],
)
def test_senders(mail_from: str, told: str) -> None:
    assert facts(mail_from=mail_from).sender == told


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("UTF-8", "utf-8"),
        ("ISO-8859-1", "latin-1"),
        ("us-ascii", "ascii"),
        ("cp437", "other"),
        ("joe@trap.example", "other"),
        ("../os", "other"),
    ],
)
def test_a_charset_is_one_of_a_list(said: str, told: str) -> None:
    assert facts(f'Content-Type: text/plain; charset="{said}"\r\n\r\n'.encode()).charset == told


@pytest.mark.parametrize(
    ("said", "told"),
    [("", ""), ("de-AT", "de"), (" EN", "en"), ("jo", "other"), ("joe", "other"), ("?", "other")],
)
def test_a_language_is_one_of_a_list(said: str, told: str) -> None:
    assert facts(f"Content-Language:{said}\r\n\r\n".encode()).language == told


@pytest.mark.parametrize(
    ("number", "told"), [(0, 0), (1, 1), (2, 2), (5, 2), (6, 6), (20, 6), (21, 21), (500, 21)]
)
def test_counts_are_told_in_classes(number: int, told: int) -> None:
    hosts = " ".join(f"http://h{n}.example/" for n in range(number))
    parts = "--b\nContent-Type: image/x\n\nz\n" * number
    fact = facts(f"Content-Type: multipart/mixed; boundary=b\n\n--b\n\n{hosts}\n{parts}--b--\n".encode())
    assert fact.links == told
    assert fact.parts in CLASSES
    assert fact.parts == told or number > 100  # no message is taken apart without end


def test_a_token_for_each_recipient_is_not_read_back() -> None:
    """3,000 of them, written as language, charset and counts: the feed tells a few groups of them."""
    charsets = [*sorted(CHARSETS), "cp437", "cp850", "hz", "gbk"]
    draw = random.Random(7)
    told = set()
    for _ in range(3000):
        head = f"Content-Language: {''.join(draw.choices(string.ascii_lowercase, k=2))}\n"
        head += f"Content-Type: multipart/mixed; charset={draw.choice(charsets)}; boundary=b\n\n--b\n\n"
        links = " ".join(f"http://h{n}.example/" for n in range(draw.randrange(101)))
        parts = "--b\nContent-Type: image/x\n\nz\n" * draw.randrange(99)
        fact = facts(f"{head}{links}\n{parts}--b--\n".encode())
        told.add((fact.language, fact.charset, fact.links, fact.parts))
    assert len(told) < 300


def test_the_lists_are_short() -> None:
    assert len(CLASSES) == 5
    assert len(CHARSETS) == len(LANGUAGES) == 12


def test_notes_of_strange_shape_do_no_harm() -> None:
    assert facts(notes={"dedup": {"campaign": 17, "count": "many"}}).copies == 0


@given(st.binary(max_size=2000), st.text(max_size=50), st.text(max_size=50))
def test_nothing_in_a_message_raises(message: bytes, helo: str, mail_from: str) -> None:
    facts(message, helo=helo, mail_from=mail_from, client_ip=helo, tls_version=helo)


def test_the_corpus(corpus: Path) -> None:
    """Real hostile mail, all kinds of it: no line says a word of it, nor a domain of its recipients."""
    seen = 0
    for path in sorted(corpus.glob("malformed/*.eml"))[::20] + sorted(corpus.glob("phish/*.eml"))[::40]:
        envelope = Envelope(mail_from="x@mailer.example", rcpts=[Rcpt(address="joe@trap.example")])
        fact = gather(Job.from_message(path.read_bytes(), envelope), GUARD, TIME)
        assert fact.sender == "mailer.example"
        assert fact.size > 0
        seen += 1
    assert seen > 50
