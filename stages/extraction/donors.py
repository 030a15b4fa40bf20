"""Who forwards mail to the trap, how that is known, and what is believed of what they write.

Anybody can send something that looks forwarded, and with it a Received line that blames somebody else.
So a donor is known by what a spammer can't write, the network it sends from or an address of ours that
only it was told, and all that its setting says must be true of a session.
"""

import re
from fnmatch import translate
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Any, Literal, NamedTuple

import msgspec

from stages.shared.expressions import expression
from stages.shared.suffixes import registrable
from trap.config import Base
from trap.envelope import Envelope
from trap.job import Headers

MAX_VALUE = 1000
"""Characters of a header field that patterns see."""
STRIPPED = (
    "Delivered-To",
    "Envelope-To",
    "X-Delivered-To",
    "X-Envelope-*",
    "X-Forwarded-*",
    "X-Loop",
    "X-Original-To",
    "X-Sieve*",
    "X-Spam-*",
    "Resent-*",
)
"""What those who redirect mail write into its header."""

_INSIDE = [
    *("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10"),
    *("::1/128", "fc00::/7", "fe80::/10"),
]
"""Networks from which nobody comes from outside (RFC 1918, 3927, 4193, 4291, 6598)."""


class Donor(Base, frozen=True):
    """One of the `donors:`. Whatever is set of from, rcpt, network and headers must all be true.

    Raises:
        ValueError: a pattern or network is none, or anybody could pass for the donor.
    """

    name: str
    """For the notes."""
    from_: list[str] = msgspec.field(default_factory=list, name="from")
    """Envelope senders: "*@donor.example"; one of them."""
    rcpt: list[str] = msgspec.field(default_factory=list)
    """Addresses of ours that only it was told; one of them is a recipient."""
    network: list[str] = msgspec.field(default_factory=list)
    """Networks its servers are in: [192.0.2.0/24]; one of them."""
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    """Regular expressions, by the field they are found in; all of them."""
    trusted: list[str] = msgspec.field(default_factory=list)
    """Its servers: names with wildcards, of those whose Received lines are believed, and networks, of those
    that pass mail on among themselves."""
    strip: list[str] | None = None
    """Header fields, with wildcards, that are taken out of the sample; see STRIPPED."""
    depth: int = 1
    """Messages in each other that are unwrapped."""
    way: Literal["attached", "redirected", ""] = ""
    """How it forwards; when it isn't said, what looks attached is taken for that."""

    def __post_init__(self) -> None:
        if not (self.rcpt or self.network):
            raise ValueError(
                f"anybody could pass for donor {self.name!r}: set network, or rcpt if nobody else knows it"
            )
        for network in self.network:
            ip_network(network)
        for name, pattern in self.headers.items():
            try:
                _expression(pattern)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        if not 1 <= self.depth <= 5:
            raise ValueError(f"depth: {self.depth} is not between 1 and 5")

    def sent(self, envelope: Envelope, headers: Headers) -> bool:
        """Whether this session was the donor's."""
        return (
            (not self.network or _within(envelope.client_ip, self.network))
            and (not self.from_ or like(envelope.mail_from, self.from_))
            and (not self.rcpt or any(like(address, self.rcpt) for address in envelope.rcpt_tos))
            and all(
                any(_expression(pattern).search(value[:MAX_VALUE]) for value in headers.get_all(name)[:20])
                for name, pattern in self.headers.items()
            )
        )

    def owns(self, domain: str) -> bool:
        """Whether a domain is that of its senders or servers, or belongs to the same registration."""
        names = (each.rpartition("@")[2] for each in (*self.from_, *self.trusted))
        return _registration(domain) in {_registration(name.lstrip("*.")) for name in names if name}

    def wrote(self, by: str) -> bool:
        """Whether a server that a Received line says it is by is the donor's."""
        return like(by, self.trusted) or _within(by, self.trusted)

    def passed(self, ip: str) -> bool:
        """Whether an address, which a server saw, is inside the donor's own network."""
        return _within(ip, self.trusted) or _within(ip, _INSIDE)


class Hop(NamedTuple):
    """What a Received line says. Everything is empty that it doesn't say."""

    helo: str
    ip: str
    """Of the client, as the server saw it."""
    by: str
    recipient: str
    submitted: bool = False
    """Whether the server knew the client as one of its users."""


