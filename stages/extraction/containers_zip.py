"""Opens zip files, also those with a password: the old encryption (ZipCrypto) and AES.

A password is right when a whole member comes out and its checksum is: of wrong ones, ZipCrypto's own
check byte lets through one of 256. That cipher runs in Python, at some 2 MB a second, so the smallest
member is tried. Members may overlap or name each other's bytes: each costs the budget what comes out.
"""

import bz2
import io
from collections.abc import Iterator
from typing import TypeAlias

import pyzipper

from stages.extraction.budget import Exhausted
from stages.extraction.opening import CHUNK, Damaged, Member, Opening

MAX_MEMBERS = 10_000
"""That an archive's directory may have before it is even read."""
_SLOW_CHUNK = 4096
"""Bytes at a time of what the library unpacks without a limit: LZMA makes 30 MB of them, bzip2 600 MB."""
_MORE = 100
"""Members that are named though nothing is left of the budget to unpack them."""

Info: TypeAlias = "pyzipper.zipfile_aes.AESZipInfo"


def zipped(data: bytes, opening: Opening) -> Iterator[Member]:
    """The files in a zip file; APPNOTE.TXT, and WinZip's AES."""
    if data.count(b"PK\x01\x02") > MAX_MEMBERS:
        raise Damaged(f"more than {MAX_MEMBERS} members")
    with pyzipper.AESZipFile(io.BytesIO(data)) as archive:
        files = [info for info in archive.infolist() if not info.is_dir()]
        done = 0
        try:
            known = _try_passwords(archive, [info for info in files if _is_encrypted(info)], opening)
            for info in files:
                opening.budget.spend(items=1)
                done += 1
                if info in known:
                    yield Member(info.filename, len(known[info]), known[info])
                else:
                    yield from _member(archive, info, opening)
        except Exhausted:
            for info in files[done : done + _MORE]:
                yield Member(info.filename, max(0, info.file_size), locked=_is_encrypted(info))
            raise


def _is_encrypted(info: Info) -> bool:
    return bool(info.flag_bits & 1)


def _try_passwords(archive: pyzipper.AESZipFile, locked: list[Info], opening: Opening) -> dict[Info, bytes]:
    """Find the password; the member it was tried with and what came out, or nothing if none is right."""
    if not locked:
        return {}
    opening.encrypted = True
    smallest = min(locked, key=lambda info: int(info.compress_size))
    for password in opening.passwords:
        opening.budget.spend()
        found = _opened(archive, smallest, password, opening)
        if found is not None:
            opening.password = password
            return {smallest: found}
    return {}


def _opened(archive: pyzipper.AESZipFile, info: Info, password: str, opening: Opening) -> bytes | None:
    try:
        return b"".join(_chunks(archive, info, password.encode(), opening))
    except Exhausted:
        raise
    except Exception:  # a wrong password makes noise, and decompressors raise anything at noise
        return None


def _member(archive: pyzipper.AESZipFile, info: Info, opening: Opening) -> Iterator[Member]:
    size = max(0, info.file_size)
    if _is_encrypted(info) and not opening.password:
        yield Member(info.filename, size, locked=True)
        return
    found = bytearray()
    try:
        for chunk in _chunks(archive, info, opening.password.encode(), opening):
            found += chunk
    except Exhausted:
        yield Member(info.filename, max(size, len(found)))
        raise
    except Exception as error:  # of this member; the next may be whole
        yield Member(info.filename, size, locked="password" in str(error).lower())
        return
    yield Member(info.filename, len(found), bytes(found))


def _chunks(
    archive: pyzipper.AESZipFile,
    info: Info,
    password: bytes,
    opening: Opening,
) -> Iterator[bytes]:
    """What a member unpacks to; at its end the library compares the checksum, and raises."""
    plain = info.compress_type in (pyzipper.ZIP_STORED, pyzipper.ZIP_DEFLATED)
    size = CHUNK if plain else _SLOW_CHUNK
    with archive.open(info, pwd=password if _is_encrypted(info) else None) as file:
        if info.compress_type == pyzipper.ZIP_BZIP2:
            file._decompressor = _Bunzip2(opening)
        while chunk := file.read(size):
            opening.budget.spend(len(chunk))
            yield chunk


class _Bunzip2:
    """Stands in for the library's, and makes no more than the budget has."""

    def __init__(self, opening: Opening) -> None:
        self._budget = opening.budget
        self._bz2 = bz2.BZ2Decompressor()

    @property
    def eof(self) -> bool:
        return self._bz2.eof

    def decompress(self, data: bytes) -> bytes:
        most = max(0, self._budget.size)
        made = self._bz2.decompress(data, most + 1)
        if len(made) > most:
            self._budget.spend(len(made))
        return made
