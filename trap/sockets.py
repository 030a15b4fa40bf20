"""What a connection asks of its socket, past the transport that has it."""

import asyncio
import fcntl
import os
import socket
import ssl
import termios
from contextlib import closing, suppress
from typing import Any

_NONE_WAITING = b"\0\0\0\0"


def address(said: Any) -> tuple[str, int]:
    """Host and port of a socket address; empty for a UNIX socket."""
    if type(said) is not tuple:
        return "", 0
    host = said[0]
    return (host[7:] if host.startswith("::ffff:") else host), said[1]


def waiting(transport: asyncio.Transport) -> bytes:
    """The first bytes of what has come and was not read yet; empty when nothing has."""
    sock = transport.get_extra_info("socket")
    if fcntl.ioctl(sock.fileno(), termios.FIONREAD, _NONE_WAITING) == _NONE_WAITING:
        return b""
    return peek(sock.fileno(), sock.family) or b"?"


def peek(fd: int, family: int) -> bytes:
    """The first two bytes that wait at a socket, left there; empty when no more files may be open."""
    with suppress(OSError), closing(socket.socket(family, fileno=os.dup(fd))) as copy:
        return copy.recv(2, socket.MSG_PEEK)
    return b""


def taken_from(transport: asyncio.Transport) -> socket.socket:
    """The connection without its transport, which ends: it would read what TLS is to read.

    Raises:
        OSError: no more files may be open.
    """
    sock = transport.get_extra_info("socket")
    copy = socket.socket(sock.family, socket.SOCK_STREAM, fileno=os.dup(sock.fileno()))
    transport.set_protocol(asyncio.Protocol())  # its end is not ours
    transport.abort()
    return copy


async def shake_hands(
    loop: asyncio.AbstractEventLoop,
    protocol: asyncio.Protocol,
    plain: asyncio.Transport | socket.socket | None,
    context: ssl.SSLContext,
    seconds: float,
) -> asyncio.Transport | None:
    """Begin TLS as the server.

    Args:
        loop: the running event loop.
        protocol: hears what comes after the handshake.
        plain: the connection.
        context: our certificate.
        seconds: that the handshake may take.

    Returns:
        The secured transport; None when it came to nothing.
    """
    transport = None
    try:
        if isinstance(plain, socket.socket):
            transport, _ = await loop.connect_accepted_socket(
                asyncio.Protocol, plain, ssl=context, ssl_handshake_timeout=seconds
            )
            transport.set_protocol(protocol)
        elif plain is not None:
            transport = await loop.start_tls(
                plain, protocol, context, server_side=True, ssl_handshake_timeout=seconds
            )
    except (OSError, RuntimeError, asyncio.CancelledError):
        return None  # gone, or no TLS of ours (RuntimeError is uvloop's for gone), or aborted
    return transport
