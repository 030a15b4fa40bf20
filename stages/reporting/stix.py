"""A report as STIX 2.1: what was observed, and what of it may be taken for a sign by itself.

Each report is a bundle of an identity (who reports), a marking (TLP), the observed objects (message,
addresses, URLs, domains, files), an observed-data object that counts them, and indicators that are based on
that. All identifiers are version 5 UUIDs: those of observed objects as the standard makes them of their
values, the others of the report's id. So the same report is the same objects, however often it is written.

Specification: STIX Version 2.1, OASIS Standard, 10 June 2021; sections 2.9 (identifiers), 3.6 (versioning,
and what is revoked), 4 and 6 (objects), 9 (patterns).
"""

import json
import re
import time
from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple
from uuid import UUID, uuid5

import msgspec

from stages.reporting.record import Record

Kind = Literal["ip", "url", "domain", "hash"]
"""What may be a sign by itself."""
Tlp = Literal["white", "green", "amber", "red"]
Object = dict[str, Any]

OURS = UUID("2e3ad3c6-6a3f-5f0b-9d0e-6f0c1a1c7a5e")
"""Namespace of what is named by a report's id."""
_OBSERVED = UUID("00abedb4-aa42-466c-9c01-fed23315a9b7")
"""The standard's, for observed objects."""
_MARKINGS = {
    "white": "613f2e26-407d-48c7-9eca-b8e91df99dc9",
    "green": "34098fce-860f-48ae-8e50-ebd3cc5e41da",
    "amber": "f88d31f6-486f-44da-b317-01333bde0b82",
    "red": "5e57c739-391a-4eb3-b6be-7d15ca92d5ed",
}
"""The standard's own objects (section 7.2.1.4)."""
_BORN = "2026-01-01T00:00:00.000Z"
"""When identities were made; it must not change."""
_ADDRESS = re.compile(r"[^\s<>@,;:\"()]{1,64}@[a-z0-9.-]{1,255}", re.IGNORECASE)
_MOST = 999_999_999
"""The largest number that may be observed."""
_REVOCABLE = {"indicator", "observed-data", "relationship"}


class Style(NamedTuple):
    """How bundles are made.

    Attributes:
        name: who reports.
        tlp: who may get to see it.
        indicators: kinds of values that may be taken for signs by themselves.
        valid: seconds for which they are.
    """

    name: str
    tlp: Tlp
    indicators: Collection[Kind]
    valid: float


def bundle(told: Record, style: Style) -> bytes:
    """The report as a bundle, on one line and without its end."""
    marking = f"marking-definition--{_MARKINGS[style.tlp]}"
    identity = f"identity--{uuid5(OURS, f'identity/{style.name}')}"
    common = {"spec_version": "2.1", "object_marking_refs": [marking]}
    observed = [common | thing for thing in _observed(told)]
    made: Object = {
        **common,
        "created_by_ref": identity,
        "created": _precise(told.last),
        "modified": _precise(told.last),
    }
    data: Object = {
        "type": "observed-data",
        "id": _id("observed-data", told.id),
        **made,
        "first_observed": _precise(told.first),
        "last_observed": _precise(told.last),
        "number_observed": max(1, min(told.weight, _MOST)),
        "object_refs": [thing["id"] for thing in observed],
    }
    signs = [made | sign for sign in _indicators(told, style, data["id"])]
    return packed([*_frame(style, marking, identity), *observed, data, *signs])


def revocation(text: bytes, at: float | None = None) -> bytes:
    """The bundle that takes another one back: a newer version of its objects, revoked.

    Observed objects have no versions; what was seen, was seen.

    Args:
        text: the bundle that was published.
        at: when it is taken back, in seconds since the epoch; now when None.

    Raises:
        ValueError: it is no bundle.
    """
    when = datetime.fromtimestamp(time.time() if at is None else at, UTC)
    modified = when.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return packed(
        thing | {"modified": modified, "revoked": True}
        for thing in objects(text)
        if thing.get("type") in _REVOCABLE
    )


def objects(text: bytes) -> list[Object]:
    """The objects of a bundle.

    Raises:
        ValueError: it is none.
    """
    try:
        found = msgspec.json.decode(text)["objects"]
        return msgspec.convert(found, list[Object])
    except (msgspec.MsgspecError, KeyError, TypeError) as error:
        raise ValueError(f"no STIX bundle: {error}") from None


def packed(things: Iterable[Object]) -> bytes:
    """A bundle of objects, each version of one once. Its name is that of what is in it."""
    distinct = {(thing["id"], thing.get("modified", "")): thing for thing in things}
    name = uuid5(OURS, "bundle/" + " ".join(f"{id_}@{version}" for id_, version in sorted(distinct)))
    return msgspec.json.encode(
        {"type": "bundle", "id": f"bundle--{name}", "objects": list(distinct.values())}
    )


