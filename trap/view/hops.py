"""The way a message says it took, hop by hop, and what speaks against it.

Only our own session is known. Whoever spoke to us wrote or passed on all Received fields below it, and
could write what he liked. So each is compared with its neighbours and with the clock: what does not
fit is said, as likely as it is, never as proven.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from email.utils import mktime_tz, parsedate_tz
from ipaddress import IPv4Network, IPv6Address, ip_address

from trap.traces import registrable
from trap.view.glyphs import decoded, visible_line
from trap.view.headers import Field
from trap.view.view import Hop
from trap.view.wire import Source

MAX_HOPS = 100
_MAX_FIELD = 2000
_SKEW = 300.0
"""Seconds that clocks of servers differ by without anybody being to blame."""
_LONG = 30 * 86400.0
"""Seconds between two hops that no queue explains."""
_MAX_DATE = 100
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

# No pattern here begins or goes on with what a star before it could take, so none is tried for long.
_BY = re.compile(r"\bby[ \t]+([^\s();]{1,255})", re.IGNORECASE)
_WITH = re.compile(r"\bwith[ \t]+([^\s();]{1,60}(?: SMTP(?: Server)?)?)", re.IGNORECASE)
_ID = re.compile(r"\bid[ \t]+<?([^\s();<>]{1,200})", re.IGNORECASE)
_FOR = re.compile(r"\bfor[ \t]+<?([^\s();<>]{1,320})", re.IGNORECASE)
_FROM = re.compile(r"from[ \t]+([^\s();]{1,255})(?:[ \t]+\(([^)]{0,600})\)?)?", re.IGNORECASE)
_HELO = re.compile(r"\b(?:helo|ehlo)[ =]{1,3}([^\s()\]]{1,255})", re.IGNORECASE)
_IN_BRACKETS = re.compile(r"\[(?:IPv6:)?([0-9a-f:.]{3,45})\]", re.IGNORECASE)
_BARE_IP = re.compile(r"(?<![\w.-])(\d{1,4}(?:\.\d{1,4}){3})(?![\w.-])")
_NAME = re.compile(r"(?:^|[\s@])((?:[a-z0-9_-]{1,63}\.){1,10}[a-z0-9-]{2,63})\.?(?=[\s\[(]|$)", re.IGNORECASE)
_QMAIL = re.compile(r"\([a-z]{1,20} \d+ invoked (?:by|from) [^()]{1,40}\)", re.IGNORECASE)
"""How qmail and its like note that a message came from a program on their own host; it names nobody."""
_DATE = re.compile(
    r"(?:[a-z]{3}, {1,3})?\d{1,2} [a-z]{3} \d{4} \d\d:\d\d(?::\d\d)?(?: [+-]\d{4}| [a-z]{3,4})?",
    re.IGNORECASE,
)
_FRACTION = re.compile(r"(:\d\d)[.,]\d{1,9}\b")
_ISO = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d) ?([+-]\d\d:?\d\d|Z)?")
_WEEKDAY = re.compile(r"\s*(mon|tue|wed|thu|fri|sat|sun)[a-z]{0,6},", re.IGNORECASE)
PRIVATE = [
    IPv4Network(network)
    for network in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),
        *("169.254.0.0/16", "100.64.0.0/10"),
    )
]
"""Networks that end at a house's door (RFC 1918, 3927, 6598)."""
_NOWHERE = [IPv4Network("0.0.0.0/8"), IPv4Network("224.0.0.0/3")]


def hops(fields: list[Field], source: Source) -> list[Hop]:
    """Every Received field, oldest first, then our own session, with gaps and what speaks against each.

    Args:
        fields: of the header.
        source: what our session knew.
    """
    found = [_hop(field) for field in fields if field.name.lower() == b"received"][:MAX_HOPS]
    own = Hop(
        by=source.server_ip,
        from_=source.client_ip,
        helo=source.helo,
        ip=source.client_ip,
        protocol=source.protocol,
        id=source.id,
        time=source.received_at,
        trusted=True,
    )
    path = [*reversed(found), own]
    before: float | None = None
    for hop, following in zip(path, [*path[1:], None], strict=True):
        if hop.time is not None:
            hop.gap_seconds = None if before is None else hop.time - before
            before = hop.time
        if following is not None:
            hop.forged += _doubts(hop, following, source)
    if own.gap_seconds is not None and own.gap_seconds > _LONG:
        own.note = f"We got it {_span(own.gap_seconds)} after the step before: old mail, sent again."
    return path


