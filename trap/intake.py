"""What all sessions of one sink share: its limits, who is accepted, and the way into the spool.

Knows nothing of sockets and of how SMTP is spoken.
"""

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor

from trap import fsio
from trap.config import Config
from trap.envelope import Envelope
from trap.queue import Spool
from trap.recipients import Recipients

_ROOM_EVERY = 0.1
_COMPLAIN_EVERY = 10.0
_LOG_BYTES = 1 << 20
"""Bytes that the mail log's file system must have free."""
_INODES = 64
"""Inodes kept free when the reserve is given in bytes."""

log = logging.getLogger("trap.sink")


class Intake:
    """The sink's side of the spool.

    Args:
        config: smtp, accept, route and spool are used.
        spool: where messages go; any object with its `root`, `sync` and `put`.

    Raises:
        ValueError: accept or route hold a mistake.
    """

    def __init__(self, config: Config, spool: Spool) -> None:
        self.hostname = config.hostname
        self.max_size = int(config.smtp.max_size)
        self.max_recipients = config.smtp.max_recipients
        self.timeout = float(config.smtp.timeout)
        self.recipients = Recipients(config)
        self._reserve = config.spool.reserve
        self._spool = spool
        self._log = config.paths.maillog
        # One thread: the spool's writer is not made for two, and syncs of one device queue up anyway.
        self._syncer = ThreadPoolExecutor(1, "sync") if spool.sync else None
        self._looked = 0.0
        self._room = True
        self._complained = 0.0

    def has_room(self) -> bool:
        """Whether the spool has its reserve free; the kernel is asked ten times a second at most."""
        now = time.monotonic()
        if now - self._looked >= _ROOM_EVERY:
            self._looked = now
            try:
                self._room = self._has_reserve()
            except OSError as error:
                self._room = False
                self._complain(f"spool: {error}, answering 452")
        return self._room

    def _has_reserve(self) -> bool:
        space = fsio.space(self._spool.root)
        inodes = self._reserve.of(space.inodes_total)
        if self._reserve.share is None:  # bytes were meant
            inodes = min(inodes, _INODES, space.inodes_total // 20)
        enough = space.bytes_free >= self._reserve.of(space.bytes_total) and (
            not space.inodes_total or space.inodes_free >= inodes
        )
        if not enough:
            self._complain(f"spool: less than {self._reserve} free, answering 452")
        elif self._log.exists() and fsio.space(self._log).bytes_free < _LOG_BYTES:
            self._complain("mail log: its disk is full, answering 452")
            enough = False
        return enough

    async def put(self, queue: str, envelope: Envelope, message: bytes) -> str:
        """Store a message; when this returns, it is in the queue.

        Returns:
            The job's id.

        Raises:
            OSError: it is not stored.
        """
        try:
            if self._syncer:
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._syncer, self._spool.put, queue, envelope, message)
            return self._spool.put(queue, envelope, message)
        except OSError as error:
            self._complain(f"spool: {error}, answering 452")
            raise

    def close(self) -> None:
        """Finish what is being written."""
        if self._syncer:
            self._syncer.shutdown()

    def _complain(self, text: str) -> None:
        """Tell the operator, but not once a message."""
        now = time.monotonic()
        if not self._complained or now - self._complained >= _COMPLAIN_EVERY:
            self._complained = now
            log.warning(text)
