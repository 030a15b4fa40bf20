"""Proves every byte of the archive, and that index and segments agree."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

from trap.archive.index import Index, Known
from trap.archive.record import Corrupt
from trap.archive.segment import Fault, Reader
from trap.archive.store import segments

_IDS_AT_ONCE = 500


class Proof:
    """What was looked at.

    Attributes:
        segments, records, message_bytes: how many were read whole.
    """

    def __init__(self) -> None:
        self.segments = 0
        self.records = 0
        self.message_bytes = 0

    def faults(
        self, directory: Path, index: Index, done: Callable[[int], None] = lambda _: None
    ) -> Iterator[str]:
        """Read every segment; yields one line for everything that is not as it was written.

        A job that lies in the segments twice, archived around a crash, is no fault.

        Args:
            done: told how many bytes of segments were read.
        """
        known = index.segments()
        for path in segments(directory):
            name = path.name.removesuffix(path.suffix)
            entry = known.pop(name, None)
            try:
                with Reader(path) as reader:
                    for fault in self._segment(reader, index, entry, done):
                        yield f"{name} at {fault.offset}: {fault.what}"
            except FileNotFoundError:
                continue  # retention took it just now
            except Corrupt as error:
                yield str(error)
        for name, entry in known.items():
            if entry.records and not any(path.name.startswith(name) for path in segments(directory)):
                yield f"{name}: the index holds {entry.records} messages of it, the segment is gone"

    def _segment(
        self, reader: Reader, index: Index, known: Known | None, done: Callable[[int], None]
    ) -> Iterator[Fault]:
        seal, end = reader.seal, reader.end
        found: dict[int, str] = {}
        faults: list[Fault] = []
        digest = hashlib.sha256()
        for frame in reader.frames(fault=faults.append):
            found[frame.offset] = frame.id
            digest.update(frame.sha256)
            try:
                self.message_bytes += len(reader.record(frame).message)
                self.records += 1
            except Corrupt as error:
                faults.append(Fault(frame.offset, str(error)))
            done(frame.end - frame.offset)
        self.segments += 1
        yield from faults
        # RACE: its worker may have sealed it while we read. (test_sealed_while_it_is_read)
        sealed = (known and known.complete) or not reader.path.stat().st_mode & 0o200
        if sealed and not seal and not reader.seal:
            yield Fault(end, "it was sealed, but its footer is damaged or gone")
        if seal and seal.sha256 != reader.proof():
            yield Fault(end, "the segment's sha256 is not the one in its footer")
        if not faults and reader.digest not in {None, digest.digest()}:
            yield Fault(end, "the messages are not those that were packed")
        if seal and seal.records != len(found):
            yield Fault(end, f"{len(found)} records found, {seal.records} in its footer")
        if known:
            yield from _compare(index, known, found)


def _compare(index: Index, known: Known, found: dict[int, str]) -> Iterator[Fault]:
    """What the index says of a segment against what is in it, as far as it is indexed."""
    indexed = index.offsets(known)
    for offset, job_id in indexed.items():
        if found.get(offset) != job_id:
            yield Fault(offset, f"the index says that {job_id} is here, but it is not")
    missing = [
        (offset, job_id)
        for offset, job_id in found.items()
        if offset < known.indexed_to and indexed.get(offset) != job_id
    ]
    for at in range(0, len(missing), _IDS_AT_ONCE):
        some = missing[at : at + _IDS_AT_ONCE]
        elsewhere = index.places([job_id for _, job_id in some])
        for offset, job_id in some:
            if job_id not in elsewhere:
                yield Fault(offset, f"the index does not know {job_id}")
