"""Mail that carries reports: it is good mail, whatever message it carries."""

import email
import email.policy
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.reporting.mail import MAX_LINE, Part, Writer, letter, mailbox, transportable

REPORTS = Writer("Example Reports", "reports@example.org")


def mail(*parts: Part, subject: str = "reports", name: str = "a1") -> bytes:
    return letter(
        writer=REPORTS,
        to="abuse@isp.example",
        subject=subject,
        name=name,
        kind="multipart/mixed",
        parts=parts,
    )


def read(data: bytes) -> email.message.EmailMessage:
    return email.message_from_bytes(data, policy=email.policy.default)


def test_its_header():
    read_again = read(mail(Part.text("hello\n"), subject="Grüße"))
    assert read_again["From"] == "Example Reports <reports@example.org>"
    assert read_again["To"] == "abuse@isp.example"
    assert read_again["Subject"] == "Grüße"
    assert read_again["Message-ID"] == "<a1@example.org>"
    assert read_again["Auto-Submitted"] == "auto-generated"
    assert read_again["MIME-Version"] == "1.0"


def test_the_message_id_is_that_of_the_report():
    """However often it is composed: who gets it twice after all can tell."""
    assert [read(mail(Part.text("x")))["Message-ID"] for _ in range(2)] == ["<a1@example.org>"] * 2
    assert read(mail(Part.text("x"), name="b2"))["Message-ID"] == "<b2@example.org>"


def test_words_in_other_letters_ask_for_no_8_bit_mail():
    data = mail(Part.text("Grüße\n"))
    assert data.isascii()
    assert read(data).get_payload(0).get_content().split() == ["Grüße"]


def test_a_message_with_8_bit_letters_is_said_to_have_them():
    data = mail(Part.message("Subject: Grüße\r\n\r\nx\r\n".encode()))
    assert read(data)["Content-Transfer-Encoding"] == "8bit"
    assert read(data).get_payload(0)["Content-Transfer-Encoding"] == "8bit"


def test_a_message_that_ends_the_mail_does_not():
    """A boundary that it can't know; and one that it does happen to hold is not used."""
    first = read(mail(Part.text("x"))).get_boundary()
    spam = f"Subject: x\r\n\r\n--{first}--\r\nFrom: evil\r\n".encode()
    data = read(mail(Part.message(spam)))
    assert data.get_boundary() != first
    assert len(data.get_payload()) == 1


@given(st.binary(max_size=3000), st.text(max_size=50))
def test_any_message_is_carried(message, subject):
    data = mail(Part.text("x\n"), Part.message(b"X: " + message), subject=subject)
    assert re.fullmatch(rb"(?:[^\r\n\0]{0,998}\r\n)*", data)
    assert [part.get_content_type() for part in read(data).get_payload()] == ["text/plain", "message/rfc822"]


@given(st.binary(max_size=5000))
def test_what_no_mail_can_carry_is_cut(message):
    carried = transportable(message)
    assert all(len(line) <= MAX_LINE for line in carried.split(b"\r\n"))
    assert re.sub(rb"[\r\n \0]", b"", carried) == re.sub(rb"[\r\n \0]", b"", message)


def test_a_long_field_stays_one_field():
    carried = transportable(b"To: " + b"x" * 3000 + b"\nSubject: hi\n\nhello")
    assert email.message_from_bytes(carried)["Subject"] == "hi"


def test_a_header_alone():
    part = Part.header(b"Subject: x\nTo: y\n\nsecret", 1000)
    assert (part.fields[0], part.body) == ("Content-Type: text/rfc822-headers", b"Subject: x\r\nTo: y\r\n")


@pytest.mark.parametrize(
    "text", ["", "abuse", "abuse@", "@isp.example", "a b@isp.example", "abuse@localhost", "abuse@[192.0.2.1]",
             "abuse@192.0.2.1", "a@b@isp.example", "abuse@isp..example", "abüse@isp.example", "-@-.example",
             "a@isp.example\r\nBcc: evil@isp.example", "<a@isp.example>", "x" * 65 + "@isp.example"]
)  # fmt: skip
def test_what_is_no_address(text):
    assert mailbox(text) == ""


@given(st.text(max_size=100))
def test_an_address_never_breaks_a_line(text):
    assert not re.search(r"[^!-~]", mailbox(text))


def test_who_writes():
    assert Writer.parse("Abuse Desk <reports@Example.ORG>") == ("Abuse Desk", "reports@example.org")
    assert Writer.parse("reports@example.org").name == "reports@example.org"
    assert Writer.parse("reports@example.org").domain == "example.org"
    with pytest.raises(ValueError, match=r"'the abuse desk' is no sender; write it like"):
        Writer.parse("the abuse desk")
