"""A client of web servers: a request, and what is answered. HTTP itself is h11's.

It does little, on purpose. It goes where the URL of the configuration says and nowhere else: redirects are
answers like others, proxies of the environment and cookies are not known here. Certificates are checked, and
without TLS it speaks to this host only, unless that is wanted. Each request has a connection of its own, if
nobody wants it kept: none is ever written into one that the other side is about to close, so that "was it
taken?" is asked seldom.

Nothing here has a time limit of its own: the caller puts one deadline around all of it.

Protocol: RFC 9110, RFC 9112.
"""

import asyncio
import ipaddress
import re
import ssl
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import NamedTuple, Self
from urllib.parse import urlsplit

import h11

from trap.address import Address
from trap.backend import Broken
from trap.envelope import printable

MAX_ANSWER = 64 << 10
"""Bytes of an answer's body that are read when nothing else is asked for."""
MAX_SAID = 200
"""Characters of an answer that are told."""
MAX_PAUSE = 86_400.0
"""Seconds that a server may ask us to stay away."""
CHUNK = 1 << 16
"""Bytes read at once."""
_MAX_INTERIM = 10
"""Answers of 1xx before the one that counts."""

_PORTS = {"https": 443, "http": 80}
_TARGET = re.compile(r"[!-~]+")

Fields = Iterable[tuple[str, str | bytes]]


