"""One process's way into the archive: which segment it appends to, when that ends, what was left.

    archive/
      segments/20261103T101500.123456Z-1a2b3c4d.seg  one open segment a worker, the others sealed, then packed
      index-1.db                                      what finds things in them (trap.archive.index)

The directory is the truth: a segment is archived mail, whether the index knows it or not.
"""

import fcntl
import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from trap import fsio
from trap.archive import dictionary
from trap.archive.record import Corrupt
from trap.archive.segment import SUFFIX, Reader
from trap.archive.writer import NEW, Place, Writer
from trap.job import Job

log = logging.getLogger("spamtrap.archive")

SEGMENT_SIZE = 128 << 20
LEVEL = 5
"""Of zstd: level 9 saves 1.6 percent of the bytes for twice the time."""
SEAL_AFTER = 7 * 86400.0
INDEX_LOCK = "index.lock"
_TIDY_EVERY = 60.0
"""Seconds a segment of a dead worker waits for one that goes on with it, before it is sealed."""


def folder(directory: Path) -> Path:
    """Where the segments of an archive lie."""
    return directory / "segments"


def segments(directory: Path) -> list[Path]:
    """The archive's segments, oldest first; none when there is no archive yet."""
    return sorted(folder(directory).glob("*" + SUFFIX))


def segment_path(directory: Path, name: str) -> Path:
    """Where the segment `name` lies."""
    return folder(directory) / (name + SUFFIX)


@contextmanager
def lock(directory: Path, name: str = INDEX_LOCK) -> Iterator[bool]:
    """Whether we are the one who does now, on this archive, what the lock of this name is for."""
    fd = os.open(directory / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            ours = True
        except BlockingIOError:
            ours = False
        yield ours
    finally:
        os.close(fd)


@contextmanager
def exclusive(segments_folder: Path) -> Iterator[None]:
    """Nobody else takes a segment away, or gives it another form, meanwhile. Not for long."""
    fd = os.open(segments_folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


class Store:
    """Puts jobs into segments. One a process; any number of processes share the archive.

    Args:
        directory: the archive's root; made with the first job.
        segment_size: a segment this large, in bytes, is sealed.
        level: zstd's.
        seal_after: seconds after which an open segment is sealed.
        enough: records after which a segment that has no dictionary is sealed, to train one from it.
    """

    def __init__(
        self,
        directory: Path,
        segment_size: int = SEGMENT_SIZE,
        level: int = LEVEL,
        seal_after: float = SEAL_AFTER,
        enough: int = dictionary.ENOUGH,
    ) -> None:
        self.directory = directory
        self.segment_size = segment_size
        self.level = level
        self.seal_after = seal_after
        self.enough = enough
        self._writer: Writer | None = None
        self._previous: dict[str, Place] = {}
        self._dictionary: bytes | None = None
        self._tidied = time.monotonic()

    def put(self, jobs: Sequence[Job]) -> list[Place]:
        """Archive jobs: written and synced when this returns.

        A job that is in the segment at hand or in the one before is not written again.

        Raises:
            OSError: none of them was archived, for instance because the disk is full.
        """
        writer = self._open()
        fresh = {job.id: job for job in jobs if not self.find(job.id)}
        try:
            if fresh:
                writer.append(list(fresh.values()))
        finally:
            if writer.spent:
                self._let_go()
        places = [writer.places.get(job.id) or self._previous[job.id] for job in jobs]
        if self._is_full(writer):
            try:
                self.seal()
            except OSError as error:  # what was asked for is done; whoever adopts it tries again
                log.warning("segment %s could not be sealed: %s", writer.name, error)
        return places

    def find(self, job_id: str) -> Place | None:
        """Where this process archived a job lately, if it did."""
        found = self._writer and self._writer.places.get(job_id)
        return found or self._previous.get(job_id)

    def tick(self) -> None:
        """Seal what is due by time, and what nobody goes on with."""
        writer = self._writer
        if writer and writer.offsets and time.time() - writer.reader.created > self.seal_after:
            self.seal()
        if time.monotonic() - self._tidied > _TIDY_EVERY:
            self._tidied = time.monotonic()
            for orphan in self._orphans():
                orphan.seal()

    def seal(self) -> None:
        """Seal the segment at hand and train the next one's dictionary from it.

        Raises:
            OSError: there is no room for the footer; the segment is given up, open.
        """
        writer, self._writer = self._writer, None
        if not writer:
            return
        self._previous = writer.places
        if len(writer.offsets) >= self.enough and (made := dictionary.train(writer)):
            self._dictionary = made
        writer.seal()

    def close(self) -> None:
        """Give the segment at hand up. It stays open, and whoever comes next goes on with it."""
        self._let_go()

    def recover(self) -> None:
        """Go on with an open segment whose owner is gone, if there is one."""
        fsio.make_directory(folder(self.directory))
        sweep(self.directory)
        for writer in self._orphans():
            if writer.damaged or self._is_full(writer):
                writer.seal()
            else:
                log.info("took over segment %s with %d records", writer.name, len(writer.offsets))
                self._writer = writer
                return

    def _orphans(self) -> Iterator[Writer]:
        """Take over, one by one, the open segments whose owner is gone."""
        for path in segments(self.directory):
            ours = self._writer is not None and path == self._writer.path
            if not ours and (writer := Writer.adopt(path, self.level)):
                yield writer

    def _open(self) -> Writer:
        if not self._writer:
            self.recover()
        if not self._writer:
            if self._dictionary is None:
                self._dictionary = _newest_dictionary(self.directory)
            self._writer = Writer.create(folder(self.directory), self._dictionary, self.level)
        return self._writer

    def _is_full(self, writer: Writer) -> bool:
        early = not writer.reader.dictionary and len(writer.offsets) >= self.enough
        return early or writer.size >= self.segment_size

    def _let_go(self) -> None:
        if self._writer:
            self._writer.close()
            self._writer = None


def _newest_dictionary(directory: Path) -> bytes:
    """The dictionary of the newest segment that has one, for a worker that has trained none."""
    for path in reversed(segments(directory)):
        try:
            with Reader(path) as reader:
                if reader.dictionary:
                    return reader.dictionary
        except (Corrupt, FileNotFoundError):
            continue
    return b""


def sweep(directory: Path) -> None:
    """Remove segments that were never begun: files without a head, their maker gone."""
    for path in folder(directory).glob("*" + NEW):
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fsio.unlink(str(path))
        except BlockingIOError:
            pass
        finally:
            os.close(fd)
