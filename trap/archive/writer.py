"""Appends to one segment, which belongs to this process for as long as it holds the file's flock.

Nothing counts as archived before `append` returns: by then it is synced. Whatever goes wrong on
the way, the segment is cut back to where it was, and takes no more.
"""

import fcntl
import hashlib
import os
import secrets
import time
from array import array
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Self

import zstandard

from trap import fsio
from trap.archive import record
from trap.archive.copies import Copies
from trap.archive.form import SUFFIX, Fault, Footer, footer
from trap.archive.loose import head, mark
from trap.archive.record import Corrupt
from trap.archive.segment import Reader
from trap.job import Job, id_time

NEW = ".new"
"""Suffix of a segment whose head is not on disk yet."""
_OPEN = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC
_SEALED_MODE = 0o440
_REMEMBERED = 50_000
"""Jobs whose place is known without asking the index, should they come again."""
_READ = 1 << 20


class Place(NamedTuple):
    """Where a job is archived."""

    segment: str
    offset: int
    sha256: bytes
    """Of the message."""


class Writer:
    """An open segment of ours. Made by `create` or `adopt`.

    Attributes:
        size: bytes in the file, all of them synced.
        offsets: where its frames begin.
        places: where each of the last jobs in it is.
        spent: it takes no more records: an append was interrupted. Close it.
        damaged: something before its last good frame is not what was written. Seal it.
    """

    def __init__(self, path: Path, fd: int, reader: Reader, level: int) -> None:
        self.path = path
        self.reader = reader
        self.size = reader.start
        self.offsets = array("Q")
        self.places: dict[str, Place] = {}
        self.spent = False
        self.damaged = False
        self._fd = fd
        self._seed = reader.seed
        self._first, self._last, self._message_bytes = float("inf"), 0.0, 0
        self._hash = hashlib.sha256()
        self._copies = Copies(level)
        if reader.dictionary:
            dictionary = zstandard.ZstdCompressionDict(reader.dictionary)
            dictionary.precompute_compress(level=level)
            self._zstd = zstandard.ZstdCompressor(level=level, dict_data=dictionary)
        else:
            self._zstd = zstandard.ZstdCompressor(level=level)

    @property
    def name(self) -> str:
        """The segment's name."""
        return self.reader.name

    @classmethod
    def create(cls, directory: Path, dictionary: bytes, level: int) -> Self:
        """Begin a segment in `directory`.

        Args:
            dictionary: for its frames; empty for none.
            level: of zstd.

        Raises:
            OSError: no room, no permission.
        """
        now = time.time()
        start = head(now, secrets.randbits(32), dictionary)
        while True:
            moment = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now)) + f".{int(now % 1 * 1_000_000):06}Z"
            name = f"{moment}-{secrets.token_hex(4)}"
            path = directory / (name + SUFFIX)
            unready = str(directory / (name + NEW))
            fd = os.open(unready, _OPEN | os.O_CREAT | os.O_EXCL, 0o640)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                fsio.write_all(fd, [start])
                os.fsync(fd)
                fsio.rename(unready, str(path), sync=True)
                writer = cls(path, fd, Reader(path), level)
                writer._hash.update(start)
                return writer
            except (BlockingIOError, FileNotFoundError):
                # RACE: whoever sweeps took the file between our open and our flock for a dead
                # one's. Begin another. (test_a_sweeper_may_come_too_early)
                os.close(fd)
                fsio.unlink(unready)
            except BaseException:
                os.close(fd)
                fsio.unlink(unready)
                raise

    @classmethod
    def adopt(cls, path: Path, level: int) -> Self | None:
        """Take over an open segment whose owner is gone, its torn tail cut off.

        Returns:
            None when it has an owner, is sealed, is gone, or does not begin like a segment.
        """
        try:
            fd = os.open(path, _OPEN)
        except (FileNotFoundError, PermissionError):  # dropped; or sealed, which takes the right to write
            return None
        try:
            if not os.fstat(fd).st_mode & 0o200:  # root may write to what is sealed
                return None
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            reader = Reader(path)
            if reader.seal:  # its owner died just before it took the right to write
                os.fchmod(fd, _SEALED_MODE)
                reader.close()
                return None
            writer = cls(path, fd, reader, level)
            fd = -1
            writer._recover()
            return writer
        except (BlockingIOError, FileNotFoundError, Corrupt):
            return None
        finally:
            if fd >= 0:
                os.close(fd)

    def append(self, jobs: Sequence[Job]) -> list[Place]:
        """Archive jobs: written and synced when this returns.

        Raises:
            OSError: it could not be done; none of them counts as archived, and the segment is spent.
        """
        # True until the end: whatever interrupts us, also the worker's deadline at any line, leaves
        # a segment that is closed, and read afresh by whoever adopts it.
        self.spent = True
        pieces: list[bytes] = []
        places: list[Place] = []
        end = self.size
        for job in jobs:
            digest = hashlib.sha256(job.message).digest()
            packed, base = record.encode(job), 0
            frame = self._zstd.compress(packed)
            if campaign := record.campaign_of(job.notes):
                frame, base = self._copies.compress(campaign, packed, frame, end)
            begin = mark(self._seed, job, digest, base, frame)
            pieces += begin, frame
            places.append(Place(self.name, end, digest))
            end += len(begin) + len(frame)
        try:
            fsio.write_all(self._fd, pieces)
            os.fdatasync(self._fd)
        except BaseException:
            os.ftruncate(self._fd, self.size)
            raise
        for piece in pieces:
            self._hash.update(piece)
        self.size = end
        for job, place in zip(jobs, places, strict=True):
            self._count(job.id, place, job.size)
        self.spent = False
        return places

    def seal(self) -> None:
        """End the segment with its footer; from now on it never changes. Gives it up.

        Raises:
            OSError: no room for the footer; the segment stays open, without an owner.
        """
        first = self._first if self.offsets else 0.0
        end = Footer(len(self.offsets), first, self._last, self._message_bytes, self._hash.digest())
        try:
            fsio.write_all(self._fd, [footer(end)])
            os.fsync(self._fd)
            os.fchmod(self._fd, _SEALED_MODE)
        except BaseException:
            os.ftruncate(self._fd, self.size)
            raise
        finally:
            self.close()

    def close(self) -> None:
        """Give the segment up; if it is not sealed, another worker may adopt it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self.reader.close()

    def _recover(self) -> None:
        """Find out what is in the file, and cut off what the last owner did not finish."""
        damage: list[Fault] = []
        self.size = self.reader.start
        for frame in self.reader.frames(fault=damage.append):
            self.size = frame.end
            self._count(frame.id, Place(self.name, frame.offset, frame.sha256), frame.message_bytes)
        # Damage before the last good frame is not a torn tail: keep all, add nothing, let verify tell.
        self.damaged = bool(damage)
        if self.reader.size > self.size:
            os.ftruncate(self._fd, self.size)
            os.fsync(self._fd)
        for at in range(0, self.size, _READ):
            self._hash.update(os.pread(self._fd, min(_READ, self.size - at), at))

    def _count(self, job_id: str, place: Place, size: int) -> None:
        self.offsets.append(place.offset)
        self.places[job_id] = place
        if len(self.places) > _REMEMBERED:
            self.places = dict(islice(self.places.items(), _REMEMBERED // 2, None))
        self._first = min(self._first, id_time(job_id))
        self._last = max(self._last, id_time(job_id))
        self._message_bytes += size
