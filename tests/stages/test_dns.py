"""dns: a message's client, relays and domains, by name servers and files of our own."""

import asyncio
import re
import time
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dns.rcode
import dns.reversename
import pytest
from daemons import Daemon, unbound
from dnskit import NameServer, except_for, late, name_server, saying, silently
from hypothesis import given
from hypothesis import strategies as st
from mmdbkit import GEOLITE_ASN, GEOLITE_COUNTRY, IPINFO, IPINFO_OLD, mmdb
from support import every, free_port

from stages.dns import Dns
from stages.names.blocklists import FAILURES, PAUSE, Zone, reverse
from stages.names.geo import Sources
from stages.names.relays import MAX_FIELDS, Trusted, address_of, is_public, relays
from trap.config import Duration
from trap.configfile import parse
from trap.envelope import Envelope
from trap.job import Job, new_id
from trap.plugin import build
from trap.stage import Pass, Unavailable

CLIENT, CLIENT6 = "192.0.2.7", "2001:db8::7"
SLACK = 3.0
"""Seconds that a loaded machine may take beyond any deadline."""


Notes = dict[str, Any]


def job(header: str = "", body: str = "", client: str = CLIENT, notes: Any = None, **envelope: Any) -> Job:
    """A message from a client."""
    message = f"{header}\r\n\r\n{body}\r\n".encode()
    return Job(new_id(), Envelope(client_ip=client, **envelope), notes or {}, message)


async def notes_of(message: Job, server: NameServer, **settings: Any) -> Notes:
    """What the stage notes of a message when it asks this server."""
    verdict = await Dns(server.address, **settings).process(message)
    assert isinstance(verdict, Pass)
    return verdict.notes


# By a real resolver


@pytest.fixture(scope="module")
def resolver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    records = [
        f"{dns.reversename.from_address(CLIENT)} 300 IN PTR mail.bad.example.",
        "mail.bad.example. 300 IN A 192.0.2.7",
        "7.2.0.192.origin.asn.example. 300 IN TXT '64496 | 192.0.2.0/24 | DE | ripencc | 2001-01-01'",
        "as64496.asn.example. 300 IN TXT '64496 | DE | ripencc | 2001-01-01 | EXAMPLE-AS Example Ltd, DE'",
        "7.2.0.192.bl.example. 300 IN A 127.0.0.2",
        "9.2.0.192.bl.example. 300 IN A 127.0.0.4",
        "bad.example.uri.example. 300 IN A 127.0.1.2",
        "2.0.0.127.bl.example. 300 IN A 127.0.0.2",
        "test.uri.example. 300 IN A 127.0.1.2",
    ]
    with unbound(tmp_path_factory.mktemp("unbound"), [line.replace("'", '"') for line in records]) as daemon:
        yield daemon


FULL = """
pipeline: [dns]
stages:
  dns:
    servers: ["{server}"]
    asn: {{zone: origin.asn.example, names: asn.example}}
    dnsbl: [{{zone: bl.example, codes: {{127.0.0.2: SBL}}}}]
    uribl: [uri.example]
    trusted: [198.51.100.0/24]
"""


async def test_all_that_can_be_known(resolver: Daemon) -> None:
    stage = build(parse(FULL.format(server=resolver.tcp)), "dns")
    header = (
        "Received: from x (x.example [198.51.100.1]) by mx.example\r\n"
        "Received: from y (y.example [192.0.2.9])\r\n by x; Fri, 20 Nov 2026 10:00:00 +0000\r\n"
        "From: Joe <joe@bad.example>"
    )
    verdict = await stage.process(job(header, "http://www.bad.example/x", helo="good.example"))
    assert verdict == Pass(
        {
            "ptr": "mail.bad.example",
            "ptr_confirmed": True,
            "asn": 64496,
            "as_name": "EXAMPLE-AS Example Ltd, DE",
            "country": "DE",
            "listed": {"bl.example": ["SBL"]},
            "relays": {"192.0.2.9": {"bl.example": ["127.0.0.4"]}},
            "uris": {"bad.example": {"uri.example": ["127.0.1.2"]}},
            "senders": {"bad.example": {"uri.example": ["127.0.1.2"]}},
        }
    )
    assert [finding.good for finding in await stage.check()] == [True, True]


