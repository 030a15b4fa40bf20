"""What messages are counted by, as small numbers: domains, networks, charsets, tags …

A text has a number as long as the index lives. Networks are not looked up: they are told by their
own bytes, in less than a number and its text would take.
"""

import re
import socket
import sqlite3
from collections.abc import Iterable, Sequence

import msgspec

_MOST = 50_000
"""Texts and numbers kept in memory."""
_SEPARATOR = "\n"
"""Between the values of a message that has several; no value holds one."""

_IPV4, _IPV6 = 4, 16
_IPV6_LENGTHS = 128
"""What IPv6 prefix lengths are told from those of IPv4 by: it is added."""
_MOST_LENGTH = 255
_LENGTH = re.compile("0|[1-9][0-9]{0,2}")
_HEX = re.compile("[0-9a-f]{12}")

_encode = msgspec.json.Encoder().encode

Value = int | bytes | None
"""What a row has for a message's values."""


class Values:
    """The texts of one index, and their numbers."""

    SCHEMA = ("CREATE TABLE value (number INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE)",)

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._numbers: dict[str, int] = {}
        self._texts: dict[int, str] = {}

    def number(self, values: Sequence[str]) -> Value:
        """What a row gets for a message's values; inside a transaction, as it may be a new one."""
        if not values:
            return None
        text = values[0] if len(values) == 1 else _SEPARATOR.join(values)
        if text in self._numbers:
            return self._numbers[text]
        if packed := pack_network(text):
            return packed
        known = self._db.execute("SELECT number FROM value WHERE text = ?", [text]).fetchone()
        if not known:
            known = self._db.execute(
                "INSERT INTO value (text) VALUES (?) RETURNING number", [text]
            ).fetchone()
        number: int = known[0]
        if len(self._numbers) >= _MOST:
            self._numbers.clear()
        self._numbers[text] = number
        return number

    def forget(self) -> None:
        """Forget what is remembered: it may not have come to pass."""
        self._numbers.clear()

    def load(self, found: Iterable[Value]) -> None:
        """Get ready to tell the values of many rows, with one question instead of one each."""
        missing = {number for number in found if isinstance(number, int)} - self._texts.keys()
        if not missing:
            return
        if len(self._texts) >= _MOST:
            self._texts.clear()
        self._texts.update(
            self._db.execute(
                "SELECT number, text FROM value WHERE number IN (SELECT value FROM json_each(?))",
                [_encode(list(missing)).decode()],
            )
        )

    def texts(self, value: Value) -> list[str]:
        """The values of a message by what its row has; loaded before."""
        if value is None:
            return []
        if isinstance(value, bytes):
            return [unpack_network(value)]
        return self._texts[value].split(_SEPARATOR) if value in self._texts else []


def pack_name(name: str) -> bytes | str:
    """A campaign's name as rows have it: half as long when it is one that the dedup stage makes."""
    return bytes.fromhex(name) if _HEX.fullmatch(name) else name


def unpack_name(packed: bytes | str) -> str:
    """The name that `pack_name` made small."""
    return packed if isinstance(packed, str) else packed.hex()


def pack_address(text: str) -> bytes | None:
    """An IP address in 4 or 16 bytes; None for what is none, or is written another way."""
    try:  # four times as fast as the module ipaddress
        packed = socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)
    except (OSError, ValueError):
        return None
    return packed if unpack_address(packed) == text else None


def unpack_address(packed: bytes) -> str:
    """The address that `pack_address` made small."""
    return socket.inet_ntop(socket.AF_INET if len(packed) == _IPV4 else socket.AF_INET6, packed)


def pack_network(text: str) -> bytes | None:
    """A network in few bytes: its length, IPv6 128 more, and the bytes that are not 0; None for what is none.

    >>> pack_network("192.0.2.0/24").hex(), pack_network("2001:db8::/48").hex(), pack_network("a/b")
    ('18c00002', 'b020010db8', None)
    """
    address, slash, length = text.rpartition("/")
    packed = pack_address(address) if slash else None
    if packed is None or not _LENGTH.fullmatch(length):
        return None
    number = int(length) + (0 if len(packed) == _IPV4 else _IPV6_LENGTHS)
    made = bytes([min(number, _MOST_LENGTH)]) + packed.rstrip(b"\0")
    return made if unpack_network(made) == text else None


def unpack_network(packed: bytes) -> str:
    """The network that `pack_network` made small.

    >>> unpack_network(pack_network("192.0.2.0/24"))
    '192.0.2.0/24'
    """
    length = packed[0]
    if length < _IPV6_LENGTHS:
        return f"{unpack_address(packed[1:].ljust(_IPV4, bytes(1)))}/{length}"
    return f"{unpack_address(packed[1:].ljust(_IPV6, bytes(1)))}/{length - _IPV6_LENGTHS}"
