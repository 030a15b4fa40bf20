"""Runs the web interface: one process, one event loop."""

import asyncio
import gc
import logging
import os
import signal
import socket

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from trap.config import Config, Listener
from trap.listening import StartError, open_sockets
from trap.web.app import build

log = logging.getLogger("spamtrap.web")

_MOST = 500
"""Requests at once; more are answered 503."""
_IDLE = 15
"""Seconds that an idle connection is kept."""
_GRACE = 3
"""Seconds that streams and downloads have to end when we stop."""
_YOUNG = 20_000
"""Objects made before Python looks for cycles among them: a page's worth."""


def run(config: Config) -> int:
    """Serve until SIGTERM or SIGINT.

    Returns:
        The exit code.
    """
    web = config.web
    app = build(config)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_level=logging.WARNING,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="on",
            loop="uvloop",
            http=Impatient,
            ws="none",
            limit_concurrency=_MOST,
            timeout_keep_alive=_IDLE,
            timeout_graceful_shutdown=_GRACE,
            proxy_headers=bool(web.proxies),
            forwarded_allow_ips=web.proxies,
        )
    )
    # For as long as uvicorn has not taken over, and when it raises them again at its end.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: setattr(server, "should_exit", True))
    try:
        listener = Listener(host=web.host, port=web.port)
        sockets = [sock for sock, _ in open_sockets([listener])]
    except StartError as error:
        log.error("%s (web.host and web.port, or --port, name another place)", error)
        return error.code
    for sock in sockets:
        log.info("web page at %s", address(sock))
    _ = app.state.site.viewer  # its children are to be ready when the first message is opened
    gc.collect()
    gc.freeze()  # what is loaded by now stays; to look at it again and again held up every thirtieth page
    gc.set_threshold(_YOUNG)
    server.run(sockets=sockets)
    return os.EX_OK if server.started else os.EX_UNAVAILABLE


class Impatient(H11Protocol):
    """Hangs up on who does not say the whole of a request in half a minute at most.

    uvicorn itself waits for ever, and a few hundred silent connections are all it serves at once. (It
    is its stricter parser that this is made of; speed is not what matters here.)
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to look at the clock."""
        super().connection_made(transport)
        self._seen: object = self
        self._look()

    def _look(self) -> None:
        if self.transport.is_closing():
            return
        cycle = self.cycle
        waits = cycle is None or cycle.response_complete or cycle.more_body
        if waits and self._seen is cycle:
            self.transport.close()
            return
        self._seen = cycle if waits else self
        self.loop.call_later(_IDLE, self._look)


def address(sock: socket.socket) -> str:
    """Where a browser finds what listens on a socket."""
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
