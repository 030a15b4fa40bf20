"""The query language of `spamtrap archive search`.

    invoice "bank transfer"          both, the second as a phrase; * at the end of a word: what begins so
    -unsubscribe                     not
    subject:prize body:winner        in the subject, in the text
    from:joe@a.example to:trap       in envelope or header; from:<> is the null sender
    attachment:invoice.pdf           by name, or by sha256
    date:2026-11-01..2026-11-03      both days included, UTC; also 2026-11, 20261101, 2026-11-01T10:30,
                                     3d (the last three days), 7d..3d, 2026-11-01.. (since then), today,
                                     yesterday
    ip:192.0.2.7 ip:2001:db8::/32    the client's address
    helo:mail.a.example              as the client greeted
    campaign:0000000000f7            as the dedup stage numbers them

All must be true of a message; a field with a - in front must not.
"""

import calendar
import datetime
import ipaddress
import re
import time
from dataclasses import dataclass, field
from difflib import get_close_matches

from trap.archive.text import searchable
from trap.config import Duration

COLUMNS = {
    "subject": "subject",
    "from": "sender",
    "to": "recipient",
    "attachment": "attachment",
    "body": "body",
    "helo": "origin",
}
"""Fields that hold words, and the index's columns for them."""
FIELDS = (*COLUMNS, "date", "ip", "campaign")

_TERM = re.compile(r'(-?)(?:([A-Za-z]+):(?!//))?(?:"([^"]*)"(\*?)|([^\s"]+))')
_DATE = re.compile(r"(\d{4})(?:-(\d\d?)(?:-(\d\d?)(?:[T ](\d\d?):(\d\d)(?::(\d\d))?Z?)?)?)?")
_DAY = re.compile(r"(\d{4})(\d\d)(\d\d)")
_NUMBER = re.compile(r"[\d.]+")
_IPV4 = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}")
_MAX_QUERY = 4000
_FOREVER = float("inf")

Condition = tuple[str, list[object]]
"""An SQL condition over the table `message`, and its parameters."""


class QueryError(ValueError):
    """What is wrong with a query, in one line."""


@dataclass(slots=True)
class Query:
    """A query, taken apart.

    Attributes:
        words: FTS5 expressions that must match.
        without: FTS5 expressions that must not.
        since, until: accepted at or after the one and before the other, in seconds since the epoch.
        conditions: what else must be true.
        hints: FTS5 expressions that are true of all that meets the conditions. Together with words they
            keep a search from going through all mail with a common word.
    """

    words: list[str] = field(default_factory=list)
    without: list[str] = field(default_factory=list)
    since: float = 0.0
    until: float = _FOREVER
    conditions: list[Condition] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)


def parse(text: str, now: float | None = None) -> Query:
    """Take a query apart.

    Args:
        text: see the top of this module.
        now: what "today" and "3d" are counted from, in seconds since the epoch.

    Raises:
        QueryError: it is not a query.

    >>> parse('prize -subject:"You won"').words, parse('-subject:"You won"').without
    (['"prize"'], ['subject : "You won"'])
    >>> parse("form:joe")
    Traceback (most recent call last):
        ...
    trap.archive.query.QueryError: no field 'form:'; did you mean from:?
    """
    if len(text) > _MAX_QUERY:
        raise QueryError(f"the query is longer than {_MAX_QUERY} characters")
    query = Query()
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        term = _TERM.match(text, at)
        if not term:
            raise QueryError(f"can't read the query at {text[at : at + 20]!r}: is a quotation mark missing?")
        at = term.end()
        _add(query, term, time.time() if now is None else now)
    return query


def _add(query: Query, term: re.Match[str], now: float) -> None:
    minus, name, phrase, star, word = term.groups()
    name = (name or "").lower()
    value = phrase if phrase is not None else word
    if name and name not in FIELDS:
        near = get_close_matches(name, FIELDS, 1)
        hint = f"did you mean {near[0]}:?" if near else f'put it in quotation marks to search for "{name}"'
        raise QueryError(f"no field {name + ':'!r}; {hint}")
    if not name and value[:-1].lower() in FIELDS and value.endswith(":"):
        raise QueryError(f"{value} needs a value right behind it")
    if name == "date":
        if minus:
            raise QueryError("-date: is not possible; give the time before or after as date:..A or date:B..")
        since, until = period(value, now)
        query.since, query.until = max(query.since, since), min(query.until, until)
    elif name == "ip":
        _condition(query, minus, *_network(value))
        if _IPV4.fullmatch(value) and not minus:
            query.hints.append(_match("helo", value, star=False))
    elif name == "campaign":
        _condition(query, minus, "campaign = ?", [value])
        if not minus:
            query.hints.append(_match("helo", value, star=False))
    elif name == "from" and value == "<>":
        _condition(query, minus, "mail_from = ?", [""])
    else:
        (query.without if minus else query.words).append(_match(name, value, star=bool(star)))


