"""A real web server that takes reports: uvicorn on loopback, with a certificate of its own."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from trap.tls import own_certificate


@dataclass
class Taken:
    """A request that came."""

    method: str
    target: str
    fields: dict[str, str]
    body: bytes


def thanks(taken: Taken) -> Response:
    """What is answered, if nothing else is said."""
    return Response("thank you")


@dataclass
class Receiver:
    """The server. What it got is in `taken`; what it answers may be changed.

    Attributes:
        url: of it.
        ca: file of the certificate that it shows, which is signed by itself.
    """

    url: str
    ca: Path
    answer: Callable[[Taken], Response] = thanks
    taken: list[Taken] = field(default_factory=list)

    async def take(self, request: Request) -> Response:
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        taken = Taken(request.method, target, dict(request.headers), await request.body())
        self.taken.append(taken)
        return self.answer(taken)

    def forget(self) -> None:
        """Be as new."""
        self.taken.clear()
        self.answer = thanks


@contextmanager
def receiver(home: Path) -> Iterator[Receiver]:
    """One that runs.

    Args:
        home: for its certificate and key.
    """
    certificate, key = own_certificate(home, "localhost", None)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        made = Receiver(f"https://localhost:{listening.getsockname()[1]}", certificate)
        methods = ["GET", "HEAD", "OPTIONS", "POST"]
        app = Starlette(routes=[Route("/{rest:path}", made.take, methods=methods)])
        config = uvicorn.Config(
            app,
            ssl_certfile=certificate,
            ssl_keyfile=key,
            log_config=None,
            log_level="critical",
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            yield made
        finally:
            server.should_exit = True
            thread.join()
