"""What all sessions of one sink share: its limits, who is accepted, and the way into the spool.

Knows nothing of sockets and of how SMTP is spoken. All of it runs on the event loop, but for the
puts where fsync is on: they have a thread.
"""

import errno
import os
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING

from trap import fsio
from trap.config import Config
from trap.draft import Draft
from trap.envelope import Envelope
from trap.job import new_id
from trap.queue import Spool
from trap.recipients import Recipients
from trap.shortage import DROP, FULL, SHED, TEMPFAIL, Shortage
from trap.writer import Item, Message, Results, size_of

if TYPE_CHECKING:
    from trap.syncer import Syncer

Stored = dict[str, str | None]
"""Queue -> the job's id; None where the message could not be stored."""

_WORTH_A_WRITE = 4096
"""A client that sends byte by byte, when memory is short, must not cost a system call a byte."""
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


def _no_room() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _syncer(spool: Spool) -> "Syncer":
    from trap.syncer import Syncer  # noqa: PLC0415 - threads and a loop: not for one message

    return Syncer(spool)


class Memory:
    """Bytes of messages on their way in that are held in memory, over all sessions.

    Attributes:
        held: bytes now.
        limit: no more than this is held; what comes then is written into the spool. 0: no limit.
        spilled: messages that were written into the spool as they came.
    """

    __slots__ = ("held", "limit", "spilled")

    def __init__(self, limit: int) -> None:
        self.held = 0
        self.limit = limit
        self.spilled = 0

    def add(self, size: int) -> None:
        """So many bytes more are held, or fewer."""
        self.held += size


class Incoming(Draft):
    """A draft that makes room for itself, or gives itself up, as the configuration says.

    Attributes:
        lost: nothing of it is kept; it will be accepted and dropped.
    """

    __slots__ = ("_intake", "_queues", "_tags", "lost")

    def __init__(self, intake: "Intake", tags: Sequence[str], queues: Sequence[str], path: str) -> None:
        self._intake, self._tags, self._queues = intake, tags, queues
        self.lost = False
        self.path, self.size, self._fd = path, 0, -1
        self._guarded(partial(super().__init__, path), 0)

    def write(self, pieces: fsio.Pieces) -> None:
        """Add to the message; to its size alone when it is lost.

        Raises:
            OSError: nothing was added.
        """
        size = sum(map(len, pieces))
        if not self.lost:
            self._guarded(partial(super().write, pieces), size)
        if self.lost:
            self.size += size

    def _guarded(self, act: Callable[[], None], size: int) -> None:
        try:
            if self._intake.shortage.short(self._queues):
                raise _no_room()
            act()
        except OSError as error:
            if self._intake.make_room(error, self._tags, self._queues[0], size):
                act()
            else:
                self.lost = True
                self.abandon()


