"""The API: /api/v1, JSON, read-only. /api/v1/openapi.json describes it.

Trap identities are masked here as on the pages; `identities=true` shows them, which is written down.
"""

import asyncio
from collections.abc import AsyncIterator

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from trap import acts
from trap.archive import clusters
from trap.archive.export import STREAMS
from trap.archive.library import Library
from trap.archive.query import Query, QueryError, parse
from trap.archive.record import Corrupt, Record
from trap.archive.search import Row
from trap.archive.terms import term
from trap.envelope import plain
from trap.status import Status, collect
from trap.view.veil import Veil, each_text, hide_in
from trap.web.listing import Hide
from trap.web.masking import shared_mask
from trap.web.openapi import ROOT, Endpoint, Mistake, Wrong, answer, document, route
from trap.web.schema import (
    AskBars,
    AskCampaigns,
    AskExport,
    AskFacets,
    AskMessages,
    AskNothing,
    AskShown,
    Bars,
    Campaign,
    Campaigns,
    Counted,
    Found,
    Hour,
    Message,
    Page,
    Value,
)
from trap.web.site import client, site, user

_BATCH = 50
"""Messages read at once for an export."""
_BATCH_BYTES = 8 << 20
_EXPORT_SECONDS = 10.0
"""Longest time until the next messages are found: nobody looks at a page meanwhile."""
_SUBJECTS = 3
_TEXTS = ("helo", "mail_from", "rcpt_tos", "sender", "subject", "facets")
"""What of a row may name the trap."""


async def messages(request: Request, wants: AskMessages) -> Response:
    """A page of a search, newest first."""
    query = _query(wants.q)

    def look(library: Library) -> list[Row] | None:
        if wants.before and not library.get(wants.before):
            return None
        return list(library.find(query, wants.before, wants.limit + 1))

    rows = await site(request).for_programs.ask(look)
    if rows is None:
        raise Wrong(404, Mistake(f"no message {wants.before}; it may be too old by now"))
    _note(request, wants.identities)
    shown = rows[: wants.limit]
    more = len(rows) > wants.limit
    found = await asyncio.to_thread(lambda: [_found(request, row, wants.identities) for row in shown])
    return answer(Page(found, shown[-1].id if more else None))


async def message(request: Request, wants: AskShown) -> Response:
    """All that is known of one message."""
    row, record = await _record(request)
    _note(request, wants.identities)
    view = await site(request).viewer.view(record)

    def told() -> Message:
        veil = Veil(record, site(request).config, shown=wants.identities)
        return Message(
            _found(request, row, wants.identities),
            veil.told(plain(record.envelope.to_map())),
            veil.told(plain(dict(record.notes))),
            veil.view(view),
        )

    return answer(await asyncio.to_thread(told))


async def raw(request: Request, wants: AskShown) -> Response:
    """The bytes of a message, as they were received."""
    _, record = await _record(request)
    _must_show(request, wants.identities)
    return Response(record.message, media_type="application/octet-stream")


async def facets(request: Request, wants: AskFacets) -> Response:
    """Values of the facets of a search, the most frequent first; masked ones are left out."""
    query = _query(wants.q)
    found = await site(request).for_programs.ask(lambda library: library.facets(query))
    hide = await _hide(request, wants.identities)
    values = {
        name: [Value(*each) for each in values if hide(each[0]) == each[0]]
        for name, values in found.values.items()
    }
    return answer(Counted(found.counted, found.complete, values))


async def histogram(request: Request, wants: AskBars) -> Response:
    """Messages found over time."""
    query = _query(wants.q)
    found = await site(request).for_programs.ask(lambda library: library.histogram(query, wants.buckets))
    return answer(msgspec.convert(found._asdict(), Bars))


async def campaigns(request: Request, wants: AskCampaigns) -> Response:
    """Campaigns: messages that are alike."""
    found = await site(request).for_programs.ask(
        lambda library: library.campaigns(wants.order, wants.before, wants.limit + 1)
    )
    shown = found[: wants.limit]
    more = len(found) > wants.limit
    return answer(Campaigns(await _told(request, shown, wants.identities), shown[-1].name if more else None))


async def campaign(request: Request, wants: AskShown) -> Response:
    """One campaign."""
    name = request.path_params["name"]
    found = await site(request).for_programs.ask(lambda library: library.campaign(name))
    if not found:
        raise Wrong(404, Mistake(f"no campaign {name[:100]}"))
    return answer((await _told(request, [found], wants.identities))[0])


async def _told(request: Request, found: list[clusters.Campaign], shown: bool) -> list[Campaign]:
    """Campaigns; their subjects are those of messages, each masked by its own recipients."""
    hide, config = await _hide(request, shown), site(request).config

    def subjects(library: Library) -> list[list[str]]:
        rows = [library.find(parse(term("campaign", each.name)), limit=_SUBJECTS) for each in found]
        return [
            list(dict.fromkeys(hide_in(row.rcpt_tos, config)(row.subject) for row in some)) for some in rows
        ]

    said = [each.subjects for each in found] if shown else await site(request).for_programs.ask(subjects)
    return [
        Campaign(
            **{
                **each.to_map(),
                "hours": [Hour(*hour) for hour in each.hours],
                "subjects": some,
                "domains": [name for name in each.domains if hide(name) == name],
            }
        )
        for each, some in zip(found, said, strict=True)
    ]


