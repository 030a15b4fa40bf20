"""fields and text: whatever a message does to the parser, there is an answer, and it comes soon."""

import hashlib
import signal
import threading
import time
from email.message import EmailMessage
from pathlib import Path

import pytest
from archived import job, mail, mixed_message
from hypothesis import given, settings
from hypothesis import strategies as st

from trap.archive import feed
from trap.archive import fields as fields_module
from trap.archive.fields import MAX_TEXT, Attachment, Fields, extract, indexed, unparsed
from trap.archive.record import Record
from trap.archive.text import read_html, searchable


def record(message: bytes) -> Record:
    made = job(1, message=message)
    return Record(made.id, hashlib.sha256(message).digest(), made.envelope, {}, message)


def parsed(message: bytes) -> Fields:
    fields = extract(record(message))
    for text in (fields.subject, *fields.senders, *fields.recipients, *fields.defects):
        assert "\n" not in text and text.isprintable()
    fields.text.encode()
    return fields


def test_what_is_read_of_a_message() -> None:
    fields = parsed(mixed_message(3))
    assert fields.subject == "Überweisung"
    assert fields.senders == ["Jörg <j@b.example>"]
    assert fields.recipients == ["trap@trap.example"]
    assert fields.text.split() == [
        "Bitte",
        "prüfen",
        "Sie",
        "Ihr",
        "Konto.",
        "Click",
        "here",
    ]
    assert fields.urls == ["http://login.c.example/x"]
    assert (fields.charsets, fields.shape) == (["utf-8"], "attachment")
    (file,) = fields.attachments
    assert (file.name, file.type) == ("invoice3.pdf", "application/pdf")
    assert not fields.defects


def test_the_way_a_message_took() -> None:
    (hop,) = parsed(mail(1)).received
    assert (hop.sender, hop.receiver) == ("mail.a.example (mail.a.example [192.0.2.7])", "mx.trap.example")
    assert hop.date == "2026-11-01T10:00:00+00:00"


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable"])
def test_an_attachment_has_the_sha256_of_the_file(encoding: str) -> None:
    made = EmailMessage()
    made["Subject"] = "file"
    made.set_content("see the file")
    data = bytes(range(256)) * 10
    made.add_attachment(data, maintype="application", subtype="x-thing", filename="a.bin", cte=encoding)
    (file,) = parsed(made.as_bytes()).attachments
    assert (file.size, file.sha256) == (len(data), hashlib.sha256(data).hexdigest())


def test_broken_base64_is_hashed_as_far_as_it_goes() -> None:
    message = (
        b"Content-Type: application/zip; name=a.zip\r\nContent-Transfer-Encoding: base64\r\n"
        b"Content-Disposition: attachment; filename=a.zip\r\n\r\nUEsDBBQAA\r\n"
    )
    (file,) = parsed(message).attachments
    assert file.name == "a.zip" and file.size == 6


@pytest.mark.parametrize("trouble", [ValueError("x\ny"), RecursionError(), MemoryError(), UnicodeError()])
def test_a_parser_that_raises_is_a_defect(monkeypatch: pytest.MonkeyPatch, trouble: Exception) -> None:
    def broken(*_: object) -> None:
        raise trouble

    monkeypatch.setattr(feed, "parse", broken)
    fields = parsed(b"Subject: =?utf-8?q?caf=C3=A9?=\r\n\r\nx")
    assert fields.subject == "café"
    assert fields.defects[0].startswith(f"parser: {type(trouble).__name__}")


