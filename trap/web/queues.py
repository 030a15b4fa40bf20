"""The pages of the queues: what waits, what was put aside and why; requeue it, or throw it away.

They use what `spamtrap queue` uses (trap/jobs.py). Throwing away is counted first, and asked for again;
who did it is remembered (trap/acts.py), and each job's end stands in the mail log.
"""

import asyncio
import math
import time
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from trap import jobs
from trap.archive.record import Record
from trap.claim import BAD
from trap.config import Duration
from trap.envelope import plain, printable
from trap.job import CorruptJob, Job, id_time
from trap.view import session
from trap.view.headers import words
from trap.view.source import raw_lines
from trap.view.veil import Veil
from trap.web.acting import record, said, say
from trap.web.forms import action
from trap.web.site import Site, site

PAGE = 50
"""Jobs of a page."""
LINES = 120
"""Lines of a message that are shown."""
REASON = "by the web page"
"""Stands in the mail log."""
_SUBJECT = 2000
"""Characters of a subject that are decoded."""
_NOTE = 20_000
"""Characters of one note that are shown."""

T = TypeVar("T")


class Line(msgspec.Struct):
    """One job of a listing."""

    id: str
    queue: str
    state: str
    attempt: int
    at: float
    size: int
    mail_from: str
    subject: str
    reason: str


async def queues(request: Request) -> Response:
    """All queues."""
    here = site(request)
    look = await here.pulse.look()
    return here.render(
        request, "queues.html", page="queues", queues=look.queues, kinds=_kinds(here), said=said(request)
    )


async def queue(request: Request) -> Response:
    """The jobs of one queue, or all that were put aside."""
    here, name = site(request), _name(request)
    newest = request.query_params.get("order") != "oldest"
    after = request.query_params.get("after", "")
    shown = not here.revealed(request)

    def read() -> tuple[jobs.Page, list[Line]]:
        found = jobs.page(here.spool, name, PAGE, after=after, newest=newest)
        return found, [_line(here, entry, masked=shown) for entry in found.entries]

    found, lines = await asyncio.to_thread(read)
    return here.render(
        request,
        "queue.html",
        page="queues",
        name=name,
        kind=_kinds(here).get(name, ""),
        found=found,
        lines=lines,
        newest=newest,
        after=after,
        bad=name == BAD,
        said=said(request),
    )


async def job(request: Request) -> Response:
    """One job, wherever it is by now: its envelope, what the stages noted, why it is bad, its source."""
    here, name, job_id = site(request), _name(request), request.path_params["job_id"]
    entries = await asyncio.to_thread(jobs.locate, here.spool, job_id)
    here_first = [entry for entry in entries if name in {entry.queue, entry.state}]
    if not entries:
        raise HTTPException(404, "This job is in no queue by now. If it was archived, the search finds it.")
    entry = (here_first or entries)[0]
    shown: dict[str, Any] = {"entry": entry, "places": entries, "at": id_time(job_id), "name": name}
    try:
        read, size = await asyncio.to_thread(jobs.peek, entry)
    except FileNotFoundError:
        raise HTTPException(404, "This job has just left the queue. Reload the page.") from None
    except CorruptJob as error:
        return here.render(
            request, "job.html", page="queues", size=0, broken=printable(str(error)), said="", **shown
        )
    veil = _veil(here, read, masked=not here.revealed(request))
    why = read.notes.get(BAD)
    return here.render(
        request,
        "job.html",
        page="queues",
        broken="",
        size=size,
        cut=size > read.size,
        subject=veil.told(_subject(read)),
        sender=veil.told(printable(read.envelope.mail_from)),
        facts=veil.told(session.facts(read.envelope)),
        why=veil.told(_texts(why)) if isinstance(why, dict) else {},
        notes={
            printable(str(stage)): veil.told(_texts(note))
            for stage, note in read.notes.items()
            if stage != BAD
        },
        lines=veil.source(raw_lines(read.message, 1, LINES)),
        said=said(request),
        **shown,
    )


async def requeue(request: Request, form: FormData) -> Response:
    """Give bad jobs another three attempts: those that were ticked, or all of them."""
    here = site(request)
    wanted = {str(each) for each in form.getlist("job")}
    every = form.get("all") == "1"

    def act() -> int:
        found = jobs.page(here.spool, BAD, 1 << 30).entries if every else _located(here, wanted)
        found = [entry for entry in found if entry.state == BAD]
        record(request, "jobs requeued", jobs=len(found), ids=[entry.id for entry in found[:20]])
        return jobs.requeue(here.spool, found)

    try:
        done = await asyncio.to_thread(act)
    except LookupError as error:
        raise HTTPException(409, f"{error.args[0]}.") from None
    say(
        request,
        f"{_number(done)} went back into the queue."
        if done
        else "Nothing was requeued: tick some jobs first.",
    )
    return RedirectResponse("/queues/bad", 303)


async def purge_page(request: Request) -> Response:
    """How many jobs would be thrown away, and the button for it."""
    here, name = site(request), _name(request)
    older, keep, wrong = _limits(request.query_params)
    before = time.time() - older
    count, before = (0, before) if wrong else await asyncio.to_thread(_counted, here, name, before, keep)
    return here.render(
        request,
        "purge.html",
        page="queues",
        name=name,
        bad=name == BAD,
        older=request.query_params.get("older_than", ""),
        keep=keep,
        wrong=wrong,
        count=count,
        before=before,
    )


