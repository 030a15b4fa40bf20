"""Undoes what 7z does to files: LZMA, its filter for programs, Deflate, bzip2, AES-256 with a slow key."""

import bz2
import hashlib
import lzma
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

from stages.extraction.opening import CHUNK, Damaged

MAX_WINDOW = 1 << 27
"""Bytes of history that LZMA may want to be kept."""
_MAX_POWER = 20
"""Of two, as many rounds make a key; 7-Zip itself takes 19."""
_COPY = b"\x00"
_AES = b"\x06\xf1\x07\x01"
_LZMA, _LZMA2 = b"\x03\x01\x01", b"\x21"
_DEFLATE, _BZIP2 = b"\x04\x01\x08", b"\x04\x02\x02"
_FILTERS = {b"\x03\x03\x01\x03": lzma.FILTER_X86, b"\x04": lzma.FILTER_X86}


class Coder(NamedTuple):
    """One step of how a stream of files was made."""

    method: bytes
    properties: bytes


class Unknown(Damaged):
    """A method that is not ours to undo."""


def is_locked(coders: list[Coder]) -> bool:
    """Whether a password is needed."""
    return any(coder.method == _AES for coder in coders)


def decoded(coders: list[Coder], data: bytes, size: int, password: str) -> Iterator[bytes]:
    """What was packed, in chunks.

    Args:
        coders: what was done to it, first to last.
        data: what came of it.
        size: bytes that it has.
        password: if one is needed.

    Raises:
        Damaged: it can't be undone (Unknown is such), or the password is wrong.
    """
    left = [coder for coder in coders if coder.method != _COPY]
    if left and left[-1].method == _AES:
        data = _decrypted(left.pop().properties, data, password)
    if not left:
        yield from (data[at : min(at + CHUNK, size)] for at in range(0, size, CHUNK))
        return
    decoder = _decoder(left)
    while size > 0:
        chunk = decoder.decompress(data, min(size, CHUNK))
        data = b""
        if not chunk:
            raise Damaged("cut off")
        size -= len(chunk)
        yield chunk


class _Inflate:
    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(-15)

    def decompress(self, data: bytes, most: int) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, most)


def _decoder(coders: list[Coder]) -> Any:
    methods = [coder.method for coder in coders]
    if methods == [_DEFLATE]:
        return _Inflate()
    if methods == [_BZIP2]:
        return bz2.BZ2Decompressor()
    *filters, (method, said) = coders
    if method not in (_LZMA, _LZMA2) or any(coder.method not in _FILTERS for coder in filters):
        raise Unknown("a method of compression that we don't have")
    chain = [{"id": _FILTERS[coder.method]} for coder in filters]
    chain.append(_lzma(said) if method == _LZMA else _lzma2(said))
    if chain[-1]["dict_size"] > MAX_WINDOW:
        raise Unknown("it wants more memory than it gets")
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=chain)


def _lzma(said: bytes) -> dict[str, int]:
    if len(said) != 5:
        raise Damaged("LZMA without its properties")
    rest, context = divmod(said[0], 9)
    position, literal = divmod(rest, 5)
    size = int.from_bytes(said[1:], "little")
    return {
        "id": lzma.FILTER_LZMA1,
        "dict_size": max(size, 4096),
        "lc": context,
        "lp": literal,
        "pb": position,
    }


def _lzma2(said: bytes) -> dict[str, int]:
    if len(said) != 1 or said[0] > 40:
        raise Damaged("LZMA2 without its properties")
    return {"id": lzma.FILTER_LZMA2, "dict_size": (2 | said[0] & 1) << (said[0] // 2 + 11)}


def _decrypted(said: bytes, data: bytes, password: str) -> bytes:
    if len(said) < 2:
        raise Damaged("AES without its properties")
    power = said[0] & 0x3F
    salt_size, begin_size = (said[0] >> 7) + (said[1] >> 4), (said[0] >> 6 & 1) + (said[1] & 15)
    salt = said[2 : 2 + salt_size]
    begin = said[2 + salt_size : 2 + salt_size + begin_size].ljust(16, b"\0")
    if power > _MAX_POWER or len(begin) > 16:
        raise Unknown("a key that takes too long to make")
    key = _key(salt + password.encode("utf-16-le", "replace"), power)
    cipher = Cipher(AES(key), CBC(begin)).decryptor()
    return cipher.update(data[: len(data) // 16 * 16]) + cipher.finalize()


def _key(secret: bytes, power: int) -> bytes:
    """The hash of a secret and a counter, 2 ** power times; written so that Python has few rounds."""
    block = min(power, 16)
    rounds, stride = 1 << block, len(secret) + 8
    buffer = bytearray((secret + bytes(8)) * rounds)
    low = bytes(range(min(rounds, 256)))
    buffer[len(secret) :: stride] = low * (rounds // len(low))
    if rounds > 256:
        buffer[len(secret) + 1 :: stride] = b"".join(bytes([n]) * 256 for n in range(rounds // 256))
    digest = hashlib.sha256()
    for high in range(1 << (power - block)):
        buffer[len(secret) + 2 :: stride] = bytes([high]) * rounds
        digest.update(buffer)
    return digest.digest()
