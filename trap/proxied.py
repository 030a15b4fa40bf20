"""The PROXY protocol (haproxy's, versions 1 and 2): whose connection a load balancer passes on.

aiosmtpd parses it, from something to be awaited. Here its coroutine is run by hand on the bytes
that are there, which takes no task, and it is bounded: whoever sends more than a header can have is
no load balancer.
"""

import logging
import struct
from collections.abc import Coroutine
from ipaddress import IPv4Address, IPv6Address
from typing import Any, NamedTuple

from aiosmtpd.proxy_protocol import V2_CMD, V2_SIGNATURE, ProxyData, get_proxy

MAX_V1 = 107
"""Bytes of a line of version 1, its end included."""
MAX_V2 = 2048
"""Bytes after the 16 of version 2's head: addresses, 216 at most, then what the balancer cares to add."""
_V1 = b"PROXY "
_V2_HEAD = 16

# Its warnings tell what our ValueError tells, and would come with every hostile connection.
logging.getLogger("mail.debug").setLevel(logging.ERROR)


class Proxied(NamedTuple):
    """What a header said."""

    client: tuple[str, int]
    """Address and port of the client; ("", 0) when the header names none: it is the balancer itself."""
    server: tuple[str, int]
    """Where the client had connected to."""
    rest: bytes
    """What followed the header."""


class ProxyHeader:
    """The begin of one connection, until its header is whole."""

    def __init__(self) -> None:
        self._heard = b""

    def feed(self, data: bytes) -> Proxied | None:
        """Take what came.

        Returns:
            None while the header is not whole.

        Raises:
            ValueError: this is no PROXY header; the text is one line.
        """
        self._heard += data
        size = _size(self._heard)
        if size is None:
            return None
        header, rest = self._heard[:size], self._heard[size:]
        self._heard = b""
        return _proxied(_parsed(header), rest)


def _size(heard: bytes) -> int | None:
    """Bytes of the header that begins here; None when too little is there to know."""
    for begin in (_V1, V2_SIGNATURE):
        if not heard.startswith(begin[: len(heard)]):
            continue
        if begin == _V1:
            end = heard.find(b"\r\n", 0, MAX_V1)
            if end < 0 and len(heard) >= MAX_V1:
                raise ValueError("PROXY header: no end of line within 107 bytes")
            return end + 2 if end >= 0 else None
        if len(heard) < _V2_HEAD:
            return None
        more = struct.unpack_from("!H", heard, _V2_HEAD - 2)[0]
        if more > MAX_V2:
            raise ValueError(f"PROXY header: {more} bytes are too many")
        return _V2_HEAD + more if len(heard) >= _V2_HEAD + more else None
    raise ValueError("PROXY header: there is none")


class _Heard:
    """A whole header, as the parser's coroutine wants to read it. Nothing here ever waits."""

    def __init__(self, header: bytes) -> None:
        self._left = header

    async def read(self, n: int = -1) -> bytes:
        said, self._left = self._left[:n], self._left[n:]
        return said

    async def readexactly(self, n: int = -1) -> bytes:
        return await self.read(n)

    async def readuntil(self, separator: bytes = b"\n") -> bytes:
        return await self.read(self._left.find(separator) + len(separator))


def _parsed(header: bytes) -> ProxyData:
    parser: Coroutine[Any, Any, ProxyData] = get_proxy(_Heard(header))
    try:
        parser.send(None)
    except StopIteration as end:
        said: ProxyData = end.value
        if said.valid:
            return said
        raise ValueError(f"PROXY header: {said.error[:100]}") from None
    parser.close()
    raise ValueError("PROXY header: cut short")


def _proxied(said: ProxyData, rest: bytes) -> Proxied:
    if said.command == V2_CMD.LOCAL:
        return Proxied(("", 0), ("", 0), rest)
    return Proxied(_end(said.src_addr, said.src_port), _end(said.dst_addr, said.dst_port), rest)


def _end(address: object, port: int | None) -> tuple[str, int]:
    """One end of the connection; empty where the balancer does not know it, and for UNIX sockets."""
    if not isinstance(address, IPv4Address | IPv6Address):
        return "", 0
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address), port or 0
