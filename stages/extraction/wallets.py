"""Finds the addresses of crypto currencies in a text: those only whose check sum is right.

What has no check sum of its own, an Ethereum address in small letters or one of Solana, counts only in
a text that speaks of the currency.

>>> find("Send 0.2 BTC to bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4 now")
[{'kind': 'BTC', 'address': 'bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4'}]
>>> find("Ticket bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5")
[]
"""

import base64
import binascii
import re
from collections.abc import Callable

from stages.extraction import checksums

MAX_WALLETS = 50
MAX_CANDIDATES = 2000
"""Words that look like an address, of a text."""

Wallet = dict[str, str]

_BASE58 = r"[1-9A-HJ-NP-Za-km-z]"
# One pattern for all, so that a text is read once; which one it is says the name of the group.
_CANDIDATE = re.compile(
    rf"(?<![A-Za-z0-9])(?:"
    rf"(?P<base58>[13LMD9AXTt]{_BASE58}{{25,34}})"
    rf"|(?P<ripple>r{_BASE58}{{24,34}})"
    rf"|(?P<bech32>(?:bc1|ltc1|addr1|BC1|LTC1)[02-9ac-hj-np-zAC-HJ-NP-Z]{{38,110}})"
    rf"|(?P<cash>(?:bitcoincash:)?[qp][02-9ac-hj-np-z]{{41}})"
    rf"|(?P<ether>0x[0-9a-fA-F]{{40}})"
    rf"|(?P<monero>[48]{_BASE58}{{94}}(?:{_BASE58}{{11}})?)"
    rf"|(?P<stellar>G[A-Z2-7]{{55}})"
    rf"|(?P<ton>[EU]Q[A-Za-z0-9_-]{{46}})"
    rf"|(?P<solana>{_BASE58}{{43,44}})"
    rf")(?![A-Za-z0-9])"
)
_VERSIONS = {
    b"\x00": "BTC",
    b"\x05": "BTC",
    b"\x30": "LTC",
    b"\x32": "LTC",
    b"\x1e": "DOGE",
    b"\x16": "DOGE",
    b"\x4c": "DASH",
    b"\x41": "TRX",
    b"\x1c\xb8": "ZEC",
    b"\x1c\xbd": "ZEC",
}
"""What stands before the 20 bytes of a key's hash."""
_PREFIXES = {"bc": "BTC", "ltc": "LTC"}
_MONERO = {18, 19, 42}
_OF_ETHER = re.compile(
    r"\b(?:eth(?:er|ereum)?|erc-?20|bep-?20|usdt|usdc|tether|bnb|crypto\w{0,10}|wallets?|metamask)\b",
    re.IGNORECASE,
)
_OF_SOLANA = re.compile(r"\b(?:solana|sol|phantom|spl)\b", re.IGNORECASE)


def find(text: str) -> list[Wallet]:
    """The distinct addresses in a text, kind and address, at most MAX_WALLETS. Linear."""
    found: dict[str, Wallet] = {}
    for number, match in enumerate(_CANDIDATE.finditer(text)):
        if number >= MAX_CANDIDATES or len(found) >= MAX_WALLETS:
            break
        group, word = match.lastgroup or "", match[0]
        if word not in found and (kind := _KINDS[group](word, text)):
            found[word] = {"kind": kind, "address": word}
    return list(found.values())


def _base58(word: str, text: str) -> str:
    data = checksums.base58check(word)
    if data is None:
        # Words of 34 letters may be one of these by their look alone.
        return ""
    return _VERSIONS.get(data[:-20], "") if len(data) > 20 else ""


def _ripple(word: str, text: str) -> str:
    data = checksums.base58check(word, checksums.RIPPLE)
    return "XRP" if data and data[0] == 0 and len(data) == 21 else ""


def _bech32(word: str, text: str) -> str:
    read = checksums.bech32(word)
    if not read:
        return ""
    prefix, values, check = read
    if prefix == "addr":
        data = checksums.repacked(values)
        return "ADA" if data and len(data) in (29, 57) and check == checksums.BECH32 else ""
    if not values or check != (checksums.BECH32M if values[0] else checksums.BECH32):
        return ""
    program = checksums.repacked(values[1:])
    right = program is not None and (len(program) in (20, 32) if not values[0] else 2 <= len(program) <= 40)
    return _PREFIXES.get(prefix, "") if right and values[0] <= 16 else ""


def _cash(word: str, text: str) -> str:
    values = checksums.cashaddr("bitcoincash", word.rpartition(":")[2])
    return "BCH" if values and checksums.repacked(values) is not None else ""


def _ether(word: str, text: str) -> str:
    digits = word[2:]
    if digits in (digits.lower(), digits.upper()):
        return "ETH" if len(set(digits)) > 4 and _OF_ETHER.search(text) else ""
    return "ETH" if checksums.eip55(digits) else ""


def _monero(word: str, text: str) -> str:
    data = checksums.monero(word)
    return "XMR" if data and data[0] in _MONERO else ""


def _stellar(word: str, text: str) -> str:
    data = base64.b32decode(word)
    right = checksums.crc16(data[:-2]) == int.from_bytes(data[-2:], "little")
    return "XLM" if right and data[0] == 6 << 3 else ""


def _ton(word: str, text: str) -> str:
    try:
        data = base64.urlsafe_b64decode(word)
    except binascii.Error:
        return ""
    return "TON" if checksums.crc16(data[:-2]) == int.from_bytes(data[-2:], "big") else ""


def _solana(word: str, text: str) -> str:
    data = checksums.base58(word)
    return "SOL" if data and len(data) == 32 and _OF_SOLANA.search(text) else ""


_KINDS: dict[str, Callable[[str, str], str]] = {
    "base58": _base58,
    "ripple": _ripple,
    "bech32": _bech32,
    "cash": _cash,
    "ether": _ether,
    "monero": _monero,
    "stellar": _stellar,
    "ton": _ton,
    "solana": _solana,
}
