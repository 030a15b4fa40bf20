"""A connection as a proxy holds it, at either end: bytes and open files, in an asyncio loop."""

import asyncio
import os
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress
from typing import Self

from daemon import LOOPBACK

_RESET = struct.pack("ii", 1, 0)
"""For SO_LINGER: close sends a reset."""


class Line:
    """A connection, over which open files may be passed, as some clients of clamd do."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._files: list[int] = []
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def to(cls, target: int | str) -> Self:
        """A connection to a port on loopback, or to a UNIX socket."""
        line = cls(socket.socket(socket.AF_UNIX if isinstance(target, str) else socket.AF_INET))
        try:
            address = target if isinstance(target, str) else (LOOPBACK, target)
            await line._loop.sock_connect(line._sock, address)
        except BaseException:
            line.close()
            raise
        return line

    async def read(self) -> bytes:
        """What comes next, files included; nothing at the end."""
        while True:
            try:
                piece, files, _, _ = socket.recv_fds(self._sock, 1 << 16, 8)
            except BlockingIOError:
                await self._readable()
            else:
                self._files += files
                return piece

    async def _readable(self) -> None:
        ready = self._loop.create_future()
        self._loop.add_reader(self._sock, lambda: ready.done() or ready.set_result(None))
        try:
            await ready
        finally:
            self._loop.remove_reader(self._sock)

    def files(self) -> list[int]:
        """Files that came and were not passed on yet; they are the caller's now."""
        files, self._files = self._files, []
        return files

    async def write(self, piece: bytes, files: Sequence[int] = ()) -> None:
        """Send, with files, which are closed."""
        try:
            if files:
                piece = piece[socket.send_fds(self._sock, [piece], files) :]
            await self._loop.sock_sendall(self._sock, piece)
        finally:
            for file in files:
                os.close(file)

    def finish(self) -> None:
        """Say that nothing more comes from us."""
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)

    def resets(self) -> None:
        """Have it end with a reset, where there is such a thing."""
        with suppress(OSError):
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)

    def close(self) -> None:
        """Hang up."""
        for file in self.files():
            os.close(file)
        self._sock.close()
