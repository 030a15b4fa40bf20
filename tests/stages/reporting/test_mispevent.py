"""Events: each is one to the reference library, with attributes that MISP's own lists of types allow."""

import base64
import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pymisp
import pytest
from hookkit import FILE, MESSAGE, NOTES, case
from hypothesis import given
from hypothesis import strategies as st

from stages.reporting import mispevent
from stages.reporting.mispevent import Style
from stages.reporting.record import File, Link, Record, record
from trap.envelope import Envelope
from trap.redaction.gate import leaks
from trap.redaction.identities import Identities

STYLE = Style(
    distribution=0, sharing_group=0, tags=("tlp:amber", "spamtrap"), to_ids=("ip", "hash"), publish=False,
    threat_level=4, sample="none",
)  # fmt: skip
DATA = Path(pymisp.__file__).parent / "data"
TYPES = json.loads((DATA / "describeTypes.json").read_text())["result"]["category_type_mappings"]
WRITTEN = json.loads((DATA / "schema.json").read_text())
del WRITTEN["defs"]["sharing_group"]["properties"]["required"]  # stands in the wrong place
SCHEMA = jsonschema_rs.validator_for(WRITTEN)
"""It is older than objects are."""
TEMPLATES = {
    name: json.loads((DATA / f"misp-objects/objects/{name}/definition.json").read_text())
    for name in ("email", "file")
}


def read(text: bytes) -> pymisp.MISPEvent:
    """The event as the reference library reads it, and as MISP would have to take it."""
    event = pymisp.MISPEvent()
    event.load(json.loads(text))
    SCHEMA.validate(
        {"Event": {key: value for key, value in json.loads(text)["Event"].items() if key != "Object"}}
    )
    in_objects = [attribute for each in event.objects for attribute in each.attributes]
    for attribute in [*event.attributes, *in_objects]:
        assert attribute.type in TYPES[attribute.category], attribute
        assert attribute.value not in ("", None)
    for each in event.objects:
        template = TEMPLATES[each.name]
        assert each.template_uuid == template["uuid"] and each["meta-category"] == template["meta-category"]
        for attribute in each.attributes:
            assert template["attributes"][attribute.object_relation]["misp-attribute"] == attribute.type
        assert {attribute.object_relation for attribute in each.attributes} & set(template["requiredOneOf"])
    uuids = [each.uuid for each in (*event.attributes, *event.objects, *in_objects)]
    assert len(uuids) == len(set(uuids))
    return event


def attributes(thing: Any) -> dict[str, str]:
    return {
        attribute.get("object_relation") or attribute.type: attribute.value for attribute in thing.attributes
    }


def test_a_report_as_an_event():
    event = read(mispevent.event(record(case()), STYLE))
    assert event.uuid == mispevent.uuid("a" * 20)
    assert event.info == "Unsolicited mail, 12 copies: cheap € pills"
    assert (str(event.date)[:10], event.published, event.distribution) == ("2026-11-20", False, 0)
    assert [tag.name for tag in event.tags] == ["tlp:amber", "spamtrap"]
    assert attributes(event) == {
        "url": "http://shop.example/?id=1",
        "domain": "shop.example",
        "phone-number": "+15550100",
    }
    email, file = event.objects
    assert attributes(email) == {
        "ip-src": "93.184.216.34",
        "return-path": "joe@spammer.example",
        "from": "joe@spammer.example",
        "subject": "cheap € pills",
        "message-id": "<xxxx@spammer.example>",
    }
    assert attributes(file)["filename"] == "pills.exe"
    assert attributes(file)["size-in-bytes"] == str(len(FILE))
    assert [(each.relationship_type, each.referenced_uuid) for each in email.references] == [
        ("contains", file.uuid)
    ]


