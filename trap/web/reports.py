"""The pages of what left the trap: what was reported where, with the text as sent, and what is held.

What has left names nobody, so it is shown as it is. What is held may name the trap: its text and what was
found in it are shown to those who asked to see identities.
"""

import asyncio
from typing import get_args

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from trap.envelope import printable
from trap.reports.desk import Desk, Entry, Unknown
from trap.reports.report import State
from trap.web.acting import record, said, say
from trap.web.forms import action
from trap.web.site import link, site

PAGE = 100
"""Reports of a page."""
MAX_LINES = 2000
"""Lines of a report's text that are shown; the command line shows all of it."""
_MAX_LINE = 2000


async def reports(request: Request) -> Response:
    """Reports of all reporters, or of those that were asked for."""
    here = site(request)
    wanted = {key: request.query_params.get(key, "") for key in ("state", "reporter", "campaign")}
    states = [state for state in get_args(State) if state == wanted["state"]]
    desk = Desk(here.config)

    def read() -> tuple[dict[str, dict[str, int]], dict[str, str], list[Entry]]:
        counts, trouble = desk.counts()
        books = [name for name in counts if name == wanted["reporter"]]
        return counts, trouble, desk.entries(books, states, wanted["campaign"], limit=PAGE)

    counts, trouble, entries = await asyncio.to_thread(read)
    totals = {state: sum(each.get(state, 0) for each in counts.values()) for state in get_args(State)}
    return here.render(
        request,
        "reports.html",
        page="reports",
        counts=counts,
        trouble=trouble,
        totals={state: number for state, number in totals.items() if number},
        entries=entries,
        full=len(entries) == PAGE,
        chosen=wanted,
        here=lambda **changed: link("/reports", **{**wanted, **changed}),
        said=said(request),
    )


async def report(request: Request) -> Response:
    """One report: to whom, how it ended, its text as sent, why it is held."""
    here, desk = site(request), Desk(site(request).config)
    entry = await _entry(request, desk)

    def read() -> tuple[bytes, list[object]]:
        return desk.text(entry), list(desk.evidence(entry))

    text, evidence = await asyncio.to_thread(read)
    shown = entry.report.state != "held" or here.revealed(request)
    lines = text.decode("utf-8", "surrogateescape").splitlines()
    return here.render(
        request,
        "report.html",
        page="reports",
        entry=entry,
        report=entry.report,
        evidence=evidence,
        shown=shown,
        lines=[printable(line[:_MAX_LINE].expandtabs()) for line in lines[:MAX_LINES]] if shown else [],
        more=max(0, len(lines) - MAX_LINES),
        size=len(text),
        can_retract=desk.can_retract(entry.reporter),
        said=said(request),
    )


async def release(request: Request, form: FormData) -> Response:
    """Let a report go that is held, failed, or may not have arrived."""
    desk = Desk(site(request).config)
    entry = await _entry(request, desk)
    record(request, "report released", reporter=entry.reporter, report=entry.report.id)
    done = await asyncio.to_thread(desk.release, entry)
    say(request, "It will be sent, if the gate lets it pass." if done else "There is nothing to release.")
    return RedirectResponse(f"/reports/{entry.report.id}", 303)


async def retract(request: Request, form: FormData) -> Response:
    """Take a report back, or see that it is never sent."""
    desk = Desk(site(request).config)
    entry = await _entry(request, desk)
    record(request, "report retracted", reporter=entry.reporter, report=entry.report.id)
    try:
        done = await asyncio.to_thread(desk.retract, entry)
    except Unknown as error:
        raise HTTPException(409, f"{error}.") from None
    was_sent = entry.report.state in ("sent", "unsure")
    word = "It will be taken back." if was_sent else "It will not be sent."
    say(request, word if done else "There is nothing to take back.")
    return RedirectResponse(f"/reports/{entry.report.id}", 303)


async def _entry(request: Request, desk: Desk) -> Entry:
    try:
        return await asyncio.to_thread(desk.entry, request.path_params["id"])
    except Unknown:
        raise HTTPException(404, "There is no such report; it may be too old to be remembered.") from None


routes: list[BaseRoute] = [
    Route("/reports", reports, name="reports"),
    Route("/reports/{id}", report, name="report"),
    action("/reports/{id}/release", release, name="release"),
    action("/reports/{id}/retract", retract, name="retract"),
]
