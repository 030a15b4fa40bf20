"""How a stage talks to another program: one deadline, spares, and a breaker for each server.

A stage makes one `Backends` and asks through it. Whatever the other program does, a question is over
when its time is: connecting, TLS, a second try and every spare included. The client of a protocol
therefore has neither limits of time nor retries of its own. What a server is and when it is away stands
in trap/backendserver.py.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from trap.address import Address
from trap.backendserver import Broken, Dialect, Finding, NotAnswered, Server, Session
from trap.backendstate import BackendState
from trap.pace import Pace
from trap.stage import Unavailable

__all__ = ["Backends", "Broken", "Dialect", "Finding", "Session", "Unscannable"]

PATIENCE = 3
"""Broken conversations about one message after which the message is to blame. The last of them it has alone,
and what broke since anything was answered counts as one: else it may be the server, or another message."""
MAX_BLAMED = 1000
"""Messages whose broken conversations are remembered."""

T = TypeVar("T")
S = TypeVar("S", bound=Session)


class Blame(NamedTuple):
    """What one message broke."""

    broken: int
    """Conversations, those not counted between which nothing was answered."""
    answers: int
    """What had been answered by then, of whatever was asked."""


class Unscannable(Exception):
    """No backend gets to the end of this message; as text, why."""


class Backends(Generic[S]):
    """Servers of one kind, of which the first that is there is asked.

    Args:
        dialect: how they are spoken to.
        addresses: one, or several in the order in which they are preferred; see Address.parse.
        timeout: seconds for one question, whatever happens meanwhile.
        port: the usual one, where addresses need not name it.

    Raises:
        ValueError: an address is none, or there is none.
    """

    def __init__(
        self, dialect: Dialect[S], addresses: str | Sequence[str], timeout: float, port: int | None = None
    ) -> None:
        listed = [addresses] if isinstance(addresses, str) else list(dict.fromkeys(addresses))
        if not listed:
            raise ValueError(f"no address of a {dialect.name} is given")
        self.dialect = dialect
        self.timeout = timeout
        self._servers = [Server(dialect, Address.parse(text, port), timeout) for text in listed]
        self._blamed: dict[str, Blame] = {}
        self._alone = asyncio.Lock()
        self._pace = Pace(timeout)

    @property
    def away(self) -> str:
        """Why nobody can be asked now; "" when somebody can."""
        if any(not server.away for server in self._servers):
            return ""
        return "; ".join(server.words(server.told.cause) for server in self._servers)

    @property
    def room(self) -> int:
        """How many questions should be under way at a time (trap/pace.py)."""
        return self._pace.room

    async def ask(self, question: Callable[[S], Awaitable[T]], key: str = "") -> T:
        """Ask the first server that answers.

        Args:
            question: asks over a session, and may be called several times; raises OSError or Broken.
            key: the job's id. The message that breaks conversation after conversation is to blame itself,
                else one that crashes scanners would hold up its queue for good.

        Raises:
            Unavailable: all are away, or none answered in time.
            Unscannable: the message broke its third conversation.
        """
        begun = time.monotonic()
        try:
            answer = await self._in_turn(question, key)
        except (Unavailable, Unscannable):
            self._pace.unanswered(begun)
            raise
        self._pace.answered(begun)
        return answer

    async def _in_turn(self, question: Callable[[S], Awaitable[T]], key: str) -> T:
        """Ask at once; alone, if the message broke so many conversations that one more makes it guilty."""
        end = asyncio.get_running_loop().time() + self.timeout
        if self._broken(key) < PATIENCE - 1:
            return await self._ask(question, key, end)
        try:
            async with asyncio.timeout_at(end - self.timeout / 2):  # what is left must do for an answer
                await self._alone.acquire()
        except TimeoutError:
            raise Unavailable("others that broke conversations are asked about before it") from None
        try:
            return await self._ask(question, key, end)
        finally:
            self._alone.release()

    async def _ask(self, question: Callable[[S], Awaitable[T]], key: str, end: float) -> T:
        loop = asyncio.get_running_loop()
        up = [server for server in self._servers if not server.away]
        trouble = self.away
        for left, server in zip(range(len(up), 0, -1), up, strict=True):
            # Who is asked first must leave time for the spares.
            until = loop.time() + max(0.0, end - loop.time()) / left
            try:
                answer = await server.ask(question, until)
            except NotAnswered as error:
                trouble = str(error)
                if error.connected and self._is_to_blame(key):
                    raise Unscannable(f"{PATIENCE} conversations broke: {trouble}") from None
            else:
                self._blamed.pop(key, None)
                return answer
        raise Unavailable(trouble)

    def states(self) -> list[BackendState]:
        """What is known of each server."""
        return [server.told for server in self._servers]

    async def check(self, seconds: float = 5.0) -> list[Finding]:
        """Probe every server once, as `spamtrap doctor` does.

        Args:
            seconds: for each of them, at most.
        """
        checks = (server.check(min(seconds, self.timeout)) for server in self._servers)
        return await asyncio.gather(*checks)

    def close(self) -> None:
        """Hang up on all of them. To be called while the event loop runs."""
        for server in self._servers:
            server.close()

    def _broken(self, key: str) -> int:
        return self._blamed[key].broken if key in self._blamed else 0

    def _is_to_blame(self, key: str) -> bool:
        """Count a broken conversation; whether it was the last one that this message is worth."""
        if not key:
            return False
        answers = sum(server.answers for server in self._servers)
        known = self._blamed.pop(key, Blame(0, -1))
        broken = known.broken + (answers > known.answers)
        if broken >= PATIENCE:
            return True
        self._blamed[key] = Blame(broken, answers)
        if len(self._blamed) > MAX_BLAMED:
            del self._blamed[next(iter(self._blamed))]  # the one that broke longest ago
        return False
