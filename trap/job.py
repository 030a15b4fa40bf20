"""A job: one message on its way, and its file.

The file is a msgpack stream of three objects, envelope (map), notes (map), message (bin 32). It is
never changed in place. Its name is `<time µs><random>.<attempt>`; what precedes the dot is the id.

    >>> job = Job.from_message(b"Subject: hi\\r\\n\\r\\nbody\\r\\n")
    >>> job.headers.get("subject"), job.size
    ('hi', 21)
    >>> Job.decode(job.id, b"".join(job.encode())).message == job.message
    True
"""

import random
import re
import time
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgpack
import msgspec

from trap.envelope import Envelope, printable_all

if TYPE_CHECKING:
    import mailparser

ID_DIGITS, ID_LENGTH = 16, 24
NAME = re.compile(r"([0-9]{16}[0-9a-f]{8})\.(0|[1-9][0-9]{0,3})")
MAX_HEADER_BYTES = 1 << 20
"""Headers are searched no further than this, however long they are."""

_BIN32, _SIZE, _NO_NOTES = b"\xc6", 4, b"\x80"
"""msgpack's mark of bytes with a length of four bytes, written by hand to save a copy; an empty map."""
MAX_SIZE = (1 << 8 * _SIZE) - 1
"""Bytes of the largest message that a job can hold."""
_HEAD = 2048
"""Bytes in which envelope and notes are looked for first; mostly they are there."""

# Four times as fast as packing a map, but they know nothing of surrogate escapes.
_pack_envelope = msgspec.msgpack.Encoder().encode
_unpack_envelope = msgspec.msgpack.Decoder(Envelope).decode

_FIELD = re.compile(rb"^([!-9;-~]+)[ \t]*:[ \t]*(.*(?:\r?\n[ \t].*)*)", re.MULTILINE)
_FOLD = re.compile(r"\r?\n(?=[ \t])")


def new_id(at: float | None = None) -> str:
    """Return a fresh job id for the time `at` (seconds since the epoch; now when None)."""
    micros = time.time_ns() // 1000 if at is None else int(at * 1_000_000)
    return f"{micros:0{ID_DIGITS}d}{random.getrandbits(32):08x}"


def id_time(job_id: str) -> float:
    """The time a job was accepted, in seconds since the epoch, read from its id."""
    return int(job_id[:ID_DIGITS]) / 1_000_000


def split_name(name: str) -> tuple[str, int] | None:
    """Split a file name into job id and attempt; None when it is not a job's name."""
    match = NAME.fullmatch(name)
    return (match[1], int(match[2])) if match else None


class CorruptJob(ValueError):
    """A job file that is not three msgpack objects of the right kinds."""


class Headers:
    """Header fields by name, without parsing MIME. Never raises, whatever the bytes."""

    def __init__(self, message: bytes) -> None:
        self._fields: dict[str, list[bytes]] = {}
        for name, value in _FIELD.findall(message[: header_end(message)]):
            self._fields.setdefault(name.decode("ascii").lower(), []).append(value)

    def get(self, name: str) -> str | None:
        """The first field called `name` (any case), unfolded and undecoded, or None."""
        values = self._fields.get(name.lower())
        return _unfolded(values[0]) if values else None

    def get_all(self, name: str) -> list[str]:
        """Every field called `name`, in the order they stand."""
        return [_unfolded(value) for value in self._fields.get(name.lower(), ())]

    def names(self) -> list[str]:
        """The distinct field names, lower case, in the order they first stand."""
        return list(self._fields)


def header_end(message: bytes) -> int:
    """Where the header ends: behind the line before the first empty one, at most MAX_HEADER_BYTES in."""
    if message.startswith((b"\n", b"\r\n")):
        return 0  # no header at all: what follows the empty line is text
    crlf = message.find(b"\n\r\n", 0, MAX_HEADER_BYTES)
    bare = message.find(b"\n\n", 0, crlf if crlf >= 0 else MAX_HEADER_BYTES)
    end = bare if bare >= 0 else crlf
    return end + 1 if end >= 0 else MAX_HEADER_BYTES


def _unfolded(value: bytes) -> str:
    return _FOLD.sub("", value.decode("utf-8", "surrogateescape").rstrip("\r\n"))


