"""What stands in the place of a name: as long, of the same kinds of characters, and nobody's.

A consumer always sees the same mask for the same name, and two consumers see different ones, so
that they can't join what they got (RFC 6590). The last label of a masked domain is all "z": no top
level domain is, and none with two of them will be, for ISO 3166 leaves "zz" to its users.

    >>> mask("Joe.Doe@mx.Trap.example", b"", "joe.doe@mx.trap.example")
    'Xxx.Xxx@xx.Xxxx.zzzzzzz'
    >>> mask("192.0.2.25", b"", "192.0.2.25"), mask("67ab89", b"", "67ab89"), mask("Zo\xeb", b"", "zo\xeb")
    ('000.1.1.11', '11aa11', 'Xxx')
"""

import hashlib
import hmac
import ipaddress
import re
from functools import lru_cache

from trap.traces import registrable

_LETTERS = "bcdfghjklmnpqrstvwxz"
"""Without vowels: what is drawn is no word, and hardly a name."""
_HEX = re.compile(r"(?=.*[0-9])(?:[0-9a-f]{2}){3,}|(?=.*[0-9])(?:[0-9A-F]{2}){3,}")
_ESCAPE = re.compile(r"([%=])([0-9A-Fa-f]{2})")
_FOREIGN = re.compile(r"[^\x00-\x7f]")
_PIECES = re.compile(r"([^a-zA-Z0-9\x80-\U0010ffff]+)")


def mask(text: str, key: bytes, identity: str, turn: int = 0, word: bool = False) -> str:
    """What stands for a name, as long as it is.

    Args:
        text: the name as it is written where it is found, with what goes with it: a host in front of a
            domain, a local part in front of an "@".
        key: the consumer's; without one, lower case becomes x, upper case X, a digit 1.
        identity: the name, in lower case; what it is decides what its mask looks like.
        turn: another number draws other letters, for when a mask happens to be a name itself.
        word: the name is a local part or the like, though it may look like a domain.
    """
    if _ESCAPE.search(text):
        return _escaped(text, key, identity, turn, word)
    if _is_ip(identity):
        return _ip(text, key, turn)
    local, at, domain = text.rpartition("@")
    if at:
        return _plain(local, key, turn) + at + mask(domain, key, identity.rpartition("@")[2], turn)
    if not word and registrable(_FOREIGN.sub("x", text.rstrip("."))):
        return _domain(text, key, turn)
    head = text[: -len(identity)]
    if head and not word and text.lower().endswith(identity) and registrable(identity):
        return _plain(head, key, turn) + _domain(text[len(head) :], key, turn)
    return _plain(text, key, turn)


def blank(text: str, letter: str = "x") -> str:
    """A text without anything to be read in it, as long as it was."""
    return "".join(_character(c, 1, letter) for c in text)


def _plain(text: str, key: bytes, turn: int) -> str:
    """Words between what is neither letter nor digit; each is drawn by its place in the whole."""
    pieces, whole = _PIECES.split(text), text.lower()
    for at in range(0, len(pieces), 2):
        pieces[at] = _drawn(pieces[at], key, f"{at}:{whole}" if at else whole, turn)
    return "".join(pieces)


def _domain(text: str, key: bytes, turn: int) -> str:
    """Each label is drawn by what it stands in front of: hosts of one domain are seen to be so."""
    labels = text.split(".")
    last = max(at for at, label in enumerate(labels) if label)
    masked = [
        _drawn(label, key, ".".join(labels[at:]).lower(), turn) for at, label in enumerate(labels[:last])
    ]
    top = "".join(("Z" if c.isupper() else "z") if c.isalnum() else c for c in labels[last])
    return ".".join([*masked, top, *labels[last + 1 :]])


def _ip(text: str, key: bytes, turn: int) -> str:
    """An address in 0.0.0.0/8 or 0000::/16, where nobody is."""
    pieces = _PIECES.split(text)
    whole = text.lower()
    for at in range(0, len(pieces), 2):
        piece = pieces[at]
        if at == 0:
            pieces[at] = "0" * len(piece)
        elif len(piece) == 3 and piece.isdigit() and "." in text:
            pieces[at] = "1" + _drawn(piece[1:], key, f"{whole}/{at}", turn)
        else:
            pieces[at] = _drawn(piece, key, f"{whole}/{at}", turn, hexadecimal=True)
    return "".join(pieces)


def _escaped(text: str, key: bytes, identity: str, turn: int, word: bool) -> str:
    """A text in which characters are written as %41 or =41: they stay so, each as it is masked."""
    places, bare, at = [], [], 0
    for found in _ESCAPE.finditer(text):
        bare += [text[at : found.start()], chr(int(found[2], 16))]
        places.append((sum(map(len, bare)) - 1, found))
        at = found.end()
    bare.append(text[at:])
    said = "".join(bare)
    # What the escapes spelt may look like escapes again.
    masked = list(_plain(said, key, turn) if _ESCAPE.search(said) else mask(said, key, identity, turn, word))
    for place, found in places:
        code = f"{ord(masked[place]) & 0xFF:02x}"
        masked[place] = found[1] + (code if found[2].islower() else code.upper())
    return "".join(masked)


def _drawn(text: str, key: bytes, name: str, turn: int, hexadecimal: bool = False) -> str:
    """Letters and digits drawn for a name, of the kinds that a text has in its places."""
    letters = "abcdef" if hexadecimal or _HEX.fullmatch(text) else _LETTERS
    if not key:
        return blank(text, "a" if letters[0] == "a" else "x")
    stream = _stream(key, f"{turn}:{name}" if turn else name, len(text))
    return "".join(_character(c, byte, letters) for c, byte in zip(text, stream, strict=True))


def _character(c: str, byte: int, letters: str) -> str:
    if not c.isalnum():
        return c
    if c.isdigit():
        return str(byte % 10)
    letter = letters[byte % len(letters)]
    return letter.upper() if c.isupper() else letter


@lru_cache(maxsize=4096)
def _stream(key: bytes, name: str, length: int) -> bytes:
    """As many bytes as asked for, that only who has the key can tell."""
    seed = hmac.digest(key, name.encode("utf-8", "surrogateescape"), "sha256")
    return seed[:length] if length <= len(seed) else hashlib.shake_256(seed).digest(length)


@lru_cache(maxsize=4096)
def _is_ip(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
