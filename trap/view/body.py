"""The text of a message, for reading: what its text parts say, or what its HTML would.

>>> readable('<style>p {}</style><p>V<b>ia</b>gra<br>at <a href="http://a.example/x">us</a></p>')
'Viagra\\nat us <hxxp://a[.]example/x>'
"""

import html
import re
from collections.abc import Iterator

from trap.view.defang import defang
from trap.view.glyphs import decoded, is_right, visible
from trap.view.parts import Part

MAX_TEXT = 256 << 10
"""Characters that are shown."""
MAX_HTML = 1 << 20
"""Characters of HTML that are looked at."""
_MAX_ENCODED = 4 << 20
"""Bytes of the message that one part's text is made of."""
_MAX_PARTS = 50
_PLAIN = ("text/plain", "message/delivery-status")
_MAX_TAGS = 100_000

# Every alternative also ends at the end of the text, so nothing that is left open is looked for twice.
_SILENT = re.compile(
    r"<!--.*?(?:-->|\Z)|<(style|script|title)\b.*?(?:</\1[^>]{0,100}>?|\Z)", re.DOTALL | re.IGNORECASE
)
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]{0,20})([^>]*)(?:>|\Z)|<[/!?][^>]*(?:>|\Z)")
_HREF = re.compile(r"""\bhref\s{0,8}=\s{0,8}["']?\s{0,8}([^\s"'<>]{1,2000})""", re.IGNORECASE)
_ALT = re.compile(r"""\balt\s{0,8}=\s{0,8}(?:"([^"]{1,200})"|'([^']{1,200})')""", re.IGNORECASE)
_ENDLESS = re.compile(r"&#[0-9a-fA-Fx]{9,};?")
"""html.unescape raises on numbers too long for int()."""
_MIXED = re.compile(r"[a-zA-Z][\u0370-\u052f]|[\u0370-\u052f][a-zA-Z]")
"""Latin beside Greek or Cyrillic, as in words that filters should not know."""
_MANY = 5
_SPACE = re.compile(r"[ \t\r\n\f]+")
_LINES = re.compile(r" ?\n[ \n]*\n ?")
# fmt: off
_BLOCKS = frozenset((
    "p", "div", "table", "ul", "ol", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "pre", "hr",
    "section", "article", "header", "footer", "center", "form",
))
# fmt: on


def text(parts: list[Part], message: bytes) -> tuple[str, bool, list[str]]:
    """The text to be read, whether it was made of HTML, and what is wrong with it."""
    defects: list[str] = []
    plain = [part for part in parts if part.type in _PLAIN and _is_text(part)][:_MAX_PARTS]
    said = visible("\n\n⁂\n\n".join(_texts(plain, message, defects)))
    from_html = not said.strip()
    if from_html:
        said = visible(
            next(filter(None, (readable(source(part, message)) for part in html_parts(parts))), "")
        )
    if len(_MIXED.findall(said[:MAX_TEXT])) >= _MANY:
        defects.append("words mix letters of different scripts that look alike")
    return _cut(said), from_html and bool(said), defects


def html_parts(parts: list[Part]) -> list[Part]:
    """The parts that a mail program would show as HTML."""
    return [part for part in parts if part.type == "text/html" and _is_text(part)]


def source(part: Part, message: bytes) -> str:
    """The text of one part, no more of it than is ever looked at."""
    return decoded(part.decode(message, _MAX_ENCODED), part.charset)[:MAX_HTML]


def _is_text(part: Part) -> bool:
    return part.disposition != "attachment"


def _texts(parts: list[Part], message: bytes, defects: list[str]) -> Iterator[str]:
    room = MAX_TEXT
    for part in parts:
        data = part.decode(message, _MAX_ENCODED)
        if part.charset and data and not is_right(data, part.charset):
            defects.append(f"part {part.number} is not in {part.charset}, as it says")
        said = decoded(data, part.charset)[: room + 1]
        room -= len(said)
        yield said
        if room < 0:
            return


def _cut(said: str) -> str:
    if len(said) <= MAX_TEXT:
        return said
    return f"{said[:MAX_TEXT]}\n\n[only the first {MAX_TEXT} characters are shown]"


def readable(said: str) -> str:
    """An HTML part as text: its paragraphs as lines, its links with their targets, defanged. Linear."""
    kept: list[str] = []
    at, target = 0, ""
    said = _SILENT.sub(" ", said[:MAX_HTML])
    for number, tag in enumerate(_TAG.finditer(said)):
        if number == _MAX_TAGS:
            said = said[:at]
            break
        kept.append(_SPACE.sub(" ", said[at : tag.start()]))
        at = tag.end()
        closing, name = tag[1], (tag[2] or "").lower()
        if name == "a":
            if target:
                kept.append(f" &lt;{html.escape(defang(target))}&gt;")
            href = None if closing else _HREF.search(tag[3])
            target = html.unescape(href[1]) if href and "://" in href[1] else ""
        elif name == "br" or (name in ("li", "tr") and not closing):
            kept.append("\n• " if name == "li" else "\n")
        elif name in ("td", "th") and not closing:
            kept.append(" ")
        elif name == "img" and (alt := _ALT.search(tag[3])):
            kept.append(f"[{alt[1] or alt[2]}]")
        elif name in _BLOCKS:
            kept.append("\n\n")
    kept.append(_SPACE.sub(" ", said[at:]))
    words = html.unescape(_ENDLESS.sub(" ", "".join(kept))).replace("\xa0", " ")
    whole = re.sub(r" {2,}", " ", words)
    return _LINES.sub("\n\n", re.sub(r" ?\n ?", "\n", whole)).strip()
