"""What is packed in a file: members of archives, what is compressed, streams of a PDF document.

Made for the release gate: it unpacks to search, within limits, and says when it could not see all. Files
that can't be looked into at all, as encrypted ones, are Opaque.
"""

import bz2
import gzip
import io
import lzma
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Protocol

MAX_MEMBERS = 1000
"""Members of an archive that are looked into."""
_ENCRYPTED = 0x1
_CLOSED = (
    (b"Rar!\x1a\x07", "a rar archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"MSCF", "a cabinet"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd"),
    (b"\x1f\x9d", "compressed by compress"),
    (b"\x1f\xa0", "compressed by compress"),
    (b"**ACE**", "an ace archive"),
    (b"\x60\xea", "an arj archive"),
)
_CLOSED_FURTHER_ON = ((7, b"**ACE**", "an ace archive"), (2, b"-lh", "an lha archive"))
_TNEF = b"\x78\x9f\x3e\x22"
_PGP = re.compile(rb"^-----BEGIN PGP MESSAGE-----", re.MULTILINE)
_ENVELOPED = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03"
"""How a message encrypted by S/MIME begins: the object identifier of enveloped data (RFC 5652)."""
_STREAM = re.compile(rb"stream\r?\n")
_GLUE = re.compile(rb"\)[\s\d.\]\[-]{0,40}(?:T[jJdD*][\s\d.\]\[-]{0,40}){0,3}\(|>[\s\d.-]{0,40}<")
_RTF_LETTER = re.compile(rb"\\u(-?[0-9]{1,5})[ ]?\??")
_PNG_TEXT = re.compile(rb"(?:zTXt|iTXt|iCCP|eXIf)")
_RTF_WORDS = re.compile(rb"\\[a-z]{1,32}-?\d{0,10} ?|[{}\r\n]")


class Opaque(Exception):
    """Something can't be looked into; the text says what."""


class Exhausted(Opaque):
    """There is more of it than may be looked into."""


class Room:
    """How much may still be unpacked, in bytes."""

    def __init__(self, size: int) -> None:
        self._left = size

    def take(self, size: int) -> None:
        """Take so much of it; raises Opaque when that is more than there is."""
        self._left -= size
        if self._left < 0:
            raise Exhausted("more than can be looked into")

    def limit(self) -> int:
        """What may be asked for at once, one more than there is so that too much is noticed."""
        return self._left + 1


class _Unpacker(Protocol):
    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes:
        """As zlib's."""


def members(data: bytes, room: Room) -> Iterator[tuple[str, bytes]]:
    """What is packed in a file: name and content; nothing when it is not packed.

    Args:
        data: the file.
        room: what may be unpacked; is taken from.

    Raises:
        Opaque: it can't be looked into, or only in part.
    """
    for at, magic, what in ((0, *closed) for closed in _CLOSED):
        if data.startswith(magic, at):
            raise Opaque(what)
    for at, magic, what in _CLOSED_FURTHER_ON:
        if data.startswith(magic, at):
            raise Opaque(what)
    if _ENVELOPED in data[:32]:
        raise Opaque("encrypted by S/MIME")
    if _PGP.search(data):
        raise Opaque("encrypted by PGP")
    for magic, unpack in _OPEN:
        if data.startswith(magic):
            yield from unpack(data, room)
            return
    if data.startswith(b"ustar", 257):
        yield from _tar(data, room)
    elif b"PK\x05\x06" in data[-70_000:] and b"PK\x01\x02" in data:
        yield from _zip(data, room)  # something stands in front of it, as a program that unpacks itself
    elif data.startswith(_TNEF) and b"LZFu" in data:
        raise Opaque("compressed text of Outlook")


def _zip(data: bytes, room: Room) -> Iterator[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            _few(len(entries))
            yield "comment", archive.comment
            for entry in entries:
                yield "name of a member", entry.filename.encode("utf-8", "surrogateescape")
                yield "comment", entry.comment + entry.extra
                if entry.flag_bits & _ENCRYPTED:
                    raise Opaque("an encrypted archive")
                with archive.open(entry) as member:
                    found = member.read(room.limit())
                room.take(len(found))
                yield entry.filename, found
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        NotImplementedError,
        EOFError,
        OSError,
        ValueError,
        RuntimeError,
    ) as error:
        raise Opaque(f"a zip archive that can't be read ({type(error).__name__})") from error


