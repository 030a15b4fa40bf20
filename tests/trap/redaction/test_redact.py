"""redact: a message leaves without a trace of who received it, and is otherwise what it was."""

import base64
import email
import gzip
import io
import quopri
import zipfile
from email.message import Message
from email.mime.application import MIMEApplication
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import at_most

from trap.redact import Redacted, Redactor
from trap.redaction.identities import Identities
from trap.redaction.search import Searcher
from trap.redaction.sheet import only_here

JOE = "joe.miller@pristine.example"
OURS = Identities.named([JOE, "mx7.house.example", "192.0.2.25", "content@pristine.example"])
REDACTOR = Redactor(OURS, b"k" * 32)
OTHER = Redactor(OURS, b"o" * 32)


def shape(raw: bytes) -> list[tuple[str, str | None, str]]:
    """What a message is made of, as the email package sees it."""
    return [
        (part.get_content_type(), part.get_content_charset(), str(part["content-transfer-encoding"]))
        for part in email.message_from_bytes(raw).walk()
    ]


def redacted(message: bytes | Message, tokens: tuple[str, ...] = ()) -> Redacted:
    raw = message if isinstance(message, bytes) else message.as_bytes()
    made = REDACTOR.redact(raw, tokens)
    assert len(made.message) == len(raw)
    assert shape(made.message) == shape(raw)
    assert made.leaks == []
    assert REDACTOR.redact(made.message, tokens).message == made.message
    return made


def letter(*parts: Message) -> Message:
    made = MIMEMultipart(boundary="----=_NextPart")
    made["Received"] = f"from b.example by mx7.house.example ([192.0.2.25]) for <{JOE}>"
    made["To"] = f"Joe Miller <{JOE}>"
    for part in parts:
        made.attach(part)
    return made


def payloads(raw: bytes) -> list[bytes]:
    parts = email.message_from_bytes(raw).walk()
    return [bytes(part.get_payload(decode=True)) for part in parts if not part.is_multipart()]


def test_a_letter_with_everything() -> None:
    html = f"<p>Hi <b>joe</b>.miller</p><a href='http://b.example/u?e={JOE.replace('@', '%40')}'>x</a>"
    attached = MIMEApplication(f"ATTENDEE:mailto:{JOE}\r\n".encode(), "ics")
    attached.add_header("Content-Disposition", "attachment", filename=("utf-8", "", "joe.miller.ics"))
    inner = MIMEText(f"Grüße an {JOE}", "plain", "utf-8")
    inner["Subject"] = "=?utf-8?b?" + base64.b64encode(JOE.encode()).decode() + "?="
    made = redacted(letter(MIMEText(html, "html"), attached, MIMEMessage(inner)))
    assert made.blanked == []
    assert b"http://b.example/u?e=" in made.message
    assert "Grüße an ".encode() in payloads(made.message)[2]
    for said in [made.message, *payloads(made.message)]:
        assert b"miller" not in said.lower()
        assert b"pristine" not in said
    assert made.masked["header/plain"] >= 4
    assert made.masked["text/html/plain"] == 2


def test_words_that_hold_a_message_together_stay() -> None:
    raw = letter(MIMEText("content of content@pristine.example", "plain")).as_bytes()
    made = redacted(raw).message
    assert made.count(b"Content-Type: ") == raw.count(b"Content-Type: ")
    assert payloads(made)[0].startswith(b"content of ")


def test_a_boundary_is_masked_alike_in_all_its_places() -> None:
    plain = letter(MIMEText("one"), MIMEText("two")).as_bytes()
    for boundary in (b"=_joe.miller.17", b"b-pristine.example", b"=_" + base64.b64encode(JOE.encode())[:24]):
        raw = plain.replace(b"----=_NextPart", boundary)
        made = redacted(raw)
        assert payloads(made.message) == [b"one", b"two"]
        assert made.masked.keys() & {"boundary/plain", "boundary/base64"}


def test_coded_bodies_keep_their_lines() -> None:
    for coding, code in (("base64", base64.encodebytes), ("quoted-printable", quopri.encodestring)):
        body = code(f"{'é' * 40} Dear {JOE},\n{'ü' * 40}".encode())
        head = f"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: {coding}\n\n".encode()
        made = redacted(head + body).message[len(head) :]
        assert [len(line) for line in made.split(b"\n")] == [len(line) for line in body.split(b"\n")]
        assert made != body


