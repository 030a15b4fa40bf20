"""Overwrites names of the trap in a text and in everything that can be read out of it, in place.

A text is read through each lens that may show something, what is shown through the next, and each time
the names found are masked. The innermost come first: what is coded is found plain there, and is
written back coded.

    >>> from trap.redaction.identities import Identities
    >>> from trap.redaction.search import Searcher
    >>> text = bytearray(b"http://b.example/?to=joe.miller%40trap.example&cc=am9lLm1pbGxlckB0cmFwLmV4YW1wbGU")
    >>> Scrubber(Searcher(Identities.named(["joe.miller@trap.example"])), b"").scrub(text, "text")
    >>> text
    bytearray(b'http://b.example/?to=xxx.xxxxxx%40xxxx.zzzzzzz&cc=eHh4Lnh4eHh4eEB4eHh4Lnp6enp6eno')
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from trap.redaction import codings
from trap.redaction.lenses import Characters, Pieces, codec_of, like_ascii
from trap.redaction.masks import mask
from trap.redaction.search import Hit, Searcher
from trap.traces import registrable

MAX_DEPTH = 4
"""Lenses through which something is read one after the other."""
_ROOM, _TIMES, _MOST = 4 << 20, 12, 96 << 20
"""Bytes that are read in all: these, times the length of a message, and at most. The gate sees the rest."""
_FRONT = re.compile(rb"(?:[.@\]\x80-\xff]|04[%=])(?:[\w.+\[\]@\x80-\xff-]|04[%=]){0,119}")
"""What belongs to the domain behind it, read backwards."""
_VERP = re.compile(rb"=[\w.+-]{1,64}")
_FAR = 120
_NO_TEXT = (b"%PDF", b"PK\x03\x04", b"\x1f\x8b", b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"Rar!", b"7z\xbc\xaf")
_LOOK = 4096
"""Bytes by which text is told from other data."""


class _Way(NamedTuple):
    """A lens, and when something may be seen through it."""

    name: str
    sign: re.Pattern[bytes]
    lens: Callable[[bytearray], Pieces]
    after: tuple[str, ...] = ()
    """Lenses that what is seen may have to be read through."""
    glues: bool = False
    """What it shows side by side may stand apart."""


def _way(name: str, sign: bytes, after: str = "", glues: bool = False) -> _Way:
    return _Way(name, re.compile(sign), getattr(codings, name), tuple(after.split()), glues)


_WAYS = (
    _way("runs", rb"[A-Za-z0-9+/_-]{12}", "runs percent entities escapes"),
    _way("hexed", rb"[0-9a-fA-F]{16}", "percent"),
    _way("words", rb"=\?", "runs percent squeezed"),
    _way("percent", rb"%[0-9a-fA-F]{2}", "runs percent entities words"),
    _way("entities", rb"&[#a-zA-Z]", "runs percent entities"),
    _way("escapes", rb"\\", "percent entities seen"),
    _way("quoted", rb"=(?:[0-9a-fA-F]{2}|\r?\n)", "percent entities seen"),
    _way("uuencoded", rb"(?m)^begin ", "joined percent entities"),
    _way("seen", rb"<[a-zA-Z/!?]|&[#a-zA-Z]", "runs percent squeezed", glues=True),
    _way("joined", rb"\n|[\x80-\xff]", "runs words percent entities", glues=True),
    _way("loose", rb"[\n\"(\\;]|[@.][ \t]|[ \t][@.]", "runs words percent", glues=True),
    _way("narrow", rb"\0", glues=True),
    _way("squeezed", rb"\s|[\x80-\xff]", glues=True),
)
_BY_NAME = {way.name: way for way in _WAYS}
_ALL = tuple(way.name for way in _WAYS if way.name not in ("loose", "narrow"))
_FOR_HEADERS = tuple(way.name for way in _WAYS if way.name not in ("joined", "uuencoded", "narrow"))


class Scrubber:
    """Masks names in the texts of one message.

    Args:
        searcher: finds them.
        key: of the consumer who will read it.
        size: bytes of the message.
        turn: of the masks; see `mask`.
        ascii_only: no name has other letters.
    """

    def __init__(
        self, searcher: Searcher, key: bytes, size: int = 0, turn: int = 0, ascii_only: bool = False
    ) -> None:
        self._searcher, self._key, self._turn = searcher, key, turn
        self._words = searcher.identities.words
        self._room = min(_ROOM + _TIMES * size, _MOST)
        self._ascii_only = ascii_only
        self.masked: Counter[str] = Counter()
        """Names masked, by where they stood and how they were spelt."""

    def scrub(self, text: bytearray, where: str, header: bool = False) -> None:
        """Mask all names in a text that ASCII can be read in.

        Args:
            text: changed in place.
            where: what it is, for who counts.
            header: it is one or more header fields.
        """
        self._read(text, where, _FOR_HEADERS if header else _ALL)

    def scrub_in(self, text: bytearray, where: str, charset: str) -> bool:
        """Mask all names in a text of a charset; False: some can't be overwritten at their length."""
        codec, written = codec_of(charset), True
        if codec and (not like_ascii(codec) or not (self._ascii_only or text.isascii())):
            characters = Characters(text, codec)
            self.scrub(characters.text, where)
            written = characters.back()
        if not codec or like_ascii(codec):
            self.scrub(text, where)
        return written

    def scrub_data(self, data: bytearray, where: str) -> None:
        """Mask names in what may be no text."""
        if b"\0" in data[:_LOOK] or data.startswith(_NO_TEXT):
            self._read(data, where, ("narrow",))
        else:
            self.scrub(data, where)

    def mask(self, text: bytearray, where: str, through: Pieces | None = None, glued: bool = False) -> None:
        """Mask the names that stand in a text as they are, or spelt in a way that can't be read back.

        Args:
            text: changed in place.
            where: what it is, for who counts.
            through: the lens that shows it; names that are seen without it are left for then.
            glued: what stands in front of a domain need not belong to it.
        """
        hits = list(self._searcher.find(bytes(text)))
        if not glued:
            hits = [self._whole(text, hit) for hit in hits]
        if through:
            hits = [hit for hit in hits if through.touches(hit.start, hit.end)]
        for hit in _apart(hits):
            text[hit.start : hit.end] = self._masked(bytes(text[hit.start : hit.end]), hit)
            self.masked[f"{where}/{hit.kind}"] += 1

    def _masked(self, said: bytes, hit: Hit) -> bytes:
        """The mask of a name as it is written in UTF-8, or in 16 bits a character."""
        word = hit.name in self._words
        if hit.kind == "utf-16":
            letters = said.replace(b"\0", b"").decode("latin-1")
            return _woven(said, mask(letters, self._key, hit.name, self._turn, word))
        text = said.decode("utf-8", "surrogateescape")
        new = mask(text, self._key, hit.name, self._turn, word)
        if text.isascii():
            return new.encode("ascii")
        sizes = (len(c.encode("utf-8", "surrogateescape")) for c in text)
        return b"".join(
            c.encode("utf-8", "surrogateescape") * (size if c.isascii() else 1)
            for c, size in zip(new, sizes, strict=True)
        )

    def _whole(self, text: bytearray, hit: Hit) -> Hit:
        """A hit with the host or the local part in front of it, if it is a domain."""
        if hit.kind not in ("plain", "punycode") or hit.name in self._words or "@" in hit.name:
            return hit
        if not registrable(hit.name):
            return hit
        before = bytes(text[max(0, hit.start - _FAR) : hit.start][::-1])
        verp = text[hit.end : hit.end + 1] == b"@" and before.startswith(b"=")
        found = (_VERP if verp else _FRONT).match(before)
        return hit._replace(start=hit.start - found.end()) if found else hit

    def _read(
        self,
        text: bytearray,
        where: str,
        ways: tuple[str, ...],
        depth: int = 0,
        through: Pieces | None = None,
        glued: bool = False,
    ) -> None:
        """Mask names in a text, first where they are coded."""
        for way in map(_BY_NAME.__getitem__, ways) if depth < MAX_DEPTH else ():
            if self._room < len(text) or not way.sign.search(text):
                continue
            lens = way.lens(text)
            if lens.shows:
                self._room -= len(lens.text)
                self._read(lens.text, where, way.after, depth + 1, lens, glued or way.glues)
                lens.back()
        self.mask(text, where, through, glued)


def _woven(said: bytes, letters: str) -> bytes:
    """Letters in the places of those of a text of 16 bits a character."""
    following = iter(letters.encode("latin-1", "replace"))
    return bytes(next(following) if byte else 0 for byte in said)


def _apart(hits: Iterable[Hit]) -> Iterator[Hit]:
    """Hits that don't overlap, the longer before the shorter; of those that do, what is left."""
    at = 0
    for hit in sorted(hits, key=lambda hit: (hit.start, -hit.end)):
        if hit.end > at:
            yield hit._replace(start=max(hit.start, at))
            at = hit.end
