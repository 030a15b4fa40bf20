"""A list as others read it: zones for rbldnsd, response policy zones (RPZ), plain text, JSON.

What is told of an entry is coarse, hours and classes of counts: who watches the list while he sends should
not see which of his messages was counted. Nothing is told of the traps, not even how many there were.

Formats: rbldnsd(8); RFC 5782 for the entries by which a list is tested; RPZ by the Internet-Draft
draft-vixie-dnsop-dns-rpz.
"""

import base64
import re
from bisect import bisect
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

import msgspec

from stages.listing.terms import Bar, Publication

TTL = 300
"""Seconds for which an answer may be kept."""
NEGATIVE_TTL = 60
"""Seconds for which it may be kept that something is not listed."""
LONGEST_NAME = 180
"""Characters of a domain in a zone, whose own name has to fit behind it."""
HOUR = 3600

_ZEROS = re.compile(r"zz(?:\.zz)+")
_CLASSES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
_WORDS = {
    "addresses": "Sent mail to spamtraps",
    "domains": "Advertised in mail to spamtraps",
    "files": "Attached to mail to spamtraps",
    "backscatter": "Returned mail to forged senders, which are spamtraps",
}
_TEST = "Test entry, see RFC 5782"


class Listed(NamedTuple):
    """One entry as it is published."""

    key: str
    also: str
    """The other check sum of a file."""
    first: float
    """Hours in which it was seen first and last, in seconds since the epoch."""
    last: float
    hits: int
    """At least so many."""
    networks: int