async def purge(request: Request, form: FormData) -> Response:
    """Throw away what was counted: nothing that was to stay or was accepted since, and never more jobs.

    Jobs that were accepted earlier may have come from another queue since.
    """
    here, name = site(request), _name(request)
    try:
        before, most = float(str(form.get("before"))), int(str(form.get("count")))
        if math.isnan(before):
            raise ValueError
    except ValueError:
        raise HTTPException(400, "This form is not as we made it.") from None
    before, most = min(before, time.time()), max(0, most)
    record(request, "queue purged", queue=name, before=before, most=most)
    done = await asyncio.to_thread(_purge, here, name, before, most)
    say(request, f"{_number(done)} thrown away.")
    return RedirectResponse(f"/queues/{name}", 303)


async def discard(request: Request, form: FormData) -> Response:
    """Throw away one job."""
    here, name, job_id = site(request), _name(request), request.path_params["job_id"]

    def act() -> int:
        found = [each for each in jobs.locate(here.spool, job_id) if name in {each.queue, each.state}]
        record(request, "job purged", queue=name, id=job_id)
        return sum(jobs.discard(here.spool, entry, REASON) for entry in found)

    done = await asyncio.to_thread(act)
    say(
        request,
        f"{_number(done)} thrown away." if done else "It is gone already, or in the hands of a worker.",
    )
    return RedirectResponse(f"/queues/{name}", 303)


def _counted(here: Site, name: str, before: float, keep: int) -> tuple[int, float]:
    """How many jobs would be thrown away, and the time after which nothing will be."""
    if name == BAD:
        return jobs.purge_bad(here.spool, REASON, before=before, dry_run=True), before
    names = jobs.purgeable(here.spool[name], before, keep)
    return len(names), id_time(names[-1]) if names else before


def _purge(here: Site, name: str, before: float, most: int) -> int:
    if name == BAD:
        return jobs.purge_bad(here.spool, REASON, before=before, most=most)
    return jobs.purge(here.spool, [name], REASON, before=before, most=most).total()


def _limits(said: Any) -> tuple[float, int, str]:
    """Age in seconds and number from a query, and what is wrong with them."""
    try:
        older = Duration(said.get("older_than") or 0)
        keep = int(said.get("keep") or 0)
    except ValueError as error:
        return 0.0, 0, f"{error}."
    return older, max(0, keep), ""


def _located(here: Site, ids: set[str]) -> list[jobs.Entry]:
    return [entry for job_id in sorted(ids) for entry in jobs.locate(here.spool, job_id)]


def _line(here: Site, entry: jobs.Entry, *, masked: bool) -> Line:
    row, read = jobs.described(entry)
    told: Callable[[str], str] = _veil(here, read, masked=masked).told if read else str
    subject = _subject(read)[:200] if read else ""
    return Line(
        entry.id,
        entry.queue,
        entry.state,
        entry.attempt,
        id_time(entry.id),
        row.size,
        told(row.mail_from),
        told(subject),
        told(row.reason)[:300],
    )


def _veil(here: Site, read: Job, *, masked: bool) -> Veil:
    record = Record(read.id, b"", read.envelope, read.notes, read.message)
    return Veil(record, here.config, shown=not masked)


def _subject(read: Job) -> str:
    return printable(words(printable((read.headers.get("subject") or "")[:_SUBJECT])))


def _texts(note: Any) -> dict[str, str]:
    """A note as texts: lines are kept where it has some."""
    fields = note.items() if isinstance(note, dict) else [("", note)]
    return {printable(str(key)): _text(value)[:_NOTE] for key, value in fields}


def _text(value: Any) -> str:
    if isinstance(value, str):
        return "\n".join(printable(line) for line in value.splitlines())
    return msgspec.json.encode(plain(value)).decode()


def _kinds(here: Site) -> dict[str, str]:
    """What each queue is, in a few words."""
    config = here.config
    kinds = dict.fromkeys(config.trunk, "pipeline")
    kinds.update(dict.fromkeys(config.branches, "branch"))
    for name in config.queues:
        if name not in kinds:
            kinds[name] = "beside the pipeline" if config.stage(name).workers else "only holds"
    return kinds


def _name(request: Request) -> str:
    """The queue that an address names.

    Raises:
        HTTPException: there is none.
    """
    name: str = request.path_params["name"]
    if name != BAD and name not in site(request).spool:
        raise HTTPException(404, f"There is no queue {printable(name)!r}.")
    return name


def _number(count: int) -> str:
    return "1 job" if count == 1 else f"{count:,} jobs"


routes: list[BaseRoute] = [
    Route("/queues", queues, name="queues"),
    Route("/queues/{name}", queue, name="queue"),
    Route("/queues/{name}/purge", purge_page, name="purge_page"),
    action("/queues/{name}/purge", purge, name="purge"),
    action("/queues/bad/requeue", requeue, name="requeue"),
    Route("/queues/{name}/{job_id}", job, name="job"),
    action("/queues/{name}/{job_id}/discard", discard, name="discard"),
]