def test_only_what_is_wanted_is_marked_for_detection():
    """Anybody can name gmail.com in his mail."""
    event = read(mispevent.event(record(case()), STYLE))
    marked = [each.type for obj in (event, *event.objects) for each in obj.attributes if each.to_ids]
    assert sorted(marked) == ["ip-src", "md5", "sha1", "sha256"]
    wanted = STYLE._replace(to_ids=("url", "domain", "sender"))
    event = read(mispevent.event(record(case()), wanted))
    marked = [each.type for obj in (event, *event.objects) for each in obj.attributes if each.to_ids]
    assert sorted(marked) == ["domain", "email-src", "email-src", "url"]


def test_the_same_report_is_the_same_event():
    text = mispevent.event(record(case()), STYLE)
    assert text == mispevent.event(record(case()), STYLE)
    assert read(text).uuid != read(mispevent.event(record(case(id="b" * 20)), STYLE)).uuid


def test_the_sample_goes_along_if_wanted():
    header = read(mispevent.event(record(case(), "header"), STYLE._replace(sample="header")))
    assert attributes(header.objects[0])["header"].startswith("From: =?utf-8?q?Joe")
    whole = read(mispevent.event(record(case(), "message"), STYLE._replace(sample="message")))
    (eml,) = (each for each in whole.objects[0].attributes if each.object_relation == "eml")
    assert base64.b64decode(eml.to_dict()["data"]) == MESSAGE


def test_a_group_is_named_where_there_is_one():
    event = read(mispevent.event(record(case()), STYLE._replace(distribution=4, sharing_group=7)))
    assert (event.distribution, int(event.sharing_group_id)) == (4, 7)


@pytest.mark.parametrize("message", [b"", MESSAGE])
def test_little_is_known(message: bytes):
    bare = record(case(envelope=Envelope(), notes={}, message=message, weight=1))
    assert read(mispevent.event(bare, STYLE)).info.startswith("Unsolicited mail, 1 copy")


def test_a_masked_file_has_no_check_sums_and_says_so():
    noted = NOTES | {"extract": {"attachments": [{"sha256": "0" * 64}]}}
    _, file = read(mispevent.event(record(case(notes=noted)), STYLE)).objects
    assert not {"md5", "sha1", "sha256"} & set(attributes(file))
    assert "masked" in file.comment


_TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc", "Z")), min_size=1, max_size=40)


@given(_TEXT, _TEXT, st.lists(_TEXT, max_size=4))
def test_whatever_is_written_in_the_mail(subject: str, name: str, domains: list[str]):
    told = Record(
        version=1, id="i", campaign="c", first="2026-11-20T07:00:00Z", last="2026-11-20T07:00:00Z", weight=1,
        subject=subject, from_=name, links=[Link(f"http://a.example/{each}", each) for each in domains],
        domains=domains[:2], files=[File(name, 1), File(name, 1)],
    )  # fmt: skip
    read(mispevent.event(told, STYLE))


@pytest.mark.parametrize("field", ["X-To: kim", "Received: from a\n\t192.0.2.77"])
def test_the_gate_reads_header_fields_in_an_event_as_such(field: str):
    """As JSON has them, "\\n" hides where a word begins, and the end of a line."""
    ours = Identities(
        domains=frozenset({"trap.example"}), ips=frozenset({"192.0.2.77"}), words=frozenset({"kim"})
    )
    text = f"Subject: =?utf-8?q?p=C3=A4ckchen?=\n{field}\n\n".encode()
    told = record(case(message=text), "header")
    assert leaks(mispevent.event(told, STYLE._replace(sample="header")), ours)
    clean = record(case(message=b"Subject: a\nX-To: you\n\n"), "header")
    assert not leaks(mispevent.event(clean, STYLE._replace(sample="header")), ours)


@pytest.mark.parametrize(
    "data", [b'{"a":"\xc7\\ny"}', b"[" * 100_000, b'{"a":"\\ud800\\n"}', b"{\\rtf1 \xff}", b"[1e999]"]
)
def test_what_only_begins_like_json_is_read_like_anything(data: bytes):
    ours = Identities(domains=frozenset({"trap.example"}))
    assert [leak for leak in leaks(data + b" joe@trap.example", ours) if leak.name == "trap.example"]