async def _hide(request: Request, shown: bool) -> Hide:
    """What masks texts of no single message; that they are shown is written down."""
    _note(request, shown)
    return await shared_mask(request, shown=shown)


async def status(request: Request, wants: AskNothing) -> Response:
    """What the trap is doing now, as `spamtrap status --json` has it."""
    here = site(request)
    told = await asyncio.to_thread(lambda: collect(here.config, here.spool))
    for sink in told.sinks:
        sink.addresses = []  # they are the trap's
    return answer(told)


async def export(request: Request, wants: AskExport) -> Response:
    """Messages found, newest first, in one file: mbox, a zip of .eml files, or JSON lines. Streamed."""
    query = _query(wants.q)
    _must_show(request, wants.identities)
    pieces = _pieces(request, query, wants)
    first = await anext(pieces)  # what can't be read, or takes too long, is said before it begins
    name = f"spamtrap.{wants.format}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(_with(first, pieces), media_type=_MEDIA[wants.format], headers=headers)


async def _with(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece


async def openapi(request: Request) -> Response:
    """This document."""
    return answer(document(ENDPOINTS))


async def _pieces(request: Request, query: Query, wants: AskExport) -> AsyncIterator[bytes]:
    stream = STREAMS[wants.format]()
    left = wants.limit
    before: str | None = None

    def read(library: Library) -> tuple[bytes, str | None, int]:
        """A piece of the file, the message it ends with, and how many it has."""
        pieces: list[bytes] = []
        last, count, size = None, 0, 0
        for row in library.find(query, before, _BATCH if left is None else min(_BATCH, left)):
            last, count = row.id, count + 1
            try:
                record = library.record(row)
            except (FileNotFoundError, Corrupt):  # too old by now; what is damaged, `archive verify` names
                continue
            pieces.append(stream.add(record))
            size += len(record.message)
            if size > _BATCH_BYTES:
                break
        return b"".join(pieces), last, count

    while left is None or left > 0:
        piece, before, count = await site(request).for_programs.ask(read, _EXPORT_SECONDS)
        if before is None:
            break
        left = None if left is None else left - count
        yield piece
    yield stream.end()


async def _record(request: Request) -> tuple[Row, Record]:
    name = request.path_params["id"]

    def look(library: Library) -> tuple[Row, Record] | None:
        row = library.get(name)
        return (row, library.record(row)) if row else None

    try:
        found = await site(request).for_programs.ask(look)
    except FileNotFoundError:
        found = None
    except Corrupt as error:
        raise Wrong(503, Mistake(str(error))) from None
    if not found:
        raise Wrong(404, Mistake(f"no message {name[:100]}"))
    return found


def _query(text: str) -> Query:
    try:
        return parse(text)
    except QueryError as error:
        raise Wrong(400, Mistake(str(error), error.start, error.end)) from None


def _note(request: Request, shown: bool) -> None:
    """Write down that identities are shown."""
    if shown:
        state = site(request).config.paths.state
        acts.record(state, user(request), "identities shown", client=client(request), path=request.url.path)


def _must_show(request: Request, shown: bool) -> None:
    """Bytes can't be masked."""
    if not shown:
        raise Wrong(403, Mistake("the bytes of a message show trap identities: ask for identities=true"))
    _note(request, shown)


def _found(request: Request, row: Row, shown: bool) -> Found:
    values = {**{name: getattr(row, name) for name in Found.__struct_fields__}, "sha256": row.sha256.hex()}
    if not shown:
        hide = hide_in(row.rcpt_tos, site(request).config)
        values |= {name: each_text(values[name], hide) for name in _TEXTS}
    return Found(**values)


_MEDIA = {"mbox": "application/mbox", "zip": "application/zip", "jsonl": "application/jsonl"}

ENDPOINTS = (
    Endpoint("/status", "What the trap is doing now", AskNothing, Status, status),
    Endpoint("/messages", "Search, newest first", AskMessages, Page, messages, (404,)),
    Endpoint("/messages/{id}", "One message", AskShown, Message, message, (404,)),
    Endpoint("/messages/{id}/raw", "Its bytes", AskShown, ("application/octet-stream",), raw, (403, 404)),
    Endpoint("/facets", "A search counted by facets", AskFacets, Counted, facets, (404,)),
    Endpoint("/histogram", "A search counted over time", AskBars, Bars, histogram, (404,)),
    Endpoint("/campaigns", "Campaigns", AskCampaigns, Campaigns, campaigns, (404,)),
    Endpoint("/campaigns/{name}", "One campaign", AskShown, Campaign, campaign, (404,)),
    Endpoint("/export", "A search as one file", AskExport, tuple(_MEDIA.values()), export, (403, 404)),
)

routes: list[BaseRoute] = [
    Route(f"{ROOT}/openapi.json", openapi),
    *(route(endpoint) for endpoint in ENDPOINTS),
]
