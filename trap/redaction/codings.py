"""How characters are coded in texts, and how lenses are made that read them: URLs, HTML, encoded words ...

    >>> url = bytearray(b"?to=j%6Fe")
    >>> lens = percent(url)
    >>> lens.text[4:] = b"xyz"
    >>> lens.back(), url
    (True, bytearray(b'?to=x%79z'))

All patterns take time linear in the text: it is the sender's.
"""

import binascii
import html
import re

from trap.redaction.lenses import Base64, Characters, Lens, Pieces, codec_of, decoded, encoded

AROUND = 320
"""Bytes shown on both sides of what is coded: a name may be coded in part; no name is longer."""
_SAYS = re.compile(rb"[ -~]{4}")
_HEXED = re.compile(rb"[0-9a-fA-F]{16,}+")
_RUN = re.compile(rb"[A-Za-z0-9+/_-]{12,}={0,2}")
_SAFE, _UNSAFE = bytes.maketrans(b"-_", b"+/"), bytes.maketrans(b"+/", b"-_")
_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")
_QUOTED = re.compile(rb"=(?:([0-9A-Fa-f]{2})|[ \t]*+\r?\n)")
_Q_SIGN = re.compile(rb"=([0-9A-Fa-f]{2})|_")
_ENTITY = rb"&(?:#[0-9]{1,9}|#[xX][0-9a-fA-F]{1,8}|[a-zA-Z][a-zA-Z0-9]{1,31});?"
_ENTITIES = re.compile(_ENTITY)
_ESCAPED = re.compile(
    rb"\\(?:u\{([0-9a-fA-F]{1,6})\}|u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|([0-9a-fA-F]{2,6})[ ]?"
    rb"|[^0-9a-zA-Z\s])"
)
_UNSEEN = (
    rb"\xc2\xad|\xe2\x80[\x8b-\x8f\xaa-\xae]|\xe2\x81[\xa0-\xa4]|\xef\xbb\xbf|\xcd\x8f|\xe1\xa0\x8e"
    rb"|\xef\xb8[\x80-\x8f]"
)
"""Characters of no width, in UTF-8: soft hyphen, zero-width space and joiners, marks of direction ..."""
_NO_WIDTH = re.compile(_UNSEEN)
_SEEN = re.compile(rb"<!--(?:[^<-]++|-(?!->)|<(?!!--))*-->|<[a-zA-Z/!?][^<>]*+>|" + _UNSEEN + rb"|" + _ENTITY)
_JOINED = re.compile(rb"(?<![ \t\r\n])[ \t]*+=?\r?\n(?:>[> ]*+|[ \t]++)?(?![\r\n])|" + _UNSEEN)
_ZEROS = re.compile(rb"\0++")
_SPACE = re.compile(rb"\s++|\xc2\xa0|" + _UNSEEN)
_LOOSE = re.compile(
    rb'"?;[ \t]*+(?:\r?\n[ \t]++)?[\w-]{1,40}\*[0-9]{1,3}\*?="?'  # RFC 2231: the value goes on
    rb"|\r?\n[ \t]++|\([^()\r\n]{0,200}\)|\\(?=[^\r\n])|\"|(?<=[@.])[ \t]++|(?<![ \t@.])[ \t]++(?=[@.])"
)
_WORD = re.compile(rb"=\?([\w.:-]{1,40})(?:\*[\w-]{0,40})?\?([bBqQ])\?([^?\r\n]*+)\?=(?:\s++(?==\?))?")
_UU_LINE = re.compile(rb"^[!-M][ -`]{2,84}\r?$\n?", re.MULTILINE)


def words(source: bytearray) -> Pieces:
    """Encoded words (RFC 2047); white space between two of them is none."""
    return Pieces(source, _WORD, _say_word, _spell_word, AROUND)


def percent(source: bytearray) -> Pieces:
    """Characters coded as in URLs."""
    return Pieces(source, _PERCENT, _say_hex, lambda old, new: _like(old, b"%%%02X" % new[0]), AROUND)


def quoted(source: bytearray) -> Pieces:
    """Quoted-printable."""
    return Pieces(source, _QUOTED, _say_hex, lambda old, new: _like(old, b"=%02X" % new[0]))


def entities(source: bytearray) -> Pieces:
    """Characters by name or number, as in HTML, tags and all."""
    return Pieces(source, _ENTITIES, _say_entity, _spell_entity, AROUND)


def seen(source: bytearray) -> Pieces:
    """What is seen of HTML: no tags, no comments, no characters without width."""
    return Pieces(source, _SEEN, _say_seen, _spell_entity)


def joined(source: bytearray) -> Pieces:
    """A text without its line ends and the signs of quoting behind them."""
    return Pieces(source, _JOINED, _say_nothing, _as_it_was)


def squeezed(source: bytearray) -> Pieces:
    """A text without any space."""
    return Pieces(source, _SPACE, _say_nothing, _as_it_was)


def narrow(source: bytearray) -> Pieces:
    """Data without zero bytes, as texts of 16 bits a character have them."""
    return Pieces(source, _ZEROS, _say_nothing, _as_it_was)


def loose(source: bytearray) -> Pieces:
    """Header fields without folding, quotes, comments (RFC 5322) and continuations (RFC 2231)."""
    return Pieces(source, _LOOSE, _say_nothing, _as_it_was)


