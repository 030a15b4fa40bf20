"""One server that stages ask: its connections, and the breaker that leaves it alone while it is away.

It is away when nobody is there to connect to, or when several conversations in a row broke or took too
long. Then it is left alone, but for one probe at a time, about one a second: a small real question of
the dialect's own, so that no mail is delayed to find out. The probe that is answered ends it; on trial,
the first conversation that breaks sends it away again.
"""

import asyncio
import logging
import os
import ssl
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import msgspec

from trap.address import Address
from trap.backendstate import AWAY, UP, BackendState
from trap.envelope import printable

log = logging.getLogger("spamtrap.backend")

FAILURES = 3
"""Broken conversations in a row after which a server is away."""
PROBE_PAUSE = 1.0
"""Seconds between two probes of a server that is away."""
PROBE_PATIENCE = 3.0
"""Seconds that a probe may take at first: a connection on which no answer will ever come must not be waited
for long, or nobody would notice that its server is back."""
PROBES_ALIKE = 5
"""Probes without an answer after which the next ones may take twice as long."""
IDLE = 15.0
"""Seconds for which a connection is kept for the next question."""
MAX_IDLE = 8
"""Connections kept, for each server: it may let in only so many (clamd's MaxQueue), of all who ask it."""
MAX_WORDS = 200
"""Characters of a cause that are kept."""

T = TypeVar("T")


class Broken(Exception):
    """The other side said something that is no answer, or hung up before it had answered."""


class Session(Protocol):
    """One connection, as the client of a protocol speaks over it."""

    @property
    def reusable(self) -> bool:
        """Whether it may be kept for another question."""

    def close(self) -> None:
        """End it."""


S = TypeVar("S", bound=Session)


@dataclass(frozen=True)
class Dialect(Generic[S]):
    """How one kind of server is spoken to.

    Attributes:
        name: the program's, for people.
        open: connects and exchanges greetings; raises OSError or Broken.
        probe: asks something small that needs all of the server, and returns what it calls itself.
        hint: what a person does when it is away.
    """

    name: str
    open: Callable[[Address], Awaitable[S]]
    probe: Callable[[S], Awaitable[str]]
    hint: str


class Finding(msgspec.Struct):
    """What a check of one server found."""

    address: str
    good: bool
    text: str
    """What it calls itself, or what is wrong and what to do."""


class NotAnswered(Exception):
    """A server did not answer; whether there was one that had greeted."""

    def __init__(self, text: str, *, connected: bool) -> None:
        super().__init__(text)
        self.connected = connected


