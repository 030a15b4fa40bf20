"""A client of clamd: one session over a UNIX socket or TCP, and what it answers.

Every connection is an IDSESSION that opens with VERSION, for two reasons. The greeting tells a
clamd that is away from one that is there and cannot cope with a message; and a session can be
kept, for as many scans as one likes, one after the other. Nothing here has a time limit of its
own: the caller puts one deadline around all of it.

Some errors that clamd answers are the message's own, as is its size. Others say that clamd lacks memory,
files or room: they are no answers, else a full disk would pass for a verdict on all mail.

Over a UNIX socket the message is handed over as an open file in memory (FILDES): clamd copies
nothing, writes no temporary file, and its StreamMaxLength does not apply. Measured with clamd 1.4
that takes 15 % off a message of 5 kB and 30 % off one of 600 kB. TCP has INSTREAM only.

Protocol: clamd(8), "COMMANDS".
"""

import asyncio
import os
import re
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from stages.clients.probe import PROBE
from trap.address import Address
from trap.backend import Broken
from trap.envelope import printable

MAX_REPLY = 4096
"""No reply of clamd is longer, in bytes."""
MAX_WORDS = 80
"""Characters of an error that are told."""
MAX_SCANS = 1000
"""Scans in one session: what it calls its signatures was asked at the beginning, and they are renewed."""

_NUMBERED = re.compile(rb"(\d+): (.+)", re.DOTALL)
_VERDICT = re.compile(r"(?:stream|fd\[\d+\]): (?:OK|(?P<signature>.+) FOUND)", re.DOTALL)
_ERROR = re.compile(r"(?:(?:stream|fd\[\d+\]): )?(?P<error>.*?)\.? ?ERROR", re.DOTALL)
_NO_FD = "No file descriptor received"
_LACKS = re.compile(r"Can't (?!parse)|Error writing|.*No space left", re.DOTALL)
"""Errors of libclamav's and of clamd's that say what it lacks."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What clamd says of one message: a signature, an error of its own, or neither when it is clean."""

    signature: str = ""
    error: str = ""


class Session:
    """One conversation with clamd, for one scan after the other.

    Attributes:
        engine: what clamd calls itself and its signatures ("ClamAV 1.4.6/27800/…").
    """

    def __init__(self, sock: socket.socket) -> None:
        self.engine = ""
        self._sock = sock
        self._passes_files = sock.family == socket.AF_UNIX
        self._sound = True
        self._asked = 0
        self._unread = b""

    @classmethod
    async def open(cls, address: Address) -> Self:
        """Connect and exchange greetings.

        Raises:
            OSError: nobody there, or gone again.
            Broken: whoever is there is not clamd.
        """
        session = cls(await address.connect())
        try:
            await session._send(b"zIDSESSION\0")
            session.engine = await session._ask(b"zVERSION\0")
            if not session.engine.startswith("ClamAV"):
                raise Broken(f"greets with {session.engine[:80]!r}")
        except BaseException:
            session.close()
            raise
        return session

    @property
    def reusable(self) -> bool:
        """Whether there may be another scan; clamd hangs up after some errors."""
        return self._sound and not self._unread and self._asked < MAX_SCANS

    async def scan(self, message: bytes) -> Answer:
        """Have one message scanned.

        Raises:
            OSError, Broken: the conversation broke; the session is of no further use.
        """
        answer = await self._scan(message)
        self._sound = not answer.error
        if _LACKS.match(answer.error):
            raise Broken(printable(answer.error)[:MAX_WORDS])
        return answer

    async def probe(self) -> str:
        """Have a message of our own scanned, and tell who did it.

        Raises:
            OSError, Broken: as above, or it found something in that, or failed.
        """
        answer = await self.scan(PROBE)
        if answer.error or answer.signature:
            raise Broken(
                f"says of a harmless message: {printable(answer.error or answer.signature)[:MAX_WORDS]}"
            )
        return self.engine

    def close(self) -> None:
        """End the session; clamd notices."""
        self._sock.close()

    async def _scan(self, message: bytes) -> Answer:
        if self._passes_files:
            answer = _read(await self._ask_about_file(message))
            if not answer.error.startswith(_NO_FD):
                return answer
            # A sandbox around clamd can take the file away on its way: then the bytes go.
            self._passes_files = False
        return _read(await self._ask(b"zINSTREAM\0", message))

    async def _ask_about_file(self, message: bytes) -> str:
        with os.fdopen(os.memfd_create("message"), "wb", buffering=0) as file:
            view = memoryview(message)
            while view:
                view = view[file.write(view) :]
            # A dozen bytes into an empty socket buffer: this cannot block. The byte after the
            # command is the one that the file travels with.
            socket.send_fds(self._sock, [b"zFILDES\0f"], [file.fileno()])
            return await self._reply()

    async def _ask(self, command: bytes, stream: bytes | None = None) -> str:
        if stream is not None:
            chunk = len(stream).to_bytes(4, "big") + stream if stream else b""
            command = b"".join((command, chunk, b"\0\0\0\0"))
        # When clamd has had enough of a stream it answers and hangs up. The answer can be read still.
        with suppress(BrokenPipeError, ConnectionResetError):
            await self._send(command)
        return await self._reply()

    async def _send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self._sock, data)

    async def _reply(self) -> str:
        self._asked += 1
        while b"\0" not in self._unread:
            if len(self._unread) > MAX_REPLY:
                raise Broken(f"answers without an end: {self._unread[:60]!r}")
            more = await asyncio.get_running_loop().sock_recv(self._sock, MAX_REPLY)
            if not more:
                raise Broken(f"hung up after {self._unread[:60]!r}" if self._unread else "hung up")
            self._unread += more
        reply, self._unread = self._unread.split(b"\0", 1)
        match = _NUMBERED.fullmatch(reply)
        if not match or int(match[1]) != self._asked:
            raise Broken(f"answers {reply[:80]!r}")
        return match[2].decode("utf-8", "replace")


def _read(reply: str) -> Answer:
    if verdict := _VERDICT.fullmatch(reply):
        return Answer(signature=verdict["signature"] or "")
    if failure := _ERROR.fullmatch(reply):
        return Answer(error=failure["error"] or "unnamed error")
    raise Broken(f"answers {reply[:80]!r}")
