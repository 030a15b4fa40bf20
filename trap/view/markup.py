"""Makes HTML of hostile mail a document that can do nothing: not load, not run, not send, not lead away.

nh3 keeps what is on a short list. Targets of links become titles one can read, pictures become words,
or, when asked for, the bytes that came with the message. Of styles, properties on a list whose value
holds no function but a colour's are kept. The document's own policy is a wall behind these, and behind
that one whoever shows it puts a sandboxed frame.
"""

import base64
import html
import re
from functools import lru_cache

import nh3

from trap.view.defang import defang, host
from trap.view.glyphs import visible, visible_line
from trap.view.parts import Part

MAX_IMAGE = 1 << 20
"""Bytes of a picture that is shown."""
MAX_IMAGES = 4 << 20
"""Bytes of all of them."""
MAX_DEPTH = 300
"""Elements in each other that are kept; the time nh3 takes grows with the square of their number."""
_MAX_TAGS = 150_000
MAX_DOCUMENT = 1 << 20
"""Characters of the document that are kept, pictures apart."""
_CUT = '<p class="picture">The rest is too long to be shown.</p>'

_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; "
    "frame-src 'none'; script-src 'none'"
)
_HEAD = (
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
    f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
    '<meta name="referrer" content="no-referrer">\n'
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    "<title>Message</title>\n<style>\n"
    "body{margin:12px;background:#fff;color:#111;font:15px/1.5 system-ui,sans-serif;"
    "overflow-wrap:break-word}\n"
    "table{max-width:100%}img{max-width:100%;height:auto}pre{white-space:pre-wrap}\n"
    "a{color:#0645ad;text-decoration:underline;cursor:help}\n"
    ".picture{display:inline-block;max-width:16em;box-sizing:border-box;padding:2px 6px;"
    "overflow:hidden;text-overflow:ellipsis;white-space:nowrap;vertical-align:bottom;"
    "border:1px dashed #999;border-radius:4px;background:#f4f4f4;color:#555;"
    "font:12px/1.4 system-ui,sans-serif}\n"
    "</style></head><body>\n"
)
_TAIL = "\n</body></html>\n"

# fmt: off
_TAGS = frozenset((
    "a", "abbr", "address", "article", "aside", "b", "bdi", "big", "blockquote", "br", "caption",
    "center", "cite", "code", "col", "colgroup", "dd", "del", "details", "div", "dl", "dt", "em",
    "figcaption", "figure", "font", "footer", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "i",
    "img", "ins", "kbd", "li", "main", "mark", "nav", "ol", "p", "pre", "q", "s", "samp", "section",
    "small", "span", "strike", "strong", "sub", "summary", "sup", "table", "tbody", "td", "tfoot", "th",
    "thead", "tr", "tt", "u", "ul", "var", "wbr",
))
# fmt: on
# fmt: off
_GONE = frozenset((
    "script", "style", "svg", "math", "template", "noscript", "iframe", "object", "embed", "noembed",
    "noframes", "title", "xmp", "plaintext",
))
# fmt: on
"""Elements whose content goes with them."""
_SIZES = {"width", "height"}
_CELL = {"align", "valign", "bgcolor", "width", "height", "colspan", "rowspan", "nowrap"}
_ATTRIBUTES: dict[str, set[str]] = {
    "*": {"style", "align", "dir", "lang"},
    "a": {"href"},
    "img": {"src", "alt", *_SIZES},
    "font": {"color", "size", "face"},
    "table": {"border", "cellpadding", "cellspacing", "bgcolor", *_SIZES},
    "tr": {"bgcolor", "valign", "align"},
    "td": _CELL,
    "th": _CELL,
    "col": {"span", "width"},
    "hr": {"size", "width", "color"},
    "ol": {"start", "type"},
    "li": {"value"},
}
_OURS = {**_ATTRIBUTES, "a": {"title"}, "span": {"class", "title"}, "p": {"class"}}
_SCHEMES = {"http", "https", "ftp", "mailto", "tel", "sms", "cid", "data", "file", "javascript"}
"""None of them is left to work; what a target was should be readable."""