class Intake:
    """The sink's side of the spool.

    Args:
        config: smtp, limits, accept, route, paths and spool are used.
        spool: where messages go; any object with its `root`, `sync`, `put`, `put_all` and `draft`.
        alone: there is no loop, and no operator who listens: puts are waited for, also where fsync is on.

    Attributes:
        memory: what of messages on their way in is held in memory.
        shortage: what there is of room, and what was done for lack of it.
        messages: how many were accepted.
        bytes: how many they had.
        trouble: why the last message that could not be stored was not.

    Raises:
        ValueError: accept or route hold a mistake.
    """

    def __init__(self, config: Config, spool: Spool, *, alone: bool = False) -> None:
        self.max_size = int(config.smtp.max_size)
        self.max_recipients = config.smtp.max_recipients
        self.recipients = Recipients(config)
        self.memory = Memory(config.limits.memory)
        self.messages = self.bytes = 0
        self._spill_above = int(config.spool.spill_above)
        self._config = config
        self._spool = spool
        self.trouble = ""
        self._syncer = None if alone or not spool.sync else _syncer(spool)
        self.shortage = Shortage(config, spool.root, lambda: self._here, quiet=alone)

    @cached_property
    def _here(self) -> Spool:
        """The spool for what is done on the loop; one of its own where a thread puts."""
        return Spool.open(self._config) if self._syncer else self._spool

    def has_room(self) -> bool:
        """Whether mail can be taken in; the kernel is asked ten times a second at most."""
        return not self.shortage.short(self.shortage.first)

    def fill(self) -> float:
        """Share of the spool's file system in use, bytes or inodes, 0 to 1."""
        return self.shortage.state.fill

    def policy(self, tags: Iterable[str], queues: Iterable[str] = ()) -> str | None:
        """What is to be done with mail now.

        Args:
            tags: of its recipients; "" for one that has none.
            queues: where it begins; all that mail can begin in when not given.

        Returns:
            None: there is room. "tempfail": refuse it, which is counted here. "shed" and "accept-and-drop":
            take it, room is made for it, or not.
        """
        if not (reason := self.shortage.short(queues or self.shortage.first)):
            return None
        choice = self.shortage.choice(tags)
        if choice == TEMPFAIL:
            self.shortage.count(TEMPFAIL, reason)
        return choice

    def must_spill(self, size: int) -> bool:
        """Whether a message of which `size` bytes are held should be written into the spool as it comes."""
        memory = self.memory
        return size > self._spill_above or (0 < memory.limit < memory.held and size >= _WORTH_A_WRITE)

    def draft(self, tags: Sequence[str] = (), queues: Sequence[str] = ()) -> Draft:
        """Begin to write a message into the spool; what is not stored in the end must be abandoned.

        Args:
            tags: of its recipients; "" for one that has none.
            queues: where it begins.

        Raises:
            OSError: no room, or no file may be opened any more.
        """
        draft = self._here.draft(partial(Incoming, self, tags, queues or self.shortage.first))
        self.memory.spilled += 1
        return draft

    def store(
        self,
        envelopes: Sequence[tuple[str, Envelope]],
        message: fsio.Pieces | Draft,
        done: Callable[[Stored], None],
    ) -> None:
        """Store a message, a job for each queue. Never raises for trouble of disks.

        Args:
            envelopes: queue, and the envelope for it.
            message: in pieces, which are not changed until it is done; or a draft, which ends here.
            done: told what became of it; called at once or, where fsync is on, later from the loop.
        """
        stored: Stored = {}
        items: list[Item] = []
        plain = not self.shortage.state and not (isinstance(message, Incoming) and message.lost)
        for number, (queue, envelope) in enumerate(envelopes, 1):
            item = Item(queue, envelope, message, None, number < len(envelopes))
            try:
                if not plain and not self._wanted(item, envelopes):
                    stored[queue] = self._drop(item)
                elif self._syncer:
                    items.append(item)
                else:
                    stored[queue] = self._put(item, envelopes)
            except OSError as error:
                self._failed(error)
                stored[queue] = None
        if self._syncer and items:
            self._syncer.put(items, partial(self._synced, items, stored, done))
            return
        self._end(message, stored, done)

    def make_room(self, error: OSError, tags: Iterable[str], queue: str, size: int) -> bool:
        """Something failed: do what is configured for the lack of room.

        Returns:
            True: there is room now, it may be tried again. False: the message is to be dropped.

        Raises:
            OSError: it failed for another reason, or no room is to be made, or can't be.
        """
        try:
            if error.errno in _NO_ROOM:
                choice = self.shortage.choice(tags)
                if choice == DROP:
                    return False
                if choice == SHED and self.shortage.shed(queue, size):
                    return True
            raise error
        finally:
            del error  # it knows this frame, and with it the connection: who is refused would stay in memory

    def close(self) -> None:
        """Finish what is being written, and give up what was taken."""
        if self._syncer:
            self._syncer.close()
            if "_here" in self.__dict__:
                self._here.close()
        self.shortage.close()

    def _wanted(self, item: Item, envelopes: Sequence[tuple[str, Envelope]]) -> bool:
        """Whether a message is to be stored, and room was made for it where needed; else it is dropped."""
        if isinstance(item.message, Incoming) and item.message.lost:
            return False
        if self.shortage.short((item.queue,)):
            tags = _tags(envelopes)
            # What is refused was refused before its data came; by now it may have some of the reserve.
            if self.shortage.choice(tags) != TEMPFAIL:
                return self.make_room(_no_room(), tags, item.queue, item.space)
        return True

    def _put(self, item: Item, envelopes: Sequence[tuple[str, Envelope]]) -> str:
        try:
            return self._spool.put(*item)
        except OSError as error:
            if self.make_room(error, _tags(envelopes), item.queue, item.space):
                return self._spool.put(*item)
            return self._drop(item)

    def _synced(
        self, items: list[Item], stored: Stored, done: Callable[[Stored], None], results: Results
    ) -> None:
        for item, result in zip(items, results, strict=True):
            if isinstance(result, OSError):
                self._failed(result)
            stored[item.queue] = None if isinstance(result, OSError) else result
        self._end(items[-1].message, stored, done)

    def _drop(self, item: Item) -> str:
        """Account for a message that is accepted and not kept."""
        job_id, log = new_id(), self._here.log
        # Its end first: were only the other line written, because we are killed or the disk is full,
        # it would be missing.
        log.dropped(job_id, item.queue, FULL, 0.0, {})
        log.accepted(job_id, item.queue, item.envelope, item.size)
        self.shortage.count(DROP)
        return job_id

    def _failed(self, error: OSError) -> None:
        self.trouble = f"spool: {error}"
        self.shortage.count(TEMPFAIL, self.trouble)

    def _end(self, message: Message, stored: Stored, done: Callable[[Stored], None]) -> None:
        if None not in stored.values():
            self.messages += 1
            self.bytes += size_of(message)
        if isinstance(message, Draft):
            message.abandon()
        done(stored)


def _tags(envelopes: Sequence[tuple[str, Envelope]]) -> set[str]:
    return {rcpt.tag for _, envelope in envelopes for rcpt in envelope.rcpts}