def test_a_parser_that_never_ends_is_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when it swallows every exception it is interrupted with."""

    def endless(*_: object) -> None:
        while True:
            try:
                while True:
                    pass
            except Exception:
                continue

    monkeypatch.setattr(feed, "parse", endless)
    monkeypatch.setattr(fields_module, "MAX_SECONDS", 0.05)
    before = signal.getsignal(signal.SIGVTALRM)
    fields = parsed(b"Subject: tar pit\r\n\r\nx")
    assert fields.subject == "tar pit"
    assert fields.defects == ["parsing took more than 0.05 s"]
    assert signal.getsignal(signal.SIGVTALRM) == before
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)


def test_other_threads_parse_without_a_limit() -> None:
    found: list[Fields] = []
    thread = threading.Thread(target=lambda: found.append(parsed(mail(1))))
    thread.start()
    thread.join()
    assert found[0].subject == "offer number 1"


def test_a_huge_message_is_parsed_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fields_module, "MAX_PARSED", 1000)
    fields = parsed(mail(1) + b"x" * 2000)
    assert fields.subject == "offer number 1"
    assert "only the first 1000 bytes were parsed" in fields.defects


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\0" * 1000,
        b"headers: x\r\nParse: y\r\nSubject_json: z\r\n\r\n",
        b"Subject: =?x-nonsense?q?a?=\r\n\r\n",
        b"Subject: \x1b]0;evil\x07\xff\xfe\r\nFrom: \x1b[2J <a@b>\r\n\r\n\x1b[2J",
        b"From: " + b"a@b.c, " * 5000 + b"\r\n\r\n",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 2000,
        b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(2000)),
        b"Content-Type: text/html\r\n\r\n" + b"<" * 200_000,
        b"Content-Type: text/html\r\n\r\n" + b"<a<style<!--<script" * 20_000,
        b"Content-Type: text/html\r\n\r\n" + b"<style>" * 50_000,
        b"Content-Type: text/html\r\n\r\n" + b"&#" + b"9" * 10_000 + b";",
        b"Content-Type: text/plain; charset=utf-16\r\n\r\nabc",
        b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n=\r\n=A=",
        b"begin 644 a\r\nM\xff\r\nend\r\n",
    ],
)
def test_hostile_mail(message: bytes) -> None:
    start = time.process_time()
    fields = parsed(message)
    assert len(fields.text) <= 3 * MAX_TEXT
    assert time.process_time() - start < 10


PIECES = """\
Subject: |From: |Date: |Content-Type: |Received: from |multipart/mixed; boundary=b|text/html|message/rfc822
|\r
|\r\n\r\n|--b|--b--|=?utf-8?b?|?=|<|>|"|(|;|\xff|\0|&#x|a@b.example|name*0*=
|Content-Disposition: attachment; filename=|Content-Transfer-Encoding: base64"""


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(PIECES.encode("latin-1").split(b"|")), max_size=40).map(b"".join))
def test_no_message_breaks_it(message: bytes) -> None:
    parsed(message)


def test_all_of_the_corpus_that_is_malformed(corpus: Path) -> None:
    for path in sorted(corpus.glob("malformed/*.eml"))[::4]:
        parsed(path.read_bytes())


def same(message: bytes) -> None:
    """What the index holds is what mail-parser says of the whole message."""
    whole, quick = extract(record(message)), indexed(record(message))
    # mail-parser makes up another name each time for a file that has none
    assert list(map(file_without_name, quick.attachments)) == list(map(file_without_name, whole.attachments))
    for field in ("subject", "senders", "recipients", "defects", "text", "urls", "charsets", "shape"):
        assert getattr(quick, field) == getattr(whole, field), field


def file_without_name(file: Attachment) -> tuple[str, int, str]:
    return file.type, file.size, file.sha256


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(PIECES.encode("latin-1").split(b"|")), max_size=40).map(b"".join))
def test_the_index_holds_what_mail_parser_says(message: bytes) -> None:
    same(message)


def test_the_index_holds_what_mail_parser_says_of_the_corpus(corpus: Path) -> None:
    for path in sorted(corpus.glob("*/*.eml"))[::7]:
        same(path.read_bytes())


def test_html() -> None:
    assert read_html("a<br>b<b>c</b>d")[0].split() == ["a", "bcd"]
    assert read_html("<!-- no --><script>no</script>yes")[0].split() == ["yes"]
    assert read_html("yes<style>no")[0].split() == ["yes"]
    assert read_html("<img src=http://x.example/a.png><a href='https://y.example/?a&amp;b'>")[1] == [
        "http://x.example/a.png",
        "https://y.example/?a&b",
    ]


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        (b"Content-Type: text/plain; charset=KOI8-R\r\n\r\nwords", "plain"),
        (b"Content-Type: text/plain; charset=KOI8-R\r\n\r\n", "empty"),
        (b'content-type: text/html; CHARSET="koi8-r"\r\n\r\n<p>words', "html"),
        (b"Content-Type: image/png; charset=koi8-r\r\nContent-Disposition: attachment\r\n\r\nx", "image"),
        (
            b"Content-Type: multipart/report; charset=koi8-r; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--",
            "report",
        ),
    ],
)
def test_what_it_looks_like(kind: bytes, shape: str) -> None:
    fields = parsed(kind)
    assert (fields.shape, fields.charsets) == (shape, ["koi8-r"])


def test_what_was_not_parsed_looks_like_nothing() -> None:
    assert unparsed(record(mail(1)), "died of it").shape == ""


def test_words_without_spaces_between_them() -> None:
    assert searchable("abc 中文 ไทย", 100).split() == ["abc", "中", "文", "ไ", "ท", "ย"]
