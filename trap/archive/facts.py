"""Facts of a message: what is exactly so or not, as tokens for the index and as values for facets.

A fact is a name and a value, as in tag:web. In the index it is one token, made of a character that
no text in the index can hold and a hash: no mail can plant a fact that is not so, and a value of any
length costs the same. Which facts there are:

* all: every message has it, so that "all but" can be asked;
* tag: of its recipients; stage: stages that noted something; campaign: as a stage noted it;
* kind: what a stage noted as `kind`, as backscatter does; else its shape: see `trap.archive.fields.shape`;
* charset: of its text parts, by the name the codec goes by, "other" for what is none;
* domain: hosts of senders, HELO and links, and the domains these are in; from: "<>", or the sender's own;
* tld: the sender's top-level domain where that stands for a country (two letters);
* net: the client's address and the networks around it that LEVELS names;
* hash: sha256 of the message and of its attachments.
"""

import hashlib
import socket
from collections.abc import Iterable, Mapping
from encodings.aliases import aliases
from functools import lru_cache
from typing import Any

from trap.archive.fields import Fields
from trap.archive.links import domain_of, families, host, host_of
from trap.archive.record import Record, campaign_of
from trap.archive.text import FACT
from trap.envelope import printable

FACETS = ("domain", "network", "charset", "tld", "tag", "kind", "campaign")
"""What messages are counted by."""
LEVELS = {4: (0, 8, 16, 24, 32), 6: (0, 32, 48, 64, 128)}
"""Prefix lengths of the networks around an address that are facts, by IP version."""
MAX_VALUES = 64
"""Values of one fact that a message may have."""
MAX_VALUE = 100
"""Characters of a value."""
_NETWORK = {4: 24, 6: 48}
"""Prefix length of the networks that are a facet."""
_NO_TEXT = {
    "base64_codec",
    "bz2_codec",
    "hex_codec",
    "mbcs",
    "quopri_codec",
    "rot_13",
    "uu_codec",
    "zlib_codec",
}
_MIME_NAMES = {  # where Python calls codecs otherwise than MIME does, by how they begin
    "latin_1": "iso-8859-1",
    "iso8859_": "iso-8859-",
    "iso2022_": "iso-2022-",
    "cp125": "windows-125",
    "ascii": "us-ascii",
    "shift_jis": "shift_jis",
}


@lru_cache(maxsize=16384)
def token(name: str, value: str) -> str:
    """The token that stands for a fact in the index: FACT, and 16 hexadecimal digits.

    >>> token("tag", "web") == token("tag", "WEB"), token("tag", "web") == token("kind", "web")
    (True, False)
    """
    said = f"{name}:{clean(value)}".encode("utf-8", "backslashreplace")
    return FACT + hashlib.blake2b(said, digest_size=8).hexdigest()


def clean(value: str) -> str:
    """A value in the one form in which it is shown and compared; what is clean already stays so.

    >>> clean('  Some "Tag"\\n')
    "some 'tag'"
    """
    if len(value) > MAX_VALUE:
        value = value[:MAX_VALUE]
    value = printable(" ".join(value.split()).replace('"', "'").lower())
    return value[:MAX_VALUE].rstrip()


def tokens(record: Record, fields: Fields, found: Mapping[str, list[str]] | None = None) -> list[str]:
    """All facts of a message, as tokens; at most MAX_VALUES of each name.

    Args:
        record: the message.
        fields: what `trap.archive.fields.indexed` says of it.
        found: its `facets`, when they are known already.
    """
    envelope = record.envelope
    found = facets(record, fields) if found is None else found
    senders = map(domain_of, (*fields.senders, envelope.mail_from))
    hosts = [*senders, host(envelope.helo or ""), *map(host_of, fields.urls)]
    hashes = dict.fromkeys((record.sha256.hex(), *(file.sha256 for file in fields.attachments)))
    own = [f"@{domain}" for domain in found["domain"]]
    facts: dict[str, Iterable[str]] = {
        "stage": list(record.notes)[:MAX_VALUES],
        "domain": families(hosts, MAX_VALUES),
        "from": own if envelope.mail_from else ["<>", *own],
        "net": networks(envelope.client_ip),
        "hash": list(hashes)[:MAX_VALUES],
        **{name: found[name] for name in ("tag", "kind", "campaign", "charset", "tld")},
    }
    made = dict.fromkeys(token(name, value) for name, values in facts.items() for value in values)
    return [ALL, *made]