def _hop(field: Field) -> Hop:
    """One Received field, read as tolerantly as its writers differ."""
    said = visible_line(decoded(field.unfolded[:_MAX_FIELD]))
    trace, semicolon, date = said.rpartition(";")
    if not semicolon:  # some servers write none; some only in comments
        trace = date = said
    local = _QMAIL.search(trace)
    by = None if local else _BY.search(trace)
    sender = _FROM.match(trace[: by.start()] if by and by.start() else trace)
    name, comment = (sender[1], sender[2] or "") if sender else ("", "")
    origin = trace[: by.start()] if by else trace
    helo = _HELO.search(origin)
    looked_up = _NAME.search(comment.partition("[")[0]) if not helo else None
    hop = Hop(
        by=by[1] if by else "",
        from_=(looked_up[1] if looked_up else name).strip("[]"),
        helo=helo[1] if helo else name,
        ip=_address(comment, origin[len(name) :], name) if sender else "",
        time=_time(date),
        line=field.line + 1,
        raw=said,
    )
    for pattern, attribute in ((_WITH, "protocol"), (_ID, "id"), (_FOR, "for_")):
        if part := pattern.search(trace, by.end() if by else 0):
            setattr(hop, attribute, part[1])
    if not by and not local:
        hop.forged.append("It names no server that wrote it; servers do.")
    if hop.time is None:
        hop.forged.append("It has no date that can be read; servers write one.")
    elif day := _wrong_day(date, hop.time):
        hop.forged.append(day)
    return hop


def _address(*places: str) -> str:
    """The sender's address: what the server saw stands in a comment, what was said in front of it."""
    for place in places:
        if found := _IN_BRACKETS.search(place) or _BARE_IP.search(place):
            return found[1]
    return ""


def _time(date: str) -> float | None:
    """When, as written; the last date in it, should it be somewhere in a text."""
    date = _FRACTION.sub(r"\1", date)
    date = (_DATE.findall(date) or [date])[-1]
    try:
        if iso := _ISO.search(date):
            return datetime.fromisoformat(f"{iso[1]}T{iso[2]}{iso[3] or 'Z'}").timestamp()
        parsed = parsedate_tz(date[:_MAX_DATE])
        return float(mktime_tz(parsed)) if parsed else None
    except (ValueError, OverflowError, IndexError, TypeError):
        return None


def _wrong_day(date: str, time: float) -> str:
    """A program that makes up dates rarely looks into a calendar."""
    said, parsed = _WEEKDAY.match(date), parsedate_tz(date[:_MAX_DATE])
    if not said or not parsed:
        return ""
    local = time + (parsed[9] or 0)
    day = _DAYS[int(local // 86400 + 3) % 7]  # the epoch was a Thursday
    if day == said[1].lower():
        return ""
    return f"Its date was a {day.capitalize()}, not a {said[1].capitalize()}: probably made up."


def _doubts(hop: Hop, following: Hop, source: Source) -> list[str]:
    """What speaks against a Received field, seen beside the one above it."""
    found = [*_of_time(hop, following, source), *_of_address(hop)]
    hosts = {registrable(address.rpartition("@")[2]) for address in source.rcpts} - {""}
    if registrable(hop.by) in hosts:
        found.append("It names a server of the recipient's, which writes no such line here: likely forged.")
    elif _other(hop, following):
        heard = following.helo or following.from_
        found.append(f"The next hop had the message from {heard}, not from {hop.by}: perhaps forged.")
    return found


def _of_time(hop: Hop, following: Hop, source: Source) -> Iterator[str]:
    if hop.time is None:
        return
    if hop.time - source.received_at > _SKEW:
        yield f"It is dated {_span(hop.time - source.received_at)} after we got the message: likely made up."
    elif following.time is not None and hop.time - following.time > _SKEW:
        yield f"It is dated {_span(hop.time - following.time)} after the next hop: a wrong clock, or forged."
    elif following.time is not None and following.time - hop.time > _LONG and not following.trusted:
        yield f"{_span(following.time - hop.time)} passed until the next hop: held back, or made up."


def _of_address(hop: Hop) -> list[str]:
    """What no address can be, or what none of another house can be."""
    if not hop.ip:
        return []
    try:
        address = ip_address(hop.ip)
    except ValueError:
        return [f"{hop.ip} is no address: likely forged."]
    if isinstance(address, IPv6Address):
        mapped = address.ipv4_mapped
        if not mapped:
            return []
        address = mapped
    if any(address in network for network in _NOWHERE):
        return [f"No host has the address {hop.ip}: likely forged."]
    theirs, ours = registrable(hop.from_), registrable(hop.by)
    strangers = theirs and ours and not _house(hop.by) & (_house(hop.from_) | _house(hop.helo))
    if strangers and any(address in network for network in PRIVATE):
        return [f"{hop.ip} is a private address, from which {theirs} can't reach {ours}: perhaps forged."]
    return []


def _other(hop: Hop, following: Hop) -> bool:
    """Whether the next hop had it from somebody else than the server that wrote this one."""
    theirs = _house(following.helo) | _house(following.from_)
    return bool(registrable(hop.by) and theirs and not theirs & _house(hop.by))


def _house(host: str) -> set[str]:
    """What two names of one house have in common: the first label, or that of what was registered."""
    registered = registrable(host)
    return {host.lower().partition(".")[0], registered.partition(".")[0]} if registered else set()


def _span(seconds: float) -> str:
    """A time span as people say it.

    >>> _span(90), _span(10800), _span(200000)
    ('2 minutes', '3 hours', '2 days')
    """
    for name, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= 1.5 * length or name == "minute":
            count = round(seconds / length)
            return f"{count} {name}{'' if count == 1 else 's'}"
    raise AssertionError("a minute is the last")
