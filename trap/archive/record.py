"""A record: what the archive keeps of one job, and its form inside a segment's frame.

It is one msgpack array: envelope, notes, and the message in pieces (see trap.archive.fold). Its id
and the sha256 of its message stand in front of the frame, where they can be read without the rest.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgpack

from trap.archive.fold import fold, unfold
from trap.envelope import Envelope
from trap.job import Job, id_time


class Corrupt(ValueError):
    """Bytes of the archive that are not what was written."""


@dataclass(frozen=True, slots=True)
class Record:
    """One archived message with all that was known of it when it was archived."""

    id: str
    sha256: bytes
    envelope: Envelope
    notes: Mapping[str, Any]
    message: bytes

    @property
    def received_at(self) -> float:
        """When it was accepted, in seconds since the epoch."""
        return id_time(self.id)

    def job(self) -> Job:
        """The job as the archive stage saw it."""
        return Job(self.id, self.envelope, self.notes, self.message)


def campaign_of(notes: Mapping[str, Any]) -> str | None:
    """The campaign a message belongs to, as some stage before the archive noted it."""
    for note in notes.values():
        if isinstance(note, Mapping) and "campaign" in note:
            return str(note["campaign"])
    return None


def encode(job: Job) -> bytes:
    """The record of a job, packed."""
    record = [job.envelope.to_map(), dict(job.notes), fold(job.message)]
    packed: bytes = msgpack.packb(record, unicode_errors="surrogateescape")
    return packed


def decode(job_id: str, sha256: bytes, packed: bytes) -> Record:
    """Unpack a record and prove its message against its sha256.

    Raises:
        Corrupt: it is not a record, or its message is not the one that was archived.
    """
    try:
        envelope, notes, pieces = msgpack.unpackb(
            packed, unicode_errors="surrogateescape", strict_map_key=False
        )
        record = Record(job_id, sha256, Envelope.from_map(envelope), notes, unfold(pieces))
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError) as error:
        raise Corrupt(f"{job_id}: not a record: {error or type(error).__name__}") from error
    if hashlib.sha256(record.message).digest() != sha256:
        raise Corrupt(f"{job_id}: the message's sha256 is wrong")
    return record
