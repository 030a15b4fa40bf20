"""A report as an event of MISP: the mail and its files as objects, what it names as attributes.

All identifiers are version 5 UUIDs of the report's id, so the same report is the same event, however often it
is sent, and MISP takes it once.

Format: https://www.misp-standard.org/rfc/misp-standard-core.html; object templates `email` and `file`.
"""

import base64
from collections.abc import Collection, Iterator
from typing import Any, Literal, NamedTuple
from uuid import UUID, uuid5

import msgspec

from stages.reporting.record import File, Record, Sample

Sign = Literal["ip", "url", "domain", "hash", "sender"]
"""What may be exported to those who detect and block (to_ids)."""

NAMESPACE = UUID("7f0d2a52-0e4c-5b8e-8f3b-3a2f1d0c9b61")
_EMAIL = ("email", "network", "a0c666e0-fc65-4be8-b48f-3423d788b552", "19")
_FILE = ("file", "file", "688c46fb-5edb-40a3-8273-1af7923e2215", "25")
"""Name, category, UUID and version of the templates."""
_INHERIT = "5"
"""The distribution of what is in an event: the event's."""
_NETWORK, _PAYLOAD, _EXTERNAL = "Network activity", "Payload delivery", "External analysis"


class Style(NamedTuple):
    """How events are made.

    Attributes:
        distribution: who gets to see them: 0 the organisation, 1 this community, 2 connected ones, 3 all,
            4 a sharing group.
        sharing_group: number of that group.
        tags: names of tags of every event.
        to_ids: kinds of attributes that are marked for detection.
        publish: whether they are published at once.
        threat_level: 1 high to 4 undefined.
        sample: how much of the redacted mail goes along.
    """

    distribution: int
    sharing_group: int
    tags: Collection[str]
    to_ids: Collection[Sign]
    publish: bool
    threat_level: int
    sample: Sample


def uuid(report: str) -> str:
    """The event's identifier."""
    return str(uuid5(NAMESPACE, report))


def event(told: Record, style: Style) -> bytes:
    """The report as JSON for /events/add."""
    return msgspec.json.encode({"Event": _Event(told, style).built()})


