"""What machines ask for: /healthz, /readyz, and /metrics for Prometheus.

The metrics are of all processes: each tells of itself in the state directory and in the mail log
(trap/metrics.py), so whoever answers knows as much as any.
"""

import asyncio

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from trap.archive.library import Library
from trap.archive.reading import NoArchive, Unreadable
from trap.metrics import exposition
from trap.status import collect
from trap.web.openapi import answer
from trap.web.site import site


async def healthz(request: Request) -> Response:
    """Whether this process answers at all."""
    return PlainTextResponse("ok\n")


async def readyz(request: Request) -> Response:
    """Whether the pages have something to show: the spool is there, and the index can be read."""
    checks = {"spool": await _spool(request), "archive": await _archive(request)}
    return answer(checks, 200 if all(said.startswith("ok") for said in checks.values()) else 503)


async def metrics(request: Request) -> Response:
    """What `spamtrap metrics` prints."""
    here = site(request)
    text = await asyncio.to_thread(lambda: exposition(collect(here.config, here.spool)))
    return Response(text, media_type=CONTENT_TYPE_LATEST)


async def _spool(request: Request) -> str:
    here = site(request)
    try:
        await asyncio.to_thread(lambda: [here.spool[name].stats() for name in here.spool])
    except OSError as error:
        return str(error)
    return "ok"


async def _archive(request: Request) -> str:
    try:
        await site(request).reading.ask(Library.oldest)
    except NoArchive:
        return "ok, but nothing is archived yet"
    except Unreadable as error:
        return str(error)
    return "ok"


routes: list[BaseRoute] = [
    Route("/healthz", healthz),
    Route("/readyz", readyz),
    Route("/metrics", metrics),
]