class Endpoint(NamedTuple):
    """Where a URL leads.

    Attributes:
        address: of the server.
        target: path and query.
        host: as the request names it.
    """

    address: Address
    target: str
    host: str

    @classmethod
    def parse(cls, url: str, *, plain: bool = False) -> Self:
        """Read "https://host[:port]/path"; "http://" as well, to this host or if `plain`.

        Raises:
            ValueError: it is none, or it holds what belongs into a file.
        """
        try:
            parts = urlsplit(url)
            port = parts.port or _PORTS.get(parts.scheme, 0)
        except ValueError as error:
            raise ValueError(f"{url!r} is no URL: {error}") from None
        host, target = parts.hostname or "", parts.path or "/"
        if parts.query:
            target += f"?{parts.query}"
        if parts.username is not None or parts.password is not None:
            raise ValueError(f"a URL with a password in it is for all to read who see {host}'s; use a file")
        if not port or not host.isascii() or not host or not _TARGET.fullmatch(target):
            raise ValueError(f"{url!r} is no URL of a server; write https://host/path, in ASCII letters")
        tls = parts.scheme == "https"
        if not (tls or plain or _is_here(host)):
            raise ValueError(f"{url!r} would be read by all on its way; write https://, or allow_http: true")
        shown = f"[{host}]" if ":" in host else host
        address = Address.parse(f"{'tls://' if tls else ''}{shown}:{port}")
        return cls(address, target, shown if port == _PORTS[parts.scheme] else f"{shown}:{port}")

    def beside(self, path: str) -> str:
        """The target of another page below this one."""
        return f"{self.target.partition('?')[0].rstrip('/')}/{path}"


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def trust(ca: Path | None) -> ssl.SSLContext:
    """Who is believed: those that sign certificates in a file, or else all that the system knows.

    Raises:
        ValueError: the file can't be read, or holds no certificate.
    """
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "no certificates in it"
        raise ValueError(f"ca: {ca}: {why}") from None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered.

    Attributes:
        status: from 200 on.
        reason: its words behind the status.
        fields: of the header, by names in lower case; of several with one name the last.
        body: its bytes, or the first of them.
        whole: whether there were no more.
    """

    status: int
    reason: str = ""
    fields: dict[str, str] | None = None
    body: bytes = b""
    whole: bool = True

    def field(self, name: str) -> str:
        """A field of the header, by its name in lower case; "" when it is not there."""
        return (self.fields or {}).get(name, "")

    @property
    def said(self) -> str:
        """Status and words, short and fit to be shown."""
        text = self.body.decode("utf-8", "replace").strip()
        words = " ".join(printable(" ".join(text.split())[:MAX_SAID]).split())
        return " ".join(filter(None, (str(self.status), printable(self.reason)[:MAX_SAID], words)))

    @property
    def pause(self) -> float:
        """Seconds for which the server wants to be left alone (Retry-After); 0 when it does not say."""
        text = self.field("retry-after").strip()
        if text.isascii() and text.isdecimal():
            return min(float(text[:9]), MAX_PAUSE)
        try:
            until = parsedate_to_datetime(text).timestamp()
        except (ValueError, OverflowError, OSError):
            return 0.0
        return min(max(0.0, until - time.time()), MAX_PAUSE)


class Session:
    """A connection to a web server. It takes one request, or with `keep` as many as the server lets us."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, *, keep: bool = False
    ) -> None:
        self._keep = keep
        self._reader = reader
        self._writer = writer
        self._host = host
        self._http = h11.Connection(h11.CLIENT)

    @classmethod
    async def open(cls, address: Address, host: str, context: ssl.SSLContext | None = None) -> Self:
        """Connect; HTTP has no greeting.

        Args:
            address: the server's.
            host: as the request is to name it.
            context: what TLS is spoken by, if the address asks for it.

        Raises:
            OSError: nobody there, or its certificate is not in order (ssl.SSLError is one).
        """
        return cls(*await address.streams(context), host)

    @property
    def reusable(self) -> bool:
        """Whether the server keeps the connection, and has said nothing that was not asked."""
        return self._keep and self._http.our_state is h11.IDLE and not self._http.trailing_data[0]

    async def ask(
        self,
        method: str,
        target: str,
        fields: Fields = (),
        body: bytes = b"",
        *,
        commit: Callable[[], object] = lambda: None,
        most: int = MAX_ANSWER,
    ) -> Answer:
        """Send the request, and wait for what is answered.

        Args:
            method: GET, POST and so on.
            target: path and query.
            fields: of the header, besides those that HTTP itself needs.
            body: what is sent.
            commit: called right before the first byte goes.
            most: bytes of the answer that are read.

        Raises:
            OSError, Broken: the conversation broke.
        """
        needed = {"Host": self._host, "User-Agent": "spamtrap"}
        if not self._keep:
            needed["Connection"] = "close"
        if body or method == "POST":
            needed["Content-Length"] = str(len(body))
        request = h11.Request(
            method=method, target=target, headers=[*map(_field, [*needed.items(), *fields])]
        )
        pieces = [
            piece
            for event in (request, h11.Data(data=body), h11.EndOfMessage())
            for piece in self._http.send_with_data_passthrough(event) or ()
        ]
        commit()
        # A server that has had enough answers and hangs up. The answer can often be read still.
        with suppress(BrokenPipeError, ConnectionResetError):
            self._writer.writelines(pieces)
            await self._writer.drain()
        try:
            head = await self._head()
        except h11.RemoteProtocolError as error:
            raise Broken(f"answers no good HTTP: {printable(str(error))[:80]}") from None
        body, whole = await self._body(most)
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        told = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
        return Answer(head.status_code, head.reason.decode("latin-1"), told, body, whole)

    def close(self) -> None:
        """Hang up at once: a server that has stopped reading would hold for good what is under way to it."""
        self._writer.transport.abort()

    async def _head(self) -> h11.Response:
        for _ in range(_MAX_INTERIM):
            event = await self._event()
            if isinstance(event, h11.Response):
                return event
            if not isinstance(event, h11.InformationalResponse):
                raise Broken("hung up")
        raise Broken("answers without an end")

    async def _body(self, most: int) -> tuple[bytes, bool]:
        """What follows; whether all of it. The status tells enough when it breaks off, or has no end."""
        body = bytearray()
        with suppress(OSError, Broken, h11.RemoteProtocolError):
            while isinstance(event := await self._event(), h11.Data):
                body += event.data
                if len(body) > most:
                    return bytes(body[:most]), False
            return bytes(body), isinstance(event, h11.EndOfMessage)
        return bytes(body), False

    async def _event(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            data = await self._reader.read(CHUNK)
            if not data and self._http.their_state is h11.SEND_RESPONSE:
                heard = self._http.trailing_data[0]
                raise Broken(f"hung up after {heard[:60]!r}" if heard else "hung up")
            self._http.receive_data(data)
        return event


def _field(field: tuple[str, str | bytes]) -> tuple[bytes, bytes]:
    name, value = field
    return name.encode("ascii"), value if isinstance(value, bytes) else value.encode("ascii")
