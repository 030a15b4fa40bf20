"""What documents have in them that matters in spam: links, macros, locks, and images that may hold codes.

PDF: links (/URI) and images, in the open and in compressed streams (ISO 32000-1). Word, Excel and
PowerPoint: macros, and links to the outside. Nothing is rendered; what is looked for is found by its
own marks, wherever it stands, so a document that is broken on purpose gives what it gives.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from stages.budget import Budget, Exhausted

MAX_URLS = 200
MAX_IMAGES = 8
MAX_STREAMS = 500
_LONGEST_URL = 2000
_MAX_STREAM = 8 << 20
_DICTIONARY = 600
"""Bytes before a stream in which its dictionary is looked for."""
_STREAM = re.compile(rb"(?<!end)stream\r?\n")
_URI = re.compile(rb"/URI\s{0,20}\(((?:[^()\\]|\\.){1,2000})\)", re.DOTALL)
_URI_IN_HEX = re.compile(rb"/URI\s{0,20}<([0-9A-Fa-f\s]{2,4000})>")
_URL = re.compile(rb"[a-z][a-z0-9+.-]{1,20}:[!-~]|www\.", re.IGNORECASE)
"""What is encrypted is none."""
_ESCAPE = re.compile(rb"\\(?:([0-7]{1,3})|\r?\n|(.))", re.DOTALL)
_TARGET = re.compile(rb"<Relationship\s([^>]{1,4000})>")
_OUTSIDE = re.compile(rb'\bTarget="((?:https?|ftp|file|mhtml|mailto|smb):[^"]{1,2000})"', re.IGNORECASE)
_COLOURS = {b"/DeviceGray": 1, b"/DeviceRGB": 3}
_MACROS = "_VBA_PROJECT".encode("utf-16-le")
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")


@dataclass
class Document:
    """What is in one."""

    urls: list[str] = field(default_factory=list)
    images: list[bytes] = field(default_factory=list)
    macros: bool = False
    encrypted: bool = False


def pdf(data: bytes, budget: Budget) -> Document:
    """What is in a PDF; as much as the budget has."""
    found = Document(encrypted=b"/Encrypt" in data)
    _add_links(found, data)
    try:
        for number, place in enumerate(_STREAM.finditer(data)):
            if number >= MAX_STREAMS:
                break
            budget.spend()
            before = data[max(0, place.start() - _DICTIONARY) : place.start()]
            dictionary = before[before.rfind(b"obj") + 3 :]
            end = data.find(b"endstream", place.end())
            raw = data[place.end() : end if end > 0 else len(data)]
            _add_stream(found, dictionary, raw, budget)
    except Exhausted:
        pass  # the budget says so itself
    return found


def ole(data: bytes) -> Document:
    """What is in a document of the old formats of Word, Excel and PowerPoint, or in an encrypted new one."""
    return Document(macros=_MACROS in data, encrypted=_ENCRYPTED in data)


def outside(relations: bytes) -> Iterator[str]:
    """Links to the outside in a .rels file of the newer formats (ECMA-376, part 2)."""
    for relation in _TARGET.finditer(relations):
        if b'TargetMode="External"' in relation[1] and (target := _OUTSIDE.search(relation[1])):
            yield target[1].replace(b"&amp;", b"&").decode("utf-8", "replace")


def _add_stream(found: Document, dictionary: bytes, raw: bytes, budget: Budget) -> None:
    is_image = b"/Image" in dictionary
    if is_image and len(found.images) >= MAX_IMAGES:
        return
    if raw.startswith(b"\xff\xd8\xff"):
        found.images.append(raw)
    elif b"/FlateDecode" in dictionary or b"/Fl " in dictionary:
        if is_image:
            found.images += _image(dictionary, raw, budget)
        elif plain := _inflated(raw, budget):
            _add_links(found, plain)


def _add_links(found: Document, plain: bytes) -> None:
    for said in _URI.findall(plain):
        _add_url(found, _ESCAPE.sub(_unescaped, said))
    for said in _URI_IN_HEX.findall(plain):
        digits = b"".join(said.split())
        _add_url(found, bytes.fromhex((digits + b"0" * (len(digits) % 2)).decode("ascii")))


def _add_url(found: Document, url: bytes) -> None:
    url = b"".join(url.split())  # as readers do: a string may be folded
    text = url[:_LONGEST_URL].decode("utf-8", "replace")
    if _URL.match(url) and len(found.urls) < MAX_URLS and text not in found.urls:
        found.urls.append(text)


def _unescaped(escape: re.Match[bytes]) -> bytes:
    return bytes([int(escape[1], 8) & 255]) if escape[1] else escape[2] or b""


def _inflated(raw: bytes, budget: Budget) -> bytes:
    """What a stream unpacks to, or as much of it as there is; nothing of one that is none.

    Raises:
        Exhausted: it is too much.
    """
    try:
        plain = zlib.decompressobj().decompress(raw, _MAX_STREAM)
    except zlib.error:
        return b""
    budget.spend(len(plain))
    return plain


def _image(dictionary: bytes, raw: bytes, budget: Budget) -> Iterator[bytes]:
    """An image as a file: PNG, whose way to predict pixels PDF has taken over, or else PGM or PPM."""
    width, height = _number(b"Width", dictionary), _number(b"Height", dictionary)
    bits = _number(b"BitsPerComponent", dictionary)
    colours = next((count for name, count in _COLOURS.items() if name in dictionary), 0)
    if not (0 < width < 10_000 and 0 < height < 10_000 and bits in (1, 8) and colours):
        return
    if _number(b"Predictor", dictionary) >= 10:
        kind = {1: 0, 3: 2}[colours]
        head = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
        chunks = ((b"IHDR", head), (b"IDAT", raw), (b"IEND", b""))
        yield b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, content) for name, content in chunks)
    elif bits == 8:
        yield b"P%d %d %d 255\n" % (6 if colours == 3 else 5, width, height) + _inflated(raw, budget)
    elif colours == 1:  # black and white are the other way round there; a code may be either
        yield b"P4 %d %d\n" % (width, height) + _inflated(raw, budget)


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _number(name: bytes, dictionary: bytes) -> int:
    found = re.search(rb"/%s\s{1,10}(\d{1,6})" % name, dictionary)
    return int(found[1]) if found else 0