def test_a_message_in_base64_is_a_message() -> None:
    inner = f"To: =?utf-8?q?joe=2Emiller?= <{JOE}>\nContent-Type: text/html\n\n<i>j</i>oe.miller".encode()
    raw = b"Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n" + base64.encodebytes(inner)
    made = redacted(raw).message
    said = base64.b64decode(made.partition(b"\n\n")[2])
    assert said.startswith(b"To: =?utf-8?q?")
    assert b"Content-Type: text/html\n\n<i>" in said
    assert b"miller" not in said


@pytest.mark.parametrize("kind", ["zip", "gzip"])
def test_what_can_not_be_overwritten_in_place_is_blanked(kind: str) -> None:
    packed = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("list.txt", f"{JOE}\n" * 20)
    else:
        packed.write(gzip.compress(f"{JOE}\n".encode() * 20))
    made = redacted(letter(MIMEText("see there"), MIMEApplication(packed.getvalue(), kind)))
    assert made.blanked == [f"part 2 (application/{kind})"]
    assert payloads(made.message) == [b"see there", b"x" * len(packed.getvalue())]


def test_what_is_told_of_parts_names_nobody() -> None:
    packed = gzip.compress(f"{JOE}\n".encode() * 20)
    raw = letter(MIMEText(JOE), MIMEApplication(packed, "joe.miller")).as_bytes()
    made = REDACTOR.redact(raw)
    assert made.leaks == []
    assert made.blanked == ["part 2 (data)"]
    assert "miller" not in f"{made.masked} {made.blanked} {made.signatures}"


def test_a_charset_without_room_is_blanked() -> None:
    text = b"an +AGoAbwBl-.miller+AEA-pristine.example\r\n"
    made = redacted(b"Content-Type: text/plain; charset=utf-7\r\n\r\n" + text)
    assert made.blanked == ["body (text/plain)"]


def test_signatures_are_broken_and_said_to_be() -> None:
    signed = "DKIM-Signature: v=1; d=b.example; b=x\r\nARC-Seal: i=1; d=c.example\r\n"
    raw = f"{signed}To: {JOE}\r\n\r\nhi\r\n".encode()
    assert redacted(raw).signatures == ["dkim d=b.example", "arc d=c.example"]
    assert redacted(raw.replace(JOE.encode(), b"x@b.example")).signatures == []


def test_consumers_can_not_compare() -> None:
    raw = f"To: {JOE}\r\n\r\n{JOE}\r\n".encode()
    one, other = REDACTOR.redact(raw).message, OTHER.redact(raw).message
    assert one != other
    assert one == Redactor(OURS, b"k" * 32).redact(raw).message
    first, second = one.decode().split("\r\n\r\n")
    assert first == f"To: {second.strip()}"


def test_tokens_are_masked_everywhere() -> None:
    body = b"http://b.example/k7%4Ax9QpLm2 =?utf-8?b?azdKeDlRcExtMg==?=\r\n"
    raw = b"Message-ID: <k7Jx9QpLm2@b.example>\r\n\r\n" + body
    made = redacted(raw, ("k7Jx9QpLm2",)).message
    assert b"k7Jx9QpLm2" not in made
    assert b"azdKeDlRcExtMg" not in made
    assert made.count(b"b.example") == 2


def test_other_texts() -> None:
    assert Redactor(OURS, b"").text("bounce-joe.miller=pristine.example@b.example") == (
        "xxxxxx-xxx.xxxxxx=xxxxxxxx.zzzzzzz@b.example"
    )
    assert REDACTOR.text("nobody of ours") == "nobody of ours"
    assert REDACTOR.text("caf\udce9 \ud800").startswith("caf")
    assert "k7Jx9QpLm2" not in REDACTOR.text("id k7Jx9QpLm2", ("k7Jx9QpLm2",))


def test_what_is_standing_is_found_as_well() -> None:
    standing = Searcher(OURS)
    more = OURS | Identities.named(["jim@pristine.example"])
    made = Redactor(more, b"", standing).redact(f"To: {JOE}, jim@pristine.example\r\n\r\n".encode())
    assert made.message == b"To: xxx.xxxxxx@xxxxxxxx.zzzzzzz, xxx@xxxxxxxx.zzzzzzz\r\n\r\n"


