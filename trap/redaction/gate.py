"""The release gate: searches a report, exactly as it would leave, for every name of the trap.

It trusts nobody: what masks names has its own way to take a message apart, and the gate another. Every
part is decoded again and read in all the ways that `trap.redaction.readings` knows, archives are unpacked,
and all of that is searched. What can't be looked into to its end may hold anything, and is a leak, too.

    >>> from trap.redaction.identities import Identities
    >>> report = b"Subject: hi\\r\\n\\r\\nDear am9lLm1pbGxlckB0cmFwLmV4YW1wbGU=,"
    >>> leaks(report, Identities.named(["joe.miller@trap.example"]))[0].kind
    'base64'
"""

import binascii
import re
from collections.abc import Collection, Iterator
from email.errors import MessageError
from email.message import Message
from email.parser import BytesParser
from email.policy import compat32
from email.utils import collapse_rfc2231_value
from typing import NamedTuple

from trap.envelope import printable
from trap.redaction.containers import Exhausted, Opaque, Room, members
from trap.redaction.readings import Unreadable, from_base64, readings, uncommented
from trap.redaction.search import Hit, Searcher
from trap.redaction.spellings import Names

OPAQUE = "opaque"
"""The kind of a leak that is none, as far as we know: what can't be looked into may hold anything."""
MAX_DEPTH = 16
"""Levels of things in things."""
MAX_LEAKS = 200
"""Leaks that are told: who masks asks again."""
_ROOM = 64 << 20
_TIMES = 24
"""Bytes that are looked at: so many, and so many times the report's own."""
_MAX_PARTS = 2000
_BESIDE = 24
"""Bytes of an excerpt on both sides."""
_MESSAGE = re.compile(
    rb"\s{0,10}(?:>?From [^\r\n]*\r?\n)?[!-9;-~]{1,80}:[^\r\n]*\r?\n(?:[ \t!-~][^\r\n]*\r?\n){1,1000}?\r?\n"
)
_MIME = re.compile(
    rb"^(?:content-type|mime-version|received|message-id|subject):", re.IGNORECASE | re.MULTILINE
)
_BOUNDARY = re.compile(rb"boundary", re.IGNORECASE)
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/= \t\r\n"
_LITTLE = 50
"""One in so many other characters is no mistake in base64."""
_UNSAFE_CODECS = frozenset(("punycode", "idna", "undefined"))
"""Codecs of Python that are no charsets, or not linear."""
_NO_ASCII = re.compile(r"utf[-_]?(?:7|16|32)|cp(?:037|[25]\d\d$|1026|1140)|hz|iso2022|iso-2022")
"""Charsets whose ASCII looks otherwise."""


class Leak(NamedTuple):
    """A name of the trap in a report."""

    where: str
    """For people: part 1.2, header To, base64."""
    kind: str
    """How it is spelt, as of Spelling; TOKEN; or OPAQUE."""
    name: str
    """The name; what could not be looked into, when it is OPAQUE."""
    excerpt: str
    """What stands around it, printable."""
    part: tuple[int, ...] = ()
    """Where in MIME: the second part of the first is (1, 2); () is the message itself."""
    field: str = ""
    """The header field of that part, in lower case; empty: its body."""


def leaks(
    report: bytes, identities: Names, tokens: Collection[str] = (), standing: Searcher | None = None
) -> list[Leak]:
    """What a report tells about the trap; empty: it may leave.

    Args:
        report: as it would leave: a message, or any other text or file.
        identities: who the trap is.
        tokens: strings that tell who a message was for.
        standing: a searcher for some of the identities, as those of the configuration, made before.
    """
    return found_by(Searcher(identities, tokens, standing), report)


def found_by(searcher: Searcher, report: bytes) -> list[Leak]:
    """The same, by a searcher that was made before."""
    found: dict[tuple[str, str, str], Leak] = {}
    for leak in _Gate(searcher, report).leaks():
        found.setdefault((leak.where, leak.kind, leak.name), leak)
        if len(found) >= MAX_LEAKS:
            break
    return list(found.values())


class _Place(NamedTuple):
    """Where the gate is."""

    part: tuple[int, ...] = ()
    field: str = ""
    path: tuple[str, ...] = ()

    def inside(self, what: str) -> "_Place":
        """The same, further in."""
        return self._replace(path=(*self.path, what))

    def __str__(self) -> str:
        number = f"part {'.'.join(map(str, self.part))}" if self.part else "message"
        return ", ".join([number, *([f"header {self.field}"] if self.field else []), *self.path])


