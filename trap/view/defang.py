"""Writes URLs and hosts so that nothing turns them into a link, and people can still read them.

>>> defang("https://evil.example/login?u=http://a.example"), defang("mailto:joe@a.example")
('hxxps://evil[.]example/login?u=hxxp://a.example', 'mailto[:]joe[@]a[.]example')
"""

import re
from urllib.parse import unquote_to_bytes

from trap.view.glyphs import visible_line

_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+-]{0,20}):")
_AUTHORITY = re.compile(r"[/\\]{0,10}([^/\\?#]*)")
_WEB = re.compile(r"(h)tt(ps?:)(?=[/\\]{2})|(f)t(p:)(?=//)", re.IGNORECASE)
_URL = re.compile(r"(?:https?|ftp)://[^\s<>\"']+|\bwww\.[^\s<>\"'/]+", re.IGNORECASE)
_MAX_LABELS = 40


def defang(url: str) -> str:
    """A URL without its teeth, in one line."""
    url = visible_line(url)
    scheme = _SCHEME.match(url)
    start = scheme.end() if scheme else 0
    authority = _AUTHORITY.match(url, start)
    end = authority.end() if authority else start
    head = "" if not scheme else scheme[0]
    if not _WEB.match(f"{head}//"):
        head = head.replace(":", "[:]")
    middle = url[start:end].replace(".", "[.]").replace("@", "[@]")
    return _WEB.sub(_blunt, f"{head}{middle}{url[end:]}")


def _blunt(found: re.Match[str]) -> str:
    return f"{found[1]}xx{found[2]}" if found[1] else f"{found[3]}x{found[4]}"


def defang_text(text: str) -> str:
    """A text in which no URL is left that a terminal or a browser would make a link of. Linear."""
    return _URL.sub(lambda found: defang(found[0]), text)


def host(url: str) -> str:
    """The host of a URL as a browser would find it, in lower case and ASCII; empty when there is none.

    >>> host("HTTP://user@b\\u00fccher.example:81/x"), host("http:/a%2eexample"), host("mailto:j@a.example")
    ('xn--bcher-kva.example', 'a.example', 'a.example')
    """
    scheme = _SCHEME.match(url)
    if not scheme:
        return ""
    authority = _AUTHORITY.match(url, scheme.end())
    said = (authority[1] if authority else "")[-400:].rpartition("@")[2]
    if scheme[1].lower() in ("javascript", "data", "cid", "about", "vbscript", "tel", "sms"):
        return ""
    said = unquote_to_bytes(said).decode("utf-8", "replace").lower()
    if said.startswith("["):
        return said[: said.find("]") + 1]
    return to_ascii(said.partition(":")[0].replace("\u3002", ".").replace("\uff0e", ".").strip(". \t\r\n"))


def to_ascii(name: str) -> str:
    """A host's name with labels that are not ASCII in punycode (RFC 3492)."""
    return name if name.isascii() else ".".join(map(_coded, name.split(".")[:_MAX_LABELS]))


def to_unicode(name: str) -> str:
    """A host's name as browsers may show it.

    >>> to_unicode("xn--bcher-kva.example")
    'bücher.example'
    """
    if "xn--" not in name:
        return name
    return visible_line(".".join(map(_uncoded, name.split(".")[:_MAX_LABELS])))


def _coded(label: str) -> str:
    if label.isascii() or len(label) > 63:
        return label.encode("ascii", "backslashreplace").decode("ascii")
    try:
        return label.encode("idna").decode("ascii")
    except UnicodeError:
        return "xn--" + label.encode("punycode", "replace").decode("ascii")


def _uncoded(label: str) -> str:
    if not label.startswith("xn--") or len(label) > 63:
        return label
    try:
        return label[4:].encode("ascii").decode("punycode")
    except (UnicodeError, ValueError, OverflowError):
        return label
