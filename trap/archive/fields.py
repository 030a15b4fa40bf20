"""What a message says, as far as mail-parser can tell: for the index and for people, never for storage.

`extract` has all of it; `indexed` has what the index holds, the same, for a third of the time.

Whatever a message does to the parser, there is an answer: its envelope, its raw subject, and a
defect that says what happened. Time is bounded by CPU time, as the parser has no limits of its own.
"""

import base64
import binascii
import hashlib
import logging
import re
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from email.header import decode_header, make_header
from email.message import Message
from itertools import islice
from types import FrameType
from typing import Any

import mailparser
import msgspec

from trap.archive import feed, mime
from trap.archive.feed import Room
from trap.archive.links import urls_in
from trap.archive.plain import People, take_out
from trap.archive.record import Record
from trap.archive.text import MAX_HTML, read_html, searchable
from trap.envelope import printable
from trap.job import Headers

MAX_PARSED = 8 << 20
"""Bytes of a message that are parsed; what follows is archived, but not in the index."""
MAX_SECONDS = 1.0
"""CPU time for one message; none is known that needs a third of it."""
MAX_TEXT = 64 << 10
"""Characters of text of one message in the index."""
_MAX_HTML = 4 << 20
"""Characters of all HTML parts that are looked at."""
_MAX_ITEMS = 100
_MAX_LINE = 1000
_CHARSET = re.compile(r"charset\s*+=\s*+[\"']?([\w.:+-]{1,40})", re.IGNORECASE)

# All it logs is that mail is hostile; we keep that as defects.
logging.getLogger("mailparser").setLevel(logging.CRITICAL)


class Attachment(msgspec.Struct, frozen=True):
    """A part that is a file."""

    name: str
    type: str
    size: int
    sha256: str


class Hop(msgspec.Struct, frozen=True, rename={"sender": "from", "receiver": "by", "protocol": "with"}):
    """One Received field, as mail-parser reads it; the hop nearest to the sender is the first."""

    sender: str = ""
    receiver: str = ""
    protocol: str = ""
    date: str = ""


class Fields(msgspec.Struct, kw_only=True):
    """What is known of a message besides its envelope. All strings are fit for any output."""

    subject: str = ""
    senders: list[str] = []
    """From and Reply-To: names and addresses."""
    recipients: list[str] = []
    """To and Cc."""
    date: str = ""
    received: list[Hop] = []
    attachments: list[Attachment] = []
    defects: list[str] = []
    text: str = ""
    urls: list[str] = []
    """Where its HTML links to, and what is written as a URL in its text."""
    charsets: list[str] = []
    """Of its parts, as their Content-Type has it."""
    shape: str = ""
    """What it looks like, see `shape`; empty when it could not be parsed."""


class TooSlow(BaseException):
    """A `cpu_limit` is used up. Not an Exception, so that no parser takes it for its own."""


def extract(record: Record) -> Fields:
    """Parse a message; never raises, whatever it holds."""
    return _parsed(record, _everything)


def indexed(record: Record) -> Fields:
    """What the index holds of a message: no date and no Received fields. Never raises."""
    return _parsed(record, _without_plain)


def _parsed(record: Record, parse: Callable[[Fields, bytes], None]) -> Fields:
    message = feed.first_lines(record.message[:MAX_PARSED])
    fields = Fields()
    if len(message) < len(record.message):
        fields.defects.append(f"only the first {len(message)} bytes were parsed")
    try:
        with cpu_limit(MAX_SECONDS):
            parse(fields, message)
    except TooSlow:
        fields.defects.append(f"parsing took more than {MAX_SECONDS:g} s")
    except Exception as error:  # hostile mail makes parsers raise anything; it is a note, not a loss
        fields.defects.append(_line(f"parser: {type(error).__name__}: {error}"))
    if not fields.subject:
        fields.subject = _raw_subject(message)
    return fields


def unparsed(record: Record, why: str) -> Fields:
    """What is known of a message that no parser may touch."""
    return Fields(subject=_raw_subject(record.message[:MAX_PARSED]), defects=[why])


def _raw_subject(message: bytes) -> str:
    return _line(_decoded(Headers(message).get("subject") or ""))


def _everything(fields: Fields, message: bytes) -> None:
    header = _header(message)
    mail = _Bare(feed.parse(message, Room(fields.defects), header.end() if header else 0))
    _fill(fields, mail, {})
    fields.date = mail.date.isoformat() if mail.date else ""
    fields.received = [
        Hop(*(_line(str(hop.get(key) or "")) for key in ("from", "by", "with", "date_utc")))
        for hop in mail.received[:_MAX_ITEMS]
    ]


def _without_plain(fields: Fields, message: bytes) -> None:
    made, people = _parts(message, Room(fields.defects))
    _fill(fields, _Bare(made), people)


def _parts(message: bytes, room: Room) -> tuple[Message, People]:
    header = _header(message)
    if not header:
        return feed.parse(message, room), {}
    plain = take_out(mime.FIELD.findall(message, 0, header.end()))
    if sum(len(value) for _, value in plain.fields) > feed.MAX_MIME_FIELD:
        return feed.parse(message, room, header.end()), {}
    return mime.assemble(plain.fields, message, header.end(), room), plain.people