class _Gate:
    """One look at one report."""

    def __init__(self, searcher: Searcher, report: bytes) -> None:
        self._searcher = searcher
        self._report = report
        self._room = Room(_ROOM + _TIMES * len(report))
        self._seen: set[tuple[int, int]] = set()
        self._parts = 0
        self._defects = False

    def leaks(self) -> Iterator[Leak]:
        """All that is found, parts first."""
        here = _Place()
        try:
            yield from self._message(here, self._report, 0)
        except Opaque as error:
            yield Leak(str(here), OPAQUE, str(error), "")
        here = here.inside("as a whole")
        yield from self._search(here, self._report)
        yield from self._search(here, self._report.translate(None, b" \t\r\n"))
        try:
            # Others may take apart in another way what is no proper MIME.
            if self._defects:
                yield from self._look(here, self._report, 0, mime=False)
        except Exhausted as error:
            yield Leak(str(here), OPAQUE, str(error), "")
        except Opaque:
            pass  # the part where that is was asked; as a whole it only looked as if something was packed

    def _message(self, here: _Place, data: bytes, depth: int) -> Iterator[Leak]:
        if len(_BOUNDARY.findall(data)) > _MAX_PARTS:
            raise Opaque("too many parts")
        try:
            message = BytesParser(policy=compat32).parsebytes(data)
            yield from self._part(here, message, depth)
        except (RecursionError, MessageError) as error:
            raise Opaque(f"a message that can't be parsed ({type(error).__name__})") from error

    def _part(self, here: _Place, part: Message, depth: int) -> Iterator[Leak]:
        self._parts += 1
        if self._parts > _MAX_PARTS:
            raise Opaque("too many parts")
        self._defects |= bool(part.defects)
        yield from self._headers(here, part, depth)
        payload = part.get_payload()
        if isinstance(payload, list):
            for said in (part.preamble, part.epilogue):
                if said:
                    yield from self._look(here.inside("beside its parts"), _bytes(said), depth)
            for number, child in enumerate(payload, 1):
                yield from self._part(here._replace(part=(*here.part, number)), child, depth)
            return
        data, coding = _body(part)
        try:
            yield from self._body(here, part, data, coding, depth)
        except Opaque as error:
            yield Leak(str(here), OPAQUE, str(error), "", here.part)

    def _body(self, here: _Place, part: Message, data: bytes, coding: str, depth: int) -> Iterator[Leak]:
        """The body of a part, decoded as it asks for, and in its charset."""
        if coding:
            yield from self._search(here, data)
            if coding == "base64" and len(data.translate(None, _BASE64)) * _LITTLE > len(data):
                yield from self._look(here, data, depth + 1)  # as others read it, who don't believe that
            data = from_base64(data) if coding == "base64" else binascii.a2b_qp(data)
            here = here.inside(coding)
        charset = (part.get_content_charset() or "").lower()
        ascii_too = not _NO_ASCII.match(charset)
        if charset not in _UNSAFE_CODECS and not (ascii_too and data.isascii()):
            recoded = _recoded(data, charset)
            yield from self._look(here.inside(charset or "no charset"), recoded, depth + 1)
            if ascii_too and recoded != data:
                yield from self._search(here, data)
                return
        yield from self._look(here, data, depth + 1)

    def _headers(self, here: _Place, part: Message, depth: int) -> Iterator[Leak]:
        """Header fields: all at once, and one by one when there is something."""
        fields = [
            (name, f"{name}: {value}\n".encode("utf-8", "surrogateescape"))
            for name, value in part.raw_items()
        ]
        fields += [(name, f"{name}: {said}\n".encode("utf-8", "replace")) for name, said in _said(part)]
        together = b"".join(text for _, text in fields)
        if next(self._look(here, together, depth + 1), None) is None:
            return
        self._seen.clear()
        for name, text in fields:
            yield from self._look(here._replace(field=name.lower()), text, depth + 1)
        self._seen.clear()
        yield from self._look(here.inside("its header"), together, depth + 1)

    def _look(self, here: _Place, data: bytes, depth: int, mime: bool = True) -> Iterator[Leak]:
        """Search some data, in all its readings, and all that is in it."""
        if not self._is_new(data):
            return
        if depth > MAX_DEPTH:
            raise Opaque("too deep in other things")
        yield from self._search(here, data)
        for name, member in members(data, self._room):
            yield from self._look(here.inside(name), member, depth + 1)
        if mime and _is_message(data):
            yield from self._message(here.inside("message"), data, depth + 1)
        try:
            for reading in readings(data):
                inside = here.inside(reading.how)
                if reading.inner:
                    self._room.take(len(reading.data))
                    yield from self._look(inside, reading.data, depth + 1)
                elif self._is_new(reading.data):
                    yield from self._search(inside, reading.data)
        except Unreadable:
            raise Opaque("coded too many times") from None

    def _is_new(self, data: bytes) -> bool:
        """Whether data has not been looked at; takes room for it."""
        key = (len(data), hash(data))
        if not data or key in self._seen:
            return False
        self._seen.add(key)
        self._room.take(len(data))
        return True

    def _search(self, here: _Place, data: bytes) -> Iterator[Leak]:
        for hit in self._searcher.find(data):
            yield Leak(str(here), hit.kind, hit.name, _excerpt(data, hit), here.part, here.field)


def _said(part: Message) -> Iterator[tuple[str, str]]:
    """Header fields as they are meant: parameters in order (RFC 2231), others without comments (RFC 5322)."""
    for name, value in part.raw_items():
        text = str(value)
        if "*" in text and name.lower() in ("content-type", "content-disposition"):
            for key, said in part.get_params(header=name, failobj=[]):
                yield name, f"{key} {collapse_rfc2231_value(said)}"
        if "(" in text and (bare := uncommented(text)) != text:
            yield name, bare


def _is_message(data: bytes) -> bool:
    """Whether data begins with header fields as mail has them."""
    head = _MESSAGE.match(data[:100_000])
    return bool(head and _MIME.search(head[0]))


def _body(part: Message) -> tuple[bytes, str]:
    """The body of a part as it stands, and "base64" or "quoted-printable" when it is said to be coded."""
    said = str(part.get("content-transfer-encoding", "")).strip().lower()
    coding = next((known for known in ("base64", "quoted-printable") if said.startswith(known)), "")
    del part["content-transfer-encoding"]
    data = part.get_payload(decode=True)
    return (data if isinstance(data, bytes) else b""), coding


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _recoded(data: bytes, charset: str) -> bytes:
    """A text in UTF-8; as it is, when its charset is none."""
    try:
        return data.decode(charset, "replace").encode("utf-8", "replace")
    except (LookupError, ValueError):
        return data


def _excerpt(data: bytes, hit: Hit) -> str:
    around = data[max(0, hit.start - _BESIDE) : hit.end + _BESIDE]
    return printable(around.decode("utf-8", "surrogateescape"))
