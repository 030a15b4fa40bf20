"""Finds the message that an address names, what stands around it, or says why it is not there."""

import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from trap.archive.index import TooSlow
from trap.archive.library import Library
from trap.archive.query import Query, QueryError, parse
from trap.archive.record import Corrupt, Record
from trap.archive.search import Row
from trap.archive.terms import term
from trap.job import split_name
from trap.view.viewer import Unviewable
from trap.web.site import site

OTHERS = 6
"""Messages of the same campaign that are named."""
PATIENCE = 0.4
"""Seconds for each question about what stands around a message."""


class Trouble(Exception):
    """There is no answer but this page.

    Args:
        status: of HTTP.
        title: what is wrong.
        what: more of it.
        then: a command that helps.
    """

    def __init__(self, status: int, title: str, what: str = "", then: str = "") -> None:
        super().__init__(title)
        self.status = status
        self.title = title
        self.what = what
        self.then = then


class Archived(NamedTuple):
    """One message: as the index has it, and as the archive has it."""

    row: Row
    record: Record
    seconds: float = 0.0
    """That it took to read."""


class Around(NamedTuple):
    """What stands around a message."""

    newer: Row | None = None
    older: Row | None = None
    others: Sequence[Row] = ()
    """Of the same campaign, newest first."""
    copies: int = 0
    """Of the campaign, as many as were seen at all."""
    trouble: str = ""
    """Why something of it is missing."""


Handle = Callable[[Request, Archived], Awaitable[Response]]


def of_message(handle: Handle) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint that is given the message its address names; trouble with it becomes a page."""

    async def endpoint(request: Request) -> Response:
        try:
            return await handle(request, await find(request, request.path_params["id"]))
        except Unviewable as error:
            trouble = Trouble(
                503,
                "This message takes too long to read",
                f"It may have been written to: {error}. The terminal has more patience:",
                f"spamtrap archive show {request.path_params['id']}",
            )
        except Trouble as raised:
            trouble = raised
        return site(request).render(
            request,
            "error.html",
            trouble.status,
            page="messages",
            title=trouble.title,
            what=trouble.what,
            then=trouble.then,
        )

    return endpoint


async def find(request: Request, job_id: str) -> Archived:
    """The message with an id.

    Raises:
        Trouble: it is not there, or damaged.
    """
    if not split_name(f"{job_id}.0"):
        raise Trouble(
            404, "No message is called this", "An id has 24 characters, digits and the letters a to f."
        )
    return await site(request).reading.ask(lambda library: read(library, job_id))


def read(library: Library, job_id: str) -> Archived:
    """The message with this id, proved against its sha256.

    Raises:
        Trouble: it is not there, or damaged.
    """
    begun = time.monotonic()
    row = library.get(job_id)
    if not row:
        raise Trouble(
            404,
            "This message is not in the archive",
            "It is on its way still, was dropped by a stage, or is older than what is kept."
            " To look into the queues:",
            f"spamtrap queue show {job_id}",
        )
    try:
        return Archived(row, library.record(row), time.monotonic() - begun)
    except FileNotFoundError:
        raise Trouble(
            410, "This message was dropped", "Its segment of the archive was too old, or one too many."
        ) from None
    except Corrupt as error:
        raise Trouble(
            500,
            "This message is damaged in the archive",
            f"What is on the disk is not what was written: {error}.",
            "spamtrap archive verify",
        ) from error


def around(library: Library, row: Row, text: str) -> Around:
    """The neighbours of a message within a search, and others of its campaign.

    Args:
        text: the search; one that can't be understood, or takes too long, has no neighbours.
    """
    library.deadline = PATIENCE
    others: Sequence[Row] = ()
    copies = 0
    newer = older = None
    trouble = ""
    try:
        if row.campaign:
            alike = library.find(parse(term("campaign", row.campaign)), limit=OTHERS + 1)
            others = [other for other in alike if other.id != row.id][:OTHERS]
            campaign = library.campaign(row.campaign)
            copies = campaign.copies if campaign else 0
        query = parse(text)
        newer, older = _neighbours(library, row, query)
    except QueryError as error:
        trouble = f"There is no previous and no next message, as the search is none: {error}."
    except TooSlow as error:
        trouble = f"Something beside this message is missing: {error}."
    return Around(newer, older, others, copies, trouble)


def _neighbours(library: Library, row: Row, query: Query) -> tuple[Row | None, Row | None]:
    newer = library.newer(query, row.id, 1)
    older = next(islice(library.find(query, before=row.id, limit=1), 1), None)
    return (newer[-1] if newer else None), older