class _Event:
    """One that is being made."""

    def __init__(self, told: Record, style: Style) -> None:
        self._told = told
        self._style = style
        self._event = UUID(uuid(told.id))

    def built(self) -> dict[str, Any]:
        told, style = self._told, self._style
        files = [self._file(number, file) for number, file in enumerate(told.files)]
        built: dict[str, Any] = {
            "uuid": str(self._event),
            "info": self._info(),
            "date": told.first[:10],
            "threat_level_id": str(style.threat_level),
            "analysis": "2",
            "distribution": str(style.distribution),
            "published": style.publish,
            "Tag": [{"name": tag} for tag in style.tags],
            "Attribute": list(self._attributes()),
            "Object": [self._email(files), *files],
        }
        if style.distribution == 4:
            built["sharing_group_id"] = str(style.sharing_group)
        return built

    def _info(self) -> str:
        # No word of ours may be a name of the trap's: the gate would hold all reports of trap.example.
        told = self._told
        about = f": {told.subject[:120]}" if told.subject else ""
        return f"Unsolicited mail, {told.weight} {'copy' if told.weight == 1 else 'copies'}{about}"

    def _attributes(self) -> Iterator[dict[str, Any]]:
        """What the mail names; MISP takes each value once."""
        told = self._told
        hosts = dict.fromkeys(link.host for link in told.links if link.host not in told.domains)
        for link in {link.url: link for link in told.links}.values():
            leads = f"leads to {link.to}" if link.to else ""
            yield self._attribute("url", _NETWORK, link.url, sign="url", comment=leads)
        for domain in dict.fromkeys(told.domains):
            yield self._attribute("domain", _NETWORK, domain, sign="domain")
        for host in hosts:
            kind = "hostname" if any(map(str.isalpha, host.rpartition(".")[2])) else "ip-dst"
            yield self._attribute(kind, _NETWORK, host, sign="domain" if kind == "hostname" else "ip")
        for phone in dict.fromkeys(told.phones):
            yield self._attribute("phone-number", "Other", phone)
        if told.virus:
            yield self._attribute("text", _EXTERNAL, told.virus, comment="name of the signature it matched")

    def _email(self, files: list[dict[str, Any]]) -> dict[str, Any]:
        told = self._told
        fields: list[tuple[str, str, str, Sign | None]] = [
            ("ip-src", "ip-src", told.ip, "ip"),
            ("return-path", "email-src", told.mail_from, "sender"),
            ("from", "email-src", _bare(told.from_), "sender"),
            ("reply-to", "email-reply-to", _bare(told.reply_to), None),
            ("subject", "email-subject", told.subject, None),
            ("message-id", "email-message-id", told.message_id, None),
            ("x-mailer", "email-x-mailer", told.mailer, None),
        ]
        attributes = [
            self._attribute(
                kind, _NETWORK if kind == "ip-src" else _PAYLOAD, value, relation, sign=sign, within="email"
            )
            for relation, kind, value, sign in fields
            if value
        ]
        attributes += self._sample()
        if not attributes:  # an object needs one
            attributes.append(self._attribute("email-subject", _PAYLOAD, "(none)", "subject", within="email"))
        comment = f"copies: {told.weight}, from {told.first} to {told.last}"
        made = self._object(_EMAIL, "email", comment, attributes)
        made["ObjectReference"] = [
            {
                "uuid": self._uuid("reference", file["uuid"]),
                "object_uuid": made["uuid"],
                "referenced_uuid": file["uuid"],
                "relationship_type": "contains",
            }
            for file in files
        ]
        return made

    def _sample(self) -> Iterator[dict[str, Any]]:
        told = self._told
        if self._style.sample == "header" and told.sample:
            header = base64.b64decode(told.sample).decode("utf-8", "replace").strip()
            if header:
                yield self._attribute("email-header", _PAYLOAD, header, "header", within="email")
        elif self._style.sample == "message" and told.sample:
            made = self._attribute("attachment", _PAYLOAD, f"{told.id}.eml", "eml", within="email")
            yield made | {"data": told.sample}

    def _file(self, number: int, file: File) -> dict[str, Any]:
        within = f"file/{number}"
        values = {
            "filename": file.name,
            "size-in-bytes": str(file.size),
            "md5": file.md5,
            "sha1": file.sha1,
            "sha256": file.sha256,
            "mimetype": file.type,
        }
        kinds = {"mimetype": "mime-type"}
        attributes = [
            self._attribute(
                kinds.get(relation, relation),
                "Artifacts dropped"
                if relation == "mimetype"
                else "Other"
                if "size" in relation
                else _PAYLOAD,
                value,
                relation,
                sign="hash" if relation in ("md5", "sha1", "sha256") else None,
                within=within,
            )
            for relation, value in values.items()
            if value
        ]
        comment = "" if file.sha256 else "masked: no check sum is told"
        return self._object(_FILE, within, comment, attributes)

    def _attribute(
        self, kind: str, category: str, value: str, relation: str = "", *,
        sign: Sign | None = None, within: str = "", comment: str = "",
    ) -> dict[str, Any]:  # fmt: skip
        made: dict[str, Any] = {
            "uuid": self._uuid(f"{within}/{relation}/{kind}", value),
            "type": kind,
            "category": category,
            "value": value,
            "to_ids": sign in self._style.to_ids,
            "distribution": _INHERIT,
            "comment": comment,
        }
        return made | {"object_relation": relation} if relation else made

    def _object(
        self, template: tuple[str, str, str, str], within: str, comment: str, attributes: list[dict[str, Any]]
    ) -> dict[str, Any]:
        name, category, template_uuid, version = template
        return {
            "uuid": self._uuid("object", within),
            "name": name,
            "meta-category": category,
            "template_uuid": template_uuid,
            "template_version": version,
            "distribution": _INHERIT,
            "comment": comment,
            "Attribute": attributes,
        }

    def _uuid(self, what: str, which: str) -> str:
        return str(uuid5(self._event, f"{what}/{which}"))


def _bare(said: str) -> str:
    """The address in a header field; what it says when there is none.

    >>> _bare('"Joe" <joe@example.com>'), _bare("joe@example.com"), _bare("nobody")
    ('joe@example.com', 'joe@example.com', 'nobody')
    """
    inside = said.rpartition("<")[2].partition(">")[0].strip()
    return inside if "@" in inside else said