def _tar(data: bytes, room: Room) -> Iterator[tuple[str, bytes]]:
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            for number, entry in enumerate(archive):
                _few(number)
                yield (
                    "name of a member",
                    f"{entry.name}\n{entry.linkname}\n{entry.uname}".encode("utf-8", "surrogateescape"),
                )
                if entry.isreg() and (member := archive.extractfile(entry)):
                    found = member.read(room.limit())
                    room.take(len(found))
                    yield entry.name, found
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise Opaque("a tar archive that can't be read") from error


def _few(count: int) -> None:
    if count > MAX_MEMBERS:
        raise Opaque(f"more than {MAX_MEMBERS} members")


def _gzip(data: bytes, room: Room) -> Iterator[tuple[str, bytes]]:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            found = file.read(room.limit())
    except (zlib.error, EOFError, OSError) as error:
        raise Opaque("compressed by gzip, and can't be read") from error
    room.take(len(found))
    yield "gzip", found


def _by(make: Callable[[], _Unpacker], name: str) -> Callable[[bytes, Room], Iterator[tuple[str, bytes]]]:
    """What is compressed as a whole."""

    def unpack(data: bytes, room: Room) -> Iterator[tuple[str, bytes]]:
        try:
            found = make().decompress(data, room.limit())
        except (zlib.error, lzma.LZMAError, EOFError, OSError, ValueError) as error:
            raise Opaque(f"compressed by {name}, and can't be read") from error
        room.take(len(found))
        yield name, found

    return unpack


def _zlib(data: bytes, room: Room) -> Iterator[tuple[str, bytes]]:
    """A text may begin as zlib does by chance: what can't be read is none."""
    try:
        found = zlib.decompressobj().decompress(data, room.limit())
    except zlib.error:
        return
    room.take(len(found))
    yield "zlib", found


def _pdf(data: bytes, room: Room) -> Iterator[tuple[str, bytes]]:
    """Streams of a PDF document, and the strings that its text is cut into put together."""
    if b"/Encrypt" in data:
        raise Opaque("an encrypted PDF document")
    told = [data]
    view, end = memoryview(data), 0
    for found in _STREAM.finditer(data):
        if end < found.end():
            end = data.find(b"endstream", found.end())
            end = end if end >= 0 else len(data)
        try:
            unpacked = zlib.decompressobj().decompress(view[found.end() : end], room.limit())
        except zlib.error:
            continue
        room.take(len(unpacked))
        told.append(unpacked)
        yield "stream", unpacked
    for text in told:
        if (glued := _GLUE.sub(b"", text)) != text:
            yield "text", glued
    if any(b"/Identity-H" in text or b"/ASCII85Decode" in text or b"/LZWDecode" in text for text in told):
        raise Opaque("a PDF document whose text is coded in glyphs")


def _png(data: bytes, room: Room) -> Iterator[tuple[str, bytes]]:
    """Texts in a picture that are compressed."""
    for found in islice(_PNG_TEXT.finditer(data), MAX_MEMBERS):
        (size,) = struct.unpack(">I", data[found.start() - 4 : found.start()])
        chunk = data[found.end() : found.end() + size]
        for begin in islice(re.finditer(rb"\0(?=\x78[\x01\x5e\x9c\xda])", chunk), 4):
            yield from _zlib(chunk[begin.end() :], room)


def _rtf(data: bytes, room: Room) -> Iterator[tuple[str, bytes]]:
    """A text without its control words."""
    data = _RTF_LETTER.sub(lambda found: chr(int(found[1]) & 0xFFFF).encode("utf-8", "replace"), data)
    yield "text", _RTF_WORDS.sub(b"", data)


_OPEN: tuple[tuple[bytes, Callable[[bytes, Room], Iterator[tuple[str, bytes]]]], ...] = (
    (b"PK\x03\x04", _zip),
    (b"PK\x05\x06", _zip),
    (b"\x1f\x8b", _gzip),
    (b"BZh", _by(bz2.BZ2Decompressor, "bzip2")),
    (b"\xfd7zXZ\x00", _by(lzma.LZMADecompressor, "xz")),
    (b"\x5d\x00\x00", _by(lzma.LZMADecompressor, "lzma")),
    (b"\x78\x01", _zlib),
    (b"\x78\x5e", _zlib),
    (b"\x78\x9c", _zlib),
    (b"\x78\xda", _zlib),
    (b"%PDF-", _pdf),
    (b"\x89PNG", _png),
    (b"{\\rtf", _rtf),
)
