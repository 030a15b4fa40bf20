"""The page of one message, and what is opened beside it: its HTML in a frame, its difference to a copy.

Nothing of a message is trusted. It is parsed in a child process with limits (trap.view), masked unless
identities are shown, escaped by the templates, and its HTML is shown with an opaque origin only, under a
policy that lets nothing run, load, submit or navigate.
"""

import asyncio
import re
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from trap.archive.record import Record
from trap.archive.search import Row
from trap.archive.terms import MAX_QUERY, term
from trap.view.source import line_count, raw_lines
from trap.view.veil import Veil
from trap.view.view import View
from trap.web import letter
from trap.web.lookup import Archived, Around, around, find, of_message
from trap.web.masking import masks
from trap.web.site import site

FRAME_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none';"
    " base-uri 'none'; frame-ancestors 'self'"
)
"""Of the document with a message's HTML. `sandbox` without allowances is an opaque origin, and no scripts,
forms or navigation of others (CSP 3, 6.3.2)."""
RAW_LINES = 500
"""Lines of the source on one page."""
_FRAME_HEADERS = {
    "Content-Security-Policy": FRAME_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_NO_HTML = "<!doctype html><html lang=en><meta charset=utf-8><title>No HTML</title><p>There is no HTML."
_LINE = re.compile(r"[0-9]{1,9}")


class Source(NamedTuple):
    """Some lines of a message as it came."""

    lines: list[tuple[int, str]]
    first: int
    last: int
    before: int
    """First line of the page before this one."""
    total: int


async def page(request: Request, found: Archived) -> Response:
    """The page of a message: what stands around it, and one of its tabs."""
    here, (row, record, spent) = site(request), found
    q = request.query_params.get("q", "")[:MAX_QUERY]
    view, near = await asyncio.gather(
        here.viewer.view(record, spent=spent), here.reading.ask(lambda library: around(library, row, q))
    )
    # What is looked for in a long text takes its time; others are answered meanwhile.
    return await asyncio.to_thread(_rendered, request, found, q, view, near)


def _rendered(request: Request, found: Archived, q: str, view: View, near: Around) -> Response:
    here, (row, record, _) = site(request), found
    asked = request.query_params
    veil = Veil(record, here.config, shown=here.revealed(request))
    tabs = letter.tabs(view)
    wanted = asked.get("show", "")
    show = wanted if wanted in {tab.name for tab in tabs} else tabs[0].name
    view = veil.view(letter.narrowed(view, show))
    return here.render(
        request,
        "message.html",
        page="messages",
        q=q,
        id=record.id,
        show=show,
        wanted=show if wanted else "",
        tabs=tabs,
        troubles=letter.troubles(view, near),
        view=view,
        near=near,
        row=row,
        sha256=record.sha256.hex(),
        images=asked.get("images") == "1",
        source=_source(record, veil, asked.get("line", "")) if show == "raw" else None,
        campaign_search=term("campaign", row.campaign or ""),
        others=[veil.told(_masked(other, request)) for other in near.others],
        **veil.told(letter.told(row, record, view, near)),
        **letter.brought(view, locked=not here.revealed(request)),
    )


def _masked(row: Row, request: Request) -> Row:
    """Another message's row: its recipients are others of ours."""
    return row._replace(subject=masks(request)(row)(row.subject))


def _source(record: Record, veil: Veil, line: str) -> Source:
    """The page of the source that a line is on."""
    total = line_count(record.message)
    wanted = min(max(int(line) if _LINE.fullmatch(line) else 1, 1), max(total, 1))
    first = (wanted - 1) // RAW_LINES * RAW_LINES + 1
    # A line more on either side: what the end of a page cuts in two is masked as well.
    some = veil.source(raw_lines(record.message, max(1, first - 1), RAW_LINES + 2))
    lines = [each for each in some if first <= each[0] < first + RAW_LINES]
    return Source(lines, first, first + len(lines) - 1, max(1, first - RAW_LINES), total)


async def html(request: Request, found: Archived) -> Response:
    """The message's HTML: a document for a sandboxed frame, which is as harmless when opened alone."""
    here = site(request)
    images = request.query_params.get("images") == "1"
    view = await here.viewer.view(found.record, images, spent=found.seconds)
    veil = Veil(found.record, here.config, shown=here.revealed(request))
    text = await asyncio.to_thread(veil.html, view.html) or _NO_HTML
    answer = Response(text.encode("utf-8", "replace"), headers=_FRAME_HEADERS)
    answer.headers["Content-Type"] = "text/html; charset=utf-8"
    return answer


async def difference(request: Request, found: Archived) -> Response:
    """What differs between this message and another, side by side."""
    here = site(request)
    other = await find(request, request.path_params["other"])
    lines = await here.viewer.difference(other.record, found.record)
    left, right = other.row, found.row
    for record in (found.record, other.record):
        veil = Veil(record, here.config, shown=here.revealed(request))
        lines = await asyncio.to_thread(veil.difference, lines)
        left, right = veil.told(left), veil.told(right)
    return here.render(
        request,
        "message/difference.html",
        page="messages",
        left=left,
        right=right,
        lines=lines,
        differ=any(line.kind not in {"same", "fold"} for line in lines),
    )


routes: list[BaseRoute] = [
    Route("/messages/{id}/html", of_message(html), name="message_html"),
    Route("/messages/{id}/diff/{other}", of_message(difference), name="message_difference"),
    Route("/messages/{id}", of_message(page), name="message"),
]
