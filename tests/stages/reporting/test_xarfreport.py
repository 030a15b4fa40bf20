"""Reports in XARF: the makers' own package finds no fault in them."""

import base64
import hashlib
import json
import uuid
from typing import Any

import pytest
import xarf
from feedbackkit import WRITER, fields, parts, spam
from hookkit import MESSAGE
from hypothesis import given
from hypothesis import strategies as st

from stages.reporting.xarfreport import is_tellable, xarf_mail
from trap.reports import Refused


def mail(max_size=100_000, precision=60.0, **changes) -> bytes:
    return xarf_mail(spam(**changes), "abuse@isp.example", WRITER, max_size=max_size, precision=precision)


def report(**changes) -> dict[str, Any]:
    _, (*_, attached) = parts(mail(**changes))
    found: dict[str, Any] = json.loads(attached.get_content())
    return found


def faults(told: dict[str, Any]) -> list[Any]:
    found = xarf.parse(told)
    return [*found.errors, *found.warnings]


def test_what_it_tells():
    told = report()
    (evidence,) = told.pop("evidence")
    assert base64.b64decode(evidence.pop("payload")) == MESSAGE
    assert evidence == {
        "content_type": "message/rfc822",
        "description": "The message, redacted; its signatures are broken",
        "hash": f"sha256:{hashlib.sha256(MESSAGE).hexdigest()}",
        "size": len(MESSAGE),
    }
    us = {"org": "Example Reports", "contact": "reports@example.org", "domain": "example.org"}
    assert uuid.UUID(told.pop("report_id")).version == 4
    assert told == {
        "xarf_version": "4.2.0",
        "timestamp": "2026-11-20T07:02:00Z",
        "reporter": us,
        "sender": us,
        "source_identifier": "192.0.2.7",
        "source_port": 40123,
        "category": "messaging",
        "type": "spam",
        "protocol": "smtp",
        "smtp_from": "joe@spammer.example",
        "subject": "cheap € pills",
        "message_id": "<xxxx@spammer.example>",
        "evidence_source": "spamtrap",
        "spam_indicators": {
            "suspicious_links": ["http://shop.example/?id=1"],
            "bulk_characteristics": True,
        },
        "description": "Unsolicited mail to spamtraps, copies: 12, 2026-11-20T07:02:00Z to "
        "2026-11-20T08:06:00Z. Redacted (RFC 6590).",
    }


def test_the_makers_package_reads_it():
    assert faults(report()) == []


def test_all_that_is_recommended_is_told_but_who_received_it_and_what_nobody_measured():
    strict = xarf.parse(report(), strict=True).errors
    assert sorted(error.message for error in strict) == [
        "'confidence' is a required property",
        "'smtp_to' is a required property",
    ]


@given(
    st.text(max_size=30),
    st.lists(st.text(max_size=30).map(lambda text: f"http://shop.example/{text}"), max_size=5),
    st.binary(max_size=500),
    st.integers(1, 100),
)
def test_whatever_the_message_is(local, urls, message, weight):
    changes: dict[str, Any] = {"message": message, "weight": weight, "notes": {"extract": {"urls": urls}}}
    try:
        told = report(session={"mail_from": f"{local}@spammer.example"}, **changes)
    except Refused:
        told = report(**changes)
    assert faults(told) == []


def test_the_same_report_has_the_same_name():
    assert report()["report_id"] == report()["report_id"] != report(id="b" * 20)["report_id"]


def test_of_a_large_message_the_header_is_the_evidence():
    (evidence,) = report(max_size=300)["evidence"]
    assert evidence["content_type"] == "text/rfc822-headers"
    assert base64.b64decode(evidence["payload"]) == MESSAGE.partition(b"\r\n\r\n")[0] + b"\r\n"


def test_the_mail_that_carries_it():
    whole, (human, _, attached) = parts(mail())
    assert whole.get_content_type() == "multipart/report"
    assert whole.get_param("report-type") == "feedback-report"
    assert whole["Subject"] == "Abuse report: spam from 192.0.2.7"
    assert "is redacted" in human.get_content()
    assert fields(mail()).items() == [
        ("Feedback-Type", "xarf"),
        ("User-Agent", "spamtrap/1"),
        ("Version", "1"),
    ]
    assert (attached.get_content_type(), attached.get_filename()) == ("application/json", "xarf.json")
    assert mail().isascii()


@pytest.mark.parametrize("session", [{"mail_from": ""}, {"client_port": 0}, {"client_ip": "10.0.0.1"}])
def test_what_xarf_can_not_tell_of(session):
    with pytest.raises(Refused, match="XARF asks for"):
        mail(session=session)


def test_that_is_known_beforehand():
    assert is_tellable("joe@spammer.example", 40123)
    assert not is_tellable("", 40123)
    assert not is_tellable("joe@spammer.example", 0)