# The client's name


BACK, BACK6 = "a.example. 60 A 192.0.2.7", "a.example. 60 AAAA 2001:db8::7"
NOWHERE = ["", "127.0.0.1", "10.1.2.3", "fe80::1%eth0", "::1", "/run/trap.sock", "1.2.3", "x"]


def pointer(ip: str, *names: str) -> list[str]:
    return [f"{dns.reversename.from_address(ip)} 60 PTR {name}." for name in names]


@pytest.mark.parametrize(
    ("client", "records", "expected"),
    [
        (CLIENT, [], ("", False)),
        (CLIENT, [*pointer(CLIENT, "a.example"), BACK], ("a.example", True)),
        (CLIENT, [*pointer(CLIENT, "a.example"), "a.example. 60 A 192.0.2.8"], ("a.example", False)),
        (CLIENT, pointer(CLIENT, "a.example"), ("a.example", False)),
        (CLIENT, [*pointer(CLIENT, "b.example", "a.example"), BACK], ("a.example", True)),
        (CLIENT6, [*pointer(CLIENT6, "a.example"), BACK6], ("a.example", True)),
        (CLIENT6, [*pointer(CLIENT6, "a.example"), BACK], ("a.example", False)),
        (f"::ffff:{CLIENT}", [*pointer(CLIENT, "a.example"), BACK], ("a.example", True)),
        (f"{CLIENT6}%eth0", [*pointer(CLIENT6, "a.example"), BACK6], ("a.example", True)),
        (CLIENT, pointer(CLIENT, r"a\032b\.c"), (r"a\032b\.c", False)),
    ],
)
async def test_a_name_counts_when_it_leads_back(client: str, records: list[str], expected: Any) -> None:
    async with name_server(*records) as server:
        notes = await notes_of(job(client=client), server)
        assert (notes["ptr"], notes["ptr_confirmed"]) == expected


async def test_of_many_names_a_few_are_looked_up() -> None:
    async with name_server(*pointer(CLIENT, *(f"{i}.example" for i in range(40)))) as server:
        await notes_of(job(), server)
        assert len(server.asked) == 1 + 5


async def test_a_name_that_can_not_be_looked_up_is_neither_right_nor_wrong() -> None:
    async with name_server(*pointer(CLIENT, "a.example")) as server:
        server.mood = except_for("a.example", saying(dns.rcode.SERVFAIL))
        assert await notes_of(job(), server) == {"ptr": "a.example", "missing": ["ptr"]}
        server.mood = except_for("arpa", saying(dns.rcode.SERVFAIL))
        assert await notes_of(job(), server) == {"missing": ["ptr"]}


@pytest.mark.parametrize("client", NOWHERE)
async def test_addresses_that_are_nobodys_are_not_asked_about(client: str) -> None:
    async with name_server() as server:
        assert await notes_of(job(client=client), server, dnsbl=["bl.example"]) == {}
        assert not server.asked


# Lists of addresses


LISTED = "7.2.0.192.bl.example. 60 A {}"


@pytest.mark.parametrize(
    ("answers", "codes"),
    [
        (["127.0.0.2"], ["127.0.0.2"]),
        (["127.0.0.2", "127.0.0.9"], ["127.0.0.2", "127.0.0.9"]),
        (["192.0.2.80"], None),  # somebody between us and the list, who answers everything
        (["192.0.2.80", "127.0.0.3"], ["127.0.0.3"]),
        ([], None),
    ],
)
async def test_a_client_is_listed_by_answers_that_begin_with_127(answers: list[str], codes: Any) -> None:
    async with name_server(*map(LISTED.format, answers)) as server:
        notes = await notes_of(job(), server, dnsbl=["bl.example"])
        assert notes.get("listed") == (codes and {"bl.example": codes})


async def test_codes_have_names() -> None:
    zone = Zone("bl.example", codes={"127.0.0.2": "SBL", "127.0.0.9": "DROP"})
    async with name_server(LISTED.format("127.0.0.2"), LISTED.format("127.0.0.4")) as server:
        notes = await notes_of(job(), server, dnsbl=[zone])
        assert notes["listed"] == {"bl.example": ["SBL", "127.0.0.4"]}


