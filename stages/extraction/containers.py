"""Opens what holds files: zip, 7z, tar, gzip, bzip2, xz, zstd, ISO 9660 images, TNEF (winmail.dat).

RAR is listed, and what is stored in it uncompressed is taken out. Nothing is ever written to a disk or
run. Readers of our own are used where the library's can be made to run without end by what is hostile:
tarfile and gzip of Python 3.11 can.
"""

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

import zstandard

from stages.extraction.budget import Exhausted
from stages.extraction.containers_7z import seven_zip
from stages.extraction.containers_iso import iso
from stages.extraction.containers_rar import rar
from stages.extraction.containers_zip import zipped
from stages.extraction.opening import CHUNK, Damaged, Member, Opening

Members = Callable[[bytes, Opening], Iterator[Member]]
"""Takes an archive apart. Raises Damaged and Exhausted, besides whatever libraries raise at hostile input."""

MAX_WINDOW = 1 << 26
"""Bytes of history that a compressed stream may want to be kept."""
MAX_STREAMS = 32
"""Of one file; a file may be many compressed streams after each other."""
_BLOCK = 512
_LONGEST_NAME = 1000
_FILES = frozenset((b"0", b"\0", b"7"))
_SUFFIXES = {".gz": "", ".tgz": ".tar", ".bz2": "", ".tbz": ".tar", ".xz": "", ".txz": ".tar", ".zst": ""}


class _Decoder(Protocol):
    """What bz2 and lzma have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Gunzip:
    """zlib's, with the same methods."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(31)

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        return not self._zlib.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)


def gz(data: bytes, opening: Opening) -> Iterator[Member]:
    """The file in a gzip file; RFC 1952."""
    yield from opening.gather(_gzip_name(data) or _inner_name(opening.name), 0, _streams(_Gunzip, data))


def bzip2(data: bytes, opening: Opening) -> Iterator[Member]:
    """The file in a bzip2 file."""
    yield from opening.gather(_inner_name(opening.name), 0, _streams(bz2.BZ2Decompressor, data))


def xz(data: bytes, opening: Opening) -> Iterator[Member]:
    """The file in an xz file."""

    def decoder() -> _Decoder:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=2 * MAX_WINDOW)

    yield from opening.gather(_inner_name(opening.name), 0, _streams(decoder, data))


def zst(data: bytes, opening: Opening) -> Iterator[Member]:
    """The file in a zstd file; RFC 8878."""
    decoder = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW)
    with decoder.stream_reader(data, read_across_frames=True) as reader:
        chunks = iter(lambda: reader.read(CHUNK), b"")
        yield from opening.gather(_inner_name(opening.name), 0, chunks)


