"""Where campaigns lead to: the hosts that their newest copy links to, found once and remembered.

To find them a message is read, which is for the viewer's children (trap.view): it was written to harm who
reads it. They do it one message at a time, beside downloads, and no page waits for more than a moment:
what is not known by then is left out, and known when the page is looked at again. A message that takes
too long leads nowhere, and is not read again.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress

from trap.archive.library import Row, TooSlow
from trap.archive.reading import NoArchive, Reading, Unreadable
from trap.archive.record import Corrupt
from trap.view.viewer import Viewer

MAX_HOSTS = 20
_MAX_KNOWN = 5000
_MAX_WANTED = 60
"""Messages that wait to be read; of more, those asked for last."""
_MAX_BYTES = 1 << 20
"""Larger messages are not read."""
_MOMENT = 0.3
"""Seconds."""


class Landings:
    """What is known of messages; for one event loop.

    Args:
        reading: the archive.
        viewer: gives who reads messages.
    """

    def __init__(self, reading: Reading, viewer: Callable[[], Viewer]) -> None:
        self._reading = reading
        self._viewer = viewer
        self._known: OrderedDict[str, list[str]] = OrderedDict()
        self._wanted: OrderedDict[str, Row] = OrderedDict()
        self._task: asyncio.Task[None] | None = None

    async def of(self, rows: Iterable[Row], seconds: float = _MOMENT) -> dict[str, list[str]]:
        """The hosts that messages link to, by id; those not found in time are left out.

        Args:
            rows: the messages.
            seconds: that it may take.
        """
        rows = list(rows)
        for row in rows:
            self._want(row)
        if self._wanted and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._read())
        if self._task and not all(row.id in self._known for row in rows):
            await asyncio.wait([self._task], timeout=seconds)
        return {row.id: self._known[row.id] for row in rows if row.id in self._known}

    def close(self) -> None:
        """Read no more."""
        self._wanted.clear()

    def _want(self, row: Row) -> None:
        if row.id in self._known or row.id in self._wanted:
            return
        if row.size > _MAX_BYTES:
            self._remember(row.id, [])
            return
        self._wanted[row.id] = row
        if len(self._wanted) > _MAX_WANTED:
            self._wanted.popitem(last=False)

    async def _read(self) -> None:
        """Read all that are wanted, one after the other."""
        while self._wanted:
            job_id, row = self._wanted.popitem(last=False)
            with suppress(NoArchive, Unreadable, TooSlow):  # another page says so
                hosts = await self._hosts(row)
                if hosts is not None:
                    self._remember(job_id, hosts)

    async def _hosts(self, row: Row) -> list[str] | None:
        """None when nobody had time for the message."""
        try:
            record = await self._reading.ask(lambda library: library.record(row))
        except (FileNotFoundError, Corrupt):  # gone, or damaged: the page of the message says so
            return []
        view = await self._viewer().view(record, aside=True)
        if "headers" in view.missing:
            return None
        hosts = (url.host.replace("[.]", ".") for url in view.urls if url.defanged.startswith("hxxp"))
        return list(dict.fromkeys(filter(None, hosts)))[:MAX_HOSTS]

    def _remember(self, job_id: str, hosts: list[str]) -> None:
        self._known[job_id] = hosts
        if len(self._known) > _MAX_KNOWN:
            self._known.popitem(last=False)
