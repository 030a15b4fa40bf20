"""What a viewer and its children say to each other: frames over a socket, each with its length in front."""

import socket
import time

import msgspec

MAX_FRAME = 256 << 20
"""Bytes; whoever sends more is not one of us."""
NO_PART = "no such part"
READY = b"+"
"""What a child says first, once it has loaded all it needs."""
_LENGTH = 4


class Source(msgspec.Struct):
    """A message's size, and what is known of it besides."""

    id: str
    size: int
    received_at: float
    client_ip: str = ""
    helo: str = ""
    server_ip: str = ""
    protocol: str = ""
    rcpts: list[str] = []


class Request(msgspec.Struct):
    """What a child is asked for; the messages' own bytes follow in frames of their own."""

    what: str
    """view, part, packed or difference."""
    sources: list[Source]
    number: int | None = None
    images: bool = False
    seconds: float = 1.5


class Answer(msgspec.Struct):
    """One section of an answer."""

    section: str
    """Its name; "done" for the last frame."""
    found: msgspec.Raw = msgspec.Raw(b"\xc0")
    error: str = ""


class NoPart(LookupError):
    """The message has no part of that number."""


class Cut(ConnectionError):
    """The other side is gone, or says what makes no sense."""


def send(sock: socket.socket, frame: bytes, deadline: float | None = None) -> None:
    """Send one frame.

    Args:
        sock: connected.
        frame: what is sent.
        deadline: of `time.monotonic()`; None waits for ever.

    Raises:
        TimeoutError: the deadline is past.
        OSError: the other side is gone.
    """
    _patience(sock, deadline)
    sock.sendall(len(frame).to_bytes(_LENGTH, "big"))
    sock.sendall(frame)


def receive(sock: socket.socket, deadline: float | None = None) -> bytearray:
    """Wait for one frame.

    Raises:
        Cut: the other side is gone.
        TimeoutError: the deadline is past.
    """
    length = int.from_bytes(_exactly(sock, _LENGTH, deadline), "big")
    if length > MAX_FRAME:
        raise Cut(f"a frame of {length} bytes")
    return _exactly(sock, length, deadline)


def _exactly(sock: socket.socket, length: int, deadline: float | None) -> bytearray:
    buffer = bytearray(length)
    rest = memoryview(buffer)
    while rest:
        _patience(sock, deadline)
        got = sock.recv_into(rest)
        if not got:
            raise Cut("the other side is gone")
        rest = rest[got:]
    return buffer


def _patience(sock: socket.socket, deadline: float | None) -> None:
    if deadline is None:
        return
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    sock.settimeout(left)
