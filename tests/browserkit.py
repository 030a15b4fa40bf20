"""A real Chromium for the tests of the web interface, somebody outside who listens, and a witness."""

import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import MSG_PEEK
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Dialog, Error, Page, sync_playwright
from support import lack, need

ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
REBOUND = "rebound.example"
"""A name that somebody else's DNS points at this machine."""
TLS = b"\x16"
"""Begins a record with a handshake."""
_RAN = re.compile(r"\A/ran-([a-z-]+)/\Z")
"""What a specimen says that runs; Chromium says more about those that it stops."""
_SPECIMEN = re.compile(r"(?:GET|POST) /([a-z-]+)|([a-z-]+)\.zoo\.example")


class Elsewhere:
    """A server on loopback that is not the trap's: it has pages of a test, and remembers who asks for others.

    Attributes:
        pages: path, and the headers and the body that it answers with.
        asked: the first bytes of all other connections.
    """

    def __init__(self) -> None:
        self.pages: dict[str, tuple[Mapping[str, str], str]] = {}
        self.asked: list[str] = []
        there = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 5

            def handle(self) -> None:
                with suppress(OSError):
                    first = self.connection.recv(4096, MSG_PEEK)
                    while first[:1] == TLS and len(first) < 5 + int.from_bytes(first[3:5]):
                        time.sleep(0.01)  # the name stands somewhere in the first record (RFC 8446, 5.1)
                        first = self.connection.recv(4096, MSG_PEEK)
                    line = first.decode("latin-1")
                    if line.partition(" ")[2].partition(" ")[0] in there.pages:
                        super().handle()
                    else:
                        there.asked.append(line)

            def do_GET(self) -> None:
                headers, body = there.pages[self.path]
                self.send_response(200)
                for name, value in {"Content-Type": "text/html; charset=utf-8", **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self.address = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def names(self) -> set[str]:
        """The specimens that asked."""
        return {a or b for each in self.asked for a, b in _SPECIMEN.findall(each)}

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()


class Witness:
    """Sees what the pages of a browser's context do.

    Attributes:
        ran: names of the specimens that ran.
        did: anything else that no page of ours does: dialogs, other windows, downloads, requests to others.
    """

    def __init__(self, context: BrowserContext, *ours: str) -> None:
        self.ran: list[str] = []
        self.did: list[str] = []
        self._ours = (*ours, "data:", "about:", "blob:")
        context.on("console", lambda said: self.ran.extend(_RAN.findall(said.text)))
        context.on("dialog", self._spoken)
        context.on("page", self._opened)
        context.on("request", lambda asked: self._asked(asked.url))
        context.on("weberror", lambda error: self.did.append(f"error {error.error}"))

    def _spoken(self, box: Dialog) -> None:
        self.did.append(f"dialog {box.message}")
        box.dismiss()

    def _opened(self, page: Page) -> None:
        if page.opener():
            self.did.append(f"window {page.url}")
        page.on("download", lambda got: self.did.append(f"download {got.url}"))

    def _asked(self, url: str) -> None:
        if not url.startswith(self._ours):
            self.did.append(f"request {url}")


@contextmanager
def elsewhere() -> Iterator[Elsewhere]:
    """A server that is not ours, for as long as it is wanted."""
    with closing(Elsewhere()) as made:
        yield made


@contextmanager
def chromium(outside: Elsewhere) -> Iterator[Browser]:
    """A Chromium for which all the world is `outside`, but for loopback itself."""
    path = need("chromium")
    world = f"MAP {REBOUND} 127.0.0.1, MAP *.zoo.example 127.0.0.1:{outside.port}, MAP * ~NOTFOUND"
    rules = f"--host-resolver-rules={world}, EXCLUDE 127.0.0.1"
    try:
        started = sync_playwright().start()
    except (OSError, Error) as error:
        lack(f"playwright's driver can't run here: {error}")
    try:
        browser = started.chromium.launch(executable_path=path, args=[*ARGUMENTS, rules])
        yield browser
        browser.close()
    finally:
        started.stop()


CLICK = """
document.querySelectorAll('*').forEach(each => {
  if (each.isConnected && each.matches('a, area, button, input, summary, zoo, [title], label, b, p'))
    each.dispatchEvent(new MouseEvent('click', {bubbles: true, cancelable: true}));
})"""
SETTLED = 700
"""Milliseconds within which what is going to happen happens."""


def clicked(page: Page) -> None:
    """Click on all that is in the frames of a page."""
    for frame in page.frames[1:]:
        try:
            frame.evaluate(CLICK)
        except Error:  # it led away already
            continue
