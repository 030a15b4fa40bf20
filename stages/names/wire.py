"""What a resolver says, read from its bytes (RFC 1035, section 4) at a price that nobody else can set.

dnspython reads all of a message, and compares each record with the others: for an answer of 64 kB, such as
anybody may publish, that takes many seconds, in which nothing else happens. Here only so many records are
looked at, only those that were asked for, and none is compared with another.
"""

import struct
from dataclasses import dataclass, field
from typing import Any

import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.wire

MAX_RECORDS = 100
"""Records of a section that are looked at."""
MAX_ALIASES = 16
"""Aliases that lead to one another."""

_HEADER = struct.Struct("!HHHHHH")
_ANSWER, _OPCODE, _TRUNCATED, _RCODE = 0x8000, 0x7800, 0x0200, 0x000F
_ALIAS, _AUTHORITY = dns.rdatatype.CNAME, dns.rdatatype.SOA
# These say something of the server, and may leave out the question.
_CURT = (dns.rcode.FORMERR, dns.rcode.SERVFAIL, dns.rcode.NOTIMP, dns.rcode.REFUSED)


class NoReply(ValueError):
    """Bytes that answer something else, or nothing."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What was said to a question.

    Attributes:
        rcode: how it went.
        truncated: there is more, over TCP.
        records: those of the name that was asked for, or that its aliases lead to.
        ttl: seconds for which all that holds; of there being none, what the zone's SOA says, or None.
        endless: its aliases lead nowhere.
    """

    rcode: dns.rcode.Rcode
    truncated: bool = False
    records: list[Any] = field(default_factory=list)
    ttl: int | None = None
    endless: bool = False


def read(wire: bytes, query: dns.message.Message) -> Reply:
    """Read what was said to a question.

    Raises:
        NoReply: it is no answer to it.
    """
    asked = query.question[0]
    try:
        parser = dns.wire.Parser(wire)
        number, flags, questions, answers, authorities, _ = parser.get_struct(_HEADER.format)
        rcode = dns.rcode.Rcode.make(flags & _RCODE)
        if number != query.id or flags & (_ANSWER | _OPCODE) != _ANSWER:
            raise NoReply("another question's")
        if questions == 0 and rcode in _CURT:
            return Reply(rcode)
        said = dns.name.from_wire_parser(parser), *parser.get_struct("!HH")
        if questions != 1 or said != (asked.name, asked.rdtype, asked.rdclass):
            raise NoReply("another question's")
        if flags & _TRUNCATED:
            return Reply(rcode, truncated=True)
        found = _records(parser, answers, {asked.rdtype, _ALIAS})
        records, ttl, endless = _follow(found, asked.name, asked.rdtype)
        if not records and answers <= MAX_RECORDS:
            ttl = min((ttl, *(_negative(each) for each in _records(parser, authorities, {_AUTHORITY}))))
    except (dns.exception.DNSException, struct.error) as error:
        raise NoReply("no message") from error
    return Reply(rcode, False, records, ttl if ttl < _FOREVER else None, endless)


_FOREVER = 1 << 31
_Record = tuple[dns.name.Name, int, int, Any]
"""Owner, type, TTL, data."""


def _records(parser: dns.wire.Parser, count: int, kinds: set[int]) -> list[_Record]:
    """Records of some kinds, of a section whose first record comes next."""
    found: list[_Record] = []
    for _ in range(min(count, MAX_RECORDS)):
        owner = dns.name.from_wire_parser(parser)
        kind, rdclass, ttl, length = parser.get_struct("!HHIH")
        with parser.restrict_to(length):
            if kind in kinds and rdclass == dns.rdataclass.IN:
                data = dns.rdata.from_wire_parser(rdclass, kind, parser)
                found.append((owner, kind, ttl if ttl < _FOREVER else 0, data))  # RFC 2181, section 8
            else:
                parser.get_remaining()
    return found


def _follow(found: list[_Record], name: dns.name.Name, kind: int) -> tuple[list[Any], int, bool]:
    """Records of a name; the TTL, over its aliases; whether these have no end."""
    wanted: dict[dns.name.Name, list[tuple[int, Any]]] = {}
    aliases: dict[dns.name.Name, tuple[int, Any]] = {}
    for owner, what, ttl, data in found:
        if what == kind:
            wanted.setdefault(owner, []).append((ttl, data))
        elif what == _ALIAS:
            aliases.setdefault(owner, (ttl, data))
    least = _FOREVER
    for _ in range(MAX_ALIASES):
        if name in wanted:
            ttls, records = zip(*wanted[name], strict=True)
            return list(records), min(least, *ttls), False
        if name not in aliases:
            return [], least, False
        ttl, data = aliases[name]
        least, name = min(least, ttl), data.target
    return [], least, True


def _negative(record: _Record) -> int:
    """For how long there is none (RFC 2308, section 5)."""
    return min(record[2], int(record[3].minimum))
