"""STIX: every bundle is one to the reference library, and says what the report does."""

import calendar
import json
import time
from typing import Any

import pytest
import stix2
from hookkit import NOTES, case
from hypothesis import given
from hypothesis import strategies as st
from stix2patterns.v21.pattern import Pattern

from stages.reporting import stix
from stages.reporting.record import File, Link, Record, record
from trap.envelope import Envelope

STYLE = stix.Style("A trap", "amber", ("ip", "hash"), 7 * 86400)
OBSERVED = {
    "email-message": stix2.EmailMessage,
    "email-addr": stix2.EmailAddress,
    "ipv4-addr": stix2.IPv4Address,
    "url": stix2.URL,
    "domain-name": stix2.DomainName,
    "file": stix2.File,
}
ALL = STYLE._replace(indicators=("ip", "url", "domain", "hash"))


def read(text: bytes) -> Any:
    """A bundle, as the reference library sees it; it raises on whatever is against the standard."""
    return stix2.parse(text.decode(), allow_custom=False)


def by_type(text: bytes) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for thing in stix.objects(text):
        found.setdefault(thing["type"], []).append(thing)
    return found


def test_a_report_as_a_bundle():
    text = stix.bundle(record(case()), STYLE)
    read(text)
    found = by_type(text)
    assert {kind: len(things) for kind, things in found.items()} == {
        "marking-definition": 1,
        "identity": 1,
        "email-message": 1,
        "email-addr": 1,
        "ipv4-addr": 1,
        "url": 1,
        "domain-name": 1,
        "file": 1,
        "observed-data": 1,
        "indicator": 2,
        "relationship": 2,
    }
    assert found["observed-data"][0]["number_observed"] == 12
    assert found["email-message"][0]["subject"] == "cheap € pills"
    assert found["email-addr"][0]["value"] == "joe@spammer.example"
    address, file = (sign["pattern"] for sign in found["indicator"])
    assert address == "[ipv4-addr:value = '93.184.216.34']"
    assert file.startswith("[file:hashes.'SHA-256' = '")
    assert found["indicator"][0]["valid_until"] == "2026-11-27T08:00:00.000Z"


def test_everything_is_marked_and_has_the_same_names_again():
    text = stix.bundle(record(case()), ALL)
    assert text == stix.bundle(record(case()), ALL)
    for thing in stix.objects(text):
        if thing["type"] not in ("marking-definition", "identity"):
            assert thing["object_marking_refs"] == [stix2.TLP_AMBER.id]


def test_observed_objects_have_the_names_that_the_standard_gives():
    """So what others have seen, too, is the same object to whoever reads both."""
    observed = [one for one in stix.objects(stix.bundle(record(case()), ALL)) if one["type"] in OBSERVED]
    assert len(observed) == len(OBSERVED)
    for one in observed:
        values = {key: value for key, value in one.items() if key not in ("id", "type")}
        assert OBSERVED[one["type"]](**values).id == one["id"]


@pytest.mark.parametrize("tlp", ["white", "green", "amber", "red"])
def test_markings_are_the_standards_own(tlp: Any):
    text = stix.bundle(record(case()), STYLE._replace(tlp=tlp))
    (made,) = by_type(text)["marking-definition"]
    assert made["id"] == getattr(stix2, f"TLP_{tlp.upper()}").id
    read(text)


def test_what_is_named_only_is_a_sign_by_itself_only_if_wanted():
    """Anybody can name gmail.com in his mail."""
    assert len(by_type(stix.bundle(record(case()), ALL))["indicator"]) == 4
    assert "indicator" not in by_type(stix.bundle(record(case()), STYLE._replace(indicators=())))


def test_v6_and_an_empty_report():
    text = stix.bundle(record(case(envelope=Envelope(client_ip="2A01:4f8::1"))), ALL)
    read(text)
    assert by_type(text)["ipv6-addr"][0]["value"] == "2a01:4f8::1"
    bare = stix.bundle(record(case(envelope=Envelope(), notes={}, message=b"")), ALL)
    read(bare)
    assert len(by_type(bare)["observed-data"][0]["object_refs"]) == 1


def test_taken_back_it_is_a_newer_version_of_the_same():
    text = stix.bundle(record(case()), ALL)
    back = stix.revocation(text, calendar.timegm((2026, 11, 21, 0, 0, 0)) + 0.25)
    read(back)
    before = {thing["id"]: thing for thing in stix.objects(text)}
    assert {thing["type"] for thing in stix.objects(back)} == {"indicator", "observed-data", "relationship"}
    for thing in stix.objects(back):
        assert thing["revoked"] and thing["modified"] == "2026-11-21T00:00:00.250Z"
        assert thing["created"] == before[thing["id"]]["created"]
    assert stix.objects(stix.revocation(text))[0]["modified"][:4] >= time.strftime("%Y")


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b'{"objects": 1}', b'{"objects": [1]}'])
def test_what_is_no_bundle_is_no_bundle(text: bytes):
    with pytest.raises(ValueError, match="no STIX bundle"):
        stix.objects(text)


def test_bundles_put_together_hold_each_version_once():
    one, other = stix.bundle(record(case()), ALL), stix.bundle(record(case(id="b" * 20)), ALL)
    both = stix.packed([*stix.objects(one), *stix.objects(other), *stix.objects(one)])
    read(both)
    ids = [thing["id"] for thing in stix.objects(both)]
    assert len(ids) == len(set(ids))
    assert len(by_type(both)["observed-data"]) == 2 and len(by_type(both)["email-message"]) == 1


_TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=40)


@given(_TEXT, _TEXT, _TEXT)
def test_whatever_is_written_in_the_mail(subject: str, path: str, name: str):
    told = Record(
        version=1, id="i", campaign="c", first="2026-11-20T07:00:00Z", last="2026-11-20T07:00:00Z", weight=1,
        subject=subject, from_=f"{name} <{name}@x.example>", domains=[path],
        links=[Link(f"http://a.example/{path}", "a.example")],
        files=[File(name, 1, "", "0" * 64, "0" * 40, "0" * 32)],
    )  # fmt: skip
    text = stix.bundle(told, ALL)
    read(text)
    for sign in by_type(text)["indicator"]:
        Pattern(sign["pattern"])


def test_a_wallet_is_in_no_bundle_yet_and_does_no_harm():
    text = stix.bundle(record(case(notes=NOTES)), ALL)
    assert "bc1q" not in json.dumps(json.loads(text))
