"""Writes messages out of the archive: mbox, Maildir, .eml files, JSON lines."""

import base64
import io
import os
import re
import socket
import time
import zipfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import msgspec

from trap import fsio
from trap.archive.record import Record
from trap.envelope import plain

_FROM = re.compile(rb"^(>*From )", re.MULTILINE)


def mbox_entry(record: Record) -> bytes:
    """A message as mboxrd has it: a `From ` line, every line that looks like one quoted with one more `>`.

    The message's own line endings are kept; one is added when it ends without.
    """
    sender = record.envelope.mail_from.encode("utf-8", "surrogateescape")
    sender = re.sub(rb"[\x00-\x20\x7f]", b"_", sender) or b"MAILER-DAEMON"
    when = time.asctime(time.gmtime(record.received_at)).encode()
    body = _FROM.sub(rb">\1", record.message)
    return b"From " + sender + b" " + when + b"\n" + body + (b"\n" if body.endswith(b"\n") else b"\n\n")


def to_map(record: Record) -> dict[str, Any]:
    """A record as JSON can hold it: envelope and notes readable, the message in base64, so none is lost."""
    return {
        "id": record.id,
        "sha256": record.sha256.hex(),
        "size": len(record.message),
        "received_at": record.received_at,
        "envelope": plain(record.envelope.to_map()),
        "notes": plain(dict(record.notes)),
        "message_base64": base64.b64encode(record.message).decode("ascii"),
    }


def json_line(record: Record) -> bytes:
    """A record as one line of JSON."""
    return msgspec.json.encode(to_map(record)) + b"\n"


class Stream(Protocol):
    """Many records in one file, which is made piece by piece."""

    def add(self, record: Record) -> bytes:
        """The next piece of the file."""

    def end(self) -> bytes:
        """The last piece."""


class _Pieces:
    """A file with nothing but its records."""

    def __init__(self, encode: Callable[[Record], bytes]) -> None:
        self.add = encode

    def end(self) -> bytes:
        return b""


class _Zip:
    """A zip file of .eml files. It is handed on as it grows, so sizes stand behind the data."""

    def __init__(self) -> None:
        self._buffer = _Buffer()
        self._zip = zipfile.ZipFile(self._buffer, "w", zipfile.ZIP_DEFLATED)

    def add(self, record: Record) -> bytes:
        date = time.gmtime(max(record.received_at, 315532800))[:6]  # zip begins in 1980
        entry = zipfile.ZipInfo(f"{record.id}.eml", date)
        entry.compress_type = zipfile.ZIP_DEFLATED
        self._zip.writestr(entry, record.message)
        return self._buffer.taken()

    def end(self) -> bytes:
        self._zip.close()
        return self._buffer.taken()


class _Buffer(io.RawIOBase):
    """What a zip file is written to, and taken from."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def taken(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken


STREAMS: dict[str, Callable[[], Stream]] = {
    "mbox": partial(_Pieces, mbox_entry),
    "jsonl": partial(_Pieces, json_line),
    "zip": _Zip,
}
"""Formats that are one file."""


def to_file(form: str, records: Iterable[Record], out: BinaryIO) -> int:
    """Write one file in a format of STREAMS; returns the number of messages."""
    stream = STREAMS[form]()
    count = _write(records, lambda record: out.write(stream.add(record)))
    out.write(stream.end())
    return count


def to_eml(records: Iterable[Record], directory: Path) -> int:
    """Write `<id>.eml` files into a directory, made when it is not there; returns their number."""
    directory.mkdir(parents=True, exist_ok=True)
    return _write(records, lambda record: (directory / f"{record.id}.eml").write_bytes(record.message))


def to_maildir(records: Iterable[Record], directory: Path) -> int:
    """Deliver into a Maildir, made when it is not there; returns the number of messages."""
    for name in ("tmp", "new", "cur"):
        fsio.make_directory(directory / name)
    host = socket.gethostname().replace("/", "_").replace(":", "_")

    def deliver(record: Record) -> None:
        name = f"{record.received_at:.6f}.{record.id}.{host}"
        unready = directory / "tmp" / name
        unready.write_bytes(record.message)
        os.utime(unready, (record.received_at, record.received_at))
        fsio.rename(str(unready), str(directory / "new" / name))

    return _write(records, deliver)


def _write(records: Iterable[Record], write: Callable[[Record], object]) -> int:
    count = 0
    for count, record in enumerate(records, 1):  # noqa: B007 - the last value is the number
        write(record)
    return count
