"""A list of messages: what was asked, the page of it, and what a line shows of each message.

A page is asked for by the message it begins behind (`before` it in time) or ends in front of
(`after`). So it costs the same wherever it is, and new mail moves nothing.
"""

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import quote

from starlette.requests import Request

from trap.archive import clusters
from trap.archive.library import Library, Row
from trap.archive.query import Query, QueryError, parse
from trap.archive.terms import MAX_QUERY, term, with_term
from trap.job import id_time, split_name
from trap.units import age
from trap.web.site import link

PAGE = 50
"""Messages on a page."""
HERE = "/messages"
_USUAL = frozenset({"html", "plain", "attachment"})
"""Kinds that tell nothing, or what is told already."""
_MAX_CHIPS = 4
_AROUND = 200
"""Characters of a query shown on either side of a mistake in it."""

Hide = Callable[[str], str]
"""Masks what must not be seen in a text."""


class Asked(NamedTuple):
    """What the address of a page asks for."""

    text: str
    query: Query
    error: QueryError | None = None
    before: str = ""
    after: str = ""

    @classmethod
    def of(cls, request: Request) -> "Asked":
        """What a request asks for; with a wrong query, what is wrong."""
        given = request.query_params
        text = given.get("q", "").strip()
        ids = (given.get(name, "") for name in ("before", "after"))
        before, after = (job_id if split_name(f"{job_id}.0") else "" for job_id in ids)
        try:
            return cls(text, parse(text), None, before, after)
        except QueryError as error:
            return cls(text[:MAX_QUERY], parse(""), error)

    def address(self, **position: str) -> str:
        """The address of a page of the same list."""
        return link(HERE, q=self.text, **position)


class Mistake(NamedTuple):
    """A wrong query: what is wrong, and the query in three pieces, the wrong one in the middle."""

    what: str
    front: str
    wrong: str
    rest: str

    @classmethod
    def of(cls, error: QueryError) -> "Mistake":
        """The mistake with as much of the query as can be looked at."""
        text, start, end = error.text, error.start, error.end
        front, rest = text[:start], text[end:]
        return cls(
            str(error),
            ("…" if len(front) > _AROUND else "") + front[-_AROUND:],
            text[start:end][:_AROUND] or " ",
            rest[:_AROUND] + ("…" if len(rest) > _AROUND else ""),
        )


class Page(NamedTuple):
    """Some messages of a list."""

    rows: list[Row]
    newer: bool = False
    """Whether the list goes on in front of them."""
    older: bool = False
    copies: Mapping[str, int] = {}
    """How often the campaigns on the page were seen."""


def page(library: Library, asked: Asked, limit: int = PAGE) -> Page:
    """The page that was asked for.

    Raises:
        TooSlow: it can't be found in time.
    """
    query, before, after = asked.query, asked.before, asked.after
    if after:
        rows = library.newer(query, after, limit + 1)
        newer, rows = len(rows) > limit, rows[-limit:]
        # Looked for, not taken for granted: retention may have dropped it.
        older = bool(rows) and any(library.find(query, rows[-1].id, 1))
    else:
        rows = list(library.find(query, before or None, limit + 1))
        older, rows = len(rows) > limit, rows[:limit]
        newer = bool(before and rows) and bool(library.newer(query, rows[0].id, 1))
    names = {row.campaign for row in rows if row.campaign}
    return Page(rows, newer, older, clusters.copies(library.index, names))


class Chip(NamedTuple):
    """A small mark in a line, and where it leads."""

    text: str
    address: str
    title: str
    look: str = ""


class Line(NamedTuple):
    """What a list shows of a message. All strings are fit for any output, and masked."""

    id: str
    address: str
    clock: str
    """Time of the day it was accepted at, UTC."""
    ago: str
    subject: str
    name: str
    """Of the sender, its address when it gives none."""
    mailbox: str
    """Its address, when it gives a name."""
    via: str
    """MAIL FROM where that is something else; "<>" for none."""
    size: int
    client: Chip | None
    network: Chip | None
    chips: list[Chip]
    attachments: int
    defects: str