async def test_a_code_may_be_a_sum() -> None:
    zone = Zone("bl.example", bits={2: "spam", 4: "relay", 8: "phish"})
    async with name_server(LISTED.format("127.0.0.10")) as server:
        notes = await notes_of(job(), server, dnsbl=[zone])
        assert notes["listed"] == {"bl.example": ["spam", "phish"]}


async def test_ipv6_is_asked_by_nibbles() -> None:
    name = "7" + ".0" * 23 + ".8.b.d.0.1.0.0.2.bl.example."
    async with name_server(f"{name} 60 A 127.0.0.2") as server:
        assert (await notes_of(job(client=CLIENT6), server, dnsbl=["bl.example"]))["listed"]
        server.asked.clear()
        await notes_of(job(client=CLIENT6), server, dnsbl=[Zone("bl.example", ipv6=False)])
        assert not server.asked[f"{name} A"]


@pytest.mark.parametrize("code", ["127.255.255.252", "127.255.255.254", "127.0.0.1"])
async def test_a_refusal_is_no_listing_and_who_refuses_is_left_alone(code: str) -> None:
    async with name_server(LISTED.format(code)) as server:
        stage = Dns(server.address, dnsbl=["bl.example"])
        for client in (CLIENT, "192.0.2.8"):
            verdict = await stage.process(job(client=client))
            assert verdict.notes["refused"] == {"bl.example": code}
            assert not {"listed", "missing"} & verdict.notes.keys()
        assert not server.asked["8.2.0.192.bl.example. A"]


# Relays


@pytest.mark.parametrize(
    ("field", "found"),
    [
        ("from a (b.example [192.0.2.1]) by c ([192.0.2.9]) with ESMTP id 1.2.3.4; Fri", "192.0.2.1"),
        ("from [192.0.2.2] (HELO x) (192.0.2.1) by mx", "192.0.2.1"),
        ("from [192.0.2.2] by mx", "192.0.2.2"),
        ("from 192.0.2.2 (EHLO mx) by mx", "192.0.2.2"),
        ("from a (unknown [IPv6:2001:db8::1]) by mx", "2001:db8::1"),
        ("from a (unknown [::ffff:192.0.2.1]) by mx", "192.0.2.1"),
        ("from mx by a ([192.0.2.1])", ""),
        ("by mx with SMTP id x; 192.0.2.1", ""),
        ("(qmail 1 invoked by 192.0.2.1)", ""),
        ("from a (b [999.0.2.1] [10.0.0.1]) by mx", ""),
        ("from a (b [192.0.2.1.5]) by mx", ""),
        ("", ""),
    ],
)
def test_a_received_field_names_who_it_came_from(field: str, found: str) -> None:
    assert [*map(str, relays([field]))] == [found][: len(found)]


@given(st.lists(st.text("from by()[]:.%0123abcdef;\r\n\t ", max_size=300)))
def test_whatever_received_fields_say_there_are_only_public_addresses(fields: list[str]) -> None:
    assert all(map(is_public, relays(fields)))


async def test_relays_are_asked_about_newest_first_and_not_all() -> None:
    fields = "\r\n".join(f"Received: from x (x [192.0.2.{i}]) by y" for i in range(100, 250))
    async with name_server("100.2.0.192.bl.example. 60 A 127.0.0.2") as server:
        notes = await notes_of(job(fields), server, dnsbl=["bl.example"], max_asked=3)
        assert notes["relays"] == {"192.0.2.100": {"bl.example": ["127.0.0.2"]}}
        assert len([name for name in server.asked if "bl.example" in name]) == 1 + 3


async def test_mail_that_a_host_of_our_own_passed_on_has_its_client_in_its_newest_field() -> None:
    fields = "\r\n".join(
        f"Received: from x ({ip}) by y" for ip in ("[10.0.0.1]", "[198.51.100.3]", f"[{CLIENT}]")
    )
    async with name_server(LISTED.format("127.0.0.2")) as server:
        settings = {"dnsbl": ["bl.example"], "trusted": ["198.51.100.0/24"]}
        notes = await notes_of(job(fields, client="127.0.0.1"), server, **settings)
        assert (notes["client"], notes["listed"]) == (CLIENT, {"bl.example": ["127.0.0.2"]})
        assert not any("198" in name or "10." in name for name in server.asked)


