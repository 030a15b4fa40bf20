"""What is told of a message on each of its sheets: text, links, parts, way, session, header, source."""

import time
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import NamedTuple

from rich.text import Text

from trap.archive.record import Record
from trap.archive.search import Row
from trap.browse.pager import BAD, GOOD, NAME, SOFT, STRONG, WARN, Line, said
from trap.units import age, size
from trap.view.outline import outline
from trap.view.session import facts, oddities
from trap.view.source import MAX_LINES, line_count, raw_lines
from trap.view.veil import Veil
from trap.view.view import Hop, PartInfo, Url, View, lacking

_LABEL = 14
"""Cells of the names in front of values."""


class Opened(NamedTuple):
    """A message that is read. What is shown of it goes through its veil."""

    row: Row
    record: Record
    view: View
    """Masked."""
    veil: Veil
    copies: int = 0
    """Of its campaign, as many as were seen."""


class Sheet(NamedTuple):
    """One way to look at a message."""

    name: str
    key: str
    make: Callable[[Opened], Iterator[Line]]
    number: Callable[[View], int | None] = lambda view: None
    """Of what is on it."""
    alarm: Callable[[View], bool] = lambda view: False
    """Whether something on it should be looked at."""


def lines(opened: Opened, sheet: Sheet) -> list[Line]:
    """All lines of a sheet."""
    return list(sheet.make(opened))


def head(opened: Opened) -> list[Line]:
    """What stands above the sheets: a few lines."""
    row: Row = opened.veil.told(opened.row)
    made = [Line(said(row.subject or "(no subject)", STRONG))]
    via = f"  via <{row.mail_from}>" if row.sender and row.mail_from not in row.sender else ""
    made.append(Line(said(row.sender or f"<{row.mail_from}>") + said(via, SOFT)))
    when = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(row.received_at))
    told = [when, row.client_ip, size(row.size), *row.facets.get("kind", [])]
    told += [f"tag {tag}" for tag in row.facets.get("tag", [])]
    if row.campaign:
        told.append(f"campaign \N{MULTIPLICATION SIGN}{opened.copies:,}" if opened.copies > 1 else "campaign")
    made.append(Line(said(" · ".join(filter(None, told)), SOFT)))
    made += [Line(said(f"! {trouble}", WARN)) for trouble in _troubles(opened)]
    return made


def _troubles(opened: Opened) -> Iterator[str]:
    if missing := lacking(opened.view):
        yield missing
    if defects := opened.view.defects:
        more = f" (and {len(defects) - 1:,} more: s session)" if len(defects) > 1 else ""
        yield f"{defects[0]}{more}"


def _text(opened: Opened) -> Iterator[Line]:
    view = opened.view
    if not view.text:
        yield _note("It took too long to read." if "text" in view.missing else "There is no text in it.")
    if view.text_from_html:
        yield _note("(made of its HTML)")
    for line in view.text.split("\n"):
        quoted = line.startswith(">")
        yield Line(said(line, SOFT if quoted else ""))


def _links(opened: Opened) -> Iterator[Line]:
    if not opened.view.urls:
        yield _note("It took too long to look for links." if "urls" in opened.view.missing else "No links.")
    for host, group in groupby(opened.view.urls, lambda url: (url.host, url.unicode_host)):
        unicode_host = f" ({host[1]})" if host[1] else ""
        yield Line(said(host[0] or "(no host)", STRONG) + said(unicode_host, WARN))
        for url in group:
            yield from _link(url)


def _link(url: Url) -> Iterator[Line]:
    times = f" \N{MULTIPLICATION SIGN}{url.count:,}" if url.count > 1 else ""
    yield Line(said(f"  {url.defanged}") + said(f"  {url.where}{times}", SOFT), 4)
    if url.shown and url.shown != url.defanged:
        look = BAD if url.misleading else SOFT
        named = ", which names another host" if url.misleading else ""
        yield Line(said(f"    behind “{url.shown}”{named}", look), 4)


def _parts(opened: Opened) -> Iterator[Line]:
    for part in opened.view.parts:
        yield from _part(part)


def _part(part: PartInfo) -> Iterator[Line]:
    blanks = "  " * min(part.depth, 10)
    many = part.type.startswith("multipart/")
    how = ", ".join(filter(None, (part.encoding, part.charset, part.disposition)))
    named = said(f"  {part.name}", STRONG) if part.name else Text()
    big = said("" if many else f"  {size(part.size)}")
    yield Line(
        said(f"{part.number:>3} {blanks}", SOFT) + said(part.type) + named + big + said(f"  {how}", SOFT), 6
    )
    before = f"    {blanks}  "
    if part.sniffed:
        yield Line(said(f"{before}its first bytes say it is {part.sniffed}", BAD), len(before))
    if part.said_name:
        yield Line(said(f"{before}it calls itself “{part.said_name}”", WARN), len(before))
    for defect in part.defects:
        yield Line(said(before + defect, WARN), len(before))
    if part.sha256 and not many:
        yield Line(said(f"{before}sha256 {part.sha256}", SOFT), len(before))


