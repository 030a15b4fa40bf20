"""Reads an HTML part as far as needed for what is in it: its text, and every URL that its markup names.

No tree is made and nothing is rendered. Every pattern also ends at the end of the source, so that what is
left open is looked for once; the time is linear in the size.

>>> page = read('<p>Vi<b></b>agra<p><a href="http://a.example/?x&amp;y">here</a><style>b{background:url(//b.example)}')
>>> page.text.split(), page.links
(['Viagra', 'here'], [('link', 'http://a.example/?x&y'), ('style', '//b.example')])
"""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote

from stages.extraction.entity import decoded

MAX_HTML = 1 << 20
"""Characters of a part that are read."""
MAX_LINKS = 2000
MAX_TAG = 1 << 14
"""Characters of one tag that are read, data: URLs apart."""
MAX_SCRIPT = 1 << 17

_TOKEN = re.compile(
    r"<!--(?P<comment>.*?)(?:-->|\Z)"
    r"|<(?P<block>script|style)\b(?P<said>[^>]*)(?:>|\Z)(?P<inner>.*?)(?:</(?P=block)\b[^>]{0,100}>?|\Z)"
    r"|<(?P<end>/?)(?P<name>[a-z][\w:-]{0,30})(?P<rest>[^>]*)(?:>|\Z)"
    r"|<[!?][^>]*(?:>|\Z)",
    re.DOTALL | re.IGNORECASE,
)
_ATTRIBUTE = re.compile(
    r"""([a-z][\w:-]{0,30})\s{0,20}=\s{0,20}(?:"([^"]*)(?:"|\Z)|'([^']*)(?:'|\Z)|([^\s"'>]+))""",
    re.IGNORECASE,
)
_URL_ATTRIBUTES = {
    "href": "link",
    "xlink:href": "link",
    "src": "image",
    "background": "image",
    "poster": "image",
    "lowsrc": "image",
    "dynsrc": "image",
    "action": "form",
    "formaction": "form",
    "data": "object",
    "cite": "link",
    "ping": "link",
}
_OBJECTS = frozenset(("iframe", "frame", "embed", "object", "script", "video", "audio", "source", "input"))
_STYLE_URL = re.compile(
    r"""url\(\s{0,20}["']?([^"')\s]{4,4000})|@import\s{1,20}["']([^"'\s]{4,4000})""", re.IGNORECASE
)
_REFRESH = re.compile(r"url\s{0,20}=\s{0,20}['\"]?\s{0,20}([^'\"\s>][^'\">]{0,4000})", re.IGNORECASE)
_INLINE = frozenset(
    ("b", "i", "u", "em", "strong", "font", "span", "small", "big", "s", "sub", "sup", "wbr", "tt")
)
_ENDLESS = re.compile(r"&#[0-9a-fx]{9,};?", re.IGNORECASE)
_ENCODED = re.compile(r"(?:%[0-9a-f]{2}|%u[0-9a-f]{4}|\\x[0-9a-f]{2}|\\u[0-9a-f]{4})", re.IGNORECASE)

Link = tuple[str, str]
"""Where it was - link, image, form, style, object, refresh, base - and the URL as the markup has it."""


@dataclass(frozen=True, slots=True)
class Page:
    """What an HTML part holds.

    Attributes:
        text: its words, entities undone.
        links: what its markup names as URLs.
        scripts: its scripts and comments, with escapes undone: text to look for URLs in.
        base: what relative URLs are relative to, empty when it doesn't say.
    """

    text: str
    links: list[Link]
    scripts: str
    base: str


def read(source: str) -> Page:
    """Read an HTML part, at most MAX_HTML characters of it."""
    words: list[str] = []
    links: list[Link] = []
    scripts: list[str] = []
    base, at = "", 0
    source = source[:MAX_HTML]
    for token in _TOKEN.finditer(source):
        words.append(source[at : token.start()])
        at = token.end()
        name = (token["name"] or "").lower()
        if name not in _INLINE:
            words.append("\n" if name in ("br", "p", "div", "tr", "li") else " ")
        if token["comment"]:
            scripts.append(token["comment"])
        elif token["block"]:
            links += _in_tag(token["block"].lower(), token["said"])
            if token["block"].lower() == "style":
                links += _in_style(token["inner"])
            else:
                scripts.append(unescaped(token["inner"][:MAX_SCRIPT]))
        elif name and not token["end"] and "=" in token["rest"]:
            found = list(_in_tag(name, token["rest"]))
            if name == "base" and found:
                base = base or found[0][1]
            else:
                links += found
        if len(links) > MAX_LINKS:
            break
    else:
        words.append(source[at:])
    return Page(_unescaped("".join(words)), links[:MAX_LINKS], "\n".join(scripts), base)


def _in_tag(name: str, rest: str) -> Iterator[Link]:
    for found in _ATTRIBUTE.finditer(rest if "data:" in rest[:MAX_TAG].lower() else rest[:MAX_TAG]):
        key = found[1].lower()
        value = found[2] or found[3] or found[4] or ""
        if where := _URL_ATTRIBUTES.get(key):
            url = _unescaped(value).strip()
            yield ("object" if name in _OBJECTS and where in ("image", "link") else where), url
        elif key == "srcset":
            for each in _unescaped(value).split(",")[:20]:
                if each.strip():
                    yield "image", each.split()[0]
        elif key == "style":
            yield from _in_style(_unescaped(value))
        elif key == "content" and name == "meta":
            refresh = _REFRESH.search(_unescaped(value))
            if refresh:
                yield "refresh", refresh[1].strip()
        elif key.startswith("data-") and value[:4].lower() == "http":
            yield "script", _unescaped(value)
        elif key.startswith("on") and "/" in value:
            yield "script", f"javascript:{_unescaped(value)}"


def _in_style(style: str) -> Iterator[Link]:
    for found in _STYLE_URL.finditer(style):
        yield "style", found[1] or found[2]


def unescaped(script: str) -> str:
    """A script with the escapes of its strings undone, %41, \\x41 and \\u0041.

    >>> unescaped("document.write(unescape('%68ttp%3A//a.example/\\\\x61'))")
    "document.write(unescape('http://a.example/a'))"
    """
    script = script.replace("\\/", "/")
    if "%" not in script and "\\" not in script:
        return script
    if _ENCODED.search(script):
        script = re.sub(r"(?:\\x|%(?!u))([0-9a-fA-F]{2})", lambda found: chr(int(found[1], 16)), script)
        script = re.sub(r"(?:\\u|%u)([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), script)
    return script


def _unescaped(text: str) -> str:
    # html.unescape refuses numbers of more than 4,300 digits by raising.
    return html.unescape(_ENDLESS.sub(" ", text)) if "&" in text else text


def in_data(url: str) -> tuple[str, bytes]:
    """Media type and content of a data: URL (RFC 2397); ("", b"") when it is none."""
    head, comma, body = url.partition(",")
    if not comma or head[:5].lower() != "data:":
        return "", b""
    kind, *parameters = head[5:300].lower().split(";")
    if "base64" in (each.strip() for each in parameters):
        return kind.strip(), decoded(unquote(body).encode("utf-8", "replace"), b"base64")
    return kind.strip(), unquote(body).encode("utf-8", "replace")
