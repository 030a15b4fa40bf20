"""Mail that carries a report: who writes it, and how a message stands in another one.

It is put together by hand, not by a library that would have to parse the hostile message it carries: that
one is a block of bytes here. It goes as it is, but for what no mail can carry: line ends become CRLF, lines
of more than 998 bytes are cut (RFC 5322, 2.1.1), and bytes of zero are left out.
"""

import hashlib
import quopri
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from typing import NamedTuple, Self

from trap.envelope import printable
from trap.job import header_end

MAX_LINE = 998
"""Bytes of a line without its end."""
MAX_SUBJECT = 200
"""Characters of a subject that are written."""
MAX_ADDRESS = 254
"""Characters of an address (RFC 5321, 4.5.3.1.3)."""

_LINE_END = re.compile(rb"\r\n|\r|\n")
_TOO_LONG = re.compile(rb"([^\r\n]{997})(?=[^\r\n]{2})")
_ADDRESS = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,64}(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,64}){0,9}"
    r"@((?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,20}[A-Za-z][A-Za-z0-9-]{0,61}[A-Za-z0-9])"
)


def mailbox(text: str) -> str:
    """An address as it is compared: its domain in lower case; "" when it is none that mail can be sent to.

    >>> mailbox(" Abuse@ISP.Example "), mailbox("abuse"), mailbox("a b@isp.example"), mailbox("a@[192.0.2.1]")
    ('Abuse@isp.example', '', '', '')
    """
    found = _ADDRESS.fullmatch(text.strip()) if len(text) <= MAX_ADDRESS + 10 else None
    if not found or len(found[0]) > MAX_ADDRESS:
        return ""
    return f"{found[0].rpartition('@')[0]}@{found[1].lower()}"


class Writer(NamedTuple):
    """Who a report is from.

    Attributes:
        name: for people.
        address: that is read by somebody.
    """

    name: str
    address: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "Name <address>", or an address alone.

        Raises:
            ValueError: it is none.
        """
        name, said = parseaddr(text)
        address = mailbox(said)
        if not address:
            raise ValueError(f"reporter: {text!r} is no sender; write it like Reports <reports@example.org>")
        return cls(name.strip()[:MAX_SUBJECT] or address, address)

    @property
    def domain(self) -> str:
        """Of the address."""
        return self.address.rpartition("@")[2]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the mail.

    Attributes:
        fields: of its header, as they stand there.
        body: in CRLF.
    """

    fields: tuple[str, ...]
    body: bytes

    @classmethod
    def text(cls, text: str) -> Self:
        """Words for people."""
        body = text.replace("\n", "\r\n").encode("utf-8", "backslashreplace")
        if body.isascii():
            return cls(("Content-Type: text/plain; charset=us-ascii", _transfer(body)), body)
        coding = "Content-Transfer-Encoding: quoted-printable"
        return cls(("Content-Type: text/plain; charset=utf-8", coding), quopri.encodestring(body))

    @classmethod
    def message(cls, message: bytes, name: str = "") -> Self:
        """A message as an attachment.

        Args:
            message: its bytes.
            name: of the file; none when empty.
        """
        return cls._of("message/rfc822", message, f'attachment; filename="{name}"' if name else "inline")

    @classmethod
    def header(cls, message: bytes, most: int) -> Self:
        """The header of a message (RFC 6522).

        Args:
            message: its bytes.
            most: bytes of them that are shown.
        """
        return cls._of("text/rfc822-headers", message[: min(header_end(message), most)], "inline")

    @classmethod
    def _of(cls, kind: str, message: bytes, disposition: str) -> Self:
        body = transportable(message)
        fields = (f"Content-Type: {kind}", f"Content-Disposition: {disposition}", _transfer(body))
        return cls(fields, body)


def _transfer(body: bytes) -> str:
    return f"Content-Transfer-Encoding: {'7bit' if body.isascii() else '8bit'}"


def transportable(message: bytes) -> bytes:
    r"""A message as mail can carry it.

    >>> transportable(b"A: b\nlong: " + b"x" * 1000 + b"\n\nc\0\n")[-20:]
    b'x\r\n xxxxxxxxx\r\n\r\nc\r\n'
    """
    plain = _LINE_END.sub(b"\r\n", message.replace(b"\0", b""))
    end = header_end(plain)
    # In the header what is cut must go on with a space, else it would be a field of its own, or the end.
    head = _TOO_LONG.sub(rb"\1\r\n ", plain[:end])
    return head + _TOO_LONG.sub(rb"\1\r\n", plain[end:])


def letter(*, writer: Writer, to: str, subject: str, name: str, kind: str, parts: Sequence[Part]) -> bytes:
    """The whole mail.

    Args:
        writer: who it is from.
        to: one address.
        subject: in any characters.
        name: of this report and no other: the left part of the Message-ID, the same whenever it is asked.
        kind: the Content-Type, without its boundary.
        parts: what stands in it.
    """
    head = EmailMessage(policy=SMTP)
    head["From"] = Address(display_name=printable(writer.name), addr_spec=writer.address)
    head["To"] = Address(addr_spec=to)
    head["Subject"] = printable(subject)[:MAX_SUBJECT]
    head["Date"] = format_datetime(datetime.now(UTC))
    head["Message-ID"] = f"<{name}@{writer.domain}>"
    head["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's vacation answers it
    head["MIME-Version"] = "1.0"
    boundary = _boundary(name, parts)
    fields = [f"Content-Type: {kind};", f'\tboundary="{boundary}"']
    if not all(part.body.isascii() for part in parts):
        fields.append("Content-Transfer-Encoding: 8bit")
    pieces = [bytes(head).removesuffix(b"\r\n"), *(f"{field}\r\n".encode() for field in fields)]
    for part in parts:
        pieces += [f"\r\n--{boundary}\r\n".encode(), *(f"{field}\r\n".encode() for field in part.fields)]
        pieces += [b"\r\n", part.body]
    return b"".join([*pieces, f"\r\n--{boundary}--\r\n".encode()])


def _boundary(name: str, parts: Sequence[Part]) -> str:
    """A line that stands in no part, and tells nothing."""
    for number in range(1000):
        found = hashlib.sha256(f"{name}\0{number}".encode()).hexdigest()[:32]
        if not any(found.encode() in part.body for part in parts):
            break
    return f"=_{found}"
