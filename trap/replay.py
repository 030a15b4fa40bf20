"""Sends old mail over SMTP: how a corpus is fed to a trap, and how a trap is tried.

A message is sent exactly as it lies in its file. DATA can carry that only when all its lines end
with CRLF; for the others BDAT (RFC 3030) is used where the server offers it. A message counts as
sent when its 250 was seen. If the server dies before, it is sent again: it may arrive twice, but
is not lost.
"""

import asyncio
import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from trap.job import Headers
from trap.smtpclient import Client, Refused
from trap.sources import Letter

PATIENCE = 60.0
"""Seconds without any success after which we give up, and after which one message is given up."""
FALLBACK_SENDER = "replay@localhost"
FALLBACK_RCPT = "trap@localhost"
MAX_RCPTS = 20

_ADDRESS = re.compile(r"[!-~]+@[!-~]+")
_SPLIT = re.compile(r"[\s<>,;:\"()\[\]\\]+")
_BACKOFF = 0.1
_MAX_BACKOFF = 2.0


@dataclass
class Outcome:
    """What became of a replay."""

    sent: int = 0
    altered: int = 0
    """Sent with other line ends, because the server knows no BDAT."""
    failed: list[tuple[str, str]] = field(default_factory=list)
    """Name of the message, and why."""
    seconds: float = 0.0


@dataclass(frozen=True)
class Plan:
    """What to do.

    Args:
        host, port: the server.
        connections: how many at once.
        rate: messages a second at most; 0: as fast as it goes.
        sender: MAIL FROM for all, instead of each message's own.
        rcpts: RCPT TO for all, instead of each message's own.
        patience: see PATIENCE.
    """

    host: str
    port: int
    connections: int = 5
    rate: float = 0.0
    sender: str | None = None
    rcpts: tuple[str, ...] = ()
    patience: float = PATIENCE


async def replay(
    plan: Plan, letters: Sequence[Letter], progress: Callable[[int], None] = lambda done: None
) -> Outcome:
    """Send all letters.

    Args:
        plan: to whom, and how.
        letters: what to send.
        progress: called with the number of letters done, sent or failed, after each.
    """
    started = time.monotonic()
    run = _Run(plan, deque((letter, 0.0) for letter in letters), progress)
    async with asyncio.TaskGroup() as group:
        for _ in range(max(1, min(plan.connections, len(letters)))):
            group.create_task(run.work())
    run.outcome.seconds = time.monotonic() - started
    return run.outcome


class _Run:
    """One replay: the letters that are left, shared by all connections."""

    def __init__(
        self, plan: Plan, left: deque[tuple[Letter, float]], progress: Callable[[int], None]
    ) -> None:
        self.plan = plan
        self.outcome = Outcome()
        self._left = left  # with the time of the first failed attempt, 0 when there was none
        self._progress = progress
        self._failing_since = 0.0
        self._next_slot = time.monotonic()

    async def work(self) -> None:
        """Send letters over one connection, again and again a new one if need be."""
        client: Client | None = None
        wait = _BACKOFF
        while self._left:
            letter, failing_since = self._left.popleft()
            await self._slot()
            try:
                message = letter.read()
            except OSError as error:
                self._fail(letter, error)
                continue
            try:
                client = client or await Client.connect(self.plan.host, self.plan.port)
                sender, rcpts = envelope(letter, message, self.plan)
                altered = await client.send(sender, rcpts, message)
            except (OSError, EOFError, Refused) as error:
                if client and not (isinstance(error, Refused) and client.alive):
                    client.close()
                    client = None
                if self._again(letter, failing_since, error):
                    await asyncio.sleep(wait)
                    wait = min(wait * 2, _MAX_BACKOFF)
            else:
                wait, self._failing_since = _BACKOFF, 0.0
                self.outcome.sent += 1
                self.outcome.altered += altered
                self._done()
        if client:
            await client.quit()

    def _again(self, letter: Letter, since: float, error: Exception) -> bool:
        """Decide what follows a failed attempt: whether the letter will be tried again."""
        now = time.monotonic()
        if isinstance(error, Refused) and error.permanent:
            self._fail(letter, error)
            return False
        since = since or now
        self._failing_since = self._failing_since or now
        if now - self._failing_since > self.plan.patience:
            self._fail(letter, error)
            while self._left:
                self._fail(self._left.popleft()[0], error)
            return False
        if now - since > self.plan.patience:
            self._fail(letter, error)
            return False
        self._left.append((letter, since))
        return True

    def _fail(self, letter: Letter, error: Exception) -> None:
        self.outcome.failed.append((letter.name, str(error) or "the connection died"))
        self._done()

    def _done(self) -> None:
        self._progress(self.outcome.sent + len(self.outcome.failed))

    async def _slot(self) -> None:
        if self.plan.rate:
            now = time.monotonic()
            self._next_slot = max(now, self._next_slot) + 1 / self.plan.rate
            await asyncio.sleep(self._next_slot - 1 / self.plan.rate - now)


def envelope(letter: Letter, message: bytes, plan: Plan) -> tuple[str, list[str]]:
    """Sender and recipients of a letter: the plan's, or what its headers say of its first delivery."""
    headers = Headers(message)
    sender, rcpts = plan.sender, list(plan.rcpts)
    if sender is None:
        path = headers.get("return-path") or ""
        hints = [path, letter.sender or "", headers.get("from") or "", FALLBACK_SENDER]
        sender = "" if path.strip() == "<>" else next(found for hint in hints for found in addresses(hint))
    for name in ("delivered-to", "x-original-to", "envelope-to", "to"):
        rcpts = rcpts or [address for value in headers.get_all(name) for address in addresses(value)]
    return sender, list(dict.fromkeys(rcpts))[:MAX_RCPTS] or [FALLBACK_RCPT]


def addresses(value: str) -> list[str]:
    """The addresses in a header's value, fit to be said in SMTP; the odd ones are left out."""
    return [word for word in _SPLIT.split(value[:10_000]) if _ADDRESS.fullmatch(word) and len(word) <= 254]
