"""The list of messages: found by a query, a page at a time, with what there is to narrow it by.

The page, the counts by value and the counts over time are asked for at once, each in a thread of its
own; the counts stop after a while and say how far they came. So the page comes as fast as its slowest
part, and none of them goes through the whole archive.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from trap.archive.library import Facets, Histogram, Library, TooSlow
from trap.archive.query import Query
from trap.web import narrowing
from trap.web.listing import Asked, Hide, Mistake, Page, days, page
from trap.web.masking import masks, shared_mask
from trap.web.site import site

COUNTING = 0.04
"""Seconds for each of the counts: a list that is wanted soon is worth more than counts from further back."""

T = TypeVar("T")


async def messages(request: Request) -> Response:
    """The list, or only more lines of it (part=rows) for a page that has the rest already."""
    asked = Asked.of(request)
    if asked.error or not asked.query:
        return _mistaken(request, asked)
    if request.query_params.get("part") == "rows":
        return await _rows(request, asked)
    return await _whole(request, asked, asked.query)


async def _rows(request: Request, asked: Asked) -> Response:
    here = site(request)
    found = await here.reading.ask(lambda library: _page(library, asked))
    if isinstance(found, TooSlow):
        return Response(str(found), 503, media_type="text/plain")
    shown = days(found, asked, masks(request), goes_on=True)
    return here.render(request, "_rows.html", asked=asked, found=found, days=shown)


async def _whole(request: Request, asked: Asked, query: Query) -> Response:
    here = site(request)
    found, facets, histogram, oldest = await asyncio.gather(
        here.reading.ask(lambda library: _page(library, asked)),
        _if_in_time(here.reading.ask(lambda library: library.facets(query, budget=COUNTING))),
        _if_in_time(here.reading.ask(lambda library: library.histogram(query, budget=COUNTING, even=True))),
        here.reading.ask(lambda library: library.oldest()),
    )
    too_slow = str(found) if isinstance(found, TooSlow) else ""
    if isinstance(found, TooSlow):
        found = Page([])
    return here.render(
        request,
        "messages.html",
        page="messages",
        q=asked.text,
        asked=asked,
        mistake=None,
        too_slow=too_slow,
        found=found,
        days=days(found, asked, masks(request)),
        oldest=oldest,
        terms=narrowing.active(asked.text),
        spans=narrowing.spans(asked.text),
        total=narrowing.total(found, facets, histogram),
        **_counted(asked, facets, histogram, await shared_mask(request)),
    )


def _counted(asked: Asked, facets: Facets | None, histogram: Histogram | None, hide: Hide) -> dict[str, Any]:
    return {
        "facets": narrowing.facets(facets, asked.text, hide) if facets else [],
        "sample": facets,
        "histogram": histogram,
        "chart": narrowing.chart(histogram, asked.text) if histogram else None,
    }


def _page(library: Library, asked: Asked) -> Page | TooSlow:
    try:
        return page(library, asked)
    except TooSlow as error:
        return error


async def _if_in_time(answer: Awaitable[T]) -> T | None:
    """Counts are good to have; a list without them is one all the same."""
    try:
        return await answer
    except TooSlow:
        return None


def _mistaken(request: Request, asked: Asked) -> Response:
    assert asked.error
    return site(request).render(
        request,
        "messages.html",
        400,
        page="messages",
        q=asked.text,
        asked=asked,
        mistake=Mistake.of(asked.error),
        terms=[],
    )


routes: list[BaseRoute] = [Route("/messages", messages, name="messages")]
