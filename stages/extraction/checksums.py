"""The alphabets and check sums that addresses of crypto currencies are written with.

Each function takes what could be an address and gives what it stands for, or None when its check sum is
wrong: a word that looks like an address passes one of 32 bits once in four thousand million times.
"""

import hashlib
from collections.abc import Iterable

from Cryptodome.Hash import keccak

BITCOIN = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
RIPPLE = "rpshnaf39wBUDNEGHJKLM4PQRST7VWXYZ2bcdeCg65jkm8oFqi1tuvAxyz"
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_BECH32_STEPS = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CASH_STEPS = (0x98F2BC8E61, 0x79B76D99E2, 0xF33E5FB3C4, 0xAE2EABE2A8, 0x1E4F43E470)
BECH32, BECH32M = 1, 0x2BC830A3
"""What the check sum of BIP 173 and that of BIP 350 come to."""
_BLOCK_SIZES = {2: 1, 3: 2, 5: 3, 6: 4, 7: 5, 9: 6, 10: 7, 11: 8}
"""Monero writes 8 bytes in 11 letters, and what is left in fewer."""


def base58(text: str, alphabet: str = BITCOIN) -> bytes | None:
    """What is written in base 58, leading zeros included; None when a letter is not of the alphabet."""
    number = 0
    for letter in text:
        digit = alphabet.find(letter)
        if digit < 0:
            return None
        number = number * 58 + digit
    zeros = len(text) - len(text.lstrip(alphabet[0]))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def base58check(text: str, alphabet: str = BITCOIN) -> bytes | None:
    """Version and payload of a Base58Check address: its last four bytes are of a double SHA-256."""
    data = base58(text, alphabet)
    if data is None or len(data) < 5:
        return None
    once = hashlib.sha256(data[:-4]).digest()
    return data[:-4] if hashlib.sha256(once).digest()[:4] == data[-4:] else None


def bech32(text: str) -> tuple[str, list[int], int] | None:
    """Prefix, values of five bits and kind of check sum (BECH32 or BECH32M); BIP 173 and 350."""
    if text != text.lower() and text != text.upper():
        return None
    prefix, one, rest = text.lower().rpartition("1")
    values = [_BECH32.find(letter) for letter in rest]
    if not (one and prefix) or len(values) < 6 or -1 in values:
        return None
    spread = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]
    found = _polymod(spread + values, 25, _BECH32_STEPS)
    return (prefix, values[:-6], found) if found in (BECH32, BECH32M) else None


def cashaddr(prefix: str, rest: str) -> list[int] | None:
    """Values of five bits of a CashAddr address without its check sum of 40 bits."""
    values = [_BECH32.find(letter) for letter in rest.lower()]
    if len(values) < 8 or -1 in values:
        return None
    spread = [ord(c) & 31 for c in prefix] + [0]
    return values[:-8] if _polymod(spread + values, 35, _CASH_STEPS) == 1 else None


def _polymod(values: Iterable[int], shift: int, steps: tuple[int, ...]) -> int:
    check = 1
    mask = (1 << shift) - 1
    for value in values:
        top = check >> shift
        check = (check & mask) << 5 ^ value
        for bit, step in enumerate(steps):
            if top >> bit & 1:
                check ^= step
    return check


def repacked(values: Iterable[int]) -> bytes | None:
    """Bytes of values of five bits; None when more than a few zeros are left over."""
    number = bits = 0
    made = bytearray()
    for value in values:
        number = (number << 5 | value) & 0xFFF
        bits += 5
        if bits >= 8:
            bits -= 8
            made.append(number >> bits & 0xFF)
    return bytes(made) if bits < 5 and not number & ((1 << bits) - 1) else None


def eip55(digits: str) -> bool:
    """Whether the capitals of 40 hex digits are those that EIP-55 asks for."""
    small = digits.lower()
    hashed = keccak.new(digest_bits=256, data=small.encode()).hexdigest()
    return all(
        letter == (letter.upper() if mark >= "8" else letter.lower())
        for letter, mark in zip(digits, hashed, strict=False)
    )


def monero(text: str) -> bytes | None:
    """Network byte and keys of a Monero address; its last four bytes are of a Keccak hash."""
    data = b""
    for at in range(0, len(text), 11):
        block = text[at : at + 11]
        size = _BLOCK_SIZES.get(len(block))
        raw = base58("1" + block.lstrip("1")) if size else None
        number = int.from_bytes(raw or b"", "big")
        if size is None or raw is None or number >> 8 * size:
            return None
        data += number.to_bytes(size, "big")
    hashed = keccak.new(digest_bits=256, data=data[:-4]).digest()
    return data[:-4] if len(data) > 4 and hashed[:4] == data[-4:] else None


def crc16(data: bytes) -> int:
    """CRC-16/XMODEM, which TON and Stellar use."""
    check = 0
    for byte in data:
        check ^= byte << 8
        for _ in range(8):
            check = (check << 1 ^ 0x1021) if check & 0x8000 else check << 1
        check &= 0xFFFF
    return check
