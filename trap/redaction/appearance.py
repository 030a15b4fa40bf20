"""What a text looks like to eyes: as a browser shows it, with letters that look alike made one.

Made for the release gate, as `trap.redaction.readings`. A name is hidden from programs and not from people
by tags within it, by letters of other scripts and with accents, by characters that have no width, and by
something between each two letters. Some of these have no look at all but bytes in them that programs read.
"""

import re
import unicodedata
from collections.abc import Iterator

WITHOUT_TAGS = "without tags"
"""A look in which what is coded may have become whole."""
_TAG = re.compile(rb"<[^<>]*>")
_VALUE = re.compile(rb"=\s{0,4}(?:\"[^\"]{0,2000}+\"|'[^']{0,2000}+')")
"""Of an attribute: a ">" in it ends no tag."""
_HIDDEN = (
    (re.compile(rb"<!--"), re.compile(rb"-->")),
    (re.compile(rb"<style\b", re.IGNORECASE), re.compile(rb"</style\s{0,9}>?", re.IGNORECASE)),
    (re.compile(rb"<script\b", re.IGNORECASE), re.compile(rb"</script\s{0,9}>?", re.IGNORECASE)),
)
"""What is not shown, and what ends it."""
_DECOY = re.compile(
    rb"<(span|font|b|i|u|em|small|div|p|s|a|strong)\b[^<>]{0,300}?"
    rb"(?:display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?![.0-9]))[^<>]{0,300}>[^<>]{0,300}</\1\s*>",
    re.IGNORECASE,
)
"""An element that is not shown, between letters that are."""
_LETTER = re.compile(rb"=[ ]?[\"']?([A-Za-z0-9@.+_-])(?=[\"'\s>])")
"""An attribute with a single letter."""
_ROW = 8
"""So many of them may be a name."""
_SPACE = b" \t\r\n\f\v\0"
_INVISIBLE = re.compile(
    "[\u00a0\u00ad\u0300-\u036f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202f"
    "\u205f-\u206f\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0]"
)
_TURNED = re.compile("[\u202e\u202b]([^\u202a-\u202e]{1,320})\u202c?")
"""Text that is shown from right to left."""
# fmt: off
_ALIKE = str.maketrans(
    "\u0430\u0441\u0501\u0435\u04bb\u0456\u0458\u04cf\u043e\u0440\u051b\u0455\u051d\u0445\u0443\u0491\u043a\u043c\u0442\u0432\u043d"
    "\u03b1\u03b5\u03b9\u03ba\u03bd\u03bf\u03c1\u03c4\u03c5\u03c7\u03c9\u0131\u0142\u00f8\u0111\u0127\u0261\u0251",
    "acdehijlopqswxyrkmtbh" "aeikvoptuxwilodhga",
)
# fmt: on
"""Letters of Cyrillic, Greek and others that look like Latin ones."""
_CARRIED = re.compile("[\U000e0020-\U000e007e\U000e0100-\U000e01ef]")
"""Tags and selectors, which are not shown; each stands for a byte."""
_APART = re.compile(
    rb"(?<![a-zA-Z0-9])[a-zA-Z0-9]([-_*|/,~+:.])[a-zA-Z0-9@.-](?:\1[a-zA-Z0-9@.-]){5,320}(?![a-zA-Z0-9])"
)
"""Single letters with the same sign between all of them."""


def appearances(text: bytes) -> Iterator[tuple[str, bytes]]:
    """All looks of a text, each with how it came to be.

    >>> [how for how, seen in appearances("<b>j</b>\u043ee".encode()) if b"joe" in seen]
    ['without tags, folded', 'without tags, without spaces']
    """
    yield from _folded(text)
    if b"<" not in text:
        return
    if len(letters := _LETTER.findall(text)) >= _ROW:
        yield "letters of attributes", b"".join(letters)
    bare = text
    for begin, end in _HIDDEN:
        bare = _without(bare, begin, end)
    bare = _DECOY.sub(b"", bare)
    shown = _TAG.sub(b"", bare)
    yield from _seen_in(text, shown)
    if b">" in shown and (quoted := _TAG.sub(b"", _VALUE.sub(b"=", bare))) != shown:
        yield from _seen_in(text, quoted)


def _seen_in(text: bytes, shown: bytes) -> Iterator[tuple[str, bytes]]:
    if shown != text:
        yield WITHOUT_TAGS, shown
        yield from ((f"{WITHOUT_TAGS}, {how}", seen) for how, seen in _folded(shown))


def _folded(text: bytes) -> Iterator[tuple[str, bytes]]:
    """A text with its letters made alike, and without any space."""
    looks = [text]
    if not text.isascii():
        said = text.decode("utf-8", "replace")
        looks = list(dict.fromkeys((_folded_text(said), _alike(said))))
        yield from (("folded", look) for look in looks)
        if _TURNED.search(said):
            yield "turned", _alike(_TURNED.sub(lambda found: found[1][::-1], said))
        if carried := _CARRIED.findall(said):
            yield "carried", "".join(map(_byte, carried)).encode("latin-1")
    yield from (("without spaces", look.translate(None, _SPACE)) for look in looks)
    if rows := [found[0].replace(found[1], b"") for found in _APART.finditer(looks[-1])]:
        yield "letters apart", b"\n".join(rows)


def _folded_text(said: str) -> bytes:
    """A text in lower case, without what has no width, in one form of each letter."""
    return _INVISIBLE.sub("", unicodedata.normalize("NFKC", said)).lower().encode("utf-8", "replace")


def _alike(said: str) -> bytes:
    """A text in lower case, without accents too, in Latin letters where others look so."""
    plain = _INVISIBLE.sub("", unicodedata.normalize("NFKD", said).lower()).translate(_ALIKE)
    return unicodedata.normalize("NFC", plain).encode("utf-8", "replace")


def _byte(c: str) -> str:
    at = ord(c) - 0xE0000
    return chr(at if at < 0x100 else at - 0x100 + 16)


def _without(text: bytes, begin: re.Pattern[bytes], end: re.Pattern[bytes]) -> bytes:
    """A text without what stands between two marks; what is never ended stays."""
    kept, at = [], 0
    while (found := begin.search(text, at)) and (until := end.search(text, found.end())):
        kept.append(text[at : found.start()])
        at = until.end()
    return b"".join([*kept, text[at:]])
