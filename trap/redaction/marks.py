"""Where mail holds keys into a sender's table of recipients: in fields of the header, and in URLs.

Known by what these places are for (RFC 2045, 2369, 5322, 6376, and habit), so one message is enough.

    >>> sorted(in_url("https://u8fq3xk2.t.shop.example/c/Xk3Jq9Lm2P/open.gif?e=joe&utm_source=mail&v=1.2.3"))
    ['Xk3Jq9Lm2P', 'joe', 'u8fq3xk2']
    >>> sorted(in_sender("bounce-4711-joe=trap.example@shop.example"))
    ['4711', 'bounce-4711-joe=trap.example']
"""

import re
from collections.abc import Callable, Iterator
from functools import cache
from itertools import islice
from typing import NamedTuple
from urllib.parse import unquote, unquote_plus

from publicsuffixlist import PublicSuffixList

from trap.redaction.opaque import SHORTEST, likely, runs
from trap.redaction.vocabulary import common
from trap.traces import registrable

MAX_FOUND = 200
"""Addresses, ids and URLs that are looked at in one field."""
MAX_REDIRECTIONS = 5
MAX_NAME = 64
"""Characters of a parameter that says who somebody is."""

# What is looked for begins with something fixed, and takes all that it looks at: no text is looked at twice.
URL = re.compile(
    r"""(?:(?:https?|ftp)://|www\.|mailto:|(?<=["'])//)[^\s"'<>\\^`{|}]{4,4000}""", re.IGNORECASE
)
"""URLs in text, markup and header fields."""
_AUTHORITY = re.compile(r"(?:[a-z]{1,10}:)?(?://)?([^/?#]*)([^?#]*)(.*)", re.IGNORECASE | re.DOTALL)
_BETWEEN = re.compile(r"[\s<>\"'(),:;]+")
_RECEIVED_ID = re.compile(r"\bid\s{1,8}<?([^\s;()<>@]{4,200})", re.IGNORECASE)
_TAG = re.compile(r"(?:^|;)\s{0,8}(b|bh|i|s|t|x)\s{0,8}=\s{0,8}([^;]{1,8000})", re.IGNORECASE)
_BOUNDARY = re.compile(
    r"""\bboundary\*?(?:0\*?)?\s{0,8}=\s{0,8}(?:"([^"]{1,300})"|([^\s;"]{1,300}))""", re.IGNORECASE
)
_NUMBERS = re.compile(r"v?[0-9]{1,4}(?:[.:x,_/-][0-9]{1,4}){1,6}(?:px|em|%)?")
"""Versions, sizes, times, addresses."""
_WHO = re.compile(
    r"(?:[a-z0-9]{0,20}[_-])?(?:e|em|e-?mail|mail|addr|address|to|u|us|user|user_?name|usr|r|rcpt|recipient|sub"
    r"|subscriber|contact|cust|customer|member|client|lead|person|who|login)",
    re.IGNORECASE,
)
"""Parameters that say who somebody is, in words if they like."""
_KEY = re.compile(
    r"[a-z0-9_-]{0,20}(?:id|key|tok|token|hash|sig|code|ref|track|tracking|click|auth|uuid|guid|nonce|session)"
    r"|[a-z]{1,2}[0-9]?",
    re.IGNORECASE,
)
"""Parameters whose value is a key, however short."""
# fmt: off
_KEY_FIELD = re.compile(
    r"feedback-id|.*-(?:id|uid|mid|sid|eid|rid|cid|jid|job|jobid|user|subscriber|recipient|customer|member"
    r"|contact|campaign|campaignid|mailing|track|tracking|token|key|ref|rcpt|list|bounce|abuse|complaints?"
    r"|tag|data|info)"
)
_IDS = re.compile(r"(?:.*-)?message-?id|references|in-reply-to|content-id|supersedes")
_SIGNED = re.compile(r".*dkim-signature|domainkey-signature|arc-seal|arc-message-signature")
SHOWN = re.compile(r"from|reply-to|sender|resent-from|resent-sender")
"""Who shows himself as the sender is evidence."""
_SENDERS = re.compile(
    r"return-path|errors-to|bounces?-to|(?:x-)?envelope-(?:from|sender)|x-return-path|x-bounce.*|x-sender"
    r"|disposition-notification-to|x-original-from"
)
_LINKS = re.compile(r"list-.*|.*unsubscribe.*|x-report-abuse.*|x-abuse.*|x-csa.*|x-complaints.*")
SAID = re.compile(
    r"subject|date|to|cc|bcc|mime-version|content-(?:disposition|transfer-encoding|description|language|location)"
    r"|user-agent|x-mailer|x-mimeole|(?:arc-)?authentication-results|received-spf|x-originating-ip|x-spam.*"
    r"|x-virus.*|x-priority|importance|precedence|thread-topic|comments|keywords|organi[sz]ation|delivered-to"
    r"|x-original-to|envelope-to|x-php-.*|x-source.*|x-antiabuse|x-sender-ip|x-sending-.*"
)
"""Fields that say something, or speak of our side, whose names are known."""
# fmt: on


