"""The web application: its pages, its layers, and what is shown when something goes wrong."""

import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from trap import keys
from trap.archive.index import TooSlow
from trap.archive.reading import NoArchive, Unreadable
from trap.config import Config
from trap.web import api, campaigns, download, health, login, message, messages, now, queues, reports
from trap.web.guard import FOR_PROGRAMS, HEADERS, Guard
from trap.web.openapi import ROOT
from trap.web.site import STATIC, Site, site

log = logging.getLogger("spamtrap.web")

SESSION_SECONDS = 12 * 3600
_YEAR = 365 * 86400
_TITLES = {
    403: "This is not allowed",
    404: "Nothing is here",
    405: "This can't be done here",
    429: "Too many tries",
}
_WHAT = {
    404: "The address is mistyped, or of something that is gone. The search finds all that was archived."
}
_FOR_API = {404: f"nothing is here: {ROOT}/openapi.json says what there is"}


def build(config: Config) -> Starlette:
    """The application for one trap.

    Args:
        config: of the trap; nothing of it is opened before the first request.

    Raises:
        OSError: the trap's secret can't be read or made.
    """
    here = Site(config)
    secret = keys.key(config.paths.state, "web session").hex()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        app.state.site.close()

    app = Starlette(
        routes=routes(),
        middleware=[
            Middleware(
                SessionMiddleware,
                secret_key=secret,
                session_cookie=f"spamtrap-{config.web.port}",
                max_age=SESSION_SECONDS,
                same_site="strict",
                https_only=bool(config.web.proxies),  # behind a proxy there is TLS
            ),
            Middleware(Guard, web=config.web, ended=here.ended),
        ],
        exception_handlers={
            HTTPException: refused,
            NoArchive: no_archive,
            Unreadable: unreadable,
            TooSlow: too_slow,
            OSError: trouble,
            Exception: failed,
        },
        lifespan=lifespan,
    )
    app.state.site = here
    return app


def routes() -> list[BaseRoute]:
    """Every page."""
    return [
        *login.routes,
        *now.routes,
        *queues.routes,
        *reports.routes,
        *messages.routes,
        *campaigns.routes,
        *download.routes,
        *message.routes,
        *api.routes,
        *health.routes,
        Mount("/static", _Kept(directory=STATIC), name="static"),
    ]


class _Kept(StaticFiles):
    """Files whose address changes when they do (trap.web.site.static): browsers may keep them."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        answer = await super().get_response(path, scope)
        answer.headers["Cache-Control"] = f"public, max-age={_YEAR}, immutable"
        return answer


def wrong(request: Request, status: int, title: str, what: str, then: str = "") -> Response:
    """A page that says what is wrong and what to do, or the same for a program."""
    if request.url.path.startswith(FOR_PROGRAMS):
        return JSONResponse({"error": what or title}, status)
    return site(request).render(request, "error.html", status, title=title, what=what, then=then)


async def refused(request: Request, error: Exception) -> Response:
    """An answer that a page gave by raising it."""
    assert isinstance(error, HTTPException)
    if error.status_code < 400:
        return Response(status_code=error.status_code, headers=error.headers)
    status = error.status_code
    what = _FOR_API if request.url.path.startswith("/api/") else _WHAT
    said = error.detail if error.detail != HTTPStatus(status).phrase else what.get(status, "")
    return wrong(request, status, _TITLES.get(status, "This did not work"), said)


async def no_archive(request: Request, error: Exception) -> Response:
    """Nothing was archived yet: lists are empty, and what has a name of its own is not there."""
    if request.url.path.startswith(FOR_PROGRAMS):
        return JSONResponse({"error": "nothing is archived yet"}, 404)
    return wrong(
        request,
        404 if request.path_params else 200,
        "No mail is archived yet",
        "The archive begins with the first message that comes through the pipeline.",
        f"spamtrap replay some.eml --to {site(request).mail_address()}",
    )


async def unreadable(request: Request, error: Exception) -> Response:
    """The index is damaged."""
    log.error("the index can't be read: %s", error)
    return wrong(
        request,
        503,
        "The index can't be read",
        "Nothing is lost: it is made anew from the archive. Try again in a moment, or make it yourself:",
        "spamtrap archive reindex",
    )


async def too_slow(request: Request, error: Exception) -> Response:
    """The index could not answer in time."""
    return wrong(request, 503, "This took too long", f"{error}")


async def trouble(request: Request, error: Exception) -> Response:
    """A disk or a directory that is not as it should be."""
    log.error("%s: %s", request.url.path, error)
    return wrong(request, 503, "The disk or the spool is in trouble", str(error), "spamtrap doctor")


async def failed(request: Request, error: Exception) -> Response:
    """A mistake of ours."""
    name = secrets.token_hex(4)
    log.error("mistake %s at %s", name, request.url.path, exc_info=error)
    answer = wrong(
        request,
        500,
        "This is our mistake",
        f"The log of `spamtrap web` has the details under the name {name}. Nothing is lost.",
    )
    answer.headers.update(HEADERS)  # it is given outside of the guard
    return answer