def _condition(query: Query, minus: str, sql: str, values: list[object]) -> None:
    query.conditions.append((f"({sql}) IS NOT TRUE" if minus else sql, values))


def _match(name: str, value: str, *, star: bool) -> str:
    """An FTS5 expression for a word or phrase."""
    if value.endswith("*"):
        value, star = value.rstrip("*"), True
    if not re.search(r"[^\W_]", value):
        raise QueryError(f"{value!r} holds no letter and no digit to search for")
    quoted = searchable(value, _MAX_QUERY).strip().replace('"', " ")
    return (f"{COLUMNS[name]} : " if name else "") + f'"{quoted}"' + (" *" if star else "")


def _network(value: str) -> Condition:
    try:
        network = ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise QueryError(f"{value!r} is not an IP address or a network like 192.0.2.0/24") from None
    return "ip BETWEEN ? AND ?", [packed_ip(str(network[0])), packed_ip(str(network[-1]))]


def packed_ip(text: str) -> bytes | None:
    """An address as 16 bytes that sort as addresses do, IPv4 mapped (RFC 4291, 2.5.5.2); None for no address.

    >>> packed_ip("192.0.2.1").hex(), packed_ip("unix")
    ('00000000000000000000ffffc0000201', None)
    """
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return b"\0" * 10 + b"\xff\xff" + address.packed if address.version == 4 else address.packed


def period(text: str, now: float) -> tuple[float, float]:
    """The time a date: names, as its first second and the one after its last, since the epoch.

    Raises:
        QueryError: it names no time.
    """
    if ".." not in text:
        return _span(text, now)
    first, _, last = text.partition("..")
    if not first and not last:
        raise QueryError("date:.. names no time; give one end at least")
    since = _span(first, now)[0] if first else 0.0
    until = _end(last, now) if last else _FOREVER
    if since >= until:
        raise QueryError(f"date:{text} ends before it begins")
    return since, until


def _end(text: str, now: float) -> float:
    """The second after the last one that is meant by the second half of A..B: 3d there is three days ago."""
    since, until = _span(text, now)
    return since if until == _FOREVER else until


def _span(text: str, now: float) -> tuple[float, float]:
    midnight = now - now % 86400
    if text == "today":
        return midnight, midnight + 86400
    if text == "yesterday":
        return midnight - 86400, midnight
    if match := _DATE.fullmatch(_DAY.sub(r"\1-\2-\3", text) if _DAY.fullmatch(text) else text):
        return _calendar(text, [int(part) if part else None for part in match.groups()])
    if _NUMBER.fullmatch(text):
        raise QueryError(f"{text!r} is neither a date like 20261101 or 2026 nor a time like 3d: which unit?")
    try:
        return now - Duration(text), _FOREVER
    except ValueError:
        raise QueryError(f"{text!r} is not a date like 2026-11-01, 2026-11, today or 3d") from None


def _calendar(text: str, parts: list[int | None]) -> tuple[float, float]:
    """The year, month, day, minute or second that `parts` name."""
    year, month, day, hour, minute, second = parts
    start = (year or 0, month or 1, day or 1, hour or 0, minute or 0, second or 0)
    in_range = 1970 <= start[0] < datetime.MAXYEAR and 1 <= start[1] <= 12
    if not (in_range and 1 <= start[2] <= calendar.monthrange(*start[:2])[1]):
        raise QueryError(f"{text!r} is not in the calendar")
    if start[3] > 23 or start[4] > 59 or start[5] > 59:
        raise QueryError(f"{text!r} is not a time of day")
    since = calendar.timegm(start)
    if month is None:
        return since, calendar.timegm((start[0] + 1, 1, 1, 0, 0, 0))
    if day is None:
        return since, since + calendar.monthrange(*start[:2])[1] * 86400
    return since, since + (86400 if hour is None else 60 if second is None else 1)