# -- header fields ---------------------------------------------------------------------------------------


def in_field(name: str, value: str) -> Iterator[str]:
    """Keys in a header field.

    Args:
        name: in lower case.
        value: unfolded and decoded.
    """
    for pattern, look in _LOOKS:
        if pattern.fullmatch(name):
            yield from look(name, value)
            return


def in_sender(address: str, shown: bool = False) -> Iterator[str]:
    """Keys in an address that bounces or answers go to: VERP, SRS, BATV, extensions, numbers.

    Args:
        address: as it stands.
        shown: it is who the message says it is from; then only what is marked as an extension is a key.
    """
    local, _, domain = address.rpartition("@")
    mark = re.search(r"[+=]", local)
    if mark:
        said = local if "=" in local else local[mark.end() :]
        if likely(said) or "=" in said:
            yield said
    elif shown:
        return
    yield from runs(local)
    yield from (each for each in re.split(r"[-_+=.~]", local) if each.isdigit() and len(each) >= SHORTEST)
    yield from _labels(domain)


def in_host(name: str) -> Iterator[str]:
    """Keys in the name of a host, as what a client calls itself; an address has none."""
    if not re.fullmatch(r"\[.*\]|[0-9.]*|[0-9a-fA-F:]*", name):
        yield from _labels(name)


def addresses(value: str) -> Iterator[str]:
    """The mail addresses in a header field, roughly."""
    found = (word for word in _BETWEEN.split(value) if "@" in word[1:-1])
    return islice(found, MAX_FOUND)


def _ids(name: str, value: str) -> Iterator[str]:
    """What is left of the "@" names the message; what is right of it, its server."""
    found = [word for word in re.split(r"[\s<>,]+", value) if word]
    for word in found[:MAX_FOUND]:
        left, at, right = word.rpartition("@")
        if not at:
            yield from runs(word, "-_+=.~:%$/")
        elif name != "content-id" or any(runs(left)):
            yield left
        yield from _labels(right) if at else ()


def _received(_: str, value: str) -> Iterator[str]:
    yield from (found[1] for found in _RECEIVED_ID.finditer(value) if _is_free(found[1]))
    for address in addresses(value):
        yield from in_sender(address.rpartition("=")[2] if address.startswith("envelope-") else address)


def _signature(_: str, value: str) -> Iterator[str]:
    """Signature, hash and times, in the pieces that folding made; RFC 6376 lets i= name the user."""
    for tag in islice(_TAG.finditer(value), MAX_FOUND):
        if tag[1].lower() == "i":
            yield from in_sender(tag[2])
        elif tag[1].lower() == "s":  # what the name of the key is made of
            yield from runs(tag[2])
        else:
            yield from tag[2].split()


def _shown(_: str, value: str) -> Iterator[str]:
    for address in addresses(value):
        yield from in_sender(address, shown=True)


def _senders(_: str, value: str) -> Iterator[str]:
    for address in addresses(value):
        yield from in_sender(address)


def _links(name: str, value: str) -> Iterator[str]:
    for url in islice(URL.finditer(value), MAX_FOUND):
        yield from in_url(url[0], shown=False)
    rest = URL.sub(" ", value)
    yield from _senders(name, rest)
    yield from _other(name, rest)


def _type(_: str, value: str) -> Iterator[str]:
    for found in islice(_BOUNDARY.finditer(value), 3):
        yield from runs(found[1] or found[2], "-_+=.~:%$/'")


def _other(name: str, value: str) -> Iterator[str]:
    for url in islice(URL.finditer(value), MAX_FOUND):
        yield from in_url(url[0])
    value = URL.sub(" ", value)
    if "@" in value:
        yield from _shown(name, value)
        value = " ".join(word for word in _BETWEEN.split(value) if "@" not in word)
    yield from runs(value, "-_+=.~:%$/|")
    if _KEY_FIELD.fullmatch(name):
        said = re.split(r"[\s:;,|<>\"()]+", value)
        yield from (word for word in said if likely(word) and _is_free(word))