async def test_a_private_address_is_not_believed_whom_it_has_mail_from() -> None:
    async with name_server(LISTED.format("127.0.0.2")) as server:
        settings: dict[str, Any] = {"dnsbl": ["bl.example"]}
        passed_on = job(f"Received: from x ([{CLIENT}]) by y", client="172.17.0.1")
        notes = await notes_of(passed_on, server, **settings)
        assert "client" not in notes
        assert notes["relays"] == {CLIENT: {"bl.example": ["127.0.0.2"]}}
        notes = await notes_of(passed_on, server, **settings, trusted=["172.17.0.1/32"])
        assert notes["client"] == CLIENT


def test_fields_beyond_a_number_are_not_read() -> None:
    assert relays(["from x"] * MAX_FIELDS + ["from [192.0.2.1]"]) == []


# Lists of domains


async def uris(body: str, *zones: str | Zone, header: str = "", **given: Any) -> set[str]:
    """Names that lists of domains are asked for about a message."""
    async with name_server() as server:
        await notes_of(job(header, body, client="", **given), server, uribl=zones)
        return {name.removesuffix(". A") for name in server.asked}


async def test_domains_are_asked_about_as_the_list_has_them() -> None:
    body = "http://www.shop.bad.example/a https://bad.example http://192.0.2.1/x"
    assert await uris(body, "uri.example") == {"bad.example.uri.example"}
    hosts = {"www.shop.bad.example.uri.example", "bad.example.uri.example"}
    assert await uris(body, Zone("uri.example", ask="host")) == hosts
    assert "1.2.0.192.uri.example" in await uris(body, Zone("uri.example", addresses=True))


async def test_what_extract_found_is_taken_instead() -> None:
    known = {"extract": {"urls": ["http://hidden.example/"], "domains": ["said.example"]}}
    asked = await uris("http://bad.example", "uri.example", notes=known)
    assert asked == {"hidden.example.uri.example", "said.example.uri.example"}


async def test_who_sends_is_asked_about_too() -> None:
    given = {"helo": "mx.a.example", "mail_from": "x@b.example", "header": 'From: "C" <x@c.example>'}
    assert await uris("", "uri.example", **given) == {f"{name}.example.uri.example" for name in "abc"}
    assert await uris("", Zone("uri.example", senders=False), **given) == set()


async def test_the_number_of_domains_is_bounded() -> None:
    body = " ".join(f"http://a{i}.example/" for i in range(90))
    assert len(await uris(body, "uri.example")) == 10


# Networks and countries


ASN = Sources(zone="origin.example", zone6="origin6.example", names="asn.example")


async def test_the_most_precise_network_counts() -> None:
    async with name_server(
        '7.2.0.192.origin.example. 60 TXT "64496 | 192.0.0.0/16 | US | arin | 2001-01-01"',
        '7.2.0.192.origin.example. 60 TXT "64497 64498 | 192.0.2.0/24 | DE | ripencc | 2001-01-01"',
        'as64497.asn.example. 60 TXT "64497 | DE | ripencc | 2001-01-01 | EXAMPLE \\195\\188 Ltd, DE"',
    ) as server:
        notes = await notes_of(job(), server, asn=ASN)
        assert (notes["asn"], notes["country"], notes["as_name"]) == (64497, "DE", "EXAMPLE ü Ltd, DE")


async def test_networks_of_ipv6_have_a_zone_of_their_own() -> None:
    name = dns.reversename.from_address(CLIENT6).to_text().replace("ip6.arpa", "origin6.example")
    async with name_server(f'{name} 60 TXT "64496 | 2001:db8::/32 | DE | ripencc | "') as server:
        notes = await notes_of(job(client=CLIENT6), server, asn=ASN)
        assert (notes["asn"], notes["country"]) == (64496, "DE")


