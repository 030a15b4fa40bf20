"""Writes generated mail: its words, names and addresses, what a campaign has in common, and each message.

Not a bench itself. Everything is drawn from dice that are handed in, so that it is the same each time.
"""

import binascii
import random
from collections.abc import Sequence
from email.utils import formatdate
from functools import lru_cache
from typing import NamedTuple

from mailtemplates import Part, Template

from trap.archive.text import read_html, searchable
from trap.envelope import Envelope

VOCABULARY = 3_000_000
_SYLLABLES = [a + b for a in "bcdfghjklmnprstvwxyz" for b in "aeiou"]
_TLDS = (
    *("com", "com", "com", "net", "org", "info", "biz", "top", "xyz", "online", "shop"),
    *("ru", "cn", "de", "uk", "br", "in", "jp", "fr", "it", "nl", "pl"),
)
_HELO = ("mail.{}", "{}", "smtp-out.{}", "[{ip}]", "localhost", "ylmf-pc", "User", "mx1.{}")
_MAILERS = (
    "Microsoft Outlook Express 6.00.2900",
    "The Bat! (v3.5)",
    "PHPMailer 6.1.4",
    "iPhone Mail (19E258)",
)


class Leaf(NamedTuple):
    """A part of a campaign's messages, up to what varies."""

    head: bytes
    body: bytes
    encoding: str
    html: bool
    varies: bool


class Campaign(NamedTuple):
    """What the copies of a campaign have in common."""

    number: int
    template: Template
    leaves: list[Leaf]
    subject: str
    encoded_subject: str
    text: str
    names: list[str]
    domains: list[str]
    networks: list[str]
    """What stands before the last number of an address, of a /24 or a /64."""
    link: str
    helo: str
    mailer: str


@lru_cache(1 << 17)
def word(rank: int) -> str:
    """The word of that rank; the rarer, the longer."""
    rank += 100
    made = ""
    while rank:
        rank, syllable = divmod(rank, 100)
        made += _SYLLABLES[syllable]
    return made


def words(dice: random.Random, count: int) -> list[str]:
    """Words, each as often as its rank says."""
    return [word(rank(dice, VOCABULARY)) for _ in range(count)]


def rank(dice: random.Random, most: int) -> int:
    """A number from 0 to `most`, n as often as 1/n says (Zipf)."""
    return int(most ** dice.random()) - 1


def begun(number: int, dice: random.Random, choice: Sequence[Template]) -> Campaign:
    """A campaign of that number."""
    template = dice.choice(choice)
    own = " ".join(words(dice, 30))
    subject = f"{template.subject} {' '.join(words(dice, 2))}".strip()
    texts = [_readable(part) for part in template.parts]
    boundary = f"bound{number:08x}" if template.multipart else ""
    return Campaign(
        number,
        template,
        [_leaf(part, own, boundary) for part in template.parts],
        subject,
        _encoded(subject),
        searchable(" ".join((*texts, own)), 1 << 16),
        [f"{word(rank(dice, 2000)).title()} {word(rank(dice, 20_000)).title()}" for _ in range(3)],
        [_domain(dice) for _ in range(1 + rank(dice, 8))],
        [_network(dice) for _ in range(1 + rank(dice, 30))],
        f"http://{_domain(dice)}/{word(rank(dice, 1000))}",
        dice.choice(_HELO),
        dice.choice(_MAILERS),
    )


def helo(campaign: Campaign, domain: str, ip: str) -> str:
    """How a client of a campaign greets."""
    return campaign.helo.format(domain, ip=ip)


