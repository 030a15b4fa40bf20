"""The page "Now": the pipeline at work, what became of the mail, and what needs a person's hand.

It keeps itself up to date by server-sent events (HTML Living Standard, 9.2): the parts that changed, as
HTML. All who watch share one look (trap/web/pulse.py), and one drawing of it.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from trap.backendstate import AWAY
from trap.config import Config
from trap.envelope import printable
from trap.history import SPANS
from trap.units import age
from trap.web.charts import Chart, arrivals, ends
from trap.web.flow import Flow, ended, flow
from trap.web.pulse import EVERY, Look
from trap.web.site import Site, site

PARTS = ("problems", "start", "stats", "flow", "sink", "spool", "drops", "backends", "charts")
"""What changes, each a macro of _now.html and an element of that id."""
SLOW = {"charts": 10.0, "drops": 4.0}
"""Seconds for which parts that are large are left as they are."""
OLD = 5.0
"""Seconds without word from a sink, after which that is said."""
_MOST_DROPS = 12
_RETRY = b"retry: 3000\n\n"
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class Problem(msgspec.Struct):
    """What needs a person's hand."""

    text: str
    command: str = ""
    """What to type."""
    link: str = ""
    """Or where to look."""
    bad: bool = True
    """False: it may pass by itself."""


class View(msgspec.Struct):
    """One look, prepared for the page."""

    look: Look
    span: str
    flow: Flow
    problems: list[Problem]
    totals: dict[str, int]
    """Accepted, archived, dropped, reported, shed and purged, in the span."""
    drops: list[tuple[str, str, int, float]]
    """Queue, reason, how many, share of the most frequent in percent."""
    charts: list[Chart]

    @property
    def is_empty(self) -> bool:
        """Whether no mail ever came, as far as is known."""
        seen = any(point.counts for point in self.look.points["week"])
        return not seen and not any(queue.waiting + queue.claimed + queue.bad for queue in self.look.queues)


def view(config: Config, look: Look, span: str) -> View:
    """Prepare a look for the page."""
    points = look.points[span]
    drawing = flow(config, look, span)
    drops = ended(points).most_common(_MOST_DROPS)
    most = drops[0][1] if drops else 1
    return View(
        look,
        span,
        drawing,
        problems(config, look, drawing),
        _totals(look, span),
        [(queue, reason, number, round(100 * number / most, 1)) for (queue, reason), number in drops],
        [arrivals(points, span), ends(points, span)],
    )


def _totals(look: Look, span: str) -> dict[str, int]:
    totals = dict.fromkeys(("accepted", "archived", "dropped", "reported", "shed", "purged"), 0)
    for point in look.points[span]:
        for key, number in point.counts.items():
            if (what := key.partition(" ")[0]) in totals:
                totals[what] += number
    return totals


def problems(config: Config, look: Look, drawing: Flow) -> list[Problem]:
    """What a person should do something about, the worst first."""
    stopped = [box.queue for box in drawing.boxes() if box.state == "bad"]
    working = any(queue.workers for queue in look.queues)
    if look.sink is None and not working:
        return [Problem("The trap is not running.", "spamtrap up"), *_aside(look)]
    found = []
    if look.sink is None:
        found.append(Problem("No sink is running, so no mail comes in.", "spamtrap doctor"))
    elif (silent := time.time() - look.sink.told) > OLD:
        found.append(Problem(f"A sink was last heard of {silent:.0f} seconds ago.", "spamtrap doctor"))
    for queue in stopped:
        waiting = queue.waiting + queue.claimed
        what = f"No worker of {queue.name} is alive" + (f": {waiting:,} jobs wait." if waiting else ".")
        found.append(Problem(what, f"spamtrap work {queue.name}"))
    if look.sink and look.sink.cause:
        found.append(
            Problem(f"Stress is {look.sink.level}: {look.sink.cause}.", bad=look.sink.level == "red")
        )
    for state in look.asked.backends:
        if state.state == AWAY:
            since = age(max(0.0, time.time() - state.since))
            what = f"{state.backend} at {state.address}, which {state.stage} asks, is away for {since}"
            found.append(Problem(f"{what}: {printable(state.cause)}.", "spamtrap doctor", bad=False))
    used = max(look.room.bytes_used_share, look.room.inodes_used_share)
    if used >= config.stress.yellow.spool:
        found.append(
            Problem(f"The spool is {used:.0%} full.", "spamtrap queue purge --older-than 1h --dry-run")
        )
    return [*found, *_aside(look)]


def _aside(look: Look) -> list[Problem]:
    bad = sum(queue.bad for queue in look.queues)
    what = "1 job failed and was put aside." if bad == 1 else f"{bad:,} jobs failed and were put aside."
    found = [Problem(what, link="/queues/bad", bad=False)] if bad else []
    for state, why in (("held", "held back"), ("unsure", "perhaps not arrived")):
        if number := sum(counts.get(state, 0) for counts in look.reports.values()):
            who = "1 report is" if number == 1 else f"{number:,} reports are"
            what = f"{who} {why}, and for you to decide about."
            found.append(Problem(what, link=f"/reports?state={state}", bad=False))
    return found


def drawn(here: Site, look: Look, span: str) -> dict[str, str]:
    """The parts of the page as HTML, by name; made once for all who watch."""
    at, parts = here.pulse.drawn.get(span, (0.0, {}))
    if at != look.at:
        shown = view(here.config, look, span)
        parts = {name: str(getattr(_macros(here), name)(shown)) for name in PARTS}
        here.pulse.drawn[span] = look.at, parts
    return parts


def _macros(here: Site) -> Any:
    return here.templates.get_template("_now.html").module


async def now(request: Request) -> Response:
    """The page."""
    here = site(request)
    look = await here.pulse.look()
    span = _span(request)
    return here.render(
        request,
        "now.html",
        page="now",
        view=view(here.config, look, span),
        parts=drawn(here, look, span),
        spans=list(SPANS),
        every=int(EVERY * 5),
    )


async def events(request: Request) -> Response:
    """What changes on the page, as it changes."""
    stream = _changes(site(request), _span(request))
    return StreamingResponse(stream, media_type="text/event-stream", headers=_HEADERS)


async def _changes(here: Site, span: str) -> AsyncIterator[bytes]:
    sent: dict[str, str] = {}
    due: dict[str, float] = {}
    yield _RETRY
    while True:
        try:
            parts = drawn(here, await here.pulse.look(), span)
        except OSError as error:
            shown = [Problem(f"The trap can't be looked at: {error}", "spamtrap doctor")]
            parts = {"problems": str(_macros(here).listed(shown))}
        moment = time.monotonic()
        fresh = {
            name: html
            for name, html in parts.items()
            if sent.get(name) != html and due.get(name, 0) <= moment
        }
        due.update({name: moment + SLOW[name] for name in fresh if name in SLOW})
        sent.update(fresh)
        yield b"event: html\ndata: " + msgspec.json.encode(fresh) + b"\n\n" if fresh else b": nothing new\n\n"
        await asyncio.sleep(EVERY)


def _span(request: Request) -> str:
    span = request.query_params.get("span", "")
    return span if span in SPANS else "hour"


routes: list[BaseRoute] = [
    Route("/", now, name="now"),
    Route("/now/events", events, name="now_events"),
]