@pytest.mark.parametrize(
    "text", ["", "|", "x | y | z", "-1 | | Germany", "99999999999 | | de", "NA | x | \\027[1m"]
)
async def test_nonsense_is_not_noted(text: str) -> None:
    async with name_server(f'7.2.0.192.origin.example. 60 TXT "{text}"') as server:
        assert (await notes_of(job(), server, asn=ASN)).keys() == {"ptr", "ptr_confirmed"}


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (GEOLITE_ASN, {"asn": 64496, "as_name": "Example Ltd"}),
        (GEOLITE_COUNTRY, {"country": "DE"}),
        (IPINFO, {"asn": 64497, "as_name": "Other Ltd", "country": "FR"}),
        (IPINFO_OLD, {"asn": 64498, "as_name": "Old Ltd", "country": "NL"}),
        ({"country": 5, "asn": [], "name": {}, "registered_country": {"iso_code": "DE"}}, {}),
        ("text", {}),
    ],
)
async def test_files_of_several_makers(tmp_path: Path, entry: Any, expected: Notes) -> None:
    file = mmdb(tmp_path / "x.mmdb", {"192.0.2.0/24": entry, "2001:db8::/32": entry})
    async with name_server() as server:
        for client in (CLIENT, CLIENT6):
            notes = await notes_of(job(client=client), server, asn=Sources(mmdb=[str(file)]))
            assert {key: notes[key] for key in notes.keys() & {"asn", "as_name", "country"}} == expected


async def test_files_come_before_zones_and_complete_each_other(tmp_path: Path) -> None:
    files = [
        str(mmdb(tmp_path / "asn", {"192.0.2.0/24": GEOLITE_ASN}, version=4)),
        str(mmdb(tmp_path / "country", {"192.0.2.0/24": GEOLITE_COUNTRY})),
    ]
    async with name_server() as server:
        stage = Dns(server.address, asn=Sources(zone="origin.example", zone6="o.example", mmdb=files))
        notes = (await stage.process(job())).notes
        assert (notes["asn"], notes["country"]) == (64496, "DE")
        assert not [name for name in server.asked if "origin" in name]
        await stage.process(job(client=CLIENT6))  # which one of the files can't hold
        assert [name for name in server.asked if "o.example" in name]
        assert [found.text for found in await stage.check()] == ["Test, 24 nodes", "Test, 120 nodes"]


async def test_a_file_that_is_replaced_is_read_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = mmdb(tmp_path / "x.mmdb", {"192.0.2.0/24": IPINFO})
    async with name_server() as server:
        stage = Dns(server.address, asn=Sources(mmdb=[str(file)]))

        async def asn() -> Any:
            stage.tick()
            return (await stage.process(job())).notes["asn"]

        assert await asn() == 64497
        file.write_bytes(b"half of it")
        assert (await asn(), await asn()) == (64497, 64497)
        assert [record.levelname for record in caplog.records] == ["WARNING"]  # said once
        file.unlink()
        assert await asn() == 64497
        mmdb(file, {"192.0.2.0/24": IPINFO_OLD})
        assert await asn() == 64498


