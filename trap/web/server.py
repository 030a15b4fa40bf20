"""Runs the web interface: one process, one event loop."""

import logging
import os
import signal
import socket

import uvicorn

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


def run(config: Config) -> int:
    """Serve until SIGTERM or SIGINT.

    Returns:
        The exit code.
    """
    web = config.web
    try:
        listener = Listener(host=web.host, port=web.port, name="web")
        sockets = [sock for sock, _ in open_sockets([listener])]
    except StartError as error:
        log.error("%s", error)
        return error.code
    for sock in sockets:
        log.info("web page at %s", address(sock))
    app = build(config)
    _ = app.state.site.viewer  # its children are to be ready when the first message is opened
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_level=logging.WARNING,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="on",
            loop="uvloop",
            http="h11",  # the strict one; its speed is not what matters here
            ws="none",
            limit_concurrency=_MOST,
            timeout_keep_alive=_IDLE,
            timeout_graceful_shutdown=_GRACE,
            proxy_headers=bool(web.proxies),
            forwarded_allow_ips=web.proxies,
        )
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)  # uvicorn raises what ended it once more, when all is done
    server.run(sockets=sockets)
    return os.EX_OK if server.started else os.EX_UNAVAILABLE


def address(sock: socket.socket) -> str:
    """Where a browser finds what listens on a socket."""
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
