"""Makes messages readable without reading them: children do, each within limits, and may die of it.

A child is started before it is needed, gets one message at a time, and answers section by section. One
that is not done in time is killed and replaced; what it had sent by then is the answer. So no message
holds up anything for longer than the deadline, and what it does to its parser it does to the child.

    with closing(Viewer()) as viewer:
        view = await viewer.view(record)
"""

import asyncio
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import msgspec

from trap.archive.record import Record
from trap.envelope import printable
from trap.view import wire
from trap.view.lane import Lane, Unviewable
from trap.view.view import SECTIONS, DiffLine, Part, View

__all__ = ["Unviewable", "Viewer"]

DOWNLOAD_SECONDS = 15.0
"""Longest time for a part or a zip, which may be as large as a message."""
_MAX_SPENT = 0.7
"""Share of the time for a message that may be spent before it is read."""
_GRACE = 0.2
"""Seconds beyond its deadline that an answer is waited for: a child is killed and replaced then."""
_TOO_LONG = "it took too long"

T = TypeVar("T")


class _Asked:
    """A view that is wanted, and what a child has said so far."""

    def __init__(self, lane: Lane, record: Record, images: bool, seconds: float) -> None:
        self.lane = lane
        self.seconds = seconds
        self._message = record.message
        self._request = wire.Request("view", [_source(record)], images=images, seconds=seconds)
        self._deadline = time.monotonic() + seconds
        self._found: dict[str, msgspec.Raw] = {}

    def read(self) -> None:
        """Have it read, by now or not at all."""
        self.lane.ask(self._request, [self._message], self._deadline, self._take)

    def _take(self, answer: wire.Answer) -> None:
        if not answer.error:
            self._found[answer.section] = answer.found

    def view(self, *defects: str) -> View:
        """What there is of it; more may come in the meantime, but not into this."""
        found = dict(self._found)
        made: dict[str, Any] = {"defects": list(defects)}
        for section in found.values():
            made.update(msgspec.msgpack.decode(section))
        made["missing"] = [section for section in SECTIONS if section not in found]
        return msgspec.convert(made, View)


class Viewer:
    """A few children that read messages. Usable from any thread and any event loop.

    What may take long, downloads, is for one more child, which begins when it is first needed: nobody who
    looks at a message waits for somebody who downloads one.

    Args:
        processes: children, and so messages that are read at the same time.
        seconds: longest time for one message, waiting included.
        memory: bytes of address space of one child.
    """

    def __init__(self, processes: int = 2, seconds: float = 1.5, memory: int = 1 << 30) -> None:
        self._seconds = seconds
        self._memory = memory
        self._first = Lane(processes, memory)
        self._second: Lane | None = None
        self._lock = threading.Lock()

    def _aside(self) -> Lane:
        with self._lock:
            self._second = self._second or Lane(1, self._memory)
            return self._second

    def close(self) -> None:
        """End all children, once they are done with what they are at."""
        for lane in filter(None, (self._first, self._second)):
            lane.close()

    async def view(
        self, record: Record, images: bool = False, spent: float = 0.0, aside: bool = False
    ) -> View:
        """All there is to see of a message; `View.missing` names what could not be had in time.

        Args:
            record: from the archive.
            images: whether the HTML has the pictures that came with the message.
            spent: seconds that its reader waited before, and will not wait here; a part is left in any case.
            aside: whether it is read where downloads are, as nobody waits for it.
        """
        seconds = self._seconds - min(spent, _MAX_SPENT * self._seconds)
        asked = _Asked(self._aside() if aside else self._first, record, images, seconds)
        try:
            await _soon(asked.lane, asked.read, seconds)
        except Unviewable as error:
            return asked.view(str(error))
        return asked.view()

    async def part(self, record: Record, number: int) -> Part:
        """One part, decoded.

        Raises:
            LookupError: it has no such part.
            Unviewable: it can't be had.
        """
        lane = self._aside()
        return await _soon(lane, self._part(lane, record, number), DOWNLOAD_SECONDS)

    async def packed(self, record: Record, number: int | None = None) -> bytes:
        """A zip with the password "infected" of one part, or of the whole message.

        Raises:
            LookupError: it has no such part.
            Unviewable: it can't be had.
        """
        lane = self._aside()
        return await _soon(lane, self._packed(lane, record, number), DOWNLOAD_SECONDS)

    async def difference(self, left: Record, right: Record) -> list[DiffLine]:
        """Two messages side by side: headers, then text.

        Raises:
            Unviewable: it can't be had.
        """
        return await _soon(self._first, self._difference(left, right), self._seconds)

    def _part(self, lane: Lane, record: Record, number: int) -> Callable[[], Part]:
        request = wire.Request("part", [_source(record)], number=number, seconds=DOWNLOAD_SECONDS)
        return partial(_one, lane, request, [record.message], _deadline(request), Part)

    def _packed(self, lane: Lane, record: Record, number: int | None) -> Callable[[], bytes]:
        request = wire.Request("packed", [_source(record)], number=number, seconds=DOWNLOAD_SECONDS)
        return partial(_one, lane, request, [record.message], _deadline(request), bytes)

    def _difference(self, left: Record, right: Record) -> Callable[[], list[DiffLine]]:
        request = wire.Request("difference", [_source(left), _source(right)], seconds=self._seconds)
        messages = [left.message, right.message]
        return partial(_one, self._first, request, messages, _deadline(request), list[DiffLine])


async def _soon(lane: Lane, work: Callable[[], T], seconds: float) -> T:
    """What a child answers; what is not even begun when its time is over is never done."""
    future = asyncio.wrap_future(lane.submit(work))
    try:
        return await asyncio.wait_for(future, seconds + _GRACE)
    except TimeoutError:
        raise Unviewable(_TOO_LONG) from None


def _deadline(request: wire.Request) -> float:
    return time.monotonic() + request.seconds


def _one(lane: Lane, request: wire.Request, messages: list[bytes], deadline: float, kind: type[T]) -> T:
    """An answer of one section."""
    answers: list[wire.Answer] = []
    lane.ask(request, messages, deadline, answers.append)
    if not answers:
        raise Unviewable(_TOO_LONG)
    if answers[0].error == wire.NO_PART:
        raise LookupError(f"no part {request.number}")
    if answers[0].error:
        raise Unviewable(answers[0].error)
    return msgspec.msgpack.decode(answers[0].found, type=kind)


def _source(record: Record) -> wire.Source:
    said = record.envelope
    return wire.Source(
        record.id,
        len(record.message),
        said.received_at or record.received_at,
        printable(said.client_ip),
        printable(said.helo or ""),
        printable(said.server_ip),
        printable(said.protocol) + (f" {printable(said.tls_version)}" if said.tls_version else ""),
        [printable(address) for address in said.rcpt_tos],
    )