@pytest.mark.parametrize("content", [None, b"", b"x" * 200])
def test_a_file_that_is_none_is_told_at_the_start(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "x.mmdb"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises((OSError, ValueError), match=f"^{file}(: no such file| is not an MMDB file)"):
        Dns("127.0.0.1", asn=Sources(mmdb=[str(file)]))


async def test_a_damaged_file_never_hurts_a_message(tmp_path: Path) -> None:
    whole = mmdb(tmp_path / "x", {"192.0.2.0/24": IPINFO}).read_bytes()
    async with name_server() as server:
        for at in range(0, len(whole) - 200, 37):
            damaged = tmp_path / "y"
            damaged.write_bytes(whole[:at] + b"\xff\xff\xff" + whole[at + 3 :])
            notes = await notes_of(job(), server, asn=Sources(mmdb=[str(damaged)]))
            assert notes.keys() <= {"ptr", "ptr_confirmed", "asn", "as_name", "country"}


# When answers don't come


async def test_what_has_no_answer_in_time_is_missing_and_nothing_else() -> None:
    async with name_server(LISTED.format("127.0.0.2")) as server:
        server.mood = except_for("slow", silently)
        begun = time.monotonic()
        stage = Dns(server.address, Duration("300ms"), dnsbl=["bl.example", "slow.example"])
        notes = (await stage.process(job())).notes
        assert time.monotonic() - begun < 0.3 + SLACK
        assert notes["listed"] == {"bl.example": ["127.0.0.2"]}
        assert notes["missing"] == ["slow.example"]


async def test_a_list_that_never_answers_is_left_alone_and_asked_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("stages.names.blocklists.PAUSE", 0.1)
    async with name_server("99.2.0.192.slow.example. 60 A 127.0.0.2") as server:
        server.mood = except_for("slow", saying(dns.rcode.SERVFAIL))
        stage = Dns(server.address, dnsbl=["slow.example"])
        for number in range(FAILURES + 5):
            verdict = await stage.process(job(client=f"192.0.2.{number}"))
            assert verdict.notes["missing"] == ["slow.example"]
        assert len([name for name in server.asked if "slow" in name]) == FAILURES
        assert "slow.example has no answers" in caplog.text
        server.mood = late(0)
        await asyncio.sleep(0.11)
        verdict = await stage.process(job(client="192.0.2.99"))
        assert verdict.notes["listed"] == {"slow.example": ["127.0.0.2"]}


async def test_a_list_that_had_no_answers_is_asked_by_one_message_at_a_time_that_waits_for_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("stages.names.blocklists.PATIENCE", 0.1)
    clients = [f"192.0.2.{number}" for number in range(100, 140)]
    async with name_server("139.2.0.192.slow.example. 60 A 127.0.0.2") as server:
        server.mood = except_for("slow", saying(dns.rcode.SERVFAIL))
        stage = Dns(server.address, Duration("20s"), dnsbl=["slow.example"])

        async def asked_about(clients: list[str]) -> int:
            before = sum(count for name, count in server.asked.items() if "slow" in name)
            await asyncio.gather(*(stage.process(job(client=client)) for client in clients))
            return sum(count for name, count in server.asked.items() if "slow" in name) - before

        assert await asked_about(clients[:FAILURES]) == FAILURES
        later = SimpleNamespace(monotonic=lambda: time.monotonic() + PAUSE)
        monkeypatch.setattr("stages.names.blocklists.time", later)
        server.mood = except_for("slow", late(0.5))
        begun = time.monotonic()
        assert await asked_about(clients[FAILURES:30]) == 1
        assert time.monotonic() - begun < 0.1 + SLACK
        await asyncio.sleep(0.6)  # the answer that nobody waited for ends it
        assert await asked_about(clients[30:]) == 10
        assert (await stage.process(job(client=clients[-1]))).notes["listed"]


async def test_what_is_known_of_a_list_that_has_no_answers_is_noted() -> None:
    async with name_server(LISTED.format("127.0.0.2")) as server:
        stage = Dns(server.address, dnsbl=["bl.example"])
        await stage.process(job())
        server.mood = except_for("bl.example", saying(dns.rcode.SERVFAIL))
        for number in range(FAILURES):
            assert (await stage.process(job(client=f"192.0.2.1{number}"))).notes["missing"]
            assert (await stage.process(job())).notes["listed"] == {"bl.example": ["127.0.0.2"]}
        assert (await stage.process(job(client="192.0.2.99"))).notes["missing"]
        assert not server.asked["99.2.0.192.bl.example. A"]


async def test_without_any_resolver_it_is_unavailable() -> None:
    stage = Dns(f"127.0.0.1:{free_port()}", dnsbl=["bl.example"])
    for _ in range(3):
        with pytest.raises(Unavailable, match="connection refused"):
            await stage.process(job())
    assert stage.backends.away
    stage.backends.close()


async def test_the_second_resolver_is_as_good() -> None:
    async with name_server(LISTED.format("127.0.0.2")) as server:
        stage = Dns([f"127.0.0.1:{free_port()}", server.address], dnsbl=["bl.example"])
        assert (await stage.process(job())).notes["listed"]
        stage.backends.close()


async def test_questions_end_with_the_job_that_asks_them() -> None:
    async with name_server() as server:
        server.mood = silently
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await Dns(server.address, dnsbl=["bl.example"]).process(job())


# Doctor


@pytest.mark.parametrize(
    ("records", "complaint"),
    [
        (["2.0.0.127.bl.example. 60 A 127.0.0.2"], ""),
        ([], "does not know the test entry 2"),
        (["2.0.0.127.bl.example. 60 A 127.255.255.254"], r"refuses us \(127\.255\.255\.254\)"),
        ([f"{n}.0.0.127.bl.example. 60 A 127.0.0.2" for n in (1, 2)], "lists everything"),
        (["2.0.0.127.bl.example. 60 A 192.0.2.80"], "does not know"),
    ],
)
async def test_doctor_tests_a_list(records: list[str], complaint: str) -> None:
    async with name_server(*records) as server:
        (finding,) = await Dns(server.address, dnsbl=["bl.example"]).check()
        assert finding.good is not bool(complaint)
        assert re.search(complaint or "knows its test entries", finding.text)


async def test_a_list_may_have_a_test_entry_of_its_own() -> None:
    async with name_server("dbltest.example.uri.example. 60 A 127.0.1.2") as server:
        (finding,) = await Dns(server.address, uribl=[Zone("uri.example", test="dbltest.example")]).check()
        assert finding.good


async def test_doctor_says_that_a_list_has_no_answer() -> None:
    async with name_server() as server:
        server.mood = except_for("bl.example", saying(dns.rcode.SERVFAIL))
        (finding,) = await Dns(server.address, dnsbl=["bl.example"]).check()
        assert not finding.good and "has no answer" in finding.text
    (finding,) = await Dns(f"127.0.0.1:{free_port()}", uribl=["uri.example"]).check()
    assert not finding.good and "no resolver answers" in finding.text


# Addresses and settings


@given(st.ip_addresses())
def test_addresses_are_turned_as_rfc_5782_says(address: IPv4Address | IPv6Address) -> None:
    turned = reverse(address).split(".")
    if address.version == 4:
        assert ".".join(turned[::-1]) == str(address)
    else:
        assert (len(turned), int("".join(turned[::-1]), 16)) == (32, int(address))


@given(st.text(max_size=50) | st.ip_addresses().map(str))
def test_what_is_no_address_is_none(text: str) -> None:
    address = address_of(text)
    assert address is None or ip_address(str(address)) == address


def test_own_networks_are_strangers_to_nobody() -> None:
    ours = Trusted(["192.0.2.0/24", "2001:db8::/32"])
    known = [*map(ip_address, ("192.0.2.1", "2001:db8::1", "203.0.113.1", "203.0.113.1", "224.0.0.1"))]
    assert ours.strangers(known) == [ip_address("203.0.113.1")]


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"dnsbl": ["bl example"]}, "is not the zone of a list"),
        ({"uribl": [""]}, "is not the zone of a list"),
        ({"dnsbl": [Zone("bl.example", codes={"2": "SBL"})]}, "'2' is no answer of a list"),
        ({"dnsbl": [Zone("bl.example", codes={"192.0.2.1": "SBL"})]}, "is no answer of a list"),
        ({"uribl": [Zone("bl.example", bits={256: "x"})]}, "bits are numbers from 1 to 255"),
        ({"trusted": ["ours"]}, "'ours' does not appear to be an IPv4 or IPv6 network"),
    ],
)
def test_settings_that_make_no_sense(settings: Notes, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Dns("127.0.0.1", **settings)


# Real mail


@pytest.fixture
def messages(corpus: Path) -> list[bytes]:
    return [path.read_bytes() for path in every(corpus.rglob("*.eml"), 40)]


async def test_the_corpus_has_no_message_that_it_fails_on(messages: list[bytes], resolver: Daemon) -> None:
    stage = build(parse(FULL.format(server=resolver.tcp)), "dns")
    found = 0
    for message in messages:
        verdict = await stage.process(Job.from_message(message, Envelope(client_ip=CLIENT, helo="x.example")))
        assert "missing" not in verdict.notes
        found += bool(relays(Job.from_message(message).headers.get_all("received")))
    assert found > 10
