"""Reads the header of a 7z archive, once that is unpacked: a list of marked blocks, in blocks of others."""

from dataclasses import dataclass, field
from typing import NamedTuple

from stages.extraction.containers_7z_coders import Coder
from stages.extraction.opening import Damaged

START = 32
"""Bytes before the packed streams."""
MAX_ENTRIES = 10_000
MAX_HEADER = 4 << 20
END = 0x00
_PACKED, _FOLDERS, _FILES_OF_FOLDERS = 0x06, 0x07, 0x08
_SIZE, _CRC, _FOLDER, _UNPACKED, _COUNT = 0x09, 0x0A, 0x0B, 0x0C, 0x0D
_EMPTY, _EMPTY_FILE, _NAMES = 0x0E, 0x0F, 0x11
_STRANGE = "a header that we can't read"


class Fields:
    """Reads what stands one after another in a header."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self._at = at

    def take(self, size: int) -> bytes:
        """So many bytes."""
        found = self._data[self._at : self._at + size]
        if len(found) < size:
            raise Damaged("cut off")
        self._at += size
        return found

    def rest(self) -> bytes:
        """All that is left."""
        return self._data[self._at :]

    def byte(self) -> int:
        """One byte."""
        return self.take(1)[0]

    def here(self) -> None:
        """What follows may be said to stand elsewhere, which nobody does."""
        if self.byte():
            raise Damaged(_STRANGE)

    def number(self) -> int:
        """As many bytes follow, lowest first, as the first has leading ones; the rest of that is highest."""
        first = self.byte()
        more = next(n for n in range(9) if n == 8 or not first & 0x80 >> n)
        high = first & (0x7F >> more) if more < 8 else 0
        return int.from_bytes(self.take(more), "little") | high << 8 * more

    def numbers(self, count: int) -> list[int]:
        """So many of them."""
        return [self.number() for _ in range(count)]

    def count(self, most: int = MAX_ENTRIES) -> int:
        """A number that there must not be too much of."""
        found = self.number()
        if found > most:
            raise Damaged(f"more than {most} entries")
        return found

    def bits(self, count: int) -> list[bool]:
        """Flags, eight a byte, the highest first."""
        found = self.take(-(-count // 8))
        return [bool(found[n // 8] & 0x80 >> n % 8) for n in range(count)]

    def checksums(self, count: int) -> list[int | None]:
        """CRC-32s, of those that have one."""
        defined = [True] * count if self.byte() else self.bits(count)
        return [int.from_bytes(self.take(4), "little") if has else None for has in defined]


@dataclass
class Folder:
    """A chain of coders, and the files whose one stream it made."""

    coders: list[Coder]
    """As they were applied; none if that is not one after another."""
    packed: int
    """Streams that it was packed into."""
    outputs: int
    last: int
    """The output that the files come out of."""
    size: int = 0
    crc: int | None = None
    data: bytes = b""
    files: list[tuple[int, int | None]] = field(default_factory=list)
    """Size and checksum of each."""


class Name(NamedTuple):
    """A file, or a directory."""

    name: str
    is_file: bool
    has_data: bool


def folders(fields: Fields, data: bytes) -> list[Folder]:
    """Packed streams, and what they unpack to.

    Args:
        fields: the block that describes them.
        data: the archive.

    Raises:
        Damaged: it makes no sense.
    """
    at, sizes = 0, list[int]()
    found: list[Folder] = []
    while (block := fields.byte()) != END:
        if block == _PACKED:
            at, sizes = _packed(fields)
        elif block == _FOLDERS:
            found = _coders(fields)
        elif block == _FILES_OF_FOLDERS:
            _substreams(fields, found)
        else:
            raise Damaged(_STRANGE)
    at += START
    waiting = iter(sizes)
    for folder in found:
        streams = [next(waiting, 0) for _ in range(folder.packed)]
        folder.data = data[at : at + sum(streams)]
        at += sum(streams)
        folder.files = folder.files or [(folder.size, folder.crc)]
    return found


def _packed(fields: Fields) -> tuple[int, list[int]]:
    at, count = fields.number(), fields.count()
    sizes: list[int] = []
    while (block := fields.byte()) != END:
        if block == _SIZE:
            sizes = fields.numbers(count)
        elif block == _CRC:
            fields.checksums(count)
        else:
            raise Damaged(_STRANGE)
    return at, sizes


def _coders(fields: Fields) -> list[Folder]:
    folders: list[Folder] = []
    while (block := fields.byte()) != END:
        if block == _FOLDER:
            count = fields.count()
            fields.here()
            folders = [_folder(fields) for _ in range(count)]
        elif block == _UNPACKED:
            for folder in folders:
                folder.size = fields.numbers(folder.outputs)[folder.last]
        elif block == _CRC:
            for folder, crc in zip(folders, fields.checksums(len(folders)), strict=True):
                folder.crc = crc
        else:
            raise Damaged(_STRANGE)
    return folders


def _folder(fields: Fields) -> Folder:
    coders, inputs, outputs, simple = [], 0, 0, True
    for _ in range(fields.count(32)):
        flags = fields.byte()
        method = fields.take(flags & 15)
        takes, gives = (fields.count(32), fields.count(32)) if flags & 0x10 else (1, 1)
        properties = fields.take(fields.count()) if flags & 0x20 else b""
        coders.append(Coder(method, properties))
        simple &= takes == gives == 1
        inputs, outputs = inputs + takes, outputs + gives
    bound = [(fields.number(), fields.number()) for _ in range(max(0, outputs - 1))]
    packed = inputs - len(bound)
    if packed > 1:
        fields.numbers(packed)
    ordered = _ordered(bound, len(coders)) if simple else []
    return Folder(
        [coders[at] for at in ordered], max(0, packed), max(1, outputs), ordered[0] if ordered else 0
    )


def _ordered(bound: list[tuple[int, int]], count: int) -> list[int]:
    """Coders so that each takes what the next one gives, the files' first; none if they are no chain."""
    gives = dict(bound)
    at = next((at for at in range(count) if at not in gives.values()), -1)
    found = []
    while at >= 0 and at not in found:
        found.append(at)
        at = gives.get(at, -1)
    return found if len(found) == count and max(found, default=0) < count else []


