"""Reads where a link leads that goes by way of somebody else: never fetched, only read.

Redirectors, link protectors of mail filters and click counters mostly carry their target with them, in a
parameter, in the path or in base64. `targets` knows the ways of writing it rather than the houses, but
for the few that have one of their own (Proofpoint, AMP, Google Translate, Yahoo, Mimecast, Avanan).

>>> targets("https://www.google.com/url?sa=D&q=http%3A%2F%2Fa.example%2Fx&usg=y")
['http://a.example/x']
>>> targets("https://www.bing.com/ck/a?p=1&u=a1aHR0cHM6Ly9hLmV4YW1wbGUv&ntb=1")
['https://a.example/']
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from itertools import islice
from urllib.parse import unquote_to_bytes

MAX_TARGETS = 4
MAX_PARAMETERS = 60
MAX_URL = 4000

_PARAMETER = re.compile(r"[?&;#]([^=?&;#]{1,60})=([^&;#]{4,3000})")
_WEB = re.compile(r"https?:/{1,2}[^/\s]|//[\w-]|www\.[\w-]", re.IGNORECASE)
_IN_PATH = re.compile(r"[/?*!](https?(?::|%3a)(?:/|%2f){1,2}[^\s]{4,})", re.IGNORECASE)
_BASE64 = re.compile(r"(aHR0c(?:DovL|HM6Ly)[A-Za-z0-9_+/-]{3,3000})")
"""What `http://` and `https://` are in base64, when nothing stands before them."""
_JSON = re.compile(r"eyJ[A-Za-z0-9_+/-]{10,3000}")
"""What `{"` is in base64: some put all they want to know into an object."""
_IN_JSON = re.compile(r'https?:(?:\\{0,4}/){2}[^"\s]{3,2000}')
_HEX = re.compile(r"68747470(?:73)?3a2f2f[0-9a-f]{6,2000}", re.IGNORECASE)
_AMP = re.compile(
    r"https?://(?:www\.google\.[a-z.]{2,6}/amp|[\w.-]{0,100}cdn\.ampproject\.org/[cvi])/(s/)?(\S+)"
)
_TRANSLATED = re.compile(r"(https?)://([a-z0-9-]{1,63})\.translate\.goog(/[^?#]*)?", re.IGNORECASE)
_YAHOO = re.compile(r"/RU=([^/]{6,2000})/R[KS]=", re.IGNORECASE)
_PROOFPOINT_2 = re.compile(r"https?://urldefense\.proofpoint\.com/v2/url\?(?:[^#]{0,200}&)?u=([^&#]{4,3000})")
_PROOFPOINT_3 = re.compile(
    r"https?://urldefense\.(?:com|us|proofpoint\.com)/v3/__(.{4,3000}?)__;([^!]{0,800})!"
)
_STAND_IN = re.compile(r"\*(?:\*([A-Za-z0-9_-]))?")
_MIMECAST = re.compile(
    r"https?://[\w.-]{0,100}\.mimecast(?:protect)?\.com/s/[^?#]*\?(?:[^#]{0,200}&)?domain=([\w.-]{4,253})"
)
_AVANAN = re.compile(r"https?://url\.avanan\.click/v2/(?:r\d\d/)?___(.{4,3000}?)___\.")
_RUN = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
"""Proofpoint's letters for how many characters stand in one place: A is 2, B is 3."""


def targets(url: str) -> list[str]:
    """The URLs in a URL, at most MAX_TARGETS, without the one itself."""
    url = url[:MAX_URL]
    for own in _OWN_WAYS:
        if found := own(url):
            return [found]
    made: dict[str, None] = {}
    for target in _generic(url):
        if target != url:
            made[target] = None
        if len(made) >= MAX_TARGETS:
            break
    return list(made)


