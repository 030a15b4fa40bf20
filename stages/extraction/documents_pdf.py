"""What is in a PDF: links (/URI) and images, in compressed streams or not, encrypted or not; ISO 32000-1.

No tree of objects is built: each object is looked at where it stands.
"""

import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice

from stages.extraction.budget import Budget, Exhausted
from stages.extraction.documents import MAX_URLS, Document
from stages.extraction.documents_lock import Lock, from_hex, unescaped

MAX_IMAGES = 8
MAX_STREAMS = 500
_MAX_PLACES = 2000
_LONGEST_URL = 2000
_MAX_STREAM = 8 << 20
_DICTIONARY = 600
"""Bytes before a stream in which its dictionary is looked for."""
_STREAM = re.compile(rb"(?<!end)stream\r?\n")
_URI = re.compile(rb"/URI\s{0,20}(?:\(((?:[^()\\]|\\.){1,2000})\)|<([0-9A-Fa-f\s]{2,4000})>)", re.DOTALL)
_URL = re.compile(rb"[a-z][a-z0-9+.-]{1,20}:[!-~]|www\.", re.IGNORECASE)
"""What is encrypted is none."""
_OBJECT = re.compile(rb"(\d{1,9})\s{1,9}(\d{1,5})\s{1,9}obj")
_NEAR = 2000
"""Bytes before a string in which the beginning of its object is looked for."""
_COLOURS = {b"/DeviceGray": 1, b"/DeviceRGB": 3}


def pdf(data: bytes, budget: Budget, passwords: Sequence[str] = ()) -> Document:
    """What is in a PDF; as much as the budget has.

    Args:
        data: the file.
        budget: what it may cost.
        passwords: those to be tried when it is encrypted, besides the empty one.
    """
    reading = _Reading(data, budget, passwords)
    with suppress(Exhausted):  # the budget says so itself
        reading.streams()
    return reading.found


class _Reading:
    def __init__(self, data: bytes, budget: Budget, passwords: Sequence[str]) -> None:
        self._data = data
        self._budget = budget
        self._lock = Lock(data, passwords) if b"/Encrypt" in data else None
        self.found = Document(encrypted=self._lock is not None)
        if self._lock:
            self.found.password = self._lock.password or ""
            self.found.locked = self._lock.password is None
        self._links(data, self._lock)

    def streams(self) -> None:
        """Look into all streams.

        Raises:
            Exhausted: there are more than the budget has.
        """
        for place in islice(_STREAM.finditer(self._data), MAX_STREAMS):
            self._budget.spend()
            before = self._data[max(0, place.start() - _DICTIONARY) : place.start()]
            end = self._data.find(b"endstream", place.end())
            raw = self._data[place.end() : end if end > 0 else len(self._data)]
            self._stream(before[before.rfind(b"obj") + 3 :], self._plain(raw, place.start()))
            if end < 0:  # nor has any other that begins below
                return

    def _plain(self, raw: bytes, at: int) -> bytes:
        """What stands at a place, without its encryption."""
        if not self._lock:
            return raw
        *_, last = [None, *_OBJECT.finditer(self._data, max(0, at - _NEAR), at)]
        return self._lock.decrypt(int(last[1]), int(last[2]), raw) if last else b""

    def _stream(self, dictionary: bytes, raw: bytes) -> None:
        is_image = b"/Image" in dictionary
        if is_image and len(self.found.images) >= MAX_IMAGES:
            return
        if raw.startswith(b"\xff\xd8\xff"):
            self.found.images.append(raw)
        elif b"/FlateDecode" in dictionary or b"/Fl " in dictionary:
            if is_image:
                self.found.images += _image(dictionary, raw, self._budget)
            elif plain := _inflated(raw, self._budget):
                self._links(plain, None)  # strings in streams are encrypted with those

    def _links(self, data: bytes, lock: Lock | None) -> None:
        for place in islice(_URI.finditer(data), _MAX_PLACES):
            url = unescaped(place[1]) if place[1] is not None else from_hex(place[2])
            url = self._plain(url, place.start()) if lock else url
            url = b"".join(url.split())[:_LONGEST_URL]  # readers join what is folded
            text = url.decode("utf-8", "replace")
            if _URL.match(url) and len(self.found.urls) < MAX_URLS and text not in self.found.urls:
                self.found.urls.append(text)


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
