"""What reports tell of a case: nothing half, nothing that breaks a line, no more precise than it may be."""

import re
from ipaddress import ip_address
from typing import Any

import pytest
from feedbackkit import spam
from hypothesis import given
from hypothesis import strategies as st

from stages.reporting.facts import MAX_URLS, Facts


def facts(precision: float = 60.0, **changes: Any) -> Facts:
    return Facts(spam(**changes), precision)


def test_where_it_came_from():
    assert (facts().client, facts().port) == (ip_address("192.0.2.7"), 40123)


@pytest.mark.parametrize("ip", ["", "10.0.0.1", "127.0.0.1", "::1", "fe80::1%eth0", "unix:", "qkw.rt.zz.x"])
def test_a_client_that_is_nobodys(ip):
    """Private, local, not there, or masked: there is nobody to tell."""
    assert facts(session={"client_ip": ip}).client is None


def test_mail_that_a_host_of_ours_passed_on():
    """Its client is whom dns found; the port is our host's, and is not told."""
    known = facts(notes={"dns": {"client": "198.51.100.9"}})
    assert (known.client, known.port) == (ip_address("198.51.100.9"), 0)
    by_lmtp = {"client_ip": "", "protocol": "lmtp"}
    assert facts(notes={"dns": {"client": "198.51.100.9"}}, session=by_lmtp).client == known.client


def test_of_what_came_from_a_file_nobody_is_to_blame():
    """Anybody may have written its Received fields."""
    by_file = {"client_ip": "", "protocol": "inject"}
    assert facts(notes={"dns": {"client": "198.51.100.9"}}, session=by_file).client is None


def test_its_name_only_if_dns_confirms_it():
    name = {"ptr": "Mail.ISP.example."}
    assert facts(notes={"dns": {**name, "ptr_confirmed": True}}).client_name == "mail.isp.example"
    assert facts(notes={"dns": {**name, "ptr_confirmed": False}}).client_name == ""
    assert facts(notes={"dns": {"ptr": "a b", "ptr_confirmed": True}}).client_name == ""


@pytest.mark.parametrize(
    ("precision", "told"), [(0.0, "07:02:05"), (1.0, "07:02:05"), (60.0, "07:02:00"), (3600.0, "07:00:00")]
)
def test_times_are_told_as_precisely_as_they_may_be(precision, told):
    assert f"{facts(precision).received:%H:%M:%S}" == told


def test_times_for_people():
    assert facts(60.0).stamp(facts(60.0).first) == "2026-11-20 07:02 UTC"
    assert facts(1.0).stamp(facts(1.0).first) == "2026-11-20 07:02:05 UTC"


@pytest.mark.parametrize(
    ("notes", "kind"),
    [
        ({}, "abuse"),
        ({"virus": {"clean": True}}, "abuse"),
        ({"virus": {"virus": "Win.Trojan.Agent"}}, "virus"),
        ({"virus": {"virus": "Heuristics.Phishing.Email.SpoofedDomain"}}, "fraud"),
        ({"rspamd": {"symbols": {"PHISHING": 4.0}}}, "fraud"),
        ({"rspamd": {"symbols": {"PHISHING": 0.2}}}, "abuse"),
        ({"spamd": {"rules": {"ADVANCE_FEE_3_NEW": 3.5, "BAYES_99": 3.5}}}, "fraud"),
        ({"spamd": {"rules": {"URI_PHISH": None}}}, "fraud"),
        ({"dns": {"uris": {"shop.example": {"uri.example": ["phish"]}}}}, "fraud"),
        ({"virus": "odd", "rspamd": {"symbols": []}, "spamd": [], "dns": {"uris": {"a": 1}}}, "abuse"),
    ],
)
def test_what_is_wrong_with_it(notes, kind):
    assert facts(notes=notes).kind == kind


def test_where_its_links_lead():
    assert facts().urls == ["http://shop.example/?id=1"]
    assert facts().domains == ["shop.example"]


@pytest.mark.parametrize(
    "url",
    [
        "http://mhx.zzzzzzz/u",  # masked
        "https://www.google.com/url?q=1",  # too large to be meant
        "mailto:joe@spammer.example",
        "http://shop.example/a b",
        "http://shop.example/\r\nVersion: 2",
        "http://bücher.example/",
        "http://[::1/",
        "http://shop.example/" + "x" * 500,
        7,
    ],
)
def test_links_that_are_left_out(url):
    assert facts(notes={"extract": {"urls": [url]}}).urls == []


def test_not_too_many_of_them():
    urls = [f"http://{number}.shop.example/" for number in range(100)]
    assert facts(notes={"extract": {"urls": urls}}).urls == urls[:MAX_URLS]


def test_how_the_sender_was_authenticated():
    notes = {
        "spf": {"result": "softfail", "identity": "mailfrom", "domain": "spammer.example"},
        "dkim": [{"result": "pass", "domain": "spammer.example", "selector": "s1", "why": "x"}],
        "dmarc": {"result": "fail", "domain": "bank.example"},
    }
    assert facts(notes={"auth": notes}).authentication("example.org") == (
        "example.org; spf=softfail smtp.mailfrom=spammer.example;"
        " dkim=pass header.d=spammer.example header.s=s1; dmarc=fail header.from=bank.example"
    )
    notes = {"spf": {"result": "pass", "identity": "helo", "domain": "pc.example"}}
    assert facts(notes={"auth": notes}).authentication("example.org") == (
        "example.org; spf=pass smtp.helo=pc.example"
    )
    assert facts(notes={"auth": {}}).authentication("example.org") == ""


def test_subject_and_message_id():
    assert facts().subject == "cheap € pills"
    assert facts().message_id == "<xxxx@spammer.example>"
    assert facts(message=b"Subject: =?utf-8?q?a=0Ab?=\n\n").subject == "a\\x0ab"
    assert facts(message=b"Message-ID: \xff\n\n").message_id == ""


_NOTES = st.recursive(
    st.none() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.fixed_dictionaries({"extract": _NOTES, "auth": _NOTES, "dns": _NOTES, "virus": _NOTES}), _NOTES)
def test_odd_notes_do_no_harm(notes, inner):
    notes["rspamd"] = {"symbols": inner}
    notes["auth"] = {"spf": inner, "dkim": inner, "dmarc": {"result": inner}} if inner else notes["auth"]
    known = facts(notes=notes)
    said = [
        str(known.client),
        known.kind,
        known.client_name,
        *known.urls,
        known.authentication("example.org"),
    ]
    assert all(re.fullmatch(r"[ -~]*", text) for text in said)