class Job:
    """What a stage sees of a message. Treat it as immutable."""

    def __init__(self, job_id: str, envelope: Envelope, notes: Mapping[str, Any], message: bytes) -> None:
        self.id = job_id
        self.envelope = envelope
        self.notes = notes
        self.message = message

    @property
    def size(self) -> int:
        """Length of the message in bytes."""
        return len(self.message)

    @property
    def received_at(self) -> float:
        """When it was accepted, in seconds since the epoch."""
        return id_time(self.id)

    @cached_property
    def headers(self) -> Headers:
        """The header fields, cheaply."""
        return Headers(self.message)

    @cached_property
    def mail(self) -> "mailparser.MailParser":
        """The parsed message (mail-parser). May raise anything on hostile mail: guard it."""
        import mailparser  # noqa: PLC0415 - it takes as long as all the rest, and few stages ask for it

        return mailparser.parse_from_bytes(self.message)

    @classmethod
    def from_message(cls, message: bytes, envelope: Envelope | None = None) -> "Job":
        """A job that never saw a queue, for tests and for `spamtrap try`."""
        return cls(new_id(), envelope or Envelope(), {}, message)

    def encode(self, notes: Mapping[str, Any] | None = None) -> list[bytes]:
        """The pieces of the job's file, to be written one after the other."""
        return encode(self.envelope, self.notes if notes is None else notes, self.message)

    @classmethod
    def decode(cls, job_id: str, data: bytes, whole: int | None = None) -> "Job":
        """Read a job from the bytes of its file.

        Args:
            job_id: its id.
            data: all of the file, or its beginning.
            whole: length of the file when `data` is its beginning; then the job's message is one, too.

        Raises:
            CorruptJob: the bytes are not a job.
        """
        try:
            try:
                middle, notes, start = _read_head(data[:_HEAD], len(data))
            except msgpack.OutOfData:
                middle, notes, start = _read_head(data, len(data))
            end = start + 1 + _SIZE
            size = int.from_bytes(data[start + 1 : end], "big")
            if (
                data[start : start + 1] != _BIN32
                or size != (whole or len(data)) - end
                or not isinstance(notes, dict)
            ):
                raise CorruptJob(f"{job_id}: not envelope, notes, message")
            return cls(job_id, _read_envelope(data[:middle]), notes, data[end:])
        except (ValueError, msgpack.UnpackException, TypeError, RecursionError) as error:
            raise CorruptJob(f"{job_id}: {error or type(error).__name__}") from error


def _read_head(data: bytes, most: int) -> tuple[int, Any, int]:
    """Where the envelope ends, the notes, and where they end."""
    unpacker = msgpack.Unpacker(
        max_buffer_size=most or 1, unicode_errors="surrogateescape", strict_map_key=False
    )
    unpacker.feed(data)
    unpacker.skip()
    return unpacker.tell(), unpacker.unpack(), unpacker.tell()


def _read_envelope(packed: bytes) -> Envelope:
    try:
        return _unpack_envelope(packed)
    except UnicodeDecodeError:  # a client's bytes
        data = msgpack.unpackb(packed, unicode_errors="surrogateescape", strict_map_key=False)
        return Envelope.from_map(data)


def encode(envelope: Envelope, notes: Mapping[str, Any], message: bytes) -> list[bytes]:
    """The pieces of a job file: envelope and notes packed together, the message uncopied."""
    return [encode_head(envelope, notes, len(message)), message]


def encode_head(envelope: Envelope, notes: Mapping[str, Any], size: int) -> bytes:
    """All of a job file that precedes the message's own `size` bytes."""
    try:
        head = _pack_envelope(envelope)
    except UnicodeEncodeError:  # a client's bytes
        head = _pack(envelope.to_map())
    return head + (_pack(notes) if notes else _NO_NOTES) + _BIN32 + size.to_bytes(_SIZE, "big")


def _pack(data: Mapping[str, Any]) -> bytes:
    packed: bytes
    try:
        packed = msgpack.packb(data, unicode_errors="surrogateescape")
    except UnicodeEncodeError:  # a stage noted text that no bytes stand for
        packed = msgpack.packb(printable_all(data))
    return packed