class Edition(NamedTuple):
    """A list as it is published at one time."""

    name: str
    bar: Bar
    settings: Publication
    now: int
    """In seconds since the epoch."""
    serial: int
    """Of its zones, larger than that of the edition before."""

    @property
    def ttl(self) -> int:
        """Seconds for which an answer may be kept: not much longer than the list itself is good."""
        return max(1, min(TTL, int(self.settings.valid) // 4))

    @property
    def times(self) -> str:
        """What a SOA record ends with: serial, refresh, retry, expire, time that there is nothing."""
        valid = int(self.settings.valid)
        return f"{self.serial} {self.ttl} {self.ttl} {valid} {min(self.ttl, NEGATIVE_TTL)}"

    @property
    def expires(self) -> int:
        """Until when it is good."""
        return self.now + int(self.settings.valid)


def listed(key: str, also: str, first: float, last: float, hits: int, networks: int) -> Listed:
    """An entry as it may be told: in hours, and classes of counts."""
    return Listed(key, also, first // HOUR * HOUR, last // HOUR * HOUR, class_of(hits), class_of(networks))


def class_of(count: int) -> int:
    """The class of a count, which is told as the least of it.

    >>> class_of(1), class_of(4), class_of(5), class_of(9999)
    (1, 2, 5, 1000)
    """
    return _CLASSES[max(0, bisect(_CLASSES, count) - 1)]


def documents(edition: Edition, entries: Mapping[str, Listed]) -> Iterator[tuple[str, bytes]]:
    """The files of one list: name and contents."""
    rows = [entries[key] for key in sorted(entries)]
    if edition.name in ("addresses", "backscatter"):
        yield f"{edition.name}.ip4", _ip4(edition, [row for row in rows if ":" not in row.key])
        yield f"{edition.name}.ip6", _ip6(edition, [row for row in rows if ":" in row.key])
        yield f"{edition.name}.rpz", _policy(edition, (_policy_ip(row.key) for row in rows))
    elif edition.name == "domains":
        rows = [row for row in rows if len(row.key) <= LONGEST_NAME]
        yield "domains.dnset", _names(edition, ((f".{row.key}", row) for row in rows))
        both = (name for row in rows for name in (row.key, f"*.{row.key}"))
        yield "domains.rpz", _policy(edition, both)
    else:
        yield f"{edition.name}.dnset", _names(edition, ((name, row) for row in rows for name in labels(row)))
    yield f"{edition.name}.txt", _text(edition, rows)
    yield f"{edition.name}.json", _json(edition, rows)


def labels(row: Listed) -> tuple[str, ...]:
    """What a file is asked for by in DNS: its md5 in hexadecimal, its sha256 in base32, as that is too long.

    >>> labels(Listed("00" * 32, "d41d8cd98f00b204e9800998ecf8427e", 0, 0, 1, 1))[1][:8]
    'aaaaaaaa'
    """
    coded = base64.b32encode(bytes.fromhex(row.key)).decode("ascii").rstrip("=").lower()
    return row.also, coded


def _reason(edition: Edition, row: Listed) -> str:
    many = f"{row.hits} or more" if row.hits > 1 else "1"
    said = f"{_WORDS[edition.name]}: {many}, first {_hour(row.first)}, last {_hour(row.last)} UTC"
    return f"{said}; {edition.settings.reason}" if edition.settings.reason else said


@lru_cache(maxsize=1024)  # of 100,000 entries, each with its two hours
def _hour(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:00")


@lru_cache(maxsize=1024)
def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# -- rbldnsd ---------------------------------------------------------------------------------------


def _zone(edition: Edition, entries: Iterable[tuple[str, Listed]], tests: Iterable[str]) -> bytes:
    """A data set of rbldnsd: entries, and those by which it is tested."""
    ns, contact = _authority(edition)
    valid = int(edition.settings.valid)
    lines = [
        f"$SOA {edition.ttl} {ns[0]} {contact} {edition.times}",
        f"$NS {edition.ttl} {' '.join(ns)}",
        f"$TTL {edition.ttl}",
        f"$TIMESTAMP {datetime.fromtimestamp(edition.now, UTC).strftime('%Y:%m:%d:%H:%M:%S')} +{valid}s",
    ]
    code = edition.bar.code
    lines += [f"{name} :{code}:{_TEST}" for name in tests]
    lines += [f"{name} :{code}:{_reason(edition, row)}" for name, row in entries]
    return ("\n".join(lines) + "\n").encode("ascii")


def _ip4(edition: Edition, rows: Iterable[Listed]) -> bytes:
    return _zone(edition, ((row.key, row) for row in rows), ["127.0.0.2"])


def _ip6(edition: Edition, rows: Iterable[Listed]) -> bytes:
    return _zone(edition, ((row.key, row) for row in rows), ["::ffff:7f00:2"])


def _names(edition: Edition, rows: Iterable[tuple[str, Listed]]) -> bytes:
    return _zone(edition, rows, ["test"])


def _authority(edition: Edition) -> tuple[list[str], str]:
    """Name servers and contact of a zone; names that say nothing, where none are configured."""
    settings = edition.settings
    return settings.ns or ["ns.invalid"], settings.contact or "nobody.invalid"


# -- RPZ -------------------------------------------------------------------------------------------


def _policy(edition: Edition, names: Iterable[str]) -> bytes:
    """A response policy zone: of these names there is nothing."""
    ns, contact = _authority(edition)
    lines = [f"$TTL {edition.ttl}", f"@ SOA {_absolute(ns[0])} {_absolute(contact)} {edition.times}"]
    lines += [f"@ NS {_absolute(name)}" for name in ns]
    lines += [f"{name} CNAME ." for name in names]
    return ("\n".join(lines) + "\n").encode("ascii")


def _absolute(name: str) -> str:
    return f"{name.rstrip('.')}."


def _policy_ip(key: str) -> str:
    """An address as a trigger of RPZ.

    >>> _policy_ip("192.0.2.7"), _policy_ip("2001:db8:1:2::/64")
    ('32.7.2.0.192.rpz-ip', '64.zz.2.1.db8.2001.rpz-ip')
    """
    address, _, length = key.partition("/")
    words = address.split(":" if length else ".")
    text = ".".join(word or "zz" for word in reversed(words))
    return f"{length or 32}.{_ZEROS.sub('zz', text)}.rpz-ip"


# -- for people and programs -----------------------------------------------------------------------


def _text(edition: Edition, rows: Iterable[Listed]) -> bytes:
    head = f"# {_WORDS[edition.name]}. Made {_iso(edition.now)}, good until {_iso(edition.expires)}.\n"
    return (head + "".join(f"{row.key}\n" for row in rows)).encode("ascii")


def _json(edition: Edition, rows: Iterable[Listed]) -> bytes:
    entries = [
        {
            ("sha256" if edition.name == "files" else "key"): row.key,
            **({"md5": row.also} if row.also else {}),
            "first": _iso(row.first),
            "last": _iso(row.last),
            "hits": row.hits,
            "networks": row.networks,
        }
        for row in rows
    ]
    made = {
        "list": edition.name,
        "says": _WORDS[edition.name],
        "made": _iso(edition.now),
        "expires": _iso(edition.expires),
        "code": edition.bar.code,
        "entries": entries,
    }
    return msgspec.json.encode(made) + b"\n"