def escapes(source: bytearray) -> Pieces:
    r"""Characters as in JSON, scripts and CSS: \u0040, \x40, \40, and what has a \ before it."""
    return Pieces(source, _ESCAPED, _say_escaped, _spell_escaped, AROUND)


def hexed(source: bytearray) -> Pieces:
    """Runs of hexadecimal digits."""
    return Pieces(source, _HEXED, _say_hexed, _spell_hexed, 0)


def runs(source: bytearray) -> Pieces:
    """What may be base64, of either alphabet, within a text."""
    return Pieces(source, _RUN, _say_run, _spell_run, 0)


def uuencoded(source: bytearray) -> Pieces:
    """Lines of uuencode, joined."""
    return Pieces(source, _UU_LINE, _say_uu, _spell_uu, 0)


def _like(old: bytes, new: bytes) -> bytes:
    """Hexadecimal digits in upper case, unless those before were in lower case."""
    return new if old == old.upper() else new.lower()


def _say_hex(found: re.Match[bytes]) -> bytes:
    return bytes((int(found[1], 16),)) if found[1] else b""


def _say_hexed(found: re.Match[bytes]) -> bytes | None:
    return _worth(bytes.fromhex(found[0][: len(found[0]) & ~1].decode("ascii")))


def _spell_hexed(old: bytes, new: bytes) -> bytes:
    return _like(old, new.hex().upper().encode()) + old[2 * len(new) :]


def _worth(said: bytes) -> bytes | None:
    """What was decoded, if it may be text: whatever looks like a code can be decoded."""
    return said if _SAYS.search(said) else None


def _say_nothing(_: re.Match[bytes]) -> bytes:
    return b""


def _as_it_was(old: bytes, _: bytes) -> bytes:
    return old


def _say_entity(found: re.Match[bytes]) -> bytes | None:
    said = html.unescape(found[0].decode("ascii")).encode("utf-8", "replace")
    return said if said != found[0] else None


def _say_seen(found: re.Match[bytes]) -> bytes | None:
    if not found[0].startswith(b"&"):
        return b""
    said = _say_entity(found)
    return b"" if said and _NO_WIDTH.fullmatch(said) else said


def _spell_entity(old: bytes, new: bytes) -> bytes:
    """By number, in as many digits as there is room for; where that is two, as one of few letters."""
    end = b";" if old.endswith(b";") else b""
    room = len(old) - 2 - len(end)
    if old[1:2] == b"#" and old[2:3] in b"xX":
        return b"&#x%0*x%b" % (room - 1, new[0], end)
    letter = new[0] if room > 2 or new[0] < 100 else 97 + new[0] % 3
    return b"&#%0*d%b" % (room, letter, end)


def _say_escaped(found: re.Match[bytes]) -> bytes:
    digits = found[1] or found[2] or found[3] or found[4]
    if not digits:
        return found[0][1:]
    number = int(digits, 16)
    return chr(number).encode("utf-8", "replace") if number < 0x110000 else found[0]


def _spell_escaped(old: bytes, new: bytes) -> bytes:
    """The same escape for another character."""
    found = _ESCAPED.fullmatch(old)
    for group in (1, 2, 3, 4) if found else ():
        if found and found[group]:
            start, end = found.span(group)
            return old[:start] + b"%0*x" % (end - start, new[0]) + old[end:]
    return old[:1] + new


def _say_run(found: re.Match[bytes]) -> bytes | None:
    run = found[0]
    if run.islower() or run.isupper() or run.isdigit():
        return None  # a word: text in base64 has letters of both kinds
    return _worth(decoded(run.rstrip(b"=").translate(_SAFE)))


def _spell_run(old: bytes, new: bytes) -> bytes:
    bare = old.rstrip(b"=")
    coded = encoded(new, bare.translate(_SAFE))
    return (coded.translate(_UNSAFE) if b"-" in bare or b"_" in bare else coded) + old[len(bare) :]


def _say_uu(found: re.Match[bytes]) -> bytes | None:
    try:
        return binascii.a2b_uu(found[0])
    except binascii.Error:
        return None


def _spell_uu(old: bytes, new: bytes) -> bytes:
    line = binascii.b2a_uu(new, backtick=b"`" in old).rstrip(b"\n")
    return line[: len(old)] + old[len(line) :]


def _say_word(found: re.Match[bytes]) -> bytes:
    payload, characters = _word(found, bytearray(found[3]))
    return bytes((characters or payload).text)


def _spell_word(old: bytes, new: bytes) -> bytes:
    """The encoded word, in its charset and encoding, with a new text; empty when that has no room."""
    found = _WORD.match(old + b"=?")
    if not found:
        return b""
    source = bytearray(found[3])
    payload, characters = _word(found, source)
    (characters or payload).text[:] = new
    if not (characters or payload).back() or not payload.back():
        return b""
    return old[: found.start(3)] + bytes(source) + old[found.end(3) :]


def _word(found: re.Match[bytes], source: bytearray) -> tuple[Lens, Lens | None]:
    """Lenses for an encoded word's encoding, and for its charset."""
    payload: Lens
    if found[2] in b"bB":
        payload = Base64(source)
    else:
        payload = Pieces(source, _Q_SIGN, lambda sign: _say_hex(sign) or b" ", _spell_q)
    codec = codec_of(found[1].decode("ascii"))
    return payload, Characters(payload.text, codec) if codec else None


def _spell_q(old: bytes, new: bytes) -> bytes:
    return _like(old, b"=%02X" % new[0]) if len(old) == 3 else new
