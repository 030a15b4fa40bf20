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
# The look-behind keeps it linear: an address is looked for only where a token begins.
_VARIABLE = re.compile(r"(?:https?://|www\.)\S+|(?<![\w.+-])[\w.+-]+@\S+|[a-z]{21,}")
"""Links, addresses and long tokens: what senders make different in each copy."""
_HOST = re.compile(r"https?://([a-z0-9.-]{1,80})")
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
        features = shingles(found + subject) + hosts + [part.hex() for part in readable.others]
        found += ["", *subject, *hosts]
    hashes = _hashes(features)
    exact = _number(" ".join(found).encode(), *readable.others)
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
        return _WORD.findall(_VARIABLE.sub(" ", text))[:MAX_WORDS]
    found = _WORD.findall(_VARIABLE.sub(" ", _INVISIBLE.sub("", text)))[:MAX_WORDS]
    # Word by word: normalising a long text takes quadratic time when it is made of combining marks.
    plain = {word: unicodedata.normalize("NFKC", word).lower() for word in set(found)}
    return [plain[word] for word in found]


def shingles(found: list[str]) -> list[str]:
    """Every run of SHINGLE words; all of them when there are fewer."""
    if len(found) < SHINGLE:
        return [" ".join(found)] if found else []
    return [" ".join(run) for run in zip(found, found[1:], found[2:], strict=False)]


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


def _hashes(features: list[str]) -> list[int]:
    """Ascending distinct hashes of a multiset: the second of the same feature has a hash of its own."""
    times: dict[str, int] = {}
    hashes = set()
    for feature in features:
        before = times.get(feature, 0)
        times[feature] = before + 1
        crc = crc32(feature.encode("utf-8", "surrogatepass"), before)
        # CRC is linear; the multiplication makes its order one that nobody's alphabet has a say in.
        hashes.add((crc * _ROTATION ^ crc >> 15) & _BITS)
    return sorted(hashes)


def _bands(hashes: list[int]) -> frozenset[int]:
    if not hashes:
        return frozenset()
    count = BANDS * ROWS
    # Descending, so that the least of each bin is written last.
    least = {value % count: value for value in reversed(hashes)}
    bins = []
    for number in range(count):
        away = 0
        while (number + away) % count not in least:
            away += 1
        bins.append(least[(number + away) % count] + away * _ROTATION & _BITS)
    rows = array("I", bins).tobytes()
    width = ROWS * 4
    return frozenset(
        _number(bytes([band]), rows[band * width : band * width + width]) for band in range(BANDS)
    )


def _number(*pieces: bytes) -> int:
    """A 47-bit hash: SQLite keeps it in six bytes."""
    digest = hashlib.blake2b(digest_size=6)
    for piece in pieces:
        digest.update(piece)
    return int.from_bytes(digest.digest(), "big") >> 1