# fmt: off
_PROPERTIES = frozenset((
    "color", "background-color", "font", "font-family", "font-size", "font-style", "font-weight",
    "font-variant", "line-height", "letter-spacing", "text-align", "text-decoration", "text-indent",
    "text-transform", "vertical-align", "white-space", "word-break", "word-wrap", "overflow-wrap",
    "direction", "display", "width", "height", "max-width", "max-height", "min-width", "min-height",
    "margin", "margin-top", "margin-right", "margin-bottom", "margin-left", "padding", "padding-top",
    "padding-right", "padding-bottom", "padding-left", "border", "border-top", "border-right",
    "border-bottom", "border-left", "border-color", "border-style", "border-width", "border-radius",
    "border-collapse", "border-spacing", "table-layout", "float", "clear", "list-style-type", "opacity",
    "visibility",
))
# fmt: on
_VALUE = re.compile(r"(?:[\w#%.,!\s'\"+-]|\b(?:rgb|rgba|hsl|hsla)\([\d.,%\s/]{1,60}\))*", re.ASCII)
_COLOUR = re.compile(r"#[0-9a-f]{3,8}|[a-z]{3,20}|(?:rgb|rgba|hsl|hsla)\([\d.,%\s/]{1,60}\)", re.IGNORECASE)
_PLAIN = re.compile(r"[\w#%.,:; -]{0,200}", re.ASCII)
_MAX_STYLE = 4000

_MARKUP = re.compile(r"<!--|<(/?)([a-zA-Z][a-zA-Z0-9]{0,20})(?=[\s/>])[^>]*(?:>|\Z)")
# Elements that end by themselves, or never have an end.
# fmt: off
_ENDLESS = frozenset((
    "p", "li", "td", "tr", "th", "dd", "dt", "br", "img", "hr", "input", "meta", "link", "col", "wbr",
    "area", "base", "param", "source", "option", "tbody", "thead", "tfoot", "html", "body", "head",
))
# fmt: on
_IMG = re.compile(r"<img((?: [a-z]+=\"[^\"]*\")*)>")
_ATTRIBUTE = re.compile(r' ([a-z]+)="([^"]*)"')
_HREF = re.compile(r'<a((?: [a-z]+="[^"]*")*?) href="([^"]*)"')
_DATA = re.compile(r"data:image/(png|jpe?g|gif);base64,([A-Za-z0-9+/=\s]+)", re.IGNORECASE)
_OWN_DATA = re.compile(r"data:image/(?:png|jpeg|gif);base64,[A-Za-z0-9+/]*={0,2}")
_KINDS = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpeg", b"GIF8": "gif"}


def document(source: str, pictures: dict[str, str] | None = None) -> str:
    """A whole document of a part's HTML, fit for a sandboxed frame of opaque origin.

    Args:
        source: the part.
        pictures: data: URIs by content id; None shows no picture, not even those inside the HTML.
    """
    kept = nh3.clean(
        shallow(source),
        tags=set(_TAGS),
        clean_content_tags=set(_GONE),
        attributes=_ATTRIBUTES,
        attribute_filter=_filtered,
        url_schemes=_SCHEMES,
        link_rel=None,
    )
    if len(kept) > MAX_DOCUMENT:  # every < in it begins a tag, so none is cut in two
        kept = kept[: max(kept.rfind("<", 0, MAX_DOCUMENT), kept.rfind("&", 0, MAX_DOCUMENT), 0)] + _CUT
    kept = _HREF.sub(_title, kept)
    kept = _IMG.sub(lambda found: _picture(found[1], pictures), kept)
    # The last word is the sanitizer's again: what was rewritten can't be more than this allows.
    clean = nh3.clean(
        visible(kept),
        tags=set(_TAGS),
        attributes=_OURS,
        attribute_filter=_inert,
        url_schemes={"data"},
        link_rel=None,
    )
    return f"{_HEAD}{clean}{_TAIL}"


