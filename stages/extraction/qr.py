"""Reads QR codes, and Aztec and Data Matrix codes, in images that came by mail.

The images are opened by a child (qr_child.py) within limits of time and memory: one that crashes or
hangs it costs the mail its codes, and nothing else. Needs the extra `qr`: Pillow and zxing-cpp.

    if is_available():
        with closing(Reader()) as reader:
            texts = reader.read(image)
"""

import hashlib
import importlib.util
import socket
import subprocess
import threading
import time

import msgpack

from trap import spawn
from trap.envelope import printable

HINT = "pip install 'spamtrap[qr]' (Pillow and zxing-cpp), or set qr: off"
MAX_IMAGE = 16 << 20
"""Bytes; larger images are not looked at."""
_MAX_ANSWER = 1 << 19
_STARTING = 10.0
"""Seconds that a child may take until it has loaded its libraries."""
_REMEMBERED = 2000
"""Images whose codes are remembered: a wave of mail has the same few pictures in it."""
_LENGTH = 4


class Unreadable(Exception):
    """An image that nothing can be made of; str(error) is why."""


def is_available() -> bool:
    """Whether the libraries are installed."""
    return all(importlib.util.find_spec(name) for name in ("PIL", "zxingcpp"))


class Reader:
    """Looks for codes, with a child that is started when the first image comes and replaced when it dies.

    May be used from several threads, one at a time.

    Args:
        seconds: longest time for one image.
        memory: bytes of address space of the child.
    """

    def __init__(self, seconds: float = 1.5, memory: int = 512 << 20) -> None:
        self._seconds = seconds
        self._memory = memory
        self._child: _Child | None = None
        self._known: dict[bytes, list[str]] = {}
        self._lock = threading.Lock()

    def read(self, image: bytes) -> list[str]:
        """What the codes in an image say, fit to be shown; PNG, JPEG, GIF (its first picture), BMP, WebP.

        Raises:
            Unreadable: it is no such image, or too large, or its reader took too long or died of it.
        """
        if len(image) > MAX_IMAGE:
            raise Unreadable(f"larger than {MAX_IMAGE} bytes")
        digest = hashlib.sha256(image).digest()
        with self._lock:
            found = self._known.pop(digest, None)
            if found is None:
                found = self._ask(image)
            self._known[digest] = found
            if len(self._known) > _REMEMBERED:
                del self._known[next(iter(self._known))]
        return list(found)

    def close(self) -> None:
        """End the child."""
        with self._lock:
            self._end()

    def _ask(self, image: bytes) -> list[str]:
        if self._child and self._child.is_dead():  # of something else than this image
            self._end()
        try:
            self._child = self._child or _Child(self._memory)
            answer = self._child.ask(image, self._seconds)
        except TimeoutError:
            self._end()
            raise Unreadable(f"not read within {self._seconds:g} s") from None
        except (OSError, ValueError) as error:  # ValueError: it says what is no msgpack
            self._end()
            raise Unreadable(f"its reader broke: {error}") from None
        except BaseException:  # a deadline from outside: its answer would be taken for the next image's
            self._end()
            raise
        if isinstance(answer, str):
            raise Unreadable(printable(answer))
        return [printable(str(text)) for text in answer]

    def _end(self) -> None:
        child, self._child = self._child, None
        if child:
            child.kill()


class _Child:
    """The process, and the socket it hears us by."""

    def __init__(self, memory: int) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                spawn.command("stages.extraction.qr_child", str(memory)),
                cwd="/",
                env=spawn.environment({}),
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        try:
            self._receive(1, time.monotonic() + _STARTING)
        except OSError:
            self.kill()
            raise

    def ask(self, image: bytes, seconds: float) -> list[str] | str:
        """What it finds in an image, or why it can't read it.

        Raises:
            OSError: it did not answer in time (TimeoutError), or is gone.
            ValueError: it answered what makes no sense.
        """
        deadline = time.monotonic() + seconds
        self._socket.settimeout(seconds)
        self._socket.sendall(len(image).to_bytes(_LENGTH, "big") + bytes([int(seconds) + 1]) + image)
        length = int.from_bytes(self._receive(_LENGTH, deadline), "big")
        if length > _MAX_ANSWER:
            raise ValueError(f"an answer of {length} bytes")
        answer: list[str] | str = msgpack.unpackb(self._receive(length, deadline))
        return answer

    def is_dead(self) -> bool:
        """Whether it ended while nothing was asked, as when the system was out of memory."""
        return self._process.poll() is not None

    def kill(self) -> None:
        """End it at once."""
        self._socket.close()
        self._process.kill()
        self._process.wait()

    def _receive(self, length: int, deadline: float) -> bytes:
        found = b""
        while len(found) < length:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._socket.settimeout(left)
            got = self._socket.recv(length - len(found))
            if not got:
                raise ConnectionError("it ended")
            found += got
        return found
