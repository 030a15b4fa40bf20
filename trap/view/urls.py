"""Finds the URLs of a message, in its text and in its HTML, and where a link is not what it shows."""

import html
import re
from collections.abc import Iterable, Iterator

from trap.traces import registrable
from trap.view.defang import defang, defang_text, host, to_unicode
from trap.view.glyphs import visible_line
from trap.view.view import Url

MAX_URLS = 200
_MAX_LENGTH = 2000
_MAX_SHOWN = 200
_MAX_FOUND = 20_000
"""Places that are looked at; of many links most are the same."""

_IN_TEXT = re.compile(
    r"\b(?:https?|ftp)://[^\s<>\"]{1,2000}|\bwww\.[a-z0-9-]{1,63}\.[^\s<>\"]{1,1000}", re.IGNORECASE
)
_TAGS = re.compile(
    r"<(/?)(a|area|img|form|iframe|frame|input|button|link|base|body|table|td|embed|object|video|audio|source"
    r"|script|meta)(?=[\s/>])([^>]{0,8000})",
    re.IGNORECASE,
)
_ATTRIBUTE = re.compile(
    r"""\b(href|src|action|formaction|background|data|srcset|poster|content)\s{0,8}=\s{0,8}"""
    r"""(?:"([^"]{1,4000})|'([^']{1,4000})|([^\s"'>]{1,4000}))""",
    re.IGNORECASE,
)
_STYLE = re.compile(r"""url\(\s{0,8}["']?([a-z]{2,10}:[^"')\s]{1,2000})""", re.IGNORECASE)
_KNOWN = re.compile(r"(?:https?|ftp|mailto|tel|sms|javascript|vbscript|data|file|about|blob):|//|www\.", re.I)
_REFRESH = re.compile(r"url\s{0,8}=\s{0,8}['\"]?(.*)", re.IGNORECASE | re.DOTALL)
_MARKUP = re.compile(r"<[^>]*(?:>|\Z)")
_SHOWN_HOST = re.compile(
    r"(?:(?:https?|ftp)://)?(?:[^\s/@]{1,60}@)?((?:[a-z0-9-]{1,63}\.){1,10}(?:xn--[a-z0-9-]{2,40}|[a-z]{2,24}))\b",
    re.IGNORECASE,
)
# fmt: off
_FILES = frozenset((
    "pdf", "doc", "docx", "xls", "xlsx", "html", "htm", "jpg", "png", "gif", "zip", "exe", "txt",
))
# fmt: on
_WHERE = {"a": "link", "area": "link", "form": "form", "button": "form", "input": "form", "img": "image"}

Found = tuple[str, str, str]
"""A URL, the text it stands behind, and where it was."""


def urls(text: str, sources: Iterable[str]) -> list[Url]:
    """The distinct URLs of a message, those of one host together. Bounded and linear.

    Args:
        text: what is read.
        sources: of HTML parts.
    """
    found: dict[tuple[str, str], Url] = {}
    for source in sources:
        for url, shown, where in _in_html(source):
            _add(found, url, shown, where)
    for match in _IN_TEXT.finditer(text):
        _add(found, match[0].rstrip(".,;:!?)]}'*_"), "", "text")
    order: dict[str, int] = {}
    for one in found.values():
        order.setdefault(one.host, len(order))
    return sorted(found.values(), key=lambda one: order[one.host])


def _add(found: dict[tuple[str, str], Url], url: str, shown: str, where: str) -> None:
    url = url.strip()[:_MAX_LENGTH]
    if url.startswith(("//", "www.")):
        url = f"http:{url}" if url.startswith("/") else f"http://{url}"
    shown = visible_line(shown)[:_MAX_SHOWN]
    if known := found.get((url, shown)) or (None if shown else _same(found, url)):
        known.count += 1
    elif len(found) < MAX_URLS:
        name = host(url)
        other = to_unicode(name)
        found[url, shown] = Url(
            defang(url if not url.startswith("data:") else f"{url[:60]}…"),
            visible_line(name).replace(".", "[.]"),
            other.replace(".", "[.]") if other != name else "",
            defang_text(shown),
            where,
            bool(name and shown) and misleading(shown, name),
        )


def _same(found: dict[tuple[str, str], Url], url: str) -> Url | None:
    return found.get((url, ""))


def _in_html(source: str) -> Iterator[Found]:
    link, start = "", 0
    for number, tag in enumerate(_TAGS.finditer(source)):
        if number > _MAX_FOUND:
            return
        name = tag[2].lower()
        if name == "a" and link:
            yield link, _shown(source[start : min(tag.start(), start + 4000)]), "link"
            link = ""
        if tag[1]:
            continue
        for key, url in _attributes(tag[3]):
            if name == "a" and key == "href":
                link, start = url, tag.end() + 1
            elif name == "meta":
                refresh = _REFRESH.search(url)
                if refresh:
                    yield refresh[1], "", "other"
            else:
                yield url, "", "image" if key == "background" else _WHERE.get(name, "other")
    if link:
        yield link, _shown(source[start : start + 4000]), "link"
    for style in _STYLE.finditer(source):
        yield html.unescape(style[1]), "", "style"


def _attributes(tag: str) -> Iterator[tuple[str, str]]:
    for attribute in _ATTRIBUTE.finditer(tag):
        key = attribute[1].lower()
        url = html.unescape((attribute[2] or attribute[3] or attribute[4])[:_MAX_LENGTH]).strip()
        if key == "content" or _KNOWN.match(url):
            yield key, url


def _shown(markup: str) -> str:
    return html.unescape(_MARKUP.sub("", markup)[: 2 * _MAX_SHOWN])


def misleading(shown: str, target: str) -> bool:
    """Whether a link's text names a host of somebody else than its target.

    >>> misleading("https://www.bank.example/login", "evil.example")
    True
    >>> misleading("our shop", "evil.example"), misleading("bank.example", "click.bank.example")
    (False, False)
    """
    for named in _SHOWN_HOST.finditer(shown):
        name = named[1].lower()
        if name.rpartition(".")[2] in _FILES:
            continue
        if (registrable(name) or name) != (registrable(target) or target):
            return True
    return False