def _way(opened: Opened) -> Iterator[Line]:
    hops = opened.view.hops
    if not hops:
        yield _note("Nobody noted its way.")
    for number, hop in enumerate(hops, 1):
        yield from _hop(number, hop)


def _hop(number: int, hop: Hop) -> Iterator[Line]:
    when = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(hop.time)) if _has_year(hop.time) else "no time"
    gap = hop.gap_seconds
    after = "" if gap is None else f"  {'+' if gap >= 0 else '-'}{age(abs(gap))}"
    look = BAD if gap is not None and gap < 0 else SOFT
    mark = said("  seen by us", GOOD) if hop.trusted else Text()
    yield Line(said(f"{number:>2} ", SOFT) + said(when) + said(after, look) + mark, 3)
    who = hop.from_ or hop.helo or "somebody"
    greeted = f", greeted as {hop.helo}" if hop.helo and hop.helo != who else ""
    address = f" [{hop.ip}]" if hop.ip else ""
    yield Line(said(f"   {who}{address}", STRONG) + said(greeted, SOFT), 5)
    how = " ".join(filter(None, (hop.protocol and f"with {hop.protocol}", hop.id and f"id {hop.id}")))
    yield Line(said(f"   → {hop.by or 'nobody named'}") + said(f"  {how}", SOFT), 5)
    for reason in hop.forged:
        yield Line(said(f"   ! forged? {reason}", BAD), 5)
    if hop.note:
        yield Line(said(f"   {hop.note}", SOFT), 5)
    yield Line(Text())


def _has_year(seconds: float | None) -> bool:
    return seconds is not None and 0 <= seconds < 253402300800


def _session(opened: Opened) -> Iterator[Line]:
    told, veil = opened.record, opened.veil
    for fact in veil.told(facts(told.envelope)):
        yield _fact(fact.name, fact.value)
    for oddity in veil.told(oddities(told.envelope)):
        yield Line(said(f"! {oddity}", WARN), 2)
    yield from _titled("What the stages noted")
    for line in veil.told(outline(told.notes)):
        blanks = "  " * (line.depth + 1)
        name = said(f"{blanks}{line.key}{': ' if line.value else ''}", SOFT if line.depth else STRONG)
        yield Line(name + said(line.value), len(blanks) + 2)
    if not told.notes:
        yield _note("  nothing")
    yield from _titled("The message")
    yield _fact("  id", told.id)
    yield _fact("  sha256", told.sha256.hex())
    yield _fact("  size", f"{len(told.message):,} bytes")
    for defect in opened.view.defects:
        yield Line(said(f"  ! {defect}", WARN), 4)


def _headers(opened: Opened) -> Iterator[Line]:
    for field in opened.view.headers:
        name = said(f"{field.name}: ", NAME) if field.name else Text()
        yield Line(name + said(field.value), 4)
        if field.defect:
            yield Line(said(f"    ! {field.defect}", WARN), 6)
    if not opened.view.headers:
        yield _note("It has no header.")


def _raw(opened: Opened) -> Iterator[Line]:
    message = opened.record.message
    for number, text in opened.veil.source(raw_lines(message, 1, MAX_LINES)):
        yield Line(said(f"{number:>5} ", SOFT) + said(text), 6)
    if (total := line_count(message)) > MAX_LINES:
        yield _note(f"… {total - MAX_LINES:,} more lines; e writes the whole message to a file")


def _note(text: str) -> Line:
    return Line(said(text, SOFT))


def _titled(title: str) -> Iterator[Line]:
    yield Line(Text())
    yield Line(said(title, STRONG))


def _fact(name: str, value: str) -> Line:
    return Line(said(f"{name:<{_LABEL}} ", SOFT) + said(value), _LABEL + 1)


SHEETS = (
    Sheet("text", "t", _text),
    Sheet(
        "links",
        "l",
        _links,
        lambda view: len(view.urls),
        lambda view: any(url.misleading for url in view.urls),
    ),
    Sheet(
        "parts",
        "a",
        _parts,
        lambda view: len(view.parts),
        lambda view: any(part.sniffed or part.said_name or part.defects for part in view.parts),
    ),
    Sheet("way", "w", _way, lambda view: len(view.hops), lambda view: any(hop.forged for hop in view.hops)),
    Sheet("smtp", "s", _session),
    Sheet(
        "head",
        "h",
        _headers,
        lambda view: len(view.headers),
        lambda view: any(field.defect for field in view.headers),
    ),
    Sheet("raw", "r", _raw),
)
"""The most telling first."""
