"""Reads the archive for those who must not wait for it: in threads, one open archive each, within a time."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from trap.archive.library import Library
from trap.archive.store import folder

_THREADS = 4
"""SQLite works outside Python's lock: a search that takes long does not hold up the others."""
SECONDS = 2.0
"""Longest time of one question to the index, unless more is asked for."""

T = TypeVar("T")


class NoArchive(Exception):
    """Nothing was archived yet."""


class Unreadable(Exception):
    """The index can't be read, and why."""


class Reading:
    """A pool of readers of one archive.

    Args:
        directory: the archive's root; it need not be there yet.
        threads: questions answered at the same time.
    """

    def __init__(self, directory: Path, threads: int = _THREADS) -> None:
        self._directory = directory
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="archive")
        self._mine = threading.local()
        self._all: list[Library] = []

    async def ask(self, question: Callable[[Library], T], seconds: float = SECONDS) -> T:
        """The answer to a question to the archive; what it gives must not read on (no generator).

        Args:
            seconds: longest time of each thing it asks the index.

        Raises:
            NoArchive: there is none yet.
            Unreadable: its index is damaged, or of another version.
            TooSlow: it takes longer.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._answer, question, seconds)

    def _answer(self, question: Callable[[Library], T], seconds: float) -> T:
        try:
            library = self._library()
            library.deadline = seconds
            return question(library)
        except sqlite3.Error as error:
            self._drop()
            raise Unreadable(str(error)) from error

    def _library(self) -> Library:
        """This thread's own; opened anew when a rebuilt index took the old one's place."""
        library: Library | None = getattr(self._mine, "library", None)
        if library and not library.index.replaced:
            return library
        self._drop()
        if not folder(self._directory).is_dir():
            raise NoArchive
        self._mine.library = library = Library(self._directory)
        self._all.append(library)
        return library

    def _drop(self) -> None:
        library: Library | None = getattr(self._mine, "library", None)
        if library:
            self._mine.library = None
            self._all.remove(library)
            library.close()

    def close(self) -> None:
        """Wait for what is being read, and let go."""
        self._pool.shutdown(cancel_futures=True)
        while self._all:
            self._all.pop().close()
