"""What a message says, in a few hundred bytes that can be compared and looked up.

Two copies of a campaign differ in what their sender makes different: the greeting, numbers, links,
random words, the frame around the text. What stays is the run of words. So a message is taken as
its multiset of word triples (shingles), and the likeness of two messages is the Jaccard
coefficient of these: triples in common, over triples in either (Broder 1997, "On the resemblance
and containment of documents"). Three numbers stand for the multiset:

* the *sketch*, its smallest SKETCH hashes. The same of two messages estimate their likeness with
  a standard error of 0.06 at most; for texts of less than SKETCH words it is exact.
* the *bands*, each a hash of the least hashes in ROWS of BANDS*ROWS bins (one-permutation
  MinHash, empty bins filled by rotation: Li, Owen, Zhang 2012; Shrivastava, Li 2014). Messages
  with likeness s share a band with probability 1-(1-s**ROWS)**BANDS, that is 0.97 for 0.6 and
  0.12 for 0.2: what shares one is worth a comparison.
* the *exact* hash over all normalised words and the parts that are not text.

    >>> one = fingerprint(b"\\r\\nDear Ann, you have won 500 Euro, click http://a.example/1 to claim it")
    >>> two = fingerprint(b"\\r\\nDear Bob, you have won 750 Euro, click http://b.example/2 to claim it")
    >>> one.exact == two.exact, round(similarity(one.sketch, two.sketch), 2), bool(one.bands & two.bands)
    (False, 0.6, True)
"""

import hashlib
import re
import unicodedata
from array import array
from collections import Counter
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import decode_header
from zlib import crc32

from stages.shared import plaintext
from trap.job import Headers

SHINGLE = 3
SKETCH = 64
BANDS = 16
ROWS = 3
BINS = BANDS * ROWS
MAX_WORDS = 4096
"""Words of a message that are looked at."""
FEW_WORDS = 10
"""With fewer words than this, the subject, the links' hosts and the other parts count as well."""

_MAX_SUBJECT = 1000
_BITS = 0xFFFFFFFF
_BITS_64 = 0xFFFFFFFFFFFFFFFF
_ROTATION = 0xC2B2AE35
_FACTORS = (0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93)
"""Odd, and nothing else about them: the upper bits of a sum of products hash what was multiplied."""
# Drawn as nothing, and put between letters to break words: soft hyphen, zero-width and bidi marks, fillers.
_INVISIBLE = re.compile("[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e"
                        "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff]+")  # fmt: skip
# Links and addresses are made different in each copy, as numbers and long tokens are. What is looked for
# first is quickly found; the look-behind keeps it linear: an address is looked for only where a token begins.
_LINKS = {"://": re.compile(r"https?://\S+"), "www.": re.compile(r"www\.\S+")}
_ADDRESS = re.compile(r"(?<![\w.+-])[\w.+-]++@\S+")
_HOST = re.compile(r"https?://([a-z0-9.-]{1,80})")
_ASCII = bytes(range(128))
_NO_LETTERS = bytes(number if number > 127 or chr(number).isalpha() else 32 for number in range(256))
_MAX_WORD = 20
_LONG = re.compile(r"[a-z]{21,}")
# Scripts without spaces give one word a character; a longer run of letters is cut.
_UNSPACED = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORD = re.compile(f"[{_UNSPACED}]|[^\\W\\d_{_UNSPACED}]{{1,{_MAX_WORD}}}")
_SPACED = re.compile(f"[^\\W\\d_{_UNSPACED}]")
_MAX_KINDS = 32
"""Kinds of marks taken out of a text one after the other, which is faster than to look for all at once."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A message, for comparison.

    Attributes:
        exact: 47-bit number, the same for messages that say the same.
        sketch: ascending 32-bit hashes, for `similarity`.
        bands: 47-bit numbers; near-duplicates share at least one.
    """

    exact: int
    sketch: bytes
    bands: frozenset[int]


def fingerprint(message: bytes) -> Fingerprint:
    """Fingerprint a message (header and body, RFC 5322). Never raises; work is bounded."""
    readable = plaintext.read(message)
    found = words(readable.text)
    said, others = [" ".join(found)], []
    if len(found) < FEW_WORDS:
        others = sorted(set(_HOST.findall(readable.markup.lower())))[:FEW_WORDS]
        others += map(bytes.hex, readable.others)
        said.append(" ".join(words(_subject(message))))
    coded = [each.encode("utf-8", "surrogatepass") for each in said + others]
    run = b" ".join(coded[: len(said)]).split()
    hashes = _hashes(shingles(run) + list(map(crc32, coded[len(said) :])))
    exact = _number(b"\n".join([*coded, *readable.others]))
    return Fingerprint(exact, array("I", hashes[:SKETCH]).tobytes(), _bands(hashes))


