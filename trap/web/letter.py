"""What the page of a message is made of: its tabs, chips, people, parts and hosts, put together from a view.

Strings come from views and rows, so they are fit for any output; templates escape them.
"""

from collections.abc import Iterator
from itertools import groupby
from typing import Any, NamedTuple

import msgspec

from trap.archive.record import Record
from trap.archive.search import Row
from trap.archive.terms import term
from trap.envelope import printable
from trap.view.mask import MASK
from trap.view.outline import outline
from trap.view.session import Fact, facts, oddities
from trap.view.view import Address, PartInfo, Url, View, lacking
from trap.web.download import is_naming
from trap.web.lookup import Around

_SENDERS = frozenset({"from", "sender", "reply-to", "return-path"})
"""Fields that name a sender; others name those the mail is for."""
_ORDER = {name: at for at, name in enumerate(("from", "reply-to", "sender", "return-path", "to", "cc"))}
_MAX_NAMED = 200
_MAX_PEOPLE = 12


class Tab(NamedTuple):
    """One way to look at a message."""

    name: str
    title: str
    number: int | None = None
    """Of what it holds."""
    alarm: bool = False
    """Something in it should be looked at."""


class Chip(NamedTuple):
    """A word or two about a message, and a search for others of which it is true."""

    text: str
    search: str = ""
    look: str = ""


class Host(NamedTuple):
    """The URLs that lead to one host."""

    name: str
    unicode: str
    search: str
    misleading: bool
    urls: list[Url]


class PartLine(NamedTuple):
    """One part in the tree."""

    info: PartInfo
    is_multipart: bool
    lies: bool
    """It says to be something else than it is."""
    locked: bool
    """It may name trap identities, which are masked."""
    said: str
    """Encoding and charset."""


def tabs(view: View) -> list[Tab]:
    """The ways to look at a message, the most telling first."""
    return [
        Tab("text", "Text"),
        *([Tab("html", "HTML")] if view.html or "html" in view.missing else []),
        Tab("headers", "Headers", len(view.headers), any(header.defect for header in view.headers)),
        Tab("session", "Way and session", len(view.hops), any(hop.forged for hop in view.hops)),
        Tab("parts", "Parts", len(view.parts), any(_lies(part) or part.defects for part in view.parts)),
        Tab("urls", "URLs", len(view.urls), any(url.misleading for url in view.urls)),
        Tab("raw", "Source"),
    ]


def narrowed(view: View, show: str) -> View:
    """A view without what is large and stands on other tabs only; the HTML is for its frame to ask for."""
    return msgspec.structs.replace(
        view, html="yes" if view.html else "", text=view.text if show == "text" else ""
    )


def troubles(view: View, near: Around) -> Iterator[str]:
    """What could not be had, in sentences."""
    yield from filter(None, (lacking(view), near.trouble))


def told(row: Row, record: Record, view: View, near: Around) -> dict[str, Any]:
    """What is said of the message and its sender, to be masked before it is shown."""
    people, mail_from = list(_people(view, row)), f"<{row.mail_from}>"
    return {
        "subject": row.subject,
        "sender": row.sender
        or next((who.value for who in people if who.name.lower() in _SENDERS), mail_from),
        "chips": list(_chips(row, record, view, near)),
        "people": people,
        "session": facts(record.envelope),
        "oddities": oddities(record.envelope),
        "notes": outline(record.notes),
    }


def _chips(row: Row, record: Record, view: View, near: Around) -> Iterator[Chip]:
    for kind in row.facets.get("kind", []):
        yield Chip(kind, term("kind", kind))
    for tag in record.envelope.tags:
        yield Chip(f"tag {printable(tag)}", term("tag", printable(tag)), "good")
    if row.campaign:
        copies = f" of {near.copies:,}" if near.copies > 1 else ""
        yield Chip(f"campaign{copies}", term("campaign", row.campaign))
    if row.attachments:
        yield Chip(f"{row.attachments:,} {'file' if row.attachments == 1 else 'files'}")
    if any(url.misleading for url in view.urls):
        yield Chip("misleading link", look="bad")
    if count := len(view.defects):
        yield Chip(f"{count:,} {'defect' if count == 1 else 'defects'}", look="warn")


def _people(view: View, row: Row) -> Iterator[Fact]:
    """Whom header and envelope name, and the client."""
    named = sorted(view.addresses[:_MAX_NAMED], key=lambda each: _ORDER.get(each.field.lower(), len(_ORDER)))
    yield from list(dict.fromkeys(map(_person, named)))[:_MAX_PEOPLE]
    yield Fact("envelope from", f"<{row.mail_from}>", term("from", row.mail_from or "<>"))
    yield from (Fact("envelope to", f"<{address}>") for address in row.rcpt_tos[:_MAX_PEOPLE])
    yield Fact("client", row.client_ip or "unknown", term("ip", row.client_ip) if row.client_ip else "")
    if row.helo:
        yield Fact("greeted as", row.helo, term("helo", row.helo))


def _person(named: Address) -> Fact:
    said = f"{named.name} <{named.address}>" if named.name else named.address
    is_sender = named.field.lower() in _SENDERS
    return Fact(named.field, said, term("from", named.address) if is_sender else "")


def brought(view: View, *, locked: bool) -> dict[str, Any]:
    """Files and hosts in a message.

    Args:
        locked: trap identities are masked, and so is what may name them.
    """
    parts = [
        PartLine(
            part,
            part.type.startswith("multipart/"),
            _lies(part),
            locked and is_naming(part.type, f"{part.name} {part.said_name}"),
            ", ".join(filter(None, (part.encoding, part.charset and f"charset {part.charset}"))),
        )
        for part in view.parts
    ]
    return {
        "parts": parts,
        "files": [each for each in parts if each.info.name or each.info.disposition == "attachment"],
        "hosts": list(_hosts(view.urls)),
    }


def _lies(part: PartInfo) -> bool:
    """Whether a part is something else than it is declared as; to be just bytes is no lie."""
    return bool(part.sniffed) and part.type != "application/octet-stream"


def _hosts(urls: list[Url]) -> Iterator[Host]:
    """The URLs by host; in a search, a host is as it was before it was defanged."""
    for name, group in groupby(urls, lambda url: url.host):
        those = list(group)
        search = f"domain:{name.replace('[.]', '.')}" if name and MASK not in name else ""
        yield Host(name, those[0].unicode_host, search, any(url.misleading for url in those), those)