class Server(Generic[S]):
    """One server: its connections and its breaker."""

    def __init__(self, dialect: Dialect[S], address: Address, timeout: float) -> None:
        self._dialect = dialect
        self._address = address
        self._timeout = timeout
        self.told = BackendState(dialect.name, str(address))
        self.answers = 0
        """To questions and probes."""
        self._turned = 0.0
        """When it was found away, or back; on the monotonic clock, as the other one may be set."""
        self._idle: deque[tuple[S, float]] = deque()
        self._sweeper: asyncio.TimerHandle | None = None
        self._broken = 0
        self._prober: asyncio.Task[None] | None = None

    @property
    def away(self) -> bool:
        """Whether it is left alone."""
        return self.told.state == AWAY

    def words(self, trouble: str) -> str:
        """What is wrong with it, for people."""
        return f"{self._dialect.name} at {self._address}: {trouble}"

    async def ask(self, question: Callable[[S], Awaitable[T]], until: float) -> T:
        """Ask it.

        Args:
            question: what is asked over a session.
            until: when it is over, on the loop's clock.

        Raises:
            NotAnswered: it was not there, broke the conversation, or took too long.
        """
        self.told.asked += 1
        begun = time.monotonic()
        connected = False
        try:
            async with asyncio.timeout_at(until) as limit:
                if kept := self._kept():
                    connected = True
                    # The other side may have closed it meanwhile: that is no failure of anybody's.
                    with suppress(OSError, Broken):
                        return await self._use(kept, question)
                    self._hang_up()
                    connected = False
                session = await self._dialect.open(self._address)
                connected = True
                return await self._use(session, question)
        except (OSError, Broken) as error:
            late = limit.expired()
            trouble = f"no answer within {time.monotonic() - begun:.1f} s" if late else _told(error)
            nobody = not connected and isinstance(error, OSError) and not isinstance(error, TimeoutError)
            self._failed(trouble, begun, certain=nobody)
            raise NotAnswered(self.words(trouble), connected=connected) from None

    async def check(self, seconds: float) -> Finding:
        """Probe it once."""
        try:
            async with asyncio.timeout(seconds) as limit:
                name = await self._probe()
        except (OSError, Broken) as error:
            trouble = f"no answer within {seconds:g} s" if limit.expired() else _told(error)
            return Finding(str(self._address), good=False, text=f"{trouble}; {self._dialect.hint}")
        return Finding(str(self._address), good=True, text=printable(name)[:MAX_WORDS])

    def close(self) -> None:
        """Hang up, and probe no more."""
        if self._prober:
            self._prober.cancel()
        if self._sweeper:
            self._sweeper.cancel()
        self._hang_up()

    async def _use(self, session: S, question: Callable[[S], Awaitable[T]]) -> T:
        """Ask over a session, and keep it if it is good for more."""
        try:
            answer = await question(session)
        except BaseException:  # cancelled at the deadline, too
            session.close()
            raise
        if session.reusable and len(self._idle) < MAX_IDLE:
            self._idle.append((session, time.monotonic() + IDLE))
            self._sweeper = self._sweeper or asyncio.get_running_loop().call_later(IDLE, self._sweep)
        else:
            session.close()
        self.answers += 1
        if not self.away:  # what was asked before it was found away says little of now: a probe will
            self._broken = 0
        return answer

    def _kept(self) -> S | None:
        """A connection that is there already, the one used last; what is too old is closed."""
        self._close_old()
        return self._idle.pop()[0] if self._idle else None

    def _close_old(self) -> None:
        now = time.monotonic()
        while self._idle and self._idle[0][1] < now:
            self._idle.popleft()[0].close()

    def _sweep(self) -> None:
        """Close what is too old, also when nothing is asked any more."""
        self._close_old()
        loop = asyncio.get_running_loop()
        self._sweeper = loop.call_later(IDLE, self._sweep) if self._idle else None

    def _hang_up(self) -> None:
        while self._idle:
            self._idle.pop()[0].close()

    def _failed(self, trouble: str, begun: float, *, certain: bool) -> None:
        self.told.failed += 1
        if self.away or begun < self._turned:
            return  # what was asked before it came back tells nothing of how it is now
        self._broken += 1
        if not (certain or self._broken >= FAILURES):
            return
        self._change(AWAY, trouble)
        self.told.opened += 1
        self._hang_up()
        self._prober = asyncio.create_task(self._watch())
        log.warning("away: %s; probed once a second", self.words(trouble))

    def _back(self) -> None:
        away_for = time.monotonic() - self._turned
        self._change(UP, self.told.cause)
        log.warning("%s after %.1f s", self.words("answers again"), away_for)

    def _change(self, state: str, cause: str) -> None:
        self.told.state, self.told.since, self.told.cause = state, time.time(), cause
        self._turned = time.monotonic()

    async def _watch(self) -> None:
        """Probe it until it answers."""
        silent, patience = 0, min(PROBE_PATIENCE, self._timeout)
        while self.away:
            await asyncio.sleep(PROBE_PAUSE)
            if silent == PROBES_ALIKE:
                # It may be slow, not silent; and what we gave up may be in hand there for long (a database
                # that is locked), so such probes become fewer.
                silent, patience = 0, min(patience * 2, self._timeout)
            try:
                async with asyncio.timeout(patience) as limit:
                    await self._probe()
            except (OSError, Broken) as error:
                silent += limit.expired()
                self.told.cause = (
                    f"no answer to a probe within {patience:g} s" if limit.expired() else _told(error)
                )
            except Exception:  # a dialect is anybody's code; its server must not be away for good
                log.exception("the probe of %s failed", self.words(""))
            else:
                self._broken = FAILURES - 1  # on trial: the next that breaks sends it away again
                self._back()

    async def _probe(self) -> str:
        session = await self._dialect.open(self._address)
        with closing(session):
            name = await self._dialect.probe(session)
        self.answers += 1
        return name


def _told(error: Exception) -> str:
    """What went wrong, in a few words."""
    text = str(error)
    if isinstance(error, ssl.SSLError):
        text = f"TLS: {error.reason or error}"
    elif isinstance(error, OSError):
        # Numbers above 0 are the kernel's; the resolver has its own, with its own words.
        number = error.errno or 0
        text = os.strerror(number).lower() if number > 0 else error.strerror or text
    return printable(text)[:MAX_WORDS] or type(error).__name__