def _frame(style: Style, marking: str, identity: str) -> list[Object]:
    """Who reports, and who may get to see it."""
    return [
        {
            "type": "marking-definition",
            "spec_version": "2.1",
            "id": marking,
            "created": "2017-01-20T00:00:00.000Z",
            "definition_type": "tlp",
            "name": f"TLP:{style.tlp.upper()}",
            "definition": {"tlp": style.tlp},
        },
        {
            "type": "identity",
            "spec_version": "2.1",
            "id": identity,
            "created": _BORN,
            "modified": _BORN,
            "name": style.name,
            "identity_class": "system",
        },
    ]


def _observed(told: Record) -> list[Object]:
    """What the mail was and named; the message first."""
    files = [
        _file(each.name, each.size, each.sha256, each.sha1, each.md5) for each in told.files if each.sha256
    ]
    named: list[Object] = []
    if told.ip:
        named.append(_ip(told.ip))
    named += [_sco("url", {"value": link.url}) for link in told.links]
    named += [_sco("domain-name", {"value": domain}) for domain in told.domains]
    message: Object = {"is_multipart": bool(files)}
    if sender := _ADDRESS.search(told.from_) or _ADDRESS.fullmatch(told.mail_from):
        named.append(_sco("email-addr", {"value": sender[0]}))
        message["from_ref"] = named[-1]["id"]
    if told.subject:
        message["subject"] = told.subject
    named_by: Object = {key: message[key] for key in ("from_ref", "subject") if key in message}
    if told.message_id:
        message["message_id"] = told.message_id
    if files:
        message["body_multipart"] = [{"body_raw_ref": file["id"]} for file in files]
    # One without sender and subject would have the name of all of them.
    letter = _sco("email-message", message, named_by or {"report": told.id})
    return list({thing["id"]: thing for thing in [letter, *named, *files]}.values())


def _file(name: str, size: int, sha256: str, sha1: str, md5: str) -> Object:
    values: Object = {"hashes": {"MD5": md5, "SHA-1": sha1, "SHA-256": sha256}, "size": size}
    if name:
        values["name"] = name
    named_by = {"hashes": {"MD5": md5}} | ({"name": name} if name else {})
    return _sco("file", values, named_by)


def _ip(address: str) -> Object:
    return _sco("ipv6-addr" if ":" in address else "ipv4-addr", {"value": address})


def _sco(kind: str, values: Object, named_by: Object | None = None) -> Object:
    """An observed object; the standard names it by some of its values, written canonically (RFC 8785)."""
    canonical = json.dumps(named_by or values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return {"type": kind, "id": f"{kind}--{uuid5(_OBSERVED, canonical)}", **values}


def _indicators(told: Record, style: Style, observed: str) -> Iterable[Object]:
    """Indicators, each with the relationship that says what it is based on."""
    for kind, value, pattern in _signs(told):
        if kind not in style.indicators:
            continue
        sign = _id("indicator", f"{told.id}/{pattern}")
        yield {
            "type": "indicator",
            "id": sign,
            "name": value,
            "description": "seen in mail to a spamtrap",
            "indicator_types": ["malicious-activity"],
            "pattern": pattern,
            "pattern_type": "stix",
            "valid_from": _precise(told.first),
            "valid_until": _later(told.last, style.valid),
        }
        yield {
            "type": "relationship",
            "id": _id("relationship", f"{sign}/{observed}"),
            "relationship_type": "based-on",
            "source_ref": sign,
            "target_ref": observed,
        }


def _signs(told: Record) -> Iterable[tuple[Kind, str, str]]:
    """Kind, value and pattern of all that could be a sign."""
    if told.ip:
        version = "ipv6-addr" if ":" in told.ip else "ipv4-addr"
        yield "ip", told.ip, f"[{version}:value = {_literal(told.ip)}]"
    for link in told.links:
        yield "url", link.url, f"[url:value = {_literal(link.url)}]"
    for domain in told.domains:
        yield "domain", domain, f"[domain-name:value = {_literal(domain)}]"
    for file in told.files:
        if file.sha256:
            yield "hash", file.name or file.sha256, f"[file:hashes.'SHA-256' = {_literal(file.sha256)}]"


def _literal(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _id(kind: str, of: str) -> str:
    return f"{kind}--{uuid5(OURS, f'{kind}/{of}')}"


def _precise(moment: str) -> str:
    """A time to the millisecond, as the standard wants it."""
    return moment.removesuffix("Z") + ".000Z"


def _later(moment: str, seconds: float) -> str:
    until = datetime.fromisoformat(moment) + timedelta(seconds=max(1.0, seconds))
    return until.strftime("%Y-%m-%dT%H:%M:%S.000Z")