def _generic(url: str) -> Iterator[str]:
    """Targets in parameters and in the path, whoever's they are."""
    for number, match in enumerate(_PARAMETER.finditer(url)):
        if number >= MAX_PARAMETERS:
            return
        value = _unquoted(match[2], once_more=lambda text: not _WEB.match(text))
        if _WEB.match(value):
            yield _whole(value)
    if inner := _IN_PATH.search(url, url.find("://") + 3):
        said = inner[1]
        if "%2f" in said[:12].lower():  # its slashes are written so, which makes it one step of the path
            said = said.partition("/")[0]
        yield _whole(_unquoted(said) if "%" in said[:12] else said)
    for match in _BASE64.finditer(_unquoted(url)):
        yield _unbase64(match[1])
    for match in islice(_JSON.finditer(_unquoted(url)), MAX_TARGETS):
        for said in _IN_JSON.findall(_plain(match[0])):
            yield said.replace("\\", "")
    if written := _HEX.search(url):
        digits = written[0][: len(written[0]) // 2 * 2]
        yield bytes.fromhex(digits).decode("utf-8", "replace")


def _whole(value: str) -> str:
    """A URL with the scheme it lacks."""
    if value.startswith("//"):
        return f"http:{value}"
    return f"http://{value}" if value[:4].lower() == "www." else value


def _unquoted(value: str, once_more: Callable[[str], bool] = lambda text: True) -> str:
    """Percent-encoding undone, up to three times, as long as it is worth it."""
    for _ in range(3):
        if "%" not in value or not once_more(value):
            break
        value = unquote_to_bytes(value).decode("utf-8", "replace")
    return value


def _unbase64(text: str) -> str:
    # What follows in the path may have been of the alphabet, too.
    return re.split(r"[\x00-\x20\x7f\ufffd\"<>]", _plain(text), maxsplit=1)[0]


def _plain(text: str) -> str:
    text = text.replace("-", "+").replace("_", "/")
    try:
        data = base64.b64decode(text[: len(text) - (len(text) % 4 == 1)] + "===")
    except binascii.Error:  # no letter is another's, so it is not reached; a decoder may be stricter
        return ""
    return data.decode("utf-8", "replace")


def _amp(url: str) -> str:
    match = _AMP.match(url)
    return f"http{'s' if match[1] else ''}://{match[2]}" if match else ""


def _translated(url: str) -> str:
    match = _TRANSLATED.match(url)
    if not match:
        return ""
    name = match[2].replace("--", "\0").replace("-", ".").replace("\0", "-")
    return f"{match[1]}://{name}{match[3] or '/'}"


def _yahoo(url: str) -> str:
    match = _YAHOO.search(url) if "yahoo." in url else None
    return _unquoted(match[1]) if match else ""


def _proofpoint_2(url: str) -> str:
    match = _PROOFPOINT_2.match(url)
    return _unquoted(match[1].replace("-", "%").replace("_", "/")) if match else ""


def _proofpoint_3(url: str) -> str:
    """In version 3, characters that are not plain are stars, and stand at the end in base64."""
    match = _PROOFPOINT_3.match(url)
    if not match:
        return ""
    text = match[2].replace("-", "+").replace("_", "/")
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4)).decode("utf-8", "replace")
    except binascii.Error:
        data = ""
    rest = iter(data)

    def stood_for(star: re.Match[str]) -> str:
        count = _RUN.index(star[1]) + 2 if star[1] else 1
        return "".join(next(rest, "") for _ in range(count)) or star[0]

    return re.sub(r"^(https?:/)(?=[^/])", r"\1/", _STAND_IN.sub(stood_for, match[1]))


def _mimecast(url: str) -> str:
    match = _MIMECAST.match(url)
    return f"http://{match[1]}/" if match else ""


def _avanan(url: str) -> str:
    match = _AVANAN.match(url)
    return match[1] if match else ""


_OWN_WAYS: tuple[Callable[[str], str], ...] = (
    _proofpoint_2,
    _proofpoint_3,
    _amp,
    _translated,
    _yahoo,
    _mimecast,
    _avanan,
)
