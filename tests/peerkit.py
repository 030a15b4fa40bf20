"""An SMTP server that is told what to answer, and writes down to the byte what it gets.

async with Peer() as peer:
    peer.replies["RCPT"] = "451 come again"
    ... peer.address is where it listens ...
"""

import asyncio
import re
import ssl
from contextlib import suppress
from typing import Any, NamedTuple, Self

LOOPBACK = "127.0.0.1"
_USUAL = {"STARTTLS": "220 go ahead", "DATA": "354 go on", "AUTH": "235 welcome", "QUIT": "221 bye"}


class Taken(NamedTuple):
    """A message that the peer has answered with 250."""

    mail: str
    rcpts: list[str]
    data: bytes


class Peer:
    """A server on loopback, in the running loop.

    Args:
        tls: what TLS is spoken with; from the start, or after STARTTLS.
        implicit: from the start.

    Attributes:
        offers: what EHLO is answered; STARTTLS is added where it can be spoken.
        replies: other answers by verb; "." is for the end of a message, "" the greeting. An answer "" hangs
            up, None says nothing, and a list is used up one after the other.
        taken: messages it has taken.
        heard: all commands, in order.
        connections: how many there were.
    """

    def __init__(self, tls: ssl.SSLContext | None = None, *, implicit: bool = False) -> None:
        self.offers = ["SIZE 100000", "8BITMIME", "SMTPUTF8"]
        self.replies: dict[str, Any] = {}
        self.taken: list[Taken] = []
        self.heard: list[str] = []
        self.connections = 0
        self.name = "peer.example"
        self._tls, self._implicit = tls, implicit
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self, port: int = 0) -> Self:
        tls = self._tls if self._implicit else None
        self._server = await asyncio.start_server(self._met, LOOPBACK, port, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.hang_up()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0.01)  # transports close in the next round

    def hang_up(self) -> None:
        """End all conversations."""
        for task in self._tasks:
            task.cancel()

    @property
    def address(self) -> str:
        """Where it listens, as settings write it."""
        return f"{'tls://' * self._implicit}{LOOPBACK}:{self.port}"

    def _met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.ensure_future(self._converse(reader, writer))
        self._tasks.add(task)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError, asyncio.IncompleteReadError, EOFError):
                await self._answer(writer, "", f"220 {self.name} hello")
                taken = Taken("", [], b"")
                while True:
                    line = (await reader.readuntil(b"\r\n"))[:-2].decode("utf-8", "surrogateescape")
                    self.heard.append(line)
                    taken = await self._obey(line, taken, reader, writer)
        finally:
            writer.transport.abort()

    async def _obey(
        self, line: str, taken: Taken, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Taken:
        """Answer a command; the transaction as it is after that."""
        verb = re.split("[ :]", line)[0].upper()
        good = await self._answer(writer, verb, self._usual(verb, writer)) if verb != "BDAT" else True
        match verb:
            case "MAIL":
                return Taken(line, [], b"")
            case "STARTTLS":
                await writer.start_tls(self._tls)
            case "RCPT" if good:
                return taken._replace(rcpts=[*taken.rcpts, *re.findall("<(.*)>", line)])
            case "DATA" | "BDAT" if good:
                data = await (_lines(reader) if verb == "DATA" else reader.readexactly(int(line.split()[1])))
                if await self._answer(writer, ".", "250 queued"):
                    self.taken.append(taken._replace(data=data))
            case "QUIT":
                raise EOFError
        return taken

    def _usual(self, verb: str, writer: asyncio.StreamWriter) -> str:
        if verb == "EHLO":
            starttls = ["STARTTLS"] * bool(self._tls and not writer.get_extra_info("sslcontext"))
            *lines, last = [self.name, *self.offers, *starttls]
            return "".join(f"250-{word}\r\n" for word in lines) + f"250 {last}"
        return _USUAL.get(verb, "250 ok")

    async def _answer(self, writer: asyncio.StreamWriter, verb: str, usual: str) -> bool:
        """Answer a command; whether that was good news."""
        answer = self.replies.get(verb, usual)
        if isinstance(answer, list):
            answer = answer.pop(0) if answer else usual
        if answer is None:
            await asyncio.sleep(3600)
        if not answer:
            raise EOFError
        writer.write(f"{answer}\r\n".encode())
        await writer.drain()
        return str(answer)[0] in "23"


async def _lines(reader: asyncio.StreamReader) -> bytes:
    """What follows DATA, without the dots that are not the message's."""
    lines: list[bytes] = []
    while (line := await reader.readuntil(b"\n")) != b".\r\n" or (lines and not lines[-1].endswith(b"\r\n")):
        lines.append(line)
    return b"".join(line.removeprefix(b".") for line in lines)