# A client chooses its HELO, which may hold spaces and look like the rest of the line: what the server
# itself knows stands behind it, so the last of everything counts. Exim has its HELO last, and marks it.
_BY = re.compile(r"(?:\A|\s)\(?by\s+([\w.\[\]:-]{1,255})", re.IGNORECASE)
_FROM = re.compile(r"\s*from\s+", re.IGNORECASE)
_IP = re.compile(
    r"[\[(](?:IPv6:)?((?:\d{1,3}\.){3}\d{1,3}|[0-9a-f:]{2,39}(?:\d{1,3}\.){0,3}\d{0,3})[\])]", re.IGNORECASE
)
_HELO = re.compile(r"\bhelo[= ]\s{0,3}([^\s()]{1,255})", re.IGNORECASE)
_EXIM = re.compile(r"helo=", re.IGNORECASE)
_FIRST = re.compile(r"([^\s()\[\]]{1,255})")
_SUBMITTED = re.compile(r"\swith\s{1,8}(?:\w{0,9}MTPS?A|HTTPS?)(?!\S)", re.IGNORECASE)
"""RFC 3848: authenticated; or written in a browser."""
_FOR = re.compile(r"\bfor\s{1,8}<?([^\s<>;@]{1,64}@[^\s<>;]{1,255})", re.IGNORECASE)


def hop(received: str) -> Hop:
    """Read a Received line, as the common servers write them.

    >>> hop("from evil (host.a.example [192.0.2.7]) by mx.b.example (Postfix) for <joe@b.example>; today")
    Hop(helo='evil', ip='192.0.2.7', by='mx.b.example', recipient='joe@b.example', submitted=False)
    >>> hop("from unknown (HELO evil) (192.0.2.7)\\n by mx.b.example with SMTP; today")[:3]
    ('evil', '192.0.2.7', 'mx.b.example')
    """
    received = received[:MAX_VALUE]
    *_, said = [None, *_BY.finditer(received)]
    if not said:
        return Hop("", "", "", "")
    start = _FROM.match(received, 0, said.start())
    client = received[start.end() : said.start()] if start else ""
    seen = [each for each in _IP.findall(_EXIM.split(client)[0]) if _is_address(each)]
    helo = _HELO.search(client) or _FIRST.match(client)
    recipient = _FOR.search(received, said.end())
    return Hop(
        helo[1] if helo else "",
        seen[-1].lower() if seen else "",
        said[1].lower().strip("[]."),
        recipient[1] if recipient else "",
        bool(_SUBMITTED.search(received, said.end())),
    )


def journey(donor: Donor, received: list[str]) -> tuple[int, Hop | None]:
    """How many Received lines, from the top, the donor's servers wrote, and the one that took the mail in.

    It is None when that can't be told: a line without the address of whom it was taken from ends the search,
    as anything could stand below.
    """
    for count, line in enumerate(received):
        this = hop(line)
        if not donor.wrote(this.by):
            return count, None
        if this.ip and not donor.passed(this.ip):
            return count + 1, this
        if this.helo and not this.ip:
            return count + 1, None
    return len(received), None


def composed(donor: Donor, received: list[str]) -> bool:
    """Whether somebody at the donor's wrote a message, as its Received lines tell, from the top.

    Else it came to the donor from outside, or may have: then it is the spammer's, with all that is in it.
    """
    for line in received:
        this = hop(line)
        if not donor.wrote(this.by):
            return False
        if this.submitted:
            return True
        if this.helo and not (this.ip and donor.passed(this.ip)):
            return False
    return True


def like(text: str, patterns: list[str] | tuple[str, ...]) -> bool:
    """Whether a text is like one of the patterns with * and ?, in any case."""
    return any(re.match(translate(pattern.lower()), text.lower()) for pattern in patterns)


@lru_cache(maxsize=256)
def _expression(pattern: str) -> Any:
    return expression(pattern)


def _registration(name: str) -> str:
    return registrable(name.lower()) or name.lower()


def _within(ip: str, networks: list[str]) -> bool:
    if not _is_address(ip):  # a UNIX socket, the name of a host
        return False
    return any(ip_address(ip) in ip_network(each) for each in networks if _is_network(each))


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _is_network(text: str) -> bool:
    try:
        ip_network(text)
    except ValueError:
        return False
    return True
