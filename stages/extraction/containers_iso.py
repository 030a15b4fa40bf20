"""Reads files of ISO 9660 images (ECMA-119), with Joliet's long names: programs are mailed in them."""

from collections.abc import Iterator

from stages.extraction.opening import Damaged, Member, Opening

_SECTOR = 2048
_FIRST = 16
_LAST = 32
"""Sectors between which the descriptors are looked for."""
_MAX_DIRECTORY = 1 << 20
_JOLIET = (b"%/@", b"%/C", b"%/E")
_IS_DIRECTORY = 2


def iso(data: bytes, opening: Opening) -> Iterator[Member]:
    """The files of an image."""
    root, charset = _root(data)
    waiting, seen = [(root, "")], set()
    while waiting:
        directory, path = waiting.pop()
        start, size = _place(directory)
        if start in seen:  # a directory may be said to be in itself
            continue
        seen.add(start)
        for record in _records(data[start : start + min(size, _MAX_DIRECTORY)]):
            opening.budget.spend(items=1)
            raw = record[33 : 33 + record[32]]
            if raw in (b"\0", b"\1"):  # the directory itself, and the one above
                continue
            name = path + raw.decode(charset, "replace").split(";")[0]
            if record[25] & _IS_DIRECTORY:
                waiting.append((record, f"{name}/"))
            else:
                yield opening.slice(name, data, *_place(record))


def _root(data: bytes) -> tuple[bytes, str]:
    """The record of the topmost directory, and the charset of names."""
    found = None
    for sector in range(_FIRST, _LAST):
        descriptor = data[sector * _SECTOR : (sector + 1) * _SECTOR]
        if descriptor[1:6] != b"CD001" or len(descriptor) < _SECTOR:
            break
        if descriptor[0] == 1 and not found:
            found = descriptor[156:190], "latin-1"
        elif descriptor[0] == 2 and descriptor[88:91] in _JOLIET:
            found = descriptor[156:190], "utf-16-be"
    if not found:
        raise Damaged("no volume descriptor")
    return found


def _place(record: bytes) -> tuple[int, int]:
    """Where it is, and how long."""
    start = int.from_bytes(record[2:6], "little") * _SECTOR
    return start, int.from_bytes(record[10:14], "little")


def _records(directory: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(directory):
        length = directory[at]
        if length < 34:  # no record crosses the end of a sector: the rest of it is empty
            at = (at // _SECTOR + 1) * _SECTOR
            continue
        yield directory[at : at + length].ljust(34, b"\0")
        at += length