def facets(record: Record, fields: Fields) -> dict[str, list[str]]:
    """The values a message is counted by, clean, for each of FACETS in their order."""
    envelope = record.envelope
    own = [domain for domain in (_sender(envelope.mail_from, fields),) if domain]
    top = own[0].rpartition(".")[2] if own else ""
    campaign = campaign_of(record.notes)
    return {
        "domain": own,
        "network": [facet for facet in (_facet_network(envelope.client_ip),) if facet],
        "charset": list(dict.fromkeys(map(charset, fields.charsets))),
        "tld": [top] if len(top) == 2 and top.isalpha() else [],
        "tag": _distinct(envelope.tags),
        "kind": [_noted_kind(record.notes) or fields.shape or "unparsed"],
        "campaign": _distinct([campaign or ""]),
    }


def _sender(mail_from: str, fields: Fields) -> str:
    """The sender's domain: of the From header, else of MAIL FROM. Never longer than a value may be."""
    domain = next(filter(None, map(domain_of, fields.senders[:1])), "") or domain_of(mail_from)
    return domain if len(domain) <= MAX_VALUE else ""


def _distinct(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(filter(None, map(clean, values))))[:MAX_VALUES]


def _noted_kind(notes: Mapping[str, Any]) -> str:
    for note in notes.values():
        if isinstance(note, Mapping) and isinstance(kind := note.get("kind"), str):
            return clean(kind)
    return ""


def _codecs() -> dict[str, str]:
    """MIME's names of the codecs of text, by all their names, in the spelling `charset` looks for."""
    found = {"koi8_u": "koi8-u", "cp874": "windows-874", "windows_874": "windows-874"}
    for alias, codec in [*aliases.items(), *((name, name) for name in aliases.values())]:
        if codec not in _NO_TEXT:
            begins = next(filter(codec.startswith, _MIME_NAMES), "")
            found[alias] = _MIME_NAMES.get(begins, "") + codec.removeprefix(begins).replace("_", "-")
    return found


_CODECS = _codecs()


ALL = token("all", "")
"""What is true of every message."""


@lru_cache(maxsize=1024)
def charset(said: str) -> str:
    """The one name of a charset, "other" when there is none of this name.

    >>> charset("UTF8"), charset("Latin1"), charset("cp1251"), charset("x-unknown")
    ('utf-8', 'iso-8859-1', 'windows-1251', 'other')
    """
    # Not codecs.lookup: it imports modules by the name that is asked for, and remembers all names.
    name = said[:MAX_VALUE].strip().lower().replace("-", "_").replace(".", "_").replace(" ", "_")
    return _CODECS.get(name, "other")


def networks(ip: str) -> list[str]:
    """Values of the fact `net` for an address: those of all LEVELS; none for what is no address.

    >>> networks("192.0.2.7")
    ['4/', '4/c0', '4/c000', '4/c00002', '4/c0000207']
    """
    version, packed = packed_address(ip)
    return [net(version, packed, level) for level in LEVELS[version]] if packed else []


def net(version: int, packed: bytes, level: int) -> str:
    """The value of the fact `net` for a network of one of LEVELS."""
    return f"{version}/{packed[: level // 8].hex()}"


def packed_address(ip: str) -> tuple[int, bytes]:
    """IP version and bytes of an address; no bytes when it is none. IPv4 within IPv6 is IPv4 (RFC 4291)."""
    try:
        if ":" not in ip:
            return 4, socket.inet_pton(socket.AF_INET, ip)
        packed = socket.inet_pton(socket.AF_INET6, ip.partition("%")[0])
    except (OSError, ValueError):  # the name of a UNIX socket, which may be anything
        return 4, b""
    return (4, packed[12:]) if packed.startswith(b"\0" * 10 + b"\xff\xff") else (6, packed)


def _facet_network(ip: str) -> str:
    version, packed = packed_address(ip)
    if not packed:
        return ""
    kept = packed[: _NETWORK[version] // 8].ljust(len(packed), b"\0")
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    return f"{socket.inet_ntop(family, kept)}/{_NETWORK[version]}"