def test_bounces_name_the_recipient_in_fields_of_their_own() -> None:
    raw = (
        b"Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"
        b"--b\r\n\r\nfailed\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n"
        b"Reporting-MTA: dns; b.example\r\n\r\nFinal-Recipient: rfc822;%b\r\n--b--\r\n" % JOE.encode()
    )
    assert b"Final-Recipient: rfc822;" in redacted(raw).message


PLANTED = st.sampled_from(
    [
        *(JOE, JOE.upper(), "Joe Miller", "mx7.house.example", "[192.0.2.25]", JOE[::-1], JOE.encode().hex()),
        *(base64.b64encode(JOE.encode()).decode(), JOE.replace("@", "%40"), JOE.replace("e", "&#101;")),
        *("", "hello ", "<b>", "\n", "\n\n", "é", "=\n", "--b\n", "--b--\n", " ", "begin 644 x\n"),
    ]
)
TEXTS = st.lists(PLANTED, max_size=8).map("".join)
HEADS = st.lists(
    st.sampled_from(
        [
            *("Content-Type: multipart/mixed; boundary=b", "Content-Type: text/html; charset=utf-16"),
            *("Content-Type: text/plain; charset=utf-8", "Content-Type: message/rfc822", f"To: {JOE}"),
            *("Content-Transfer-Encoding: base64", "Content-Transfer-Encoding: quoted-printable"),
            "no header",
            f"Subject: =?utf-8?q?{JOE.replace('@', '=40')}?=",
        ]
    ),
    max_size=4,
    unique=True,
).map("\n".join)


@settings(deadline=None)  # of a machine that has more to do
@given(st.lists(st.tuples(HEADS, TEXTS), max_size=3), st.binary(max_size=20))
def test_whatever_a_message_is_no_name_is_left_and_nothing_moves(
    parts: list[tuple[str, str]], noise: bytes
) -> None:
    raw = "\n--b\n".join(f"{head}\n\n{text}" for head, text in parts).encode() + noise
    made = REDACTOR.redact(raw)
    assert len(made.message) == len(raw)
    assert made.leaks == []
    assert REDACTOR.redact(made.message).message == made.message
    assert [kind[:3] for kind in shape(made.message)] == [kind[:3] for kind in shape(raw)]


def test_work_is_bounded_however_large_a_message_is() -> None:
    parts = b"".join(b"--b\n\n%d joe.miller\n" % number for number in range(300))
    with at_most(20):
        REDACTOR.redact(b"Content-Type: multipart/mixed; boundary=b\n\n" + parts)
        REDACTOR.redact(b"To: x\n\n" + b"%25" * 50_000)


def test_clocks_stop_at_the_full_minute() -> None:
    """A sender has the second at which he sent to whom in his log, and writes one into Date."""
    head = b"Date: Mon, 2 Nov 2026 07:08:%02d +0100\r\nReceived: from a [IPv6:2001:12:34:56::1]\r\n\tby b;"
    message = head % 41 + b" Mon, 2 Nov 2026 07:08:43 GMT\r\nX-A: 07:08:41\r\n\r\nAt 07:08:41\r\n"
    done = Redactor(OURS, b"key").redact(message)
    assert done.message == message.replace(b"07:08:41 +", b"07:08:00 +").replace(b"07:08:43", b"07:08:00")
    assert done.masked == {"header/seconds": 2}


def test_a_file_that_no_other_copy_has_is_made_for_one_recipient() -> None:
    def copy(file: bytes) -> bytes:
        parts = [b"Content-Type: text/plain\r\n\r\nhi", b"Content-Type: image/png\r\n\r\nlogo"]
        head = b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        parts.append(head + base64.b64encode(file))
        return (
            b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n"
            + b"\r\n--x\r\n".join(parts)
            + b"\r\n--x--"
        )

    mine = copy(b"\1invoice 1\2")
    assert only_here(mine, []) == only_here(mine, [copy(b"\1invoice 2\2"), mine]) == frozenset()
    files = only_here(mine, [copy(b"\1invoice 2\2"), copy(b"\1invoice 3\2")])
    done = Redactor(OURS, b"key").redact(mine, files=files)
    assert done.blanked == ["part 3 (application/pdf)"]
    assert done.message == copy(b"x" * 11)