class Day(NamedTuple):
    """The lines of a day."""

    at: float
    is_new: bool
    """Whether the list before it has shown nothing of this day."""
    lines: list[Line]


def days(found: Page, asked: Asked, hide: Callable[[Row], Hide], goes_on: bool = False) -> list[Day]:
    """The lines of a page, by the day (UTC) on which mail was accepted.

    Args:
        hide: gives what masks the texts of a row.
        goes_on: whether the lines come right behind those in front of `asked.before`.
    """
    made: list[Day] = []
    shown = int(id_time(asked.before) // 86400) if goes_on and asked.before else None
    for row in found.rows:
        day = int(row.received_at // 86400)
        if not made or int(made[-1].at // 86400) != day:
            made.append(Day(row.received_at, day != shown, []))
            shown = day
        made[-1].lines.append(line(row, asked.text, hide(row), found.copies))
    return made


def line(row: Row, text: str, hide: Hide, copies: Mapping[str, int]) -> Line:
    """What a list shows of a message.

    Args:
        text: the query that found it, which its marks narrow.
        copies: how often campaigns were seen.
    """
    name, mailbox = sender_of(row.sender)
    if not (name or mailbox):
        name = row.mail_from or "<>"
        via = ""
    else:
        via = "" if same(mailbox or name, row.mail_from) else row.mail_from or "<>"
    return Line(
        row.id,
        link(f"{HERE}/{row.id}", q=text),
        time.strftime("%H:%M:%S", time.gmtime(row.received_at)),
        f"{age(max(0.0, time.time() - row.received_at))} ago",
        hide(row.subject),
        hide(name or mailbox),
        hide(mailbox) if name else "",
        hide(via),
        row.size,
        *_client(row, text),
        _chips(row, text, copies),
        row.attachments,
        hide(row.defects),
    )


def sender_of(sender: str) -> tuple[str, str]:
    """Name and address of a sender as the index has it.

    >>> sender_of("Joe <joe@a.example>"), sender_of("joe@a.example")
    (('Joe', 'joe@a.example'), ('', 'joe@a.example'))
    """
    if not sender.endswith(">"):
        return "", sender
    name, _, mailbox = sender[:-1].rpartition("<")
    return name.strip(), mailbox


def same(one: str, other: str) -> bool:
    """Whether two mail addresses are the same to all who don't run the server."""
    return one.strip().lower() == other.strip().lower()


def _client(row: Row, text: str) -> tuple[Chip | None, Chip | None]:
    if not row.client_ip:
        return None, None
    address = Chip(row.client_ip, _narrowed(text, "ip", row.client_ip), f"All mail from {row.client_ip}")
    networks = row.facets.get("network")
    if not networks:  # the name of a UNIX socket
        return Chip(row.client_ip, "", ""), None
    network = networks[0]
    return address, Chip(
        "/" + network.rpartition("/")[2], _narrowed(text, "network", network), f"All mail from {network}"
    )


def _chips(row: Row, text: str, copies: Mapping[str, int]) -> list[Chip]:
    chips = []
    seen = copies.get(row.campaign, 1) if row.campaign else 0
    if row.campaign and seen > 1:
        chips.append(
            Chip(
                f"\N{MULTIPLICATION SIGN}{seen:,}",
                campaign_address(row.campaign),
                f"Campaign {row.campaign}: {seen:,} copies seen",
                "good",
            )
        )
    for name in ("tag", "kind"):
        for value in row.facets.get(name, []):
            if name == "tag" or value not in _USUAL:
                chips.append(Chip(value, _narrowed(text, name, value), f"All mail of this {name}", "wide"))
    return chips[:_MAX_CHIPS]


def campaign_address(name: str) -> str:
    """The address of a campaign's page, whatever its name holds."""
    return f"/campaigns/{quote(name, safe='')}"


def _narrowed(text: str, name: str, value: str) -> str:
    return link(HERE, q=with_term(text, term(name, value)))