def _header(message: bytes) -> re.Match[bytes] | None:
    return mime.HEADER.match(message, 0, mime.MAX_HEADER)


class _Bare(mailparser.MailParser):  # type: ignore[misc]  # it has no types
    """Parses without putting all that was found, headers never asked for included, together twice."""

    def _make_mail(self, complete: bool = True) -> dict[str, Any]:
        return {}


def _fill(fields: Fields, mail: mailparser.MailParser, people: People) -> None:
    """Take over what the parser found, the cheap and important first: a time-out leaves the rest out.

    Args:
        people: who is known already, whatever the parser says.
    """
    fields.subject = _line(_only(mail.subject))
    fields.senders = _people(people.get("from", mail.from_), people.get("reply-to", mail.reply_to))
    fields.recipients = _people(people.get("to", mail.to), people.get("cc", mail.cc))
    fields.defects += sorted(mail.defects_categories)
    fields.attachments = [_attachment(found) for found in mail.attachments[:_MAX_ITEMS]]
    pages = list(_pages(mail.text_html))
    parts = [*mail.text_plain, *(words for words, _ in pages)]
    fields.text = searchable(" ".join(part[:MAX_TEXT] for part in parts[:_MAX_ITEMS]), MAX_TEXT)
    links = [link for _, links in pages for link in links]
    fields.urls = _distinct(map(printable, [*links, *urls_in(fields.text)]))
    fields.shape = shape(mail.message.get_content_type(), fields, bool(pages))
    fields.charsets = _charsets(mail.message)


def _pages(parts: list[str]) -> Iterator[tuple[str, list[str]]]:
    """What HTML parts say, and where they link to."""
    left = _MAX_HTML
    for part in parts[:_MAX_ITEMS]:
        yield read_html(part[:left])
        left -= min(left, len(part), MAX_HTML)


def shape(content_type: str, fields: Fields, html: bool) -> str:
    """What a message looks like, in one word: the first of these that is true.

    * report: a machine's, about another message (RFC 6522)
    * attachment: it has a file that is no image
    * image: it has images
    * html: a part of it is HTML
    * plain: it has text
    * empty: it has none of these

    Args:
        content_type: of the whole message.
        fields: text and attachments are looked at.
        html: whether a part is HTML.
    """
    if content_type == "multipart/report":
        return "report"
    if fields.attachments:
        images = all(file.type.lower().startswith("image/") for file in fields.attachments)
        return "image" if images else "attachment"
    if html:
        return "html"
    return "plain" if fields.text.strip() else "empty"


def _charsets(message: Message) -> list[str]:
    types = (str(part.get("content-type", ""))[:_MAX_LINE] for part in islice(message.walk(), _MAX_ITEMS))
    return _distinct(found[1].lower() for kind in types if (found := _CHARSET.search(kind)))


def _attachment(found: dict[str, Any]) -> Attachment:
    payload = found["payload"]
    data = payload.encode("utf-8", "surrogateescape")
    if found["binary"]:
        try:
            data = binascii.a2b_base64(data)
        except binascii.Error:  # cut off in the middle: hash what a lenient reader would get
            whole = data.translate(None, b"\r\n \t=")
            data = base64.b64decode(whole[: len(whole) // 4 * 4])
    return Attachment(
        _line(_only(found["filename"])),
        _line(found["mail_content_type"]),
        len(data),
        hashlib.sha256(data).hexdigest(),
    )


def _people(*groups: Any) -> list[str]:
    """The distinct people of some address fields, written "Name <address>"."""
    people = (
        f"{name} <{address}>" if name else str(address)
        for group in groups
        for name, address in (group if isinstance(group, list) else [])
    )
    return _distinct(map(_line, people))


def _distinct(items: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(items))[:_MAX_ITEMS]


def _only(value: Any) -> str:
    """A header's text; the first when a message has several."""
    first = value[0] if isinstance(value, list) and value else value
    return str(first or "")


def _line(text: str) -> str:
    return printable(" ".join(text[: 2 * _MAX_LINE].split()))[:_MAX_LINE]


def _decoded(raw: str) -> str:
    """A header with its encoded words (RFC 2047) decoded if that can be done."""
    try:
        return str(make_header(decode_header(raw[:_MAX_LINE])))
    except Exception:  # the email package raises many kinds on what is not quite an encoded word
        return raw


def _expired(signum: int, frame: FrameType | None) -> None:
    raise TooSlow


@contextmanager
def cpu_limit(seconds: float) -> Iterator[None]:
    """Raise TooSlow after so much CPU time, again and again should it be swallowed.

    Only the main thread can be interrupted; elsewhere there is no limit. A worker's own deadline
    uses another timer (SIGALRM).
    """
    try:
        before = signal.signal(signal.SIGVTALRM, _expired)
    except ValueError:
        yield
        return
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds, 0.1)
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
