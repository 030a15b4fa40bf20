"""Makes text of hostile bytes that eyes can trust: charsets that lie, characters that hide or turn others.

>>> decoded(b"caf\\xe9", "utf-8"), decoded(b"caf\\xc3\\xa9", "no-such-thing")
('caf\\xe9', 'caf\\xe9')
>>> visible("invoice\\u202efdp.exe")
'invoice\\u27e8U+202E\\u27e9fdp.exe'
"""

import codecs
import re

# Ends of line and tab apart: controls, what has no width, turns the direction of text or stands for nothing.
_HIDDEN = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200c\u200e\u200f"
    "\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0d\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff\ue000-\uf8ff"
    "\U000e0000-\U000e0fff\U000f0000-\U0010ffff"
)
_SPACES = re.compile(r"[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
_PADDING = re.compile(rf"[{_HIDDEN}\u200d](?:[ \t]?[{_HIDDEN}\u200d]){{7,}}")
# A joiner between two symbols makes one of them, as in pictures of families; it hides nothing.
_ONE = re.compile(rf"[{_HIDDEN}]|(?<![^\x00-\u0fff])\u200d|\u200d(?![^\x00-\u0fff])")
_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_BREAKS = re.compile(r"\r\n?")

_NOT_TEXT = frozenset(
    ("idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "rot-13", "rot13")
)
"""Codecs of Python that no mail means, some of them slow."""
_GUESSES = ("utf-8", "cp1252", "latin-1")


def codec(charset: str) -> str:
    """Python's name for a charset; empty when there is none that mail may ask for.

    >>> codec("ks_c_5601-1987"), codec("zlib"), codec("punycode")
    ('cp949', '', '')
    """
    try:
        name = codecs.lookup(charset[:60]).name
        codecs.encode("", name)  # what turns bytes into bytes, and is no charset, says so
    except (LookupError, ValueError, TypeError, UnicodeError):
        return ""
    if name in _NOT_TEXT:
        return ""
    return {"euc_kr": "cp949", "gb2312": "gb18030", "ascii": "utf-8"}.get(name, name)


def decoded(data: bytes, charset: str = "") -> str:
    """Text in a charset, or in what it probably is when that can't be."""
    for name in (codec(charset) if charset else "", *_GUESSES):
        if name:
            try:
                return data.decode(name)
            except (UnicodeError, ValueError):
                continue
    return data.decode("latin-1")


def is_right(data: bytes, charset: str) -> bool:
    """Whether bytes are in the charset they are said to be in."""
    name = codec(charset)
    try:
        data.decode(name or "ascii")
    except (UnicodeError, ValueError):
        return False
    return bool(name)


def visible(text: str) -> str:
    """Text with all that hides or turns it written out, its ends of line made line feeds."""
    text = _SPACES.sub(" ", _BREAKS.sub("\n", text))
    if text.isascii() and text.isprintable():
        return text
    return _ONE.sub(_named, _PADDING.sub(_counted, text))


def visible_line(text: str) -> str:
    """The same as one line."""
    return visible(" ".join(text.split()))


def _named(found: re.Match[str]) -> str:
    return f"⟨U+{ord(found[0]):04X}⟩"


def _counted(found: re.Match[str]) -> str:
    """Many in a row pad the preview that mailboxes show; unless they turn text, their number is enough."""
    hidden = len(found[0]) - found[0].count(" ") - found[0].count("\t")
    turning = sorted(_TURNING.intersection(found[0]))
    names = "".join(f" U+{ord(c):04X}" for c in turning)
    return f"⟨{hidden} invisible characters{names and ':'}{names}⟩"
