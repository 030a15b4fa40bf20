"""Lists as others read them."""

import json
import subprocess
from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path

import dns.zone
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import need

from stages.listing.formats import Edition, Listed, _policy_ip, documents, listed
from stages.listing.names import named, written
from stages.listing.terms import LISTS, Lists, Publication
from trap.config import Duration
from trap.redaction.gate import leaks
from trap.redaction.identities import Identities

NOW = 1_763_640_000
SETTINGS = Publication(valid=Duration("1h"), ns=["ns.bl.example"], contact="joe.bl.example", reason="see $")


def made(name: str, *keys: str) -> dict[str, bytes]:
    """The files of a list."""
    also = "cd" * 16 if name == "files" else ""
    rows = [listed(key, also, NOW - 9000.5, NOW - 30.25, 7, 3) for key in keys]
    edition = Edition(name, Lists().bars[name], SETTINGS, NOW, NOW + 5)
    return dict(documents(edition, {row.key: row for row in rows}))


def test_what_is_told_is_coarse() -> None:
    """Who watches a list while he sends must not see which of his messages was counted."""
    assert listed("k", "", NOW + 1.0, NOW + 3599.0, 19, 6) == Listed("k", "", NOW, NOW, 10, 5)


def test_zones_of_rbldnsd_have_a_head_that_ends_them() -> None:
    head, *rows = made("addresses", "192.0.2.7")["addresses.ip4"].decode().split("+3600s\n")
    assert head.splitlines() == [
        f"$SOA 300 ns.bl.example joe.bl.example {NOW + 5} 300 300 3600 60",
        "$NS 300 ns.bl.example",
        "$TTL 300",
        "$TIMESTAMP 2025:11:20:12:00:00 ",
    ]
    assert rows[0].splitlines() == [
        "127.0.0.2 :127.0.0.2:Test entry, see RFC 5782",
        "192.0.2.7 :127.0.0.2:Sent mail to spamtraps: 5 or more, "
        "first 2025-11-20 09:00, last 2025-11-20 11:00 UTC; see $",
    ]


@pytest.mark.parametrize("name", LISTS)
def test_json_and_text_say_the_same(name: str) -> None:
    key = {"domains": "bad.example", "files": "ab" * 32}.get(name, "192.0.2.7")
    files = made(name, key)
    assert files[f"{name}.txt"].decode().splitlines()[1:] == [key]
    said = json.loads(files[f"{name}.json"])
    assert (said["list"], said["made"], said["expires"]) == (
        name,
        "2025-11-20T12:00:00Z",
        "2025-11-20T13:00:00Z",
    )
    (entry,) = said["entries"]
    assert key in entry.values()
    assert (entry["first"], entry["hits"], entry["networks"]) == ("2025-11-20T09:00:00Z", 5, 2)


@given(st.sets(st.ip_addresses(), max_size=20))
def test_a_policy_zone_is_a_zone(addresses: set[IPv4Address | IPv6Address]) -> None:
    keys = {written(address) for address in addresses}
    text = made("addresses", *keys)["addresses.rpz"].decode()
    zone = dns.zone.from_text(text, origin="policy.example.")
    assert zone.get_soa().serial == NOW + 5
    assert len(zone.nodes) == 1 + len(keys)


@pytest.mark.parametrize("name", ["addresses", "domains"])
def test_bind_takes_a_policy_zone(name: str, tmp_path: Path) -> None:
    keys = (
        ["bad.example", "xn--bcher-kva.example"]
        if name == "domains"
        else ["192.0.2.7", "2001:db8:0:1::/64", "::/64"]
    )
    (tmp_path / "zone").write_bytes(made(name, *keys)[f"{name}.rpz"])
    subprocess.run(
        [need("named-checkzone"), "policy.example", str(tmp_path / "zone")], check=True, capture_output=True
    )


@given(st.ip_addresses(v=6))
def test_triggers_of_ipv6_are_read_as_what_was_meant(address: IPv6Address) -> None:
    """The words backwards, the longest run of zeros as zz."""
    length, *words = _policy_ip(written(address)).removesuffix(".rpz-ip").split(".")
    before, zeros, behind = ":".join(reversed(words)).partition("zz")
    text = f"{before.removesuffix(':')}::{behind.removeprefix(':')}" if zeros else before
    assert "zz" not in behind
    assert ip_network(f"{text}/{length}") == ip_network(written(address))


def test_a_domain_that_fits_into_no_zone_is_in_none() -> None:
    long = ".".join(["a" * 60] * 3) + ".example"
    assert named(long) is not None
    files = made("domains", long, "bad.example")
    assert long.encode() not in files["domains.rpz"] + files["domains.dnset"]
    dns.zone.from_text(files["domains.rpz"].decode(), origin="policy.example.")


@pytest.mark.parametrize("name", LISTS)
def test_no_file_names_the_trap(name: str) -> None:
    key = {"domains": "bad.example", "files": "ab" * 32}.get(name, "192.0.2.7")
    identities = Identities.named(["joe.doe@trap.example", "mx.trap.example", "192.0.2.25"])
    for data in made(name, key).values():
        assert leaks(data, identities) == []
