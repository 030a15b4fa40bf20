"""Stands before every page: who may ask, from where, and what a browser may do with the answer.

* The Host header must be an address, localhost, or a configured name: a name that somebody else's
  DNS points at us (DNS rebinding) is none of these.
* What changes something comes from a page of ours: by Origin, or by Sec-Fetch-Site where a browser
  sends no Origin. The forms carry a token besides (trap/web/forms.py).
* Where there are users, nothing but the login page and the health checks is shown to others.
* A Content-Security-Policy (W3C, CSP 3) lets pages load what is ours, and nothing else.
"""

import hmac
import re
from collections.abc import Container
from ipaddress import ip_address
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trap.configweb import Web
from trap.web import passwords

PUBLIC = ("/login", "/static/", "/healthz", "/readyz")
FOR_PROGRAMS = ("/api/", "/metrics")
"""Where a token is enough, and where it is said in their language that something is missing."""
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " form-action 'self'; frame-src 'self'; base-uri 'none'; frame-ancestors 'none'"
)
MAX_BODY = 256 << 10
"""Bytes of a request's body."""
HEADERS = {
    "Content-Security-Policy": PAGE_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?")
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
LOCAL = "local"
"""Who asks where nobody has to log in."""


class Guard:
    """The outermost layer but for the sessions.

    Args:
        app: what is guarded.
        web: the configuration's part.
        ended: ids of sessions that were logged out.
    """

    def __init__(self, app: ASGIApp, web: Web, ended: Container[str] = frozenset()) -> None:
        self._app = app
        self._web = web
        self._ended = ended
        self._names = frozenset(name.lower() for name in web.names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer for the application, or let it answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(HTTPConnection(scope), scope)
        await (refusal or self._app)(scope, _bounded(receive), guarded)

    def _refusal(self, asked: HTTPConnection, scope: Scope) -> Response | None:
        headers = asked.headers
        if not self.is_ours(headers.get("host", "")):
            return PlainTextResponse(
                "This name is not one of ours. Add it to web.names in the configuration.\n", 421
            )
        path: str = scope["path"]
        if (
            not is_same_origin(headers, scope["scheme"])
            if scope["method"] not in _SAFE
            else is_foreign(headers, path)
        ):
            return PlainTextResponse("This request did not come from a page of ours.\n", 403)
        user = self.user(asked)
        scope["user"] = user
        if user or path.startswith(PUBLIC):
            return None
        if path.startswith(FOR_PROGRAMS):
            return JSONResponse(
                {"error": "a token is needed: Authorization: Bearer st_… (spamtrap web-token)"},
                401,
                {"WWW-Authenticate": "Bearer"},
            )
        query = "?" + scope["query_string"].decode("latin-1") if scope["query_string"] else ""
        back = f"?next={quote(path + query)}" if scope["method"] == "GET" and path != "/" else ""
        return RedirectResponse(f"/login{back}", 303)

    def is_ours(self, host: str) -> bool:
        """Whether a Host header names us; see the top of the module."""
        match = _HOST.fullmatch(host.lower())
        if not match:
            return False
        name = match[1].rstrip(".")
        if name in self._names or name == "localhost" or name.endswith(".localhost"):
            return True
        try:
            ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True

    def user(self, asked: HTTPConnection) -> str | None:
        """Who asks: who logged in, the program that has a token, or LOCAL where nobody has to."""
        if not self._web.users:
            return LOCAL
        scheme, _, token = asked.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and asked.scope["path"].startswith(FOR_PROGRAMS):
            return passwords.owner(token.strip(), self._web.tokens)
        if asked.session.get("id") in self._ended:
            return None
        name = asked.session.get("user", "")
        known = self._web.users.get(name)
        # A new password ends the sessions that the old one began.
        if known and hmac.compare_digest(asked.session.get("as", ""), known[-16:]):
            return str(name)
        return None


def is_foreign(headers: Headers, path: str) -> bool:
    """Whether another site's page asks for something itself, rather than leading somebody to a page of ours.

    Where nobody has to log in there is no cookie that it would lack. Programs send no such fields (Fetch
    Metadata Request Headers, W3C).
    """
    if headers.get("sec-fetch-site", "none") in {"none", "same-origin"}:
        return False
    return headers.get("sec-fetch-mode") != "navigate" or path.startswith(FOR_PROGRAMS)


def _bounded(receive: Receive) -> Receive:
    """The same without more of a body than any form of ours has."""
    taken = 0

    async def some() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > MAX_BODY:
            raise HTTPException(413, "This is more than any form here holds.", {"Connection": "close"})
        return message

    return some


def is_same_origin(headers: Headers, scheme: str) -> bool:
    """Whether a browser says that a request comes from a page of the same origin (RFC 6454; Fetch, 3.1)."""
    origin = headers.get("origin")
    if origin is not None:
        return origin == f"{scheme}://{headers.get('host', '')}"
    return headers.get("sec-fetch-site") == "same-origin"