def written(campaign: Campaign, envelope: Envelope, name: str, sender: str, own: str, link: str) -> bytes:
    """A message as it came.

    Args:
        name: and
        sender: for the From header.
        own: words that only this copy has.
        link: where it leads.
    """
    date, domain = formatdate(envelope.received_at), sender.rpartition("@")[2]
    boundary, multipart = f"bound{campaign.number:08x}", campaign.template.multipart
    kind = f'Content-Type: {multipart}; boundary="{boundary}"\r\n\r\n' if multipart else ""
    pieces = [
        f"Received: from {domain} ({domain} [{envelope.client_ip}])\r\n\tby mx.trap.example"
        f" (Postfix) with ESMTP id {envelope.client_port:X}{campaign.number:X}\r\n"
        f'\tfor <{envelope.rcpts[0].address}>; {date}\r\nFrom: "{name}" <{sender}>\r\n'
        f"To: {envelope.rcpts[0].address}\r\nSubject: {campaign.encoded_subject}\r\nDate: {date}\r\n"
        f"Message-ID: <{envelope.received_at:.6f}.{envelope.client_port}@{domain}>\r\n"
        f"X-Mailer: {campaign.mailer}\r\nMIME-Version: 1.0\r\n{kind}".encode()
    ]
    lines = _wrapped(own, "\r\n")
    for leaf in campaign.leaves:
        pieces += leaf.head, leaf.body
        if leaf.varies:
            more = f'<p>{lines}\r\n<a href="{link}">{link}</a></p>' if leaf.html else f"{lines}\r\n{link}"
            if leaf.encoding == "base64":
                pieces.append(_base64(more.encode()))
            else:
                quoted = more.replace("=", "=3D") if leaf.encoding == "quoted-printable" else more
                pieces += quoted.encode(), b"\r\n"
    if multipart:
        pieces.append(f"--{boundary}--\r\n".encode())
    return b"".join(pieces)


def _readable(part: Part) -> str:
    """The words of a part, and the addresses it links to."""
    if part.type != "text/html":
        return part.text
    text, links = read_html(part.text)
    return " ".join([text, *links])


def _leaf(part: Part, own: str, boundary: str) -> Leaf:
    lines = [f"--{boundary}"] if boundary else []
    more = f"; charset={part.charset}" if part.text else f'; name="{part.name}"' if part.name else ""
    lines += f"Content-Type: {part.type}{more}", f"Content-Transfer-Encoding: {part.encoding}"
    if not part.text:
        lines.append(f'Content-Disposition: attachment; filename="{part.name or "file.bin"}"')
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("ascii", "replace")
    if not part.text:
        return Leaf(head, _base64(part.data), part.encoding, html=False, varies=False)
    html = part.type == "text/html"
    text = f"{part.text}<p>{_wrapped(own)}</p>\n" if html else f"{part.text}\n{_wrapped(own)}\n"
    raw = text.replace("\n", "\r\n").encode(part.charset, "replace")
    if part.encoding == "base64":  # what varies begins on a line of its own
        raw = _base64(raw + b" " * (-len(raw) % 57))
    elif part.encoding == "quoted-printable":
        raw = binascii.b2a_qp(raw, istext=True)
    return Leaf(head, raw, part.encoding, html, varies=True)


def _wrapped(text: str, end: str = "\n") -> str:
    """Words in lines of nine."""
    every = text.split(" ")
    return end.join(" ".join(every[at : at + 9]) for at in range(0, len(every), 9))


def _base64(data: bytes) -> bytes:
    """Data in lines of 76 characters."""
    text = binascii.b2a_base64(data, newline=False)
    return b"".join(text[at : at + 76] + b"\r\n" for at in range(0, len(text), 76))


def _encoded(subject: str) -> str:
    """A subject as a header has it (RFC 2047)."""
    if subject.isascii():
        return subject
    pieces = [subject[at : at + 14].encode() for at in range(0, len(subject), 14)]
    return "\r\n ".join(f"=?utf-8?B?{binascii.b2a_base64(p, newline=False).decode()}?=" for p in pieces)


def _domain(dice: random.Random) -> str:
    number = rank(dice, 200_000)
    return f"{word(number * 7)}{'-' if number & 1 else ''}{word(number % 50)}.{_TLDS[number % len(_TLDS)]}"


def _network(dice: random.Random) -> str:
    number = rank(dice, 50_000)
    mixed = (number + 1) * 2_654_435_761 % (1 << 32)
    if number % 25 == 7:
        return f"2a{mixed >> 24:02x}:{mixed >> 8 & 0xFFFF:x}:{number:x}:1::"
    return f"{mixed % 220 + 1}.{(mixed >> 8) % 256}.{(mixed >> 16) % 256}."