def similarity(one: bytes, other: bytes) -> float:
    """Estimated likeness of two sketches, from 0 to 1 (bottom-k estimate of the Jaccard coefficient)."""
    if one == other:
        return 1.0
    mine, theirs = array("I", one).tolist(), array("I", other).tolist()
    union = list(dict.fromkeys(sorted(mine + theirs)))
    if max(len(mine), len(theirs)) >= SKETCH:  # cut short: only the union's smallest are surely known
        union = union[:SKETCH]
    return len(set(mine).intersection(theirs).intersection(union)) / len(union)


def words(text: str) -> list[str]:
    """The words of a text as they count: lower case, compatibility forms folded, what varies left out."""
    text = text.lower()
    kinds = _foreign(text)
    if any(map(_INVISIBLE.match, kinds)):
        text = _INVISIBLE.sub("", text)
    text = _without_links(text)
    marks = [kind for kind in kinds if not _SPACED.match(kind)]
    if len(marks) > _MAX_KINDS or any(map(_WORD.match, marks)):
        found = _cut(text)
    else:
        for mark in marks:
            text = text.replace(mark, " ")
        coded = text.encode("utf-8", "surrogatepass").translate(_NO_LETTERS)
        found = coded.decode("utf-8", "surrogatepass").split()
        if found and len(max(found, key=len)) > _MAX_WORD:
            found = _cut(" ".join(found))
    return _folded(found[:MAX_WORDS]) if kinds else found[:MAX_WORDS]


def _foreign(text: str) -> set[str]:
    """The characters of a text that are not ASCII."""
    if text.isascii():
        return set()
    return set(text.encode("utf-8", "surrogatepass").translate(None, _ASCII).decode("utf-8", "surrogatepass"))


def _without_links(text: str) -> str:
    for mark, link in _LINKS.items():
        if mark in text:
            text = link.sub(" ", text)
    if "@" not in text:
        return text
    return " ".join([_ADDRESS.sub(" ", token) if "@" in token else token for token in text.split()])


def _cut(text: str) -> list[str]:
    return _WORD.findall(_LONG.sub(" ", text))


def _folded(found: list[str]) -> list[str]:
    # Word by word: normalising a long text takes quadratic time when it is made of combining marks.
    odd = {word for word in found if not (word.isascii() or unicodedata.is_normalized("NFKC", word))}
    if not odd:
        return found
    plain = {word: unicodedata.normalize("NFKC", word).lower() for word in odd}
    return [plain.get(word, word) for word in found]


def shingles(found: list[bytes]) -> list[int]:
    """The CRC-32 of every run of SHINGLE words; of all of them when there are fewer."""
    if len(found) < SHINGLE:
        return [crc32(b"".join(found))] if found else []
    crcs = map(crc32, found)
    for start in range(1, SHINGLE):
        crcs = map(crc32, found[start:], crcs)
    return list(crcs)


def _subject(message: bytes) -> str:
    """The subject with its encoded words (RFC 2047) decoded."""
    raw = (Headers(message[: plaintext.MAX_HEADER]).get("subject") or "")[:_MAX_SUBJECT]
    try:
        pieces = decode_header(raw)
    except (HeaderParseError, ValueError):
        return raw
    return "".join(
        piece if isinstance(piece, str) else plaintext.decode(piece, f"charset={charset}")
        for piece, charset in pieces
    )


def _hashes(crcs: list[int]) -> list[int]:
    """Ascending distinct hashes of a multiset: the second of the same feature has a hash of its own."""
    distinct = set(crcs)
    if len(distinct) < len(crcs):
        repeated = [item for item in Counter(crcs).items() if item[1] > 1]
        distinct.update(
            [crc + time * _ROTATION & _BITS for crc, times in repeated for time in range(1, times)]
        )
    # CRC is linear; the multiplication makes its order one that nobody's alphabet has a say in.
    return sorted([crc * _ROTATION & _BITS for crc in distinct])


def _bands(hashes: list[int]) -> frozenset[int]:
    if not hashes:
        return frozenset()
    # Descending, so that the least of each bin is written last.
    least = {value % BINS: value for value in reversed(hashes)}
    bins = [least[number] for number in range(BINS)] if len(least) == BINS else _filled(least)
    rows = zip(bins[::ROWS], bins[1::ROWS], bins[2::ROWS], strict=True)
    one, two, three, four = _FACTORS
    return frozenset(
        [
            (band * one + a * two + b * three + c * four & _BITS_64) >> 17
            for band, (a, b, c) in enumerate(rows)
        ]
    )


def _filled(least: dict[int, int]) -> list[int]:
    """The bins; what is empty gets what is in the next that is not, made different by the way."""
    away = min(least)
    value = least[away]
    bins = [0] * BINS
    for number in reversed(range(BINS)):
        away += 1
        if number in least:
            value, away = least[number], 0
        bins[number] = value + away * _ROTATION & _BITS
    return bins


def _number(said: bytes) -> int:
    """A 47-bit hash: SQLite keeps it in six bytes."""
    return int.from_bytes(hashlib.blake2b(said, digest_size=6).digest(), "big") >> 1
