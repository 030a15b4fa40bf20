"""Undoes the disguises of a text: what hides a link from programs, and not from people.

Zero-width characters, full-width letters and dots of other scripts; `hxxp`, `[.]`, `(dot)`, `joe at
example dot com`, `example . com`. What comes out is for finding links in, not for people.

>>> undisguised("hxxps[:]//evil[.]example(dot)com/x, joe (at) spam [dot] example, w\\u200bww.a\\uff0eexample")
'https://evil.example.com/x, joe@spam.example, www.a.example'
"""

import re
from unicodedata import normalize

# fmt: off
_INVISIBLE = (
    0x00AD, 0x034F, 0x061C, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180E, *range(0x200B, 0x2010),
    *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0x3164, 0xFE0E, 0xFE0F, 0xFEFF, 0xFFA0,
)
_SPACES = (0x00A0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000)
_DOTS = (0x2024, 0x3002, 0xFE52, 0xFF61)
_SLASHES = (0x2044, 0x2215, 0x29F8)
# fmt: on
_TABLE: dict[int, str | None] = {
    **dict.fromkeys(_INVISIBLE),
    **dict.fromkeys(_SPACES, " "),
    **dict.fromkeys(_DOTS, "."),
    **dict.fromkeys(_SLASHES, "/"),
    **{0xFF01 + at: chr(0x21 + at) for at in range(94)},
    **{at: normalize("NFKC", chr(at)) for at in (*range(0x1D400, 0x1D800), *range(0x24B6, 0x24EA))},
}
"""Full-width letters are where ASCII's are, elsewhere; then letters of mathematics, and in circles."""

_TOP = "com|net|org|info|biz|ru|cn|top|xyz|online|site|shop|club|io|uk|de|eu|tk|ml|ga|cf|gq|pw|su|ws|example"
"""Top-level domains that a word next to a dot among spaces is taken for: none that are words."""
_SCHEME = re.compile(
    r"\bh(?:xx|tt|\*\*|__)(p?s?)\s?(?:\[://\]|(?:\[:\]|\(:\)|:)\s?(?:\[?//\]?|\\\\|/ /))"
    r"(?:\s(?=[\w-]{1,63}\.))?",
    re.IGNORECASE,
)
_FTP = re.compile(r"\bfxp://", re.IGNORECASE)
_BRACKETED_DOT = re.compile(
    r"\s{0,3}[\[({<]\s{0,2}(?:\.|dot|d0t|punkt|point)\s{0,2}[\])}>]\s{0,3}", re.IGNORECASE
)
_BRACKETED_AT = re.compile(r"\s{0,3}[\[({<]\s{0,2}(?:@|at|arroba)\s{0,2}[\])}>]\s{0,3}", re.IGNORECASE)
_HALF_BRACKET = re.compile(r"(?<=[a-z0-9])(?:\[\.|\.\]|\\\.)(?=[a-z])", re.IGNORECASE)
_WORD_AT = re.compile(
    rf"(?<=[\w.+-])\s{{1,3}}at\s{{1,3}}(?=(?:[a-z0-9-]{{1,63}}\s{{1,3}}dot\s{{1,3}}){{1,3}}(?:{_TOP})\b)",
    re.IGNORECASE,
)
_WORD_DOT = re.compile(
    rf"(?<=[a-z0-9])\s{{1,3}}dot\s{{1,3}}(?=(?:[a-z0-9-]{{2,63}}\s{{1,3}}dot\s{{1,3}})?(?:{_TOP})\b)",
    re.IGNORECASE,
)
_SPACED_DOT = re.compile(rf"(?<=[a-z0-9-])(?:\s{{1,3}}\.\s{{1,3}})(?=(?:{_TOP})\b(?!\s?[A-Z]))")
_WWW = re.compile(r"\b(www)(?:\s{1,3}\.\s{0,3}|\s{0,3}\.\s{1,3})(?=[a-z0-9])", re.IGNORECASE)


def undisguised(text: str) -> str:
    """The text without what hides links in it. Linear; never longer than before by more than a third."""
    if not text.isascii():
        text = text.translate(_TABLE)
    if "[" in text or "(" in text or "{" in text or "<" in text or "\\" in text:
        text = _BRACKETED_DOT.sub(".", text)
        text = _BRACKETED_AT.sub("@", text)
        text = _HALF_BRACKET.sub(".", text)
    lower = text.lower()
    if (
        "hxx" in lower
        or "[:" in lower
        or ": /" in lower
        or "h**" in lower
        or "p :" in lower
        or ":// " in lower
        or ":\\" in lower
    ):
        text = _SCHEME.sub(lambda found: f"http{found[1].lower().lstrip('p')}://", text)
        text = _FTP.sub("ftp://", text)
    if " dot " in lower:
        if " at " in lower:
            text = _WORD_AT.sub("@", text)
        text = _WORD_DOT.sub(".", text)
    if " ." in text or ". " in text:
        text = _WWW.sub(r"\1.", text)
        text = _SPACED_DOT.sub(".", text)
    return text
