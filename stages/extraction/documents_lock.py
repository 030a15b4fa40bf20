"""Opens PDFs that are encrypted: often with the empty password, so that readers open them and filters don't.

The standard security handler, revisions 2 to 6: RC4 and AES (ISO 32000-1, 7.6; ISO 32000-2, 7.6).
"""

import hashlib
import re
from collections.abc import Callable, Sequence

from cryptography.hazmat.decrepit.ciphers.algorithms import ARC4
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

MAX_PASSWORDS = 21
_PADDING = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")
_DICTIONARY = 4000
"""Bytes of the dictionary of encryption that are read."""
_REFERENCE = re.compile(rb"/Encrypt\s{1,9}(\d{1,9})\s{1,9}(\d{1,5})\s{1,9}R")
_STRING = rb"\s{0,9}(?:\(((?:[^()\\]|\\.){0,600})\)|<([0-9A-Fa-f\s]{0,600})>)"
_ID = re.compile(rb"/ID\s{0,9}\[" + _STRING, re.DOTALL)
_ESCAPE = re.compile(rb"\\(?:([0-7]{1,3})|(\r?\n|\r)|(.))", re.DOTALL)
_CONTROLS = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}


def unescaped(text: bytes) -> bytes:
    """What stands between the parentheses of a string; ISO 32000-1, 7.3.4.2."""

    def meant(escape: re.Match[bytes]) -> bytes:
        if escape[1]:
            return bytes([int(escape[1], 8) & 255])
        return b"" if escape[2] else _CONTROLS.get(escape[3], escape[3])

    return _ESCAPE.sub(meant, text)


def from_hex(digits: bytes) -> bytes:
    """What stands between the angle brackets of a string."""
    digits = b"".join(digits.split())
    return bytes.fromhex((digits + b"0" * (len(digits) % 2)).decode("ascii"))


class Lock:
    """The encryption of one PDF.

    Args:
        data: the PDF.
        passwords: those to be tried besides the empty one.

    Attributes:
        password: the one that opens it; None if none of them does.
    """

    def __init__(self, data: bytes, passwords: Sequence[str] = ()) -> None:
        self.password: str | None = None
        self._key = b""
        self._said = _dictionary(data)
        self._version = self._number(b"V")
        self._revision = self._number(b"R")
        self._aes = self._version >= 4 and b"/V2" not in self._said
        found = _ID.search(data)
        self._id = _text(found) if found else b""
        for password in ("", *passwords)[:MAX_PASSWORDS]:
            key = self._try(password.encode("utf-8", "replace"))
            if key:
                self.password, self._key = password, key
                return

    def decrypt(self, number: int, generation: int, data: bytes) -> bytes:
        """The plain bytes of a stream or a string; empty if they can't be had.

        Args:
            number: of the object that it is in.
            generation: of that object.
            data: the encrypted bytes.
        """
        if not self._key:
            return b""
        key = self._key
        if self._version < 5:
            salt = number.to_bytes(5, "little")[:3] + generation.to_bytes(3, "little")[:2]
            salt += b"sAlT" if self._aes else b""
            key = _md5(key + salt)[: min(len(key) + 5, 16)]
        try:
            return _from_aes(key, data) if self._aes else _rc4(key, data)
        except ValueError:  # not a whole number of blocks, wrong padding, or an odd length of the key
            return b""

    def _try(self, password: bytes) -> bytes:
        """The key, if the password is right."""
        try:
            return self._new_key(password) if self._version >= 5 else self._old_key(password)
        except ValueError:  # the dictionary is not what it should be
            return b""

    def _old_key(self, password: bytes) -> bytes:
        """Algorithms 2, 4 and 5 of ISO 32000-1."""
        length = self._number(b"Length", 40) // 8 if self._version > 1 else 5
        length = 16 if self._version == 4 else min(max(length, 5), 16)
        permissions = (self._number(b"P") & 0xFFFFFFFF).to_bytes(4, "little")
        padded = (password + _PADDING)[:32]
        key = _md5(padded + self._string(b"O")[:32] + permissions + self._id + self._unless_metadata())
        if self._revision >= 3:
            for _ in range(50):
                key = _md5(key[:length])
        key, user = key[:length], self._string(b"U")
        if self._revision < 3:
            return key if _rc4(key, _PADDING) == user[:32] else b""
        said = _md5(_PADDING + self._id)
        for turn in range(20):
            said = _rc4(bytes(byte ^ turn for byte in key), said)
        return key if said == user[:16] else b""

    def _new_key(self, password: bytes) -> bytes:
        """Algorithm 2.A of ISO 32000-2."""
        user = self._string(b"U")
        digest = _hardened if self._revision >= 6 else _sha256
        if len(user) < 48 or digest(password, user[32:40]) != user[:32]:
            return b""
        cipher = Cipher(AES(digest(password, user[40:48])), CBC(bytes(16))).decryptor()
        return cipher.update(self._string(b"UE")[:32]) + cipher.finalize()

    def _unless_metadata(self) -> bytes:
        plain = re.search(rb"/EncryptMetadata\s{1,9}false", self._said)
        return b"\xff" * 4 if plain and self._revision >= 4 else b""

    def _number(self, name: bytes, default: int = 0) -> int:
        """A number; the largest where there are several, as of lengths in bits and in bytes."""
        found = re.findall(rb"/%s\s{0,9}(-?\d{1,10})" % name, self._said)
        return max(map(int, found)) if found else default

    def _string(self, name: bytes) -> bytes:
        found = re.search(rb"/%s(?![A-Za-z])" % name + _STRING, self._said, re.DOTALL)
        return _text(found) if found else b""


def _dictionary(data: bytes) -> bytes:
    """The dictionary of encryption, and what follows it."""
    reference = _REFERENCE.search(data)
    if not reference:
        at = data.find(b"/Encrypt")
        return data[at : at + _DICTIONARY] if at >= 0 else b""
    begin = re.search(rb"(?<!\d)%s\s{1,9}%s\s{1,9}obj" % (reference[1], reference[2]), data)
    if not begin:
        return b""
    found = data[begin.end() : begin.end() + _DICTIONARY]
    return found.split(b"endobj")[0]


def _text(found: re.Match[bytes]) -> bytes:
    return unescaped(found[1]) if found[1] is not None else from_hex(found[2])


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def _sha256(password: bytes, salt: bytes) -> bytes:
    return hashlib.sha256(password + salt).digest()


def _hardened(password: bytes, salt: bytes) -> bytes:
    """Algorithm 2.B of ISO 32000-2."""
    hashes: tuple[Callable[..., hashlib._Hash], ...] = (hashlib.sha256, hashlib.sha384, hashlib.sha512)
    key, turn, last = _sha256(password, salt), 0, 0
    while turn < 64 or last > turn - 32:
        cipher = Cipher(AES(key[:16]), CBC(key[16:32])).encryptor()
        mixed = cipher.update((password + key) * 64) + cipher.finalize()
        key, last = hashes[sum(mixed[:16]) % 3](mixed).digest(), mixed[-1]
        turn += 1
    return key[:32]


def _rc4(key: bytes, data: bytes) -> bytes:
    cipher = Cipher(ARC4(key), None).decryptor()
    return cipher.update(data) + cipher.finalize()


def _from_aes(key: bytes, data: bytes) -> bytes:
    """Undo AES in CBC mode, the first block being its beginning."""
    cipher = Cipher(AES(key), CBC(data[:16])).decryptor()
    padding = PKCS7(128).unpadder()
    plain = cipher.update(data[16 : len(data) // 16 * 16]) + cipher.finalize()
    return padding.update(plain) + padding.finalize()
