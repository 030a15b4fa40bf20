"""Campaigns: a list of them, and all that there is to know of one.

What its copies have in common is counted by the index. What varies between them is read from some of
them by the viewer's children (trap.view), within a time: what they say was written by who sends them.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from trap.archive.clusters import ORDERS
from trap.archive.library import Campaign, Facets, Library, Row, TooSlow
from trap.archive.query import parse
from trap.archive.record import Corrupt, Record
from trap.archive.terms import term
from trap.config import Config
from trap.view.mask import identities, masked
from trap.view.view import View
from trap.web import narrowing, varying
from trap.web.listing import Asked, Hide, campaign_address, days, page
from trap.web.masking import masks, shared_mask
from trap.web.site import link, site

PAGE = 30
COPIES = 8
"""Copies that are compared."""
SECONDS = 1.2
"""Time for reading them; those not read by then are left out."""
_LATEST = 12
"""Messages shown on a campaign's page."""
_AMONG = 200
"""The newest messages, of which those compared are an even sample."""
_SPARKS, _BARS = 36, 72
_HOSTS, _SUBJECTS = 12, 8
_TABS = {"size": "Largest", "last": "Seen last", "first": "Newest"}


class Entry(NamedTuple):
    """What the list shows of a campaign."""

    campaign: Campaign
    address: str
    subject: str
    rate: narrowing.Chart | None
    landings: list[str] | None
    """None: not known yet."""


class Compared(NamedTuple):
    """What was found by reading some copies."""

    rows: list[Row]
    fields: list[varying.Field]
    lines: list[varying.Line]
    hosts: list[tuple[str, int]]
    """Defanged, and how many of the copies link there."""


async def campaigns(request: Request) -> Response:
    """The list, or only more of it (part=rows)."""
    here = site(request)
    order = request.query_params.get("order", "size")
    order = order if order in ORDERS else "size"
    before = request.query_params.get("before") or None

    def found(library: Library) -> tuple[list[Campaign], list[Row | None]]:
        some = library.campaigns(order, before, PAGE + 1)
        return some, [_newest(library, campaign) for campaign in some[:PAGE]]

    some, newest = await here.reading.ask(found)
    landings = await here.landings.of(filter(None, newest))
    mask = masks(request)
    part = request.query_params.get("part") == "rows"
    return here.render(
        request,
        "_campaigns.html" if part else "campaigns.html",
        page="campaigns",
        tabs=[(link("/campaigns", order=name), name == order, title) for name, title in _TABS.items()],
        here=link("/campaigns", order=order, before=before),
        first=before is None,
        entries=[
            _entry(campaign, row, landings, mask) for campaign, row in zip(some[:PAGE], newest, strict=True)
        ],
        older=link("/campaigns", order=order, before=some[PAGE - 1].name) if len(some) > PAGE else "",
    )


def _newest(library: Library, campaign: Campaign) -> Row | None:
    """A campaign's newest message: its subject is masked by what is known of its recipients."""
    return next(library.find(parse(term("campaign", campaign.name)), limit=1), None)


def _entry(
    campaign: Campaign, newest: Row | None, landings: dict[str, list[str]], mask: Callable[[Row], Hide]
) -> Entry:
    hide = mask(newest) if newest else str
    hosts = landings.get(newest.id) if newest else None
    return Entry(
        campaign,
        campaign_address(campaign.name),
        hide(newest.subject) if newest else "",
        narrowing.rate(campaign.hours, "", _SPARKS),
        [hide(host) for host in hosts] if hosts is not None else None,
    )


async def campaign(request: Request) -> Response:
    """All there is to know of one."""
    here = site(request)
    name = request.path_params["name"]
    text = term("campaign", name)
    found = await here.reading.ask(lambda library: library.campaign(name))
    if found is None:
        raise HTTPException(404, "No campaign is called this, or the last of its messages is gone.")
    asked = Asked(text, parse(text))
    counted, latest, compared = await asyncio.gather(
        here.reading.ask(lambda library: _counted(library, asked)),
        here.reading.ask(lambda library: page(library, asked, _LATEST)),
        _compared(request, asked),
    )
    mask, hide = masks(request), await shared_mask(request)
    sampled = [*latest.rows, *compared.rows]
    return here.render(
        request,
        "campaign.html",
        page="campaigns",
        campaign=found,
        text=text,
        subjects=list(dict.fromkeys(mask(row)(row.subject) for row in sampled))[:_SUBJECTS],
        chart=narrowing.rate(found.hours, text, _BARS),
        facets=narrowing.facets(counted, text, hide) if counted else [],
        sample=counted,
        days=days(latest, asked, mask),
        compared=compared,
        older=latest.older,
    )


def _counted(library: Library, asked: Asked) -> Facets | None:
    try:
        return library.facets(asked.query, sample=2000) if asked.query else None
    except TooSlow:
        return None


async def _compared(request: Request, asked: Asked) -> Compared:
    """Read some copies, and find what varies between them."""
    here = site(request)
    read = await here.reading.ask(lambda library: _copies(library, asked))
    tasks = [asyncio.ensure_future(here.viewer.view(record)) for _, record in read]
    done, late = await asyncio.wait(tasks, timeout=SECONDS) if tasks else (set(), set())
    for task in late:
        task.cancel()
    ready = [(*each, task.result()) for each, task in zip(read, tasks, strict=True) if task in done]
    config = None if here.revealed(request) else here.config
    return await asyncio.to_thread(_comparison, [each for each in ready if each[2].headers], config)


def _comparison(ready: Sequence[tuple[Row, Record, View]], config: Config | None) -> Compared:
    """What varies, with all identities masked when there is a configuration to tell them by."""
    views = [view for _, _, view in ready]
    if config:
        names = frozenset().union(*(identities(record, config) for _, record, _ in ready))
        views = [masked(view, names) for view in views]
    copies = [varying.Copy(view.headers, view.text) for view in views]
    hosts = Counter(host for view in views for host in {url.host for url in view.urls} - {""})
    return Compared(
        [row for row, _, _ in ready],
        varying.fields(copies),
        varying.lines(copies),
        sorted(hosts.items(), key=lambda item: (-item[1], item[0]))[:_HOSTS],
    )


def _copies(library: Library, asked: Asked) -> list[tuple[Row, Record]]:
    """An even sample of the newest copies, the newest first."""
    assert asked.query
    rows = list(library.find(asked.query, limit=_AMONG))
    step = max(1.0, len(rows) / COPIES)
    found = []
    for at in range(min(COPIES, len(rows))):
        row = rows[int(at * step)]
        try:
            found.append((row, library.record(row)))
        except (FileNotFoundError, Corrupt):  # its own page says so
            continue
    return found


routes: list[BaseRoute] = [
    Route("/campaigns", campaigns, name="campaigns"),
    Route("/campaigns/{name:path}", campaign, name="campaign"),
]
