"""A client of Pyzor: a message's digest, and what a pyzord is told and answers, by UDP.

Digest, messages and signatures are those of the `pyzor` library (the extra `pyzor`). The digest is made by a
child (pyzor_child.py) within limits of time and memory: what parses hostile HTML may take for ever.

A datagram may get lost. So a ping is repeated until it is answered; a report, which counts, is sent once.
Nothing here has a time limit of its own: the caller puts one deadline around all of it.

Protocol: pyzor/server.py and the manual, https://www.pyzor.org/en/latest/
"""

import asyncio
import hashlib
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from trap import command, spawn
from trap.address import Address
from trap.backend import Broken
from trap.envelope import printable

PORT = 24441
MAX_PACKET = 8192
"""Bytes of the longest packet, as of the library."""
MAX_WORDS = 200
"""Characters of an answer that are kept."""
AGAIN = 1.0
"""Seconds after which a ping that may be lost is sent again."""
MEMORY = 1 << 30
"""Bytes of address space that making a digest may take."""
NOTHING = hashlib.sha1(b"", usedforsecurity=False).hexdigest()
"""The digest of every message in which there is no text."""

_DIGITS = 40


class NoDigest(Exception):
    """A message has none; as text, why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a pyzord says: 200 and "OK", or what is wrong, numbered as in HTTP."""

    code: int
    words: str


def library() -> Any:
    """The library, with its modules that are needed here.

    Raises:
        ValueError: it is not installed; as text, how it is.
    """
    try:
        # It is an extra, and its licence another than ours: who does not report to Pyzor does without.
        import pyzor.account  # noqa: PLC0415
        import pyzor.config  # noqa: PLC0415
        import pyzor.digest  # noqa: PLC0415
        import pyzor.message  # noqa: PLC0415
    except ImportError:
        raise ValueError("the library of Pyzor is missing: pip install 'spamtrap[pyzor]'") from None
    return pyzor


def read_accounts(path: str) -> dict[tuple[str, int], Any]:
    """Accounts by host and port, of a file with lines "host : port : user : salt,key".

    Raises:
        OSError: it can't be read.
        ValueError: there is none in it.
    """
    if not path:
        return {}
    Path(path).read_bytes()  # the library takes a file that is not there for an empty one
    found: dict[tuple[str, int], Any] = library().config.load_accounts(path)
    if not found:
        raise ValueError(f"accounts: {path} has no line as 'host : port : user : salt,key'")
    return found


async def digest(message: bytes, timeout: float) -> str:  # noqa: ASYNC109 - the kill belongs to it
    """What Pyzor knows a message by: 40 hexadecimal digits.

    Args:
        message: its bytes.
        timeout: seconds until there is none.

    Raises:
        NoDigest: there is no text in it, or nobody gets to the end of it.
        OSError: the child can't be started.
    """
    argv = spawn.command("stages.clients.pyzor_child", str(MEMORY))
    try:
        done = await command.run(argv, message, timeout=timeout, env=spawn.environment(command.environment()))
    except TimeoutError:
        raise NoDigest(f"no digest of it within {timeout:g} s") from None
    text = done.out.decode("ascii", "replace").strip()
    if done.code or len(text) != _DIGITS:
        said = done.err.decode("utf-8", "replace").strip().splitlines()
        raise NoDigest(f"no digest of it: {printable(said[-1] if said else f'exit code {done.code}')[:100]}")
    if text == NOTHING:
        raise NoDigest("no text in it that Pyzor would know it by")
    return text


class Session:
    """A conversation with one pyzord that is there.

    Attributes:
        address: where.
    """

    reusable = False

    def __init__(self, sock: socket.socket, address: Address, account: Any) -> None:
        self.address = address
        self._sock = sock
        self._account = account
        self._engine = ""

    @classmethod
    async def open(cls, address: Address, accounts: dict[tuple[str, int], Any]) -> Self:
        """Find the server and wait until it has answered a ping.

        Args:
            address: of a pyzord.
            accounts: who we are, by host and port; anonymous where there is none.

        Raises:
            OSError, Broken: nobody is there, or nobody who speaks so.
        """
        anonymous = library().account.AnonymousAccount
        account = accounts.get((address.host, address.port), anonymous)
        session = cls(await address.datagrams(), address, account)
        try:
            await session._ping()
        except BaseException:  # cancelled at the deadline, too
            session.close()
            raise
        return session

    async def version(self) -> str:
        """What the server calls itself: it tells only which protocol it speaks."""
        return self._engine

    async def report(self, digest: str, commit: Callable[[], None] = lambda: None) -> Answer:
        """Have a digest counted as spam. It is sent once.

        Args:
            digest: of a message.
            commit: called right before it is sent.

        Raises:
            OSError, Broken: the conversation broke.
        """
        spec = library().digest.digest_spec
        request = library().message.ReportRequest(digest, spec)
        packet = self._packet(request)
        commit()
        await asyncio.get_running_loop().sock_sendall(self._sock, packet)
        fields = await self._answer(request["Thread"])
        return Answer(_code(fields), printable(fields.get("diag", ""))[:MAX_WORDS])

    def close(self) -> None:
        """Be done with it."""
        self._sock.close()

    async def _ping(self) -> None:
        request = library().message.PingRequest()
        packet = self._packet(request)
        while True:
            await asyncio.get_running_loop().sock_sendall(self._sock, packet)
            try:
                async with asyncio.timeout(AGAIN):
                    fields = await self._answer(request["Thread"])
            except TimeoutError:
                continue
            if _code(fields) != 200:
                raise Broken(f"answers {_code(fields)} {printable(fields.get('diag', ''))[:MAX_WORDS]}")
            self._engine = f"pyzord, protocol {printable(fields.get('pv', '?'))[:10]}"
            return

    def _packet(self, request: Any) -> bytes:
        """A request, signed."""
        account, now = library().account, int(time.time())
        request.init_for_sending()
        request["User"] = self._account.username
        request["Time"] = str(now)
        key = account.hash_key(self._account.key, self._account.username)
        request["Sig"] = account.sign_msg(key, now, request)
        packet: str = request.as_string()
        return packet.encode()

    async def _answer(self, thread: str) -> dict[str, str]:
        """The fields of the answer to a request, by name, lower case; others are not for us any more."""
        while True:
            packet = await asyncio.get_running_loop().sock_recv(self._sock, MAX_PACKET)
            lines = packet.decode("utf-8", "replace").splitlines()
            fields = {
                name.strip().lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)
            }
            if fields.get("thread") == thread:
                return fields


def _code(fields: dict[str, str]) -> int:
    code = fields.get("code", "")
    if not (code.isascii() and code.isdigit() and len(code) == len("200")):
        raise Broken(f"answers {printable(code)[:40]!r} instead of a code")
    return int(code)
