"""The sending side of SMTP, as far as a replay needs it.

Only trap/replay.py may use it: nothing else in the trap opens a connection to an SMTP server.
"""

import asyncio
import re
from typing import Self

REPLY_TIMEOUT = 60.0
_REPLY = re.compile(rb"(\d{3})([ -])?(.*)", re.DOTALL)
_LINE_END = re.compile(rb"\r\n|\r|\n")


class Refused(Exception):
    """The server said no.

    Args:
        code: 4xx or 5xx.
        text: the whole reply.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code

    @property
    def permanent(self) -> bool:
        """Whether it would say the same tomorrow."""
        return self.code >= 500


class Client:
    """One connection to a server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._offers: set[str] = set()
        self.alive = True
        """Whether more can be sent over it."""

    @classmethod
    async def connect(cls, host: str, port: int) -> Self:
        """Connect and greet.

        Raises:
            OSError, EOFError: no connection.
            Refused: the server does not want us.
        """
        async with asyncio.timeout(REPLY_TIMEOUT):
            client = cls(*await asyncio.open_connection(host, port))
            try:
                await client._expect("")
                try:
                    offers = await client._expect("EHLO localhost")
                    client._offers = {offer.split()[0].upper() for offer in offers[1:] if offer.strip()}
                except Refused as refused:
                    if not refused.permanent:
                        raise
                    await client._expect("HELO localhost")
            except BaseException:
                client.close()
                raise
        return client

    async def send(self, sender: str, rcpts: list[str], message: bytes) -> bool:
        """Send a message; when this returns, the server has taken it.

        Args:
            sender: MAIL FROM; "" is the null sender.
            rcpts: RCPT TO; it is enough if one is accepted.
            message: the bytes that shall arrive.

        Returns:
            Whether it had to be altered: its line ends, for a server that does not know BDAT.

        Raises:
            Refused: it was not taken; `alive` tells whether the connection can be used further.
            OSError, EOFError: the connection died; the message may have been taken or not.
        """
        async with asyncio.timeout(REPLY_TIMEOUT):
            plain = _is_plain(message)
            chunked = not plain and "CHUNKING" in self._offers
            size = f" SIZE={len(message)}" if "SIZE" in self._offers else ""
            commands = [f"MAIL FROM:<{sender}>{size}", *(f"RCPT TO:<{rcpt}>" for rcpt in rcpts)]
            commands.append(f"BDAT {len(message)} LAST" if chunked else "DATA")
            try:
                if chunked:
                    await self._transact(commands, message)
                    return False
                await self._transact(commands, b"")
                await self._finish(_stuffed(message if plain else _with_crlf(message)) + b".\r\n")
            except Refused as refused:
                await self._recover(refused)
                raise
            return not plain

    async def quit(self) -> None:
        """Say goodbye."""
        try:
            async with asyncio.timeout(1):
                await self._expect("QUIT")
        except (OSError, EOFError, Refused):  # then it is gone already
            pass
        self.close()

    def close(self) -> None:
        """Hang up."""
        self.alive = False
        self._writer.close()

    async def _transact(self, commands: list[str], payload: bytes) -> None:
        """Say MAIL, RCPTs and DATA or BDAT with its payload, together where that is allowed (RFC 2920)."""
        wire = [f"{command}\r\n".encode() for command in commands]
        wire[-1] += payload
        replies = []
        for words in [b"".join(wire)] if "PIPELINING" in self._offers else wire:
            await self._say(words)
            replies.append(await self._reply())
        while len(replies) < len(wire):
            replies.append(await self._reply())
        *_, (code, _) = replies
        taken = any(code < 400 for code, _ in replies[1:-1])
        if taken and code < 400:
            return
        if code == 354:
            await self._say(b".\r\n")  # nobody wanted it, and yet it waits for it
            await self._reply()
        code, text = replies[-1] if taken else next(reply for reply in replies if reply[0] >= 400)
        raise Refused(code, " ".join(text))

    async def _finish(self, payload: bytes) -> None:
        await self._say(payload)
        code, text = await self._reply()
        if code >= 400:
            raise Refused(code, " ".join(text))

    async def _recover(self, refused: Refused) -> None:
        """After a refusal: begin anew, or see that this connection is over."""
        try:
            if refused.code == 421:
                raise EOFError
            await self._expect("RSET")
        except (OSError, EOFError, Refused):
            self.close()

    async def _expect(self, command: str) -> list[str]:
        """Say a command, unless it is empty, and return the lines of a good reply."""
        if command:
            await self._say(f"{command}\r\n".encode())
        code, text = await self._reply()
        if code >= 400:
            raise Refused(code, " ".join(text))
        return text

    async def _say(self, words: bytes) -> None:
        if self._writer.is_closing():  # uvloop's transport would raise a RuntimeError
            raise ConnectionResetError("the connection is gone")
        self._writer.write(words)
        await self._writer.drain()

    async def _reply(self) -> tuple[int, list[str]]:
        text = []
        while True:
            try:
                line = await self._reader.readline()
            except ValueError as error:
                raise ConnectionError("that is no SMTP: a line without end") from error
            if not line:
                raise EOFError("the server hung up")
            match = _REPLY.match(line.rstrip(b"\r\n"))
            if not match:
                raise ConnectionError(f"that is no SMTP: {line[:80]!r}")
            text.append(match[3].decode("utf-8", "replace"))
            if match[2] != b"-":
                text[0] = f"{match[1].decode()} {text[0]}"
                return int(match[1]), text


def _is_plain(message: bytes) -> bool:
    """Whether DATA carries it exactly: every line ends with CRLF, and there is no other CR or LF."""
    lines = message.count(b"\r\n")
    return message.endswith(b"\r\n") and lines == message.count(b"\n") == message.count(b"\r")


def _with_crlf(message: bytes) -> bytes:
    text = _LINE_END.sub(b"\r\n", message)
    return text if text.endswith(b"\r\n") else text + b"\r\n"


def _stuffed(message: bytes) -> bytes:
    """Dot-stuffing (RFC 5321, 4.5.2)."""
    stuffed = message.replace(b"\r\n.", b"\r\n..")
    return b"." + stuffed if message.startswith(b".") else stuffed
