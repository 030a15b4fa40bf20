"""The record: what of a redacted case is told as data, and that nothing odd in it makes that fail."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hookkit import FILE, MESSAGE, NOTES, case
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.reporting.record import MAX_SAMPLE, MAX_TEXT, Record, Revoked, encode, record
from trap.envelope import Envelope

SCHEMA = Path(__file__).parents[3] / "docs" / "report.schema.json"


def test_a_campaign_as_data():
    told = json.loads(encode(record(case())))
    assert told == {
        "type": "report",
        "version": 1,
        "id": "a" * 20,
        "campaign": "c" * 20,
        "first": "2026-11-20T07:00:00Z",
        "last": "2026-11-20T08:00:00Z",
        "weight": 12,
        "ip": "93.184.216.34",
        "asn": 15133,
        "country": "US",
        "helo": "pc.example",
        "mail_from": "joe@spammer.example",
        "from": "Joe Döe <joe@spammer.example>",
        "subject": "cheap € pills",
        "message_id": "<xxxx@spammer.example>",
        "authenticated": ["spammer.example"],
        "links": [{"url": "http://shop.example/?id=1", "host": "shop.example", "to": "http://end.example/"}],
        "domains": ["shop.example"],
        "contacts": ["joe@spammer.example"],
        "phones": ["+15550100"],
        "wallets": ["BTC:bc1q"],
        "files": [
            {
                "name": "pills.exe",
                "size": len(FILE),
                "type": "application/octet-stream",
                "sha256": hashlib.sha256(FILE).hexdigest(),
                "sha1": hashlib.sha1(FILE).hexdigest(),
                "md5": hashlib.md5(FILE).hexdigest(),
            }
        ],
        "scores": {"spamd": 7.12},
        "size": len(MESSAGE),
        "broken_signatures": ["dkim d=spammer.example"],
    }


def test_the_schema_in_the_documentation_is_that_of_the_code():
    """When it is not any more, write the one into the other: json.dumps(…, indent=2)."""
    assert json.loads(SCHEMA.read_text()) == msgspec.json.schema(Record | Revoked)


def test_what_was_masked_is_no_link_no_domain_and_no_contact():
    """A mask leads nowhere; who blocked it would block nothing, and who looked it up would show himself."""
    assert b".zzzzzzz" not in encode(record(case()))


def test_times_are_as_coarse_as_one_wants():
    assert record(case(), grain=60).first == "2026-11-20T07:02:00Z"
    assert record(case(), grain=86400).last == "2026-11-20T00:00:00Z"


@pytest.mark.parametrize(
    ("sample", "shown"),
    [("none", b""), ("header", MESSAGE.partition(b"\r\n\r\n")[0] + b"\r\n"), ("message", MESSAGE)],
)
def test_as_much_of_the_sample_as_is_wanted(sample: Any, shown: bytes):
    assert base64.b64decode(record(case(), sample).sample) == shown


def test_of_large_mail_the_header_is_told():
    """Half a file is none: nobody could open it, and the gate could not look into it."""
    large = record(case(message=MESSAGE + b"x" * MAX_SAMPLE), "message")
    assert base64.b64decode(large.sample) == MESSAGE.partition(b"\r\n\r\n")[0] + b"\r\n"
    assert large.size == len(MESSAGE) + MAX_SAMPLE
    assert len(record(case(message=b"a: " + b"x" * 2 * MAX_SAMPLE), "header").sample) < 1.4 * MAX_SAMPLE


def test_a_file_that_was_masked_has_no_check_sums():
    """Its own would be that of a file that names a trap; what extract noted is of the file as it came."""
    (file,) = record(case(notes=NOTES | {"extract": {"attachments": [{"sha256": "0" * 64}]}})).files
    assert (file.name, file.sha256, file.sha1, file.md5) == ("pills.exe", "", "", "")
    noted = {"attachments": [{"sha256": hashlib.sha256(FILE).hexdigest()}]}
    (file,) = record(case(notes={"extract": noted})).files
    assert file.sha256


@pytest.mark.parametrize(
    "ip", ["", "10.0.0.1", "127.0.0.1", "fe80::1%eth0", "192.0.2.1", "xx.11.11.1", "::1"]
)
def test_addresses_that_nobody_can_use_are_left_out(ip: str):
    assert record(case(envelope=Envelope(client_ip=ip))).ip == ""


def test_a_bare_message_makes_a_small_record():
    told = json.loads(encode(record(case(message=b"", envelope=Envelope(), notes={}, signatures=[]))))
    assert set(told) == {"type", "version", "id", "campaign", "first", "last", "weight"}


def test_texts_are_short_and_fit_to_be_shown():
    told = record(case(message=b"Subject: \x1b[2J" + b"a" * 9000 + b"\r\n\r\n"))
    assert len(told.subject) == MAX_TEXT
    assert "\x1b" not in told.subject


_DATA = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
_KEYS = st.sampled_from(["urls", "links", "domains", "addresses", "phones", "wallets", "attachments", "asn",
                         "country", "score", "authenticated", "virus"])  # fmt: skip


@settings(max_examples=20)
@given(st.dictionaries(st.sampled_from(sorted(NOTES)), _DATA | st.dictionaries(_KEYS, _DATA)), st.binary())
def test_whatever_notes_and_message_hold(notes: dict[str, Any], message: bytes):
    told = encode(record(case(notes=notes, message=message, envelope=Envelope(helo="\udcff"))))
    assert b"\n" not in told
    assert msgspec.json.decode(told, type=Record).id == "a" * 20