def tar(data: bytes, opening: Opening) -> Iterator[Member]:
    """The files in a tar file: ustar, and GNU's and pax's long names; POSIX.1, pax."""
    at, long_name = 0, ""
    while at + _BLOCK <= len(data):
        header = data[at : at + _BLOCK]
        if not any(header):
            return
        kind, size = header[156:157], _tar_number(header[124:136])
        _check_tar(header)
        body = at + _BLOCK
        at = body + -(-size // _BLOCK) * _BLOCK
        opening.budget.spend(items=1)
        if kind == b"L":
            long_name = _text(data[body : body + min(size, _LONGEST_NAME)])
        elif kind == b"x":
            long_name = _pax_path(data[body : body + min(size, CHUNK)])
        elif kind in _FILES:
            yield opening.slice(long_name or _tar_name(header), data, body, size)
            long_name = ""
        elif kind != b"g":
            long_name = ""


def tnef(data: bytes, opening: Opening) -> Iterator[Member]:
    """The files in a winmail.dat; MS-OXTNEF, section 2.1: attributes one after another."""
    at, name = 6, ""
    while at + 9 <= len(data):
        opening.budget.spend()
        what = int.from_bytes(data[at + 1 : at + 5], "little")
        size = int.from_bytes(data[at + 5 : at + 9], "little")
        body = at + 9
        if what == 0x00069002:  # attAttachRenddata begins the next file
            name = ""
        elif what == 0x00018010:  # attAttachTitle
            name = _text(data[body : body + min(size, _LONGEST_NAME)])
        elif what == 0x0006800F:  # attAttachData
            opening.budget.spend(items=1)
            yield opening.slice(name, data, body, size)
        at = body + size + 2  # a checksum


CONTAINERS: dict[str, tuple[str, Members]] = {
    "application/zip": ("zip", zipped),
    "application/x-tar": ("tar", tar),
    "application/gzip": ("gzip", gz),
    "application/x-bzip2": ("bzip2", bzip2),
    "application/x-xz": ("xz", xz),
    "application/zstd": ("zstd", zst),
    "application/x-iso9660-image": ("iso", iso),
    "application/vnd.rar": ("rar", rar),
    "application/x-7z-compressed": ("7z", seven_zip),
    "application/vnd.ms-tnef": ("tnef", tnef),
}
"""By the type that first bytes show: what it is called, and who opens it."""


def members(kind: str, data: bytes, opening: Opening) -> Iterator[Member]:
    """What is in an archive.

    Args:
        kind: one of CONTAINERS.
        data: the archive.
        opening: what it may cost, and what is learnt of it.

    Raises:
        Damaged: it can't be read, or not to its end.
        Exhausted: it is too much.
    """
    _name, reader = CONTAINERS[kind]
    try:
        yield from reader(data, opening)
    except (Damaged, Exhausted):
        raise
    except Exception as error:  # libraries raise anything at hostile archives
        raise Damaged(str(error)[:200] or type(error).__name__) from error


def _streams(make: Callable[[], _Decoder], data: bytes) -> Iterator[bytes]:
    """Decompress streams that stand after each other; what follows the last is padding."""
    rest, decoder = data, make()
    for _ in range(MAX_STREAMS):
        at = 0
        while not decoder.eof:
            fed = b""
            if decoder.needs_input:
                fed = rest[at : at + CHUNK]
                at += CHUNK
            made = decoder.decompress(fed, CHUNK)
            if not made and not fed and not decoder.eof:
                raise Damaged("cut off")
            yield made
        rest = decoder.unused_data + rest[at:]
        decoder = make()
        if not rest.startswith(data[:2]):
            return


def _gzip_name(data: bytes) -> str:
    """The name that its header has, if it has one."""
    flags, at = data[3:4], 10
    if not flags or not flags[0] & 8:
        return ""
    if flags[0] & 4:
        at += 2 + int.from_bytes(data[at : at + 2], "little")
    return _text(data[at : at + _LONGEST_NAME])


def _inner_name(name: str) -> str:
    """What a file is called without what its compression has added."""
    stem, dot, suffix = name.rpartition(".")
    known = _SUFFIXES.get(dot + suffix.lower())
    return name if known is None or not stem else stem + known


def _check_tar(header: bytes) -> None:
    said = _tar_number(header[148:156])
    if said != sum(header[:148]) + 8 * 32 + sum(header[156:]):
        raise Damaged("a tar header with a wrong checksum")


def _tar_number(field: bytes) -> int:
    if field[0] & 0x80:  # GNU's, for what is too large for octal digits
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    if not digits.isdigit():
        if digits:
            raise Damaged("a tar header with a number that is none")
        return 0
    return int(digits, 8)


def _tar_name(header: bytes) -> str:
    name, prefix = _text(header[:100]), _text(header[345:500])
    return f"{prefix}/{name}" if prefix and header[257:263] == b"ustar\0" else name


def _pax_path(records: bytes) -> str:
    """The path among records of the form "LENGTH KEY=VALUE"."""
    for line in records.split(b"\n"):
        key, equals, value = line.partition(b" ")[2].partition(b"=")
        if equals and key == b"path":
            return _text(value[:_LONGEST_NAME])
    return ""


def _text(name: bytes) -> str:
    return name.split(b"\0", 1)[0].decode("utf-8", "replace")