def _substreams(fields: Fields, folders: list[Folder]) -> None:
    counts = [1] * len(folders)
    sizes = [[folder.size] for folder in folders]
    block = fields.byte()
    if block == _COUNT:
        counts = [fields.count() for _ in folders]
        block = fields.byte()
    for at, (folder, count) in enumerate(zip(folders, counts, strict=True)):
        told = [fields.number() for _ in range(count - 1)] if block == _SIZE else []
        sizes[at] = [*told, max(0, folder.size - sum(told))] if count else []
    if block == _SIZE:
        block = fields.byte()
    missing = [n for n, folder in zip(counts, folders, strict=True) if n != 1 or folder.crc is None]
    told_crcs: list[int | None] = [None] * sum(missing)
    if block == _CRC:
        told_crcs = fields.checksums(sum(missing))
        block = fields.byte()
    if block != END:
        raise Damaged(_STRANGE)
    waiting = iter(told_crcs)
    for folder, count, each in zip(folders, counts, sizes, strict=True):
        if count == 1 and folder.crc is not None:
            folder.files = [(each[0], folder.crc)]
        else:
            folder.files = [(size, next(waiting)) for size in each]


def names(fields: Fields) -> list[Name]:
    """What the files are called, those that are empty included.

    Raises:
        Damaged: it makes no sense.
    """
    count = fields.count()
    said, empty, empty_files = [""] * count, [False] * count, list[bool]()
    while (kind := fields.byte()) != END:
        block = Fields(fields.take(fields.count(MAX_HEADER)), 0)
        if kind == _EMPTY:
            empty = block.bits(count)
        elif kind == _EMPTY_FILE:
            empty_files = block.bits(sum(empty))
        elif kind == _NAMES:
            block.here()
            found = block.rest().decode("utf-16-le", "replace").split("\0")
            said = [*found[:count], *said[len(found) :]]
    files = iter(empty_files)
    return [
        Name(name, not nothing or next(files, False), not nothing)
        for name, nothing in zip(said, empty, strict=True)
    ]
