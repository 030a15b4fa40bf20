"""Hearing and saying on one connection: lines of any ending, exact counts of bytes, joined replies."""

import asyncio
from contextlib import suppress
from typing import Any, cast

MAX_LINE = 8192
"""Longest command; RFC 5321 asks for 512, clients send more."""
PIECE = 1 << 17
"""Bytes read at once."""


class Talk:
    """The two directions of a connection.

    Replies wait until nothing that was heard is left to be understood: commands that came together
    are answered together (RFC 2920).

    Args:
        reader: what the client says.
        writer: what it is told.
        loop: its clock tells when the client was last heard.

    Attributes:
        heard_at: the loop's time of the last word.
        bare_lf: the last line ended with a bare LF.
        crlf: some line ended with CRLF.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.heard_at = loop.time()
        self.bare_lf = False
        self.crlf = False
        self._reader = reader
        self._writer = writer
        self._time = loop.time
        self._ahead = bytearray()  # heard, not yet understood
        self._replies: list[str] = []

    def say(self, reply: str) -> None:
        """Reply, when it is time."""
        self._replies.append(reply)

    def flush(self) -> None:
        """Send all replies."""
        if self._replies and not self._writer.is_closing():
            self._writer.write(("\r\n".join(self._replies) + "\r\n").encode())
        self._replies.clear()

    async def hear(self) -> bytes:
        """Everything that was said and not yet taken, at least one byte.

        Raises:
            EOFError: nothing more will be said.
        """
        if not self._ahead:
            return await self._listen()
        heard = bytes(self._ahead)
        self._ahead.clear()
        return heard

    def unhear(self, rest: bytes) -> None:
        """Give back what was heard too much."""
        self._ahead[:0] = rest

    def ignore(self) -> None:
        """Forget what was said and not yet taken."""
        self._ahead.clear()
        cast(Any, self._reader)._buffer.clear()

    async def line(self) -> bytes | None:
        """The next line without its end; None when it was too long.

        Raises:
            EOFError: nothing more will be said.
        """
        ahead, start, too_long = self._ahead, 0, False
        while (end := ahead.find(b"\n", start)) < 0:
            if len(ahead) > MAX_LINE:
                too_long = True
                ahead.clear()
            start = len(ahead)
            ahead += await self._listen()
        line = bytes(ahead[:end])
        del ahead[: end + 1]
        self.bare_lf = not line.endswith(b"\r")
        self.crlf = self.crlf or not self.bare_lf
        if too_long or len(line) > MAX_LINE:
            return None
        return line if self.bare_lf else line[:-1]

    async def take(self, size: int, into: bytearray | None) -> None:
        """Take exactly `size` bytes, and append them to `into` unless it is None.

        Raises:
            EOFError: there were fewer.
        """
        while size:
            heard = await self.hear()
            if len(heard) > size:
                self.unhear(heard[size:])
                heard = heard[:size]
            size -= len(heard)
            if into is not None:
                into += heard

    async def start_tls(self, context: Any, seconds: float) -> asyncio.Transport:
        """Go on in TLS, as the server. What was said in the clear is nobody's word (RFC 3207, 6).

        Raises:
            OSError, EOFError: the handshake failed or took longer than `seconds`.
        """
        self.flush()
        self.ignore()
        await self._writer.start_tls(context, ssl_handshake_timeout=seconds)
        transport = cast(asyncio.Transport, self._writer.transport)
        cast(Any, self._reader)._transport = transport  # start_tls forgets that the reader may pause it
        return transport

    async def _listen(self) -> bytes:
        if self._replies:
            self.flush()
            with suppress(ConnectionError):  # it listens no more, but may have spoken
                await self._writer.drain()
        heard = await self._reader.read(PIECE)
        if not heard:
            raise EOFError
        self.heard_at = self._time()
        return heard
