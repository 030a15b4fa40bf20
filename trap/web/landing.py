"""Where campaigns lead to: the hosts that their newest copy links to, found once and remembered.

To find them a message is read and parsed, which a page of many campaigns can't do for all of them: what
is not known after a while is left out, and known when the page is looked at again.
"""

import time
from collections import OrderedDict
from collections.abc import Iterable
from threading import Lock

from trap.archive.fields import indexed
from trap.archive.library import Library, Row
from trap.archive.links import host_of
from trap.archive.record import Corrupt

MAX_HOSTS = 20
_MAX_KNOWN = 5000
_MAX_BYTES = 1 << 20
"""Larger messages are not parsed while somebody waits."""


class Landings:
    """What is known of messages; for all threads."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, list[str]] = OrderedDict()
        self._lock = Lock()

    def of(self, library: Library, rows: Iterable[Row], budget: float = 0.05) -> dict[str, list[str]]:
        """The hosts that messages link to, by id; those not found in time are left out.

        Args:
            budget: seconds it may take.
        """
        end = time.monotonic() + budget
        found = {}
        for row in rows:
            hosts = self._known.get(row.id)
            if hosts is None and time.monotonic() < end:
                hosts = _hosts(library, row)
                self._remember(row.id, hosts)
            if hosts is not None:
                found[row.id] = hosts
        return found

    def _remember(self, job_id: str, hosts: list[str]) -> None:
        with self._lock:
            self._known[job_id] = hosts
            if len(self._known) > _MAX_KNOWN:
                self._known.popitem(last=False)


def _hosts(library: Library, row: Row) -> list[str]:
    if row.size > _MAX_BYTES:
        return []
    try:
        urls = indexed(library.record(row)).urls
    except (FileNotFoundError, Corrupt):  # gone, or damaged: the page of the message says so
        return []
    return list(dict.fromkeys(filter(None, map(host_of, urls))))[:MAX_HOSTS]
