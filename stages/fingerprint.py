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

from stages import plaintext
from trap.job import Headers

SHINGLE = 3
SKETCH = 64
BANDS = 16
ROWS = 3
MAX_WORDS = 4096
"""Words of a message that are looked at."""
FEW_WORDS = 10
"""With fewer words than this, the subject, the links' hosts and the other parts count as well."""

_MAX_SUBJECT = 1000
_BITS = 0xFFFFFFFF
_ROTATION = 0x9E3779B1
# Drawn as nothing, and put between letters to break words: soft hyphen, zero-width and bidi marks, fillers.
_INVISIBLE = re.compile("[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e"
                        "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff]+")  # fmt: skip
_MARKS = ("@", "://", "www.")
"""What every link and address holds: where none is, none need be looked for."""
# The look-behind keeps it linear: an address is looked for only where a token begins.
_VARIABLE = re.compile(r"(?:https?://|www\.)\S+|(?<![\w.+-])[\w.+-]++@\S+")
"""Links and addresses: what senders make different in each copy, like long tokens and numbers."""
_HOST = re.compile(r"https?://([a-z0-9.-]{1,80})")
_NO_LETTERS = {number: " " for number in range(128) if not chr(number).isalpha()}
_LONG = re.compile(r"[a-z]{21,}")
# Scripts without spaces give one word a character; a longer run of letters is cut.
_WORD = re.compile(
    "[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\\W\\d_\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]{1,20}"
)


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
    features = shingles(found)
    if len(found) < FEW_WORDS:
        subject = words(_subject(message))
        hosts = sorted(set(_HOST.findall(readable.markup.lower())))[:FEW_WORDS]
        others = [*hosts, *map(bytes.hex, readable.others)]
        features = shingles(found + subject) + [other.encode() for other in others]
        found += ["", *subject, *hosts]
    hashes = _hashes(features)
    exact = _number(" ".join(found).encode() + b"".join(readable.others))
    return Fingerprint(exact, array("I", hashes[:SKETCH]).tobytes(), _bands(hashes))


def similarity(one: bytes, other: bytes) -> float:
    """Estimated likeness of two sketches, from 0 to 1 (bottom-k estimate of the Jaccard coefficient)."""
    mine, theirs = set(array("I", one)), set(array("I", other))
    union = mine | theirs
    if max(len(mine), len(theirs)) >= SKETCH:  # cut short: only the union's smallest are surely known
        union = set(sorted(union)[:SKETCH])
    return len(union & mine & theirs) / len(union) if union else 1.0


def words(text: str) -> list[str]:
    """The words of a text as they count: lower case, compatibility forms folded, what varies left out."""
    text = text.lower()
    if text.isascii():
        found = _without_links(text).translate(_NO_LETTERS).split()
        return [word for word in found if len(word) <= 20][:MAX_WORDS]
    text = _LONG.sub(" ", _without_links(_INVISIBLE.sub("", text)))
    found = _WORD.findall(text)[:MAX_WORDS]
    # Word by word: normalising a long text takes quadratic time when it is made of combining marks.
    odd = {word for word in found if not word.isascii()}
    plain = {word: unicodedata.normalize("NFKC", word).lower() for word in odd}
    return [plain.get(word, word) for word in found]


def _without_links(text: str) -> str:
    if not any(mark in text for mark in _MARKS):
        return text
    link, address, host = _MARKS
    return " ".join(
        [
            _VARIABLE.sub(" ", token) if link in token or address in token or host in token else token
            for token in text.split()
        ]
    )


def shingles(found: list[str]) -> list[bytes]:
    """Every run of SHINGLE words, in UTF-8; all of them when there are fewer."""
    text = " ".join(found).encode("utf-8", "surrogatepass")
    if len(found) < SHINGLE:
        return [text] if found else []
    coded = text.split(b" ")
    return list(map(b" ".join, zip(coded, coded[1:], coded[2:], strict=False)))


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


def _hashes(features: list[bytes]) -> list[int]:
    """Ascending distinct hashes of a multiset: the second of the same feature has a hash of its own."""
    distinct = set(features)
    crcs = list(map(crc32, distinct))
    if len(distinct) < len(features):
        repeated = [item for item in Counter(features).items() if item[1] > 1]
        crcs += [crc32(feature, time) for feature, times in repeated for time in range(1, times)]
    # CRC is linear; the multiplication makes its order one that nobody's alphabet has a say in.
    return sorted({(crc * _ROTATION ^ crc >> 15) & _BITS for crc in crcs})


def _bands(hashes: list[int]) -> frozenset[int]:
    if not hashes:
        return frozenset()
    count = BANDS * ROWS
    # Descending, so that the least of each bin is written last.
    least = {value % count: value for value in reversed(hashes)}
    bins = [least.get(number, -1) for number in range(count)]
    if len(least) < count:
        bins = [_rotated(bins, number) for number in range(count)]
    rows = array("I", bins).tobytes()
    width = ROWS * 4
    return frozenset(
        [_number(bytes([band]) + rows[band * width : band * width + width]) for band in range(BANDS)]
    )


def _rotated(bins: list[int], number: int) -> int:
    """What is in a bin; when it is empty, what is in the next that is not, made different by the way."""
    away = 0
    while (value := bins[(number + away) % len(bins)]) < 0:
        away += 1
    return value + away * _ROTATION & _BITS


def _number(said: bytes) -> int:
    """A 47-bit hash: SQLite keeps it in six bytes."""
    return int.from_bytes(hashlib.blake2b(said, digest_size=6).digest(), "big") >> 1
