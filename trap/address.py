"""Where another program listens: a UNIX socket, or a host and port, with TLS if it wants that."""

import asyncio
import ipaddress
import os
import socket
import ssl
import threading
from contextlib import suppress
from functools import cache
from typing import Any, NamedTuple, Self

CONNECT = 3.0
"""Seconds for a connection to come about; a lost packet is sent again after one."""
BUSY_PAUSE = 0.02
"""Seconds between tries when a listener's queue of connections is full."""
MAX_LINE = 64 << 10
"""Longest line that a stream of ours reads at once, in bytes."""

Place = tuple[int, Any]
"""A family of addresses, and one of them with a port."""


class Address(NamedTuple):
    """One of them.

    Attributes:
        host: name or address; empty for a UNIX socket.
        port: of TCP or UDP.
        path: of a UNIX socket; empty for TCP.
        tls: whether it is spoken to in TLS; its certificate has to be in order.
    """

    host: str = ""
    port: int = 0
    path: str = ""
    tls: bool = False

    @classmethod
    def parse(cls, text: str, port: int | None = None) -> Self:
        """Read "/path/of/socket", "host:port", "[v6 address]:port" or "tls://host:port".

        Args:
            text: the address.
            port: what is meant when none is given; then "::1" will do, too.

        Raises:
            ValueError: it is none of them.
        """
        tls = text.startswith("tls://")
        bare = text.removeprefix("tls://")
        if bare.startswith("/"):
            return cls(path=bare, tls=tls)
        host, said = _split(bare, port)
        if not host or any(each.isspace() or each in "/@" for each in host) or not 0 < said < 65536:
            expected = "/path/of/socket, host:port or tls://host:port"
            raise ValueError(f"{text!r} is not the address of a server; write {expected}")
        return cls(host, said, tls=tls)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return ("tls://" if self.tls else "") + (self.path or f"{host}:{self.port}")

    async def connect(self) -> socket.socket:
        """Connect, without TLS.

        Returns:
            A socket that does not block.

        Raises:
            OSError: nobody there; TimeoutError, which is one, when that took longer than CONNECT.
        """
        try:
            async with asyncio.timeout(CONNECT):
                return await (_connect_unix(self.path) if self.path else _connect_tcp(self.host, self.port))
        except TimeoutError:
            raise TimeoutError(f"no connection within {CONNECT:g} s") from None

    async def streams(
        self, context: ssl.SSLContext | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect, with TLS if it is to be.

        Args:
            context: what TLS is spoken by, instead of one that trusts whom the system trusts.

        Raises:
            OSError: as above, or TLS went wrong (ssl.SSLError is one).
        """
        sock = await self.connect()
        try:
            if not self.tls:
                return await asyncio.open_connection(sock=sock, limit=MAX_LINE)
            context = context or _context(os.environ.get("SSL_CERT_FILE", ""))
            name = self.host or "localhost"
            return await asyncio.open_connection(sock=sock, limit=MAX_LINE, ssl=context, server_hostname=name)
        except BaseException:  # cancelled at the deadline, too
            sock.close()
            raise

    async def datagrams(self) -> socket.socket:
        """A socket for UDP that sends there, and hears from nowhere else.

        Returns:
            One that does not block.

        Raises:
            OSError: there is no such host; TimeoutError, which is one, when that took longer than CONNECT.
        """
        trouble = OSError("UDP is spoken to a host and a port")
        try:
            async with asyncio.timeout(CONNECT):
                places = await _looked_up(self.host, self.port) if self.host else []
        except TimeoutError:
            raise TimeoutError(f"no address of {self.host} within {CONNECT:g} s") from None
        for family, target in places:
            sock = socket.socket(family, socket.SOCK_DGRAM)
            try:
                sock.setblocking(False)
                sock.connect(target)  # sends nothing
                return sock
            except OSError as error:  # no way to that family of addresses
                sock.close()
                trouble = error
        raise trouble


@cache
def _context(_authorities: str) -> ssl.SSLContext:
    """What TLS is spoken by. To read all authorities takes 17 ms, and some servers want a connection a mail.

    Args:
        _authorities: the file that OpenSSL takes them from instead of the system's.
    """
    return ssl.create_default_context()


def _split(text: str, port: int | None) -> tuple[str, int]:
    if port is not None:
        try:
            return str(ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))), port
        except ValueError:
            pass
    host, colon, said = text.rpartition(":")
    if not colon:
        return (text, port) if port is not None else ("", 0)
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        return "", 0  # an IPv6 address without brackets: where does it end?
    return host.removeprefix("[").removesuffix("]"), int(said) if said.isdecimal() else 0


async def _looked_up(host: str, port: int) -> list[Place]:
    """Where a host is.

    The system's resolver can't be interrupted, and may take half a minute. So each question has a thread
    that nobody waits for: neither the worker's end, nor those who need asyncio's few.
    """
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        pass
    else:
        return [(socket.AF_INET6 if version == 6 else socket.AF_INET, (host, port))]
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[Place]] = loop.create_future()

    def tell(found: list[Place] | OSError) -> None:
        if answer.done():
            return
        if isinstance(found, OSError):
            answer.set_exception(found)
        else:
            answer.set_result(found)

    def look() -> None:
        found: list[Place] | OSError
        try:
            entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found = [(family, target) for family, _, _, _, target in entries]
        except OSError as error:
            found = error
        except UnicodeError:
            found = OSError("no name of a host")
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(tell, found)

    threading.Thread(target=look, name=f"look {host} up", daemon=True).start()
    return await answer


async def _connect_tcp(host: str, port: int) -> socket.socket:
    loop = asyncio.get_running_loop()
    trouble: OSError = OSError("no such host")
    places = await _looked_up(host, port)
    for family, target in places:
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            async with asyncio.timeout(CONNECT / len(places)):  # the next one wants time, too
                await loop.sock_connect(sock, target)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock
        except OSError as error:
            sock.close()
            trouble = error
        except BaseException:  # cancelled at the deadline
            sock.close()
            raise
    raise trouble


async def _connect_unix(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        while True:
            try:
                # Not loop.sock_connect(), which takes EAGAIN for "under way": on a UNIX socket it
                # says that the listener's queue is full, and nothing is under way.
                sock.connect(path)
                return sock
            except BlockingIOError:
                await asyncio.sleep(BUSY_PAUSE)
    except BaseException:
        sock.close()
        raise
