"""Archives made byte by byte: what the standard library can't write, and what nobody should."""

import hashlib
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from hypothesis import strategies as st

SECTOR = 2048

_TABLE = [0] * 256
for _byte in range(256):
    _value = _byte
    for _ in range(8):
        _value = (_value >> 1) ^ 0xEDB88320 if _value & 1 else _value >> 1
    _TABLE[_byte] = _value


def zipped(*files: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A plain zip file."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", method) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return written.getvalue()


def tarred(*files: tuple[str, bytes], form: int = tarfile.GNU_FORMAT) -> bytes:
    """A plain tar file."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=form) as archive:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return written.getvalue()


def zipcrypto(password: str, *files: tuple[str, bytes]) -> bytes:
    """A zip file with the old encryption (APPNOTE.TXT, section 6.1), the contents deflated."""
    local, central = b"", b""
    for name, data in files:
        deflater = zlib.compressobj(wbits=-15)
        packed = deflater.compress(data) + deflater.flush()
        crc = zlib.crc32(data)
        secret = _encrypt(password.encode(), bytes(11) + bytes([crc >> 24]) + packed)
        common = struct.pack("<HHHHHLLLHH", 20, 1, 8, 0, 33, crc, len(secret), len(data), len(name), 0)
        central += b"PK\1\2" + struct.pack("<H", 20) + common
        central += struct.pack("<HHHLL", 0, 0, 0, 0, len(local)) + name.encode()
        local += b"PK\3\4" + common + name.encode() + secret
    end = struct.pack("<HHHHLLH", 0, 0, len(files), len(files), len(central), len(local), 0)
    return local + central + b"PK\5\6" + end


def _encrypt(password: bytes, data: bytes) -> bytes:
    keys = [0x12345678, 0x23456789, 0x34567890]

    def update(byte: int) -> None:
        keys[0] = keys[0] >> 8 ^ _TABLE[(keys[0] ^ byte) & 255]
        keys[1] = ((keys[1] + (keys[0] & 255)) * 134775813 + 1) & 0xFFFFFFFF
        keys[2] = keys[2] >> 8 ^ _TABLE[(keys[2] ^ keys[1] >> 24) & 255]

    for byte in password:
        update(byte)
    found = bytearray()
    for byte in data:
        mask = keys[2] | 2
        found.append(byte ^ mask * (mask ^ 1) >> 8 & 255)
        update(byte)
    return bytes(found)


def overlapping(count: int, size: int) -> bytes:
    """A zip file of which all members are the same bytes."""
    one = zipped(("a", bytes(size)))
    start = one.index(b"PK\1\2")
    entry = one[start : one.index(b"PK\5\6")]
    end = struct.pack("<HHHHLLH", 0, 0, count, count, count * len(entry), start, 0)
    return one[:start] + entry * count + b"PK\5\6" + end


def rar5(*files: tuple[str, bytes], encrypted: bool = False, stored: bool = True) -> bytes:
    """A RAR archive of version 5; with `stored` false it says that what it has is compressed."""

    def block(body: bytes, data: bytes = b"") -> bytes:
        sized = _vint(len(body)) + body
        return struct.pack("<L", zlib.crc32(sized)) + sized + data

    found = b"Rar!\x1a\x07\x01\x00" + block(_vint(1) + _vint(0) + _vint(0))
    for name, data in files:
        extra = _vint(2) + _vint(1) + b"\0" if encrypted else b""
        fields = [2, 3 if encrypted else 2, *([len(extra)] if encrypted else []), len(data)]
        fields += [0, len(data), 0, 0 if stored else 3 << 7, 1, len(name.encode())]
        found += block(b"".join(map(_vint, fields)) + name.encode() + extra, data)
    return found + block(_vint(5) + _vint(0) + _vint(0))


def rar4(*files: tuple[str, bytes], encrypted: bool = False) -> bytes:
    """A RAR archive of version 4, its files stored."""
    found = b"Rar!\x1a\x07\x00" + struct.pack("<HBHH", 0, 0x73, 0, 13) + bytes(6)
    for name, data in files:
        said = name.encode()
        fields = struct.pack("<LLBLLBBHL", len(data), len(data), 3, 0, 0, 20, 0x30, len(said), 0o664)
        flags = 0x8000 | (4 if encrypted else 0)
        found += struct.pack("<HBHH", 0, 0x74, flags, 7 + len(fields) + len(said)) + fields + said + data
    return found + struct.pack("<HBHH", 0, 0x7B, 0, 7)


def _vint(number: int) -> bytes:
    found = b""
    while number > 127:
        found += bytes([number & 127 | 128])
        number >>= 7
    return found + bytes([number])


def iso(files: Iterable[tuple[str, bytes]], joliet: bool = False) -> bytes:
    """An ISO 9660 image with its files in one directory, SUB."""
    charset = "utf-16-be" if joliet else "ascii"

    def record(name: bytes, sector: int, size: int, flags: int) -> bytes:
        body = struct.pack("<BLLLL", 0, sector, 0, size, 0) + bytes(7) + bytes([flags]) + bytes(6)
        body += bytes([len(name)]) + name
        return bytes([len(body) + 1]) + body

    root, sub, at = 18, 19, 20
    listed, bodies = record(b"\0", sub, SECTOR, 2) + record(b"\1", root, SECTOR, 2), b""
    for name, data in files:
        listed += record(f"{name};1".encode(charset), at + len(bodies) // SECTOR, len(data), 0)
        bodies += data + bytes(-len(data) % SECTOR)
    top = record(b"\0", root, SECTOR, 2) + record(b"\1", root, SECTOR, 2)
    top += record("SUB".encode(charset), sub, SECTOR, 2)
    head = bytes([2 if joliet else 1]) + b"CD001\1"
    descriptor = head.ljust(88, b"\0") + (b"%/E" if joliet else b"")
    descriptor = descriptor.ljust(156, b"\0") + record(b"\0", root, SECTOR, 2)
    last = b"\xffCD001\1"
    sectors = (descriptor, last, top, listed)
    return bytes(16 * SECTOR) + b"".join(part.ljust(SECTOR, b"\0") for part in sectors) + bodies


def tnef(*files: tuple[str, bytes]) -> bytes:
    """A winmail.dat."""

    def attribute(what: int, data: bytes) -> bytes:
        return b"\2" + struct.pack("<LL", what, len(data)) + data + struct.pack("<H", sum(data) & 0xFFFF)

    found = b"\x78\x9f\x3e\x22\0\0"
    for name, data in files:
        found += attribute(0x00069002, bytes(14)) + attribute(0x00018010, name.encode() + b"\0")
        found += attribute(0x0006800F, data)
    return found


def seven_zip(*files: tuple[str, bytes], password: str = "", pack_header: bool = False) -> bytes:
    """A 7z archive with LZMA2, of one folder; encrypted with a password, in few rounds."""
    packed, folder = _folder_7z(b"".join(data for _, data in files if data), password)
    there = [data for _, data in files if data]
    sizes = b"".join(_number_7z(len(data)) for data in there[:-1])
    crcs = b"\x0a\1" + b"".join(struct.pack("<L", zlib.crc32(data)) for data in there)
    streams = b"\x08\x0d" + _number_7z(len(there)) + b"\x09" + sizes + crcs + b"\0"
    names = b"\0" + "".join(f"{name}\0" for name, _ in files).encode("utf-16-le")
    empty = sum(0x80 >> at for at, (_, data) in enumerate(files) if not data)
    listed = b"\x05" + _number_7z(len(files)) + b"\x11" + _number_7z(len(names)) + names
    listed += b"\x0e\1" + bytes([empty]) + b"\x0f\1\xff\0"
    header = b"\1\4" + _streams_7z(0, packed, folder) + streams + b"\0" + listed + b"\0"
    if pack_header:
        inner, folder = _folder_7z(header, password)
        header = b"\x17" + _streams_7z(len(packed), inner, folder) + b"\0"
        packed += inner
    start = struct.pack("<QQL", len(packed), len(header), zlib.crc32(header))
    return b"7z\xbc\xaf\x27\x1c\0\4" + struct.pack("<L", zlib.crc32(start)) + start + packed + header


def _folder_7z(data: bytes, password: str) -> tuple[bytes, bytes]:
    """Packed bytes, and the description of how it was done."""
    made = lzma.compress(data, lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 20}])
    if not password:
        return made, b"\x0b\1\0\1\x21\x21\1\x10\x0c" + _number_7z(len(data)) + b"\0"
    rounds, salt = 9, b"salt"
    digest = hashlib.sha256()
    for count in range(1 << rounds):
        digest.update(salt + password.encode("utf-16-le") + struct.pack("<Q", count))
    cipher = Cipher(AES(digest.digest()), CBC(bytes(16))).encryptor()
    secret = cipher.update(made + bytes(-len(made) % 16))
    coders = b"\2\x24\x06\xf1\x07\1\6" + bytes([0x80 | rounds, 0x30]) + salt + b"\x21\x21\1\x10\1\0"
    return secret, b"\x0b\1\0" + coders + b"\x0c" + _number_7z(len(made)) + _number_7z(len(data)) + b"\0"


def _streams_7z(at: int, packed: bytes, folder: bytes) -> bytes:
    return b"\6" + _number_7z(at) + b"\1\x09" + _number_7z(len(packed)) + b"\0\7" + folder


def _number_7z(number: int) -> bytes:
    return bytes([number]) if number < 0x80 else b"\xf0" + struct.pack("<L", number)


SCARS = st.lists(st.tuples(st.integers(0, 5000), st.binary(min_size=1, max_size=8)), max_size=6)
"""Bytes that are written over an archive, and where."""


def scarred(data: bytes, scars: list[tuple[int, bytes]]) -> bytes:
    """An archive as chance or malice has left it."""
    found = bytearray(data)
    for at, scar in scars:
        start = at % len(found)
        found[start : start + len(scar)] = scar
    return bytes(found)
