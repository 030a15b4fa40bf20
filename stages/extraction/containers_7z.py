"""Opens 7z archives; 7zFormat.txt of the LZMA SDK. Methods that we don't have leave their files listed.

Files are packed together into folders: a folder comes out as a whole or not at all. A password is right
when what comes out has the checksum that it should have. The header may be locked as well.
"""

import lzma
import zlib
from collections.abc import Iterator

from stages.extraction.budget import Exhausted
from stages.extraction.containers_7z_coders import Unknown, decoded, is_locked
from stages.extraction.containers_7z_header import (
    END,
    MAX_HEADER,
    START,
    Fields,
    Folder,
    Name,
    folders,
    names,
)
from stages.extraction.opening import Damaged, Member, Opening

_HEADER, _ENCODED = 0x01, 0x17
_MAIN, _FILES = 0x04, 0x05
_AS_HEADER = "\0"
"""The name of what is no file; no file is called so, as names end there."""
_MAX_ENCODED = 4
"""Times that a header may be packed: once would do."""

File = tuple[str, int, int | None]
"""Name, size, checksum."""


def seven_zip(data: bytes, opening: Opening) -> Iterator[Member]:
    """The files in a 7z archive."""
    header = _header(data, opening)
    if not header:
        return
    fields = Fields(header, 1)
    packed: list[Folder] = []
    named: list[Name] = []
    while (block := fields.byte()) != END:
        if block == _MAIN:
            packed = folders(fields, data)
        elif block == _FILES:
            named = names(fields)
        else:
            raise Damaged("a header that we can't read")
    yield from _members(packed, named, opening)


def _header(data: bytes, opening: Opening) -> bytes:
    """The header, unpacked; empty if there are no files."""
    start, size = (int.from_bytes(data[at : at + 8], "little") for at in (12, 20))
    header = data[START + start : START + start + size]
    if len(header) < size or size > MAX_HEADER:
        raise Damaged("cut off")
    for _ in range(_MAX_ENCODED):
        if header[:1] != bytes([_ENCODED]):
            break
        folder = next(iter(folders(Fields(header, 1), data)), None)
        if not folder or folder.size > MAX_HEADER:
            raise Damaged("a header that we can't read")
        header = _unlocked(folder, [(_AS_HEADER, folder.size, folder.crc)], opening)[0].data or b""
    if header and header[0] != _HEADER:
        raise Damaged("no header")
    return header


def _members(packed: list[Folder], named: list[Name], opening: Opening) -> Iterator[Member]:
    waiting = iter([name.name for name in named if name.has_data])
    for folder in packed:
        files = [(next(waiting, ""), size, crc) for size, crc in folder.files]
        found: list[Member] = []
        try:
            found = _unlocked(folder, files, opening)
        except Exhausted:
            yield from (Member(name, size) for name, size, _ in files)
            raise
        except Damaged as error:
            opening.listed |= isinstance(error, Unknown)
            locked = is_locked(folder.coders) and not opening.password
            found = [Member(name, size, locked=locked) for name, size, _ in files]
        yield from found
    for name in named:
        if name.is_file and not name.has_data:
            opening.budget.spend(items=1)
            yield Member(name.name, 0, b"")


def _unlocked(folder: Folder, files: list[File], opening: Opening) -> list[Member]:
    """Unpack a folder, with the password that makes sense if any is needed.

    Raises:
        Damaged: none does, or none is needed and it makes no sense.
        Exhausted: it is too much.
    """
    if not is_locked(folder.coders):
        return _unpacked(folder, files, "", opening)
    opening.encrypted = True
    for password in [opening.password] if opening.password else opening.passwords:
        opening.budget.spend()
        try:
            found = _unpacked(folder, files, password, opening)
        except Unknown:
            raise
        except Damaged:
            continue
        opening.password = password
        return found
    raise Damaged("no password opens it")


def _unpacked(folder: Folder, files: list[File], password: str, opening: Opening) -> list[Member]:
    """Unpack the files of a folder, and compare their checksums."""
    if not folder.coders:
        raise Unknown("a method of compression that we don't have")
    chunks = decoded(folder.coders, folder.data, folder.size, password)
    found, rest = [], bytearray()
    for name, size, crc in files:
        opening.budget.spend(items=1)
        while len(rest) < size:
            try:
                chunk = next(chunks, b"")
            except (lzma.LZMAError, zlib.error, OSError, ValueError, EOFError) as error:
                raise Damaged(str(error)) from None
            if not chunk:
                raise Damaged("cut off")
            opening.budget.spend(len(chunk))
            rest += chunk
        data = bytes(rest[:size])
        del rest[:size]
        if crc is not None and zlib.crc32(data) != crc:
            raise Damaged("a wrong checksum")
        if name == _AS_HEADER and data[:1] not in (b"\x01", b"\x17"):  # it may have no checksum
            raise Damaged("no header")
        found.append(Member(name, size, data))
    return found