def shallow(source: str) -> str:
    """HTML without the elements that lie deeper than MAX_DEPTH, roughly counted. Linear."""
    open_: dict[str, int] = {}
    depth = tags = 0

    def keep(tag: re.Match[str]) -> str:
        nonlocal depth, tags
        tags += 1
        name = (tag[2] or "").lower()
        if not name or name in _ENDLESS:
            return tag[0] if tags < _MAX_TAGS else ""
        if tag[1]:
            if open_.get(name):
                open_[name] -= 1
                depth -= 1
                return tag[0]
            return ""
        if depth >= MAX_DEPTH or tags > _MAX_TAGS:
            return ""
        open_[name] = open_.get(name, 0) + 1
        depth += 1
        return tag[0]

    return _MARKUP.sub(keep, source)


def _filtered(tag: str, name: str, value: str) -> str | None:
    """An attribute's value as it may stay, or None."""
    if name == "style":
        return _style(value) or None
    if name in ("href", "src", "alt"):
        return value
    return value if _PLAIN.fullmatch(value) else None


def _inert(tag: str, name: str, value: str) -> str | None:
    """An attribute of what we wrote: pictures are bytes, classes are ours."""
    if name == "src":
        return value if _OWN_DATA.fullmatch(value) else None
    return value if name != "class" or value == "picture" else None


@lru_cache(maxsize=1024)
def _style(said: str) -> str:
    """The declarations that can't load, cover or move anything.

    >>> _style("color: red; position: fixed; background: url(http://a.example/x); background: #FFF")
    'color:red;background-color:#FFF'
    """
    kept = []
    for declaration in said[:_MAX_STYLE].split(";"):
        name, _, value = declaration.partition(":")
        name, value = name.strip().lower(), value.strip()
        if name == "background" and _COLOUR.fullmatch(value):
            name = "background-color"
        if name in _PROPERTIES and _VALUE.fullmatch(value) and not any(value.count(q) % 2 for q in "'\""):
            kept.append(f"{name}:{value}")
    return ";".join(kept)


def _title(found: re.Match[str]) -> str:
    target = defang(html.unescape(found[2])[:2000])
    return f'<a{found[1]} title="{html.escape(target)}"'


def _picture(attributes: str, pictures: dict[str, str] | None) -> str:
    """A picture's bytes where they are at hand and asked for, else words."""
    said = {name: html.unescape(value) for name, value in _ATTRIBUTE.findall(attributes)}
    source, alt = said.get("src", "").strip(), visible_line(said.get("alt", ""))[:200]
    data, home = "", defang(host(source[:500]))
    if pictures is not None:
        data = pictures.get(source[4:], "") if source[:4].lower() == "cid:" else _inline(source)
    if data:
        sizes = "".join(f' {name}="{said[name]}"' for name in sorted(_SIZES) if said.get(name, "").isdigit())
        return f'<img src="{data}" alt="{html.escape(alt)}"{sizes}>'
    kind = "inline picture" if source[:5].lower() == "data:" else defang(source[:500]) or "no source"
    words = html.escape(f"[picture: {alt}]" if alt else f"[picture from {home}]" if home else "[picture]")
    return f'<span class="picture" title="{html.escape(kind)}">{words}</span>'


def _inline(source: str) -> str:
    """A data: URI of the HTML's own, if it is a picture, written anew."""
    found = _DATA.fullmatch(source) if len(source) < 2 * MAX_IMAGE else None
    if not found:
        return ""
    try:
        return _uri(base64.b64decode(found[2]))
    except ValueError:
        return ""


def _uri(data: bytes) -> str:
    kind = next((kind for magic, kind in _KINDS.items() if data.startswith(magic)), "")
    if not kind or len(data) > MAX_IMAGE:
        return ""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def pictures(parts: list[Part], message: bytes) -> dict[str, str]:
    """The PNG, JPEG and GIF pictures that came with a message, by content id, as data: URIs."""
    found: dict[str, str] = {}
    room = MAX_IMAGES
    for part in parts:
        if part.content_id and part.type.startswith("image/") and part.end - part.body < 2 * MAX_IMAGE:
            data = part.decode(message)
            room -= len(data)
            if room > 0 and (uri := _uri(data)):
                found.setdefault(part.content_id, uri)
    return found
