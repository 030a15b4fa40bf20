"""Lists RAR archives, versions 1.5 to 7, by their headers alone; what is stored uncompressed is taken out.

The compression is nobody's but its owner's: names, sizes and whether there is a password is what is told.
"""

from collections.abc import Iterator

from stages.extraction.opening import Damaged, Member, Opening

_RAR5 = b"Rar!\x1a\x07\x01\x00"
_HEADERS_ENCRYPTED = "its list of files is encrypted"
_LONGEST_NAME = 1000


def rar(data: bytes, opening: Opening) -> Iterator[Member]:
    """The files in a RAR archive."""
    opening.listed = True
    return _rar5(data, opening) if data.startswith(_RAR5) else _rar4(data, opening)


def _rar4(data: bytes, opening: Opening) -> Iterator[Member]:
    at = 7
    while at + 7 <= len(data):
        opening.budget.spend(items=1)
        kind, flags, size = data[at + 2], _number(data, at + 3, 2), _number(data, at + 5, 2)
        body = at + size
        if size < 7:
            raise Damaged("a header that has no length")
        if kind == 0x73 and flags & 0x80:
            opening.encrypted = True
            raise Damaged(_HEADERS_ENCRYPTED)
        packed = _number(data, at + 7, 4) if flags & 0x8000 or kind == 0x74 else 0
        if kind == 0x74:
            header = data[at:body]
            unpacked, more = _number(header, 11, 4), 32
            if flags & 0x100:
                packed += _number(header, 32, 4) << 32
                unpacked += _number(header, 36, 4) << 32
                more = 40
            name = header[more : more + _number(header, 26, 2)].split(b"\0")[0]
            stored = header[25:26] == b"\x30" and not flags & 3  # and not split among volumes
            if flags & 0xE0 != 0xE0:  # no directory
                encrypted, said = bool(flags & 4), name.decode("utf-8", "replace")
                yield _file(data, opening, said, unpacked, (body, packed), stored, encrypted)
        elif kind == 0x7B:
            return
        at = body + packed


def _rar5(data: bytes, opening: Opening) -> Iterator[Member]:
    at = len(_RAR5)
    while at + 7 <= len(data):
        opening.budget.spend(items=1)
        header = _Fields(data, at + 4)
        size = header.number()
        end = header.at + size
        kind, flags = header.number(), header.number()
        extra = header.number() if flags & 1 else 0
        packed = header.number() if flags & 2 else 0
        if not size or end > len(data):
            raise Damaged("cut off")
        if kind == 4:
            opening.encrypted = True
            raise Damaged(_HEADERS_ENCRYPTED)
        if kind == 5:
            return
        if kind == 2:
            is_directory, unpacked, stored, name = header.file()
            encrypted = _is_encrypted(data, end - extra, end)
            if not is_directory:
                stored = stored and not flags & 0x18  # nor split among volumes
                yield _file(data, opening, name, unpacked, (end, packed), stored, encrypted)
        at = end + packed


class _Fields:
    """Reads what stands one after another in a header of version 5."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self.at = at

    def number(self) -> int:
        """Seven bits a byte, the lowest first; the highest bit says that more follow."""
        found = 0
        for shift in range(0, 70, 7):
            byte = _number(self._data, self.at, 1)
            self.at += 1
            found |= (byte & 0x7F) << shift
            if byte < 0x80:
                return found
        raise Damaged("a number without an end")

    def file(self) -> tuple[bool, int, bool, str]:
        """Whether it is a directory, the size, whether it is stored as it is, the name."""
        flags, unpacked, _attributes = self.number(), self.number(), self.number()
        self.at += (4 if flags & 2 else 0) + (4 if flags & 4 else 0)  # its time, its checksum
        method, _system, length = self.number(), self.number(), self.number()
        name = self._data[self.at : self.at + min(length, _LONGEST_NAME)]
        return bool(flags & 1), unpacked, not method >> 7 & 7, name.decode("utf-8", "replace")


def _is_encrypted(data: bytes, at: int, end: int) -> bool:
    """Whether one of a file's extra records is that of encryption."""
    extra = _Fields(data, at)
    while extra.at < end:
        size = extra.number()
        following = extra.at + size
        if extra.number() == 1:
            return True
        if not size:
            break
        extra.at = following
    return False


def _file(
    data: bytes,
    opening: Opening,
    name: str,
    size: int,
    place: tuple[int, int],
    stored: bool,
    encrypted: bool,
) -> Member:
    opening.encrypted |= encrypted
    if stored and not encrypted:
        return opening.slice(name, data, *place)
    return Member(name, size, locked=encrypted)


def _number(data: bytes, at: int, size: int) -> int:
    found = data[at : at + size]
    if len(found) < size:
        raise Damaged("cut off")
    return int.from_bytes(found, "little")
