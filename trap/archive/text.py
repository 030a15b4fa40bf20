"""Makes searchable words of what a part of a message holds. Bounded and linear, whatever the input."""

import html
import re

MAX_HTML = 512 << 10
"""Characters of one part that are looked at."""

# Every alternative also ends at the end of the text, so nothing that is left open is looked for twice.
_INVISIBLE = re.compile(
    r"<!--.*?(?:-->|\Z)|<(style|script)\b.*?(?:</\1[^>]{0,100}>?|\Z)", re.DOTALL | re.IGNORECASE
)
_TAG = re.compile(r"<[a-zA-Z/!?][^>]*(?:>|\Z)")
_LINK = re.compile(r"""\b(?:href|src|action)\s{0,8}=\s{0,8}["']?\s{0,8}(https?://[^\s"'<>]{1,300})""", re.I)
_INLINE = re.compile(r"</?(?:b|i|u|a|em|strong|font|span|small|big|s|sub|sup)\b", re.I)
# html.unescape raises on numbers too long for int(); no character has one.
_ENDLESS = re.compile(r"&#[0-9a-fA-Fx]{9,};?")
# Chinese, Japanese and Thai put no spaces between words, so each of their characters is made a word.
_UNSPACED = re.compile(r"([\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff])")
FACT = "\ue000"
"""Begins every fact in the index (see trap.archive.facts); FTS5 takes it for a letter. No text has one."""
_CONTROL = re.compile(rf"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff{FACT}]")


def read_html(source: str) -> tuple[str, list[str]]:
    """The words of an HTML part, those it hides included, and the addresses it links to.

    >>> read_html('<style>b {}</style><p>V<b>ia</b>gra &amp; more at <a href="http://a.example/?x&amp;y">us</a>')
    ('  Viagra & more at us', ['http://a.example/?x&y'])
    """
    source = _INVISIBLE.sub(" ", source[:MAX_HTML])
    tags = [tag for tag in _TAG.findall(source) if "://" in tag]
    links = dict.fromkeys(link for tag in tags for link in _LINK.findall(tag))
    # A tag that only changes the look does not end a word, which spammers know.
    words = _TAG.sub(lambda tag: "" if _INLINE.match(tag[0]) else " ", source)
    return _unescaped(words), list(map(_unescaped, links))


def _unescaped(text: str) -> str:
    return html.unescape(_ENDLESS.sub(" ", text)) if "&" in text else text


def searchable(text: str, limit: int) -> str:
    """At most `limit` characters of a text, in the form that both index and queries are made of.

    >>> searchable("caf\\u00e9\\x00 \\u4f60\\u597d", 100).split()
    ['café', '你', '好']
    """
    return _UNSPACED.sub(r" \1 ", _CONTROL.sub(" ", text[:limit]))
