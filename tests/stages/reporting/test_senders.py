"""Large senders: who is never reported and never listed."""

from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest

from stages.names.relays import is_public
from stages.reporting.senders import LargeSenders
from stages.shared.suffixes import registrable

senders = LargeSenders()


@pytest.mark.parametrize(
    ("domain", "owner"),
    [
        ("gmail.com", "Google"),
        ("GMAIL.com.", "Google"),
        ("mail.yahoo.co.jp", "Yahoo and AOL"),
        ("docs.google.com", "Google"),
        # What a customer was given is the customer's; what it is given from is not.
        ("blogspot.com", "Google"),
        ("joe.blogspot.com", ""),
        ("s3.amazonaws.com", "Amazon"),
        ("bucket.s3.amazonaws.com", ""),
        ("fonts.googleapis.com", "Google"),
        # Only the name itself counts, not what looks like it.
        ("google.com.evil.example", ""),
        ("notgmail.com", ""),
        ("paypal.support", ""),
        ("com", ""),
        ("", ""),
        ("x." * 200 + "gmail.com", ""),
    ],
)
def test_whose_a_domain_is(domain, owner):
    assert senders.owns_domain(domain) == owner


@pytest.mark.parametrize(
    ("ip", "ptr", "owner"),
    [
        ("209.85.208.41", "", "Google"),
        ("::ffff:209.85.208.41", "", "Google"),
        ("2a00:1450:4864:20::541", "", "Google"),
        ("192.0.2.1", "mail-ed1-f41.google.com", "Google"),
        ("192.0.2.1", "a8-88.smtp-out.amazonses.com.", "Amazon"),
        # Machines that anybody rents, and lines of an access provider's customers, are no mail servers.
        ("192.0.2.1", "ec2-192-0-2-1.compute-1.amazonaws.com", ""),
        ("192.0.2.1", "1.2.0.192.bc.googleusercontent.com", ""),
        ("192.0.2.1", "c-192-0-2-1.hsd1.ca.comcast.net", ""),
        ("192.0.2.1", "resqmta.mail.comcast.net", "Comcast"),
        ("192.0.2.1", "google.com.evil.example", ""),
        ("", "", ""),
        ("/run/socket", "google.com", ""),
    ],
)
def test_whose_mail_server_an_address_is(ip, ptr, owner):
    assert senders.owns_ip(ip, ptr).startswith(owner) if owner else senders.owns_ip(ip, ptr) == ""


def test_a_network_may_hold_some_of_theirs():
    assert senders.overlaps(ip_network("209.85.0.0/16")) == "Google"
    assert senders.overlaps(ip_network("2a00:1450:4864:20::/64")) == "Google"
    assert senders.overlaps(ip_network("192.0.2.0/24")) == ""


def test_what_the_file_says_can_be_so():
    """Every name can be registered, every network is public, and each stands once."""
    known = senders._known
    assert all(registrable(name) for name in (*known.domains, *known.hosts))
    for version, kind in ((4, IPv4Address), (6, IPv6Address)):
        ranges = [(first, last) for first, last, _ in known.networks[version]]
        assert len(ranges) == len(set(ranges))
        assert all(is_public(kind(first)) for first, _ in ranges)