def _nothing(_name: str, _value: str) -> Iterator[str]:
    return iter(())


_LOOKS: tuple[tuple[re.Pattern[str], Callable[[str, str], Iterator[str]]], ...] = (
    (_IDS, _ids),
    (re.compile(r"(?:x-)?received"), _received),
    (_SIGNED, _signature),
    (SHOWN, _shown),
    (_SENDERS, _senders),
    (_LINKS, _links),
    (re.compile(r"content-type"), _type),
    (SAID, _nothing),
    (re.compile(r".*"), _other),
)


# -- URLs ------------------------------------------------------------------------------------------------


class _Url(NamedTuple):
    authority: str
    path: str
    rest: str


def _parts(url: str) -> _Url:
    found = _AUTHORITY.match(url)
    return _Url(*found.groups()) if found else _Url("", "", "")


def host(url: str) -> str:
    """The host of a URL, in lower case."""
    return _parts(url).authority.rpartition("@")[2].partition(":")[0].lower()


def registered(name: str) -> str:
    """What somebody registered of a host, or was given below a name that many share; "" if it is no domain.

    By the Public Suffix List: in joe.blogspot.com the first label is the domain's, and evidence.
    """
    name = name.strip(".")
    if not registrable(name):
        return ""
    return _list().privatesuffix(name) or registrable(name)


@cache
def _list() -> PublicSuffixList:
    return PublicSuffixList()


def in_url(url: str, depth: int = 0, shown: bool = True) -> Iterator[str]:
    """Keys in a URL: in labels below its domain, in its path, its parameters and those it redirects to.

    Args:
        url: as it stands.
        depth: redirections it was found in.
        shown: the address in it, if it is one for mail, is to be seen by people: then it is evidence.
    """
    if url[:7].lower() == "mailto:":
        address, _, rest = url[7:].partition("?")
        yield from in_sender(unquote(address), shown)
        yield from _parameters(rest, depth)
        return
    authority, path, rest = _parts(url)
    user, _, name = authority.rpartition("@")
    if likely(user):
        yield user
    yield from _labels(name.partition(":")[0])
    for segment in re.split(r"[/;,]", unquoted(path)):
        yield from runs(segment)
    yield from _parameters(rest, depth)


def unquoted(text: str) -> str:
    """Text with its %XX undone, and its "+"."""
    return unquote_plus(text, errors="surrogateescape") if "%" in text or "+" in text else text


def without_domain(url: str) -> str:
    """A URL to be compared with others: without what somebody registered, which is evidence."""
    authority, path, rest = _parts(url)
    return f"{authority.lower().removesuffix(registered(host(url)))} {unquoted(path + rest)}"


def without_domains(value: str) -> str:
    """A field's value to be compared with others."""
    value = URL.sub(lambda found: f" {without_domain(found[0])} ", value)
    if "@" not in value:
        return value
    return " ".join(word.rpartition("@")[0] or word for word in re.split(r"[\s<>]+", value))


def _parameters(rest: str, depth: int) -> Iterator[str]:
    for each in re.split(r"[&;?#]", rest):
        key, _, value = each.partition("=")
        if not value.strip("="):  # no value, or base64 that is filled up
            key, value = "", each
        value = unquoted(value)
        if "://" in value and depth < MAX_REDIRECTIONS:
            yield from in_url(value.partition("://")[2], depth + 1)
        elif _WHO.fullmatch(key) and len(value) <= MAX_NAME:
            yield value if likely(value) or not common(value.lower()) else ""
        elif (_KEY.fullmatch(key) or not key) and likely(value) and _is_free(value):
            yield value
        else:
            yield from runs(value, "-_+=.~:%$/|")


def _labels(name: str) -> Iterator[str]:
    """Opaque labels below what somebody registered."""
    name = name.lower().strip(".[]")
    if given := registered(name):
        for label in name.removesuffix(given).split("."):
            yield from runs(label, "-_")
    elif not re.fullmatch(r"[0-9.]+|[0-9a-f.]*:[0-9a-f:.]+", name):
        yield from runs(name)


def _is_free(value: str) -> bool:
    """Whether a value is no date, version, size or host."""
    return not _NUMBERS.fullmatch(value) and not registrable(value)
