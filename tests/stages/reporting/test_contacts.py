"""Who is told: by the file, the registries or the operator; never as the message says, never ourselves."""

from typing import Any

import pytest
from rdapkit import Registry, entity, network

from stages.reporting.contacts import MAX_TOLD, Contacts, Sources
from stages.reporting.rdap import Registries
from trap.envelope import Envelope
from trap.job import Job
from trap.redaction.identities import Identities

TRAP = Identities.named(["trap.example", "joe@other.example"])._replace(hosts=frozenset({"mx.isp.example"}))
MAP = """
192.0.2.0/24      abuse@isp.example
192.0.2.66        -
AS64496           abuse@transit.example
hoster.example    abuse@hoster.example
esp.example       abuse@esp.example
"""
MESSAGE = (
    b"From: x@hoster.example\nReply-To: abuse@evil.example\nX-Report-Abuse-To: abuse@evil.example\n\nhi\n"
)


@pytest.fixture
def contacts(tmp_path):
    made = []

    def make(text: str = MAP, **settings: Any) -> Contacts:
        (tmp_path / "contacts").write_text(text)
        sources = Sources(map=str(tmp_path / "contacts"), **settings)
        made.append(Contacts(sources, TRAP, "reports@example.org", tmp_path / "rdap.cache"))
        return made[-1]

    yield make
    for each in made:
        each.close()


def job(ip: str = "192.0.2.7", **notes: Any) -> Job:
    return Job("1" * 24, Envelope(client_ip=ip, mail_from="x@hoster.example"), notes, MESSAGE)


async def test_the_network_that_it_came_from(contacts):
    assert await contacts().of(job()) == ["abuse@isp.example"]


async def test_the_name_of_the_host_if_dns_confirms_it(contacts):
    known = contacts()
    noted = {"ptr": "vm7.hoster.example"}
    assert await known.of(job("203.0.113.7", dns={**noted, "ptr_confirmed": True})) == [
        "abuse@hoster.example"
    ]
    assert await known.of(job("203.0.113.7", dns={**noted, "ptr_confirmed": False})) == []


async def test_the_autonomous_system(contacts):
    assert await contacts().of(job("203.0.113.7", dns={"asn": 64496})) == ["abuse@transit.example"]


async def test_who_passed_it_on_for_whom(contacts):
    """Of mail that a host of ours passed on, dns knows the client."""
    assert await contacts().of(job("10.0.0.1", dns={"client": "192.0.2.7"})) == ["abuse@isp.example"]


async def test_domains_that_answer_for_it_too_where_the_file_names_them(contacts):
    found = await contacts().of(job(auth={"authenticated": ["mail.esp.example", "unknown.example"]}))
    assert found == ["abuse@isp.example", "abuse@esp.example"]


async def test_what_the_message_says_is_never_believed(contacts):
    known = contacts(default=["default@example.org"])
    assert await known.of(job("203.0.113.7")) == ["default@example.org"]


async def test_nobody_where_the_file_says_so(contacts):
    known = contacts(default=["default@example.org"])
    assert await known.of(job("192.0.2.66", auth={"authenticated": ["esp.example"]})) == []


@pytest.mark.parametrize("ip", ["", "10.0.0.1", "127.0.0.1", "unix"])
async def test_nobody_when_it_came_from_nowhere_in_the_internet(contacts, ip):
    assert await contacts(default=["default@example.org"]).of(job(ip)) == []


async def test_registries_are_asked_where_the_file_says_nothing(contacts):
    async with Registry() as registry:
        isp = entity("abuse", mail="abuse@third.example"), entity("abuse", mail="abuse@trap.example")
        registry.answers["203.0.113.7"] = network("203.0.113.0", "203.0.113.255", *isp)
        rdap = Registries(servers={"0.0.0.0/0": registry.url})
        known = contacts(rdap=rdap, default=["default@example.org"])
        assert await known.of(job()) == ["abuse@isp.example"]
        assert registry.asked == []
        assert await known.of(job("203.0.113.7")) == ["abuse@third.example"]
        assert await known.of(job("198.51.100.7")) == ["default@example.org"]
        assert [finding.address for finding in known.findings()] == ["contacts", "rdap"]


async def test_whoever_has_a_network_sends_nobody_more_than_a_few_reports(contacts):
    """He may write into the registry whom he likes; the file's contacts get all."""
    async with Registry() as registry:
        registry.answers["203.0.113.7"] = network(
            "203.0.113.0", "203.0.113.255", entity("abuse", mail="victim@third.example")
        )
        known = contacts(
            rdap=Registries(servers={"0.0.0.0/0": registry.url}, daily=3), default=["default@example.org"]
        )
        told = [await known.of(job("203.0.113.7"), f"campaign {number}") for number in range(10)]
        assert told == [["victim@third.example"]] * 3 + [[]] * 7
        assert [await known.of(job(), f"campaign {number}") for number in range(10)] == [
            ["abuse@isp.example"]
        ] * 10


async def test_a_registry_that_is_away_costs_no_report_that_somebody_else_may_get(contacts):
    rdap = Registries(servers={"0.0.0.0/0": "http://127.0.0.1:1/"})
    assert await contacts(rdap=rdap, default=["default@example.org"]).of(job("203.0.113.7")) == [
        "default@example.org"
    ]
    assert await contacts(rdap=rdap).of(job("203.0.113.7")) == []


@pytest.mark.parametrize(
    "name", ["abuse@isp.example", "ABUSE@ISP.example", "isp.example", "example", "@isp.example"]
)
async def test_who_never_gets_a_report(contacts, name):
    assert await contacts(never=[name]).of(job()) == []


async def test_who_alone_gets_reports(contacts):
    assert await contacts(only=["isp.example"]).of(job()) == ["abuse@isp.example"]
    assert await contacts(only=["third.example"]).of(job()) == []


async def test_long_lists_stand_in_a_file(contacts, tmp_path):
    """Such as one of providers of throw-away addresses."""
    (tmp_path / "disposable").write_text("# throw-away\nmailinator.example\nisp.example\n")
    assert await contacts(never=[str(tmp_path / "disposable")]).of(job()) == []


async def test_not_everybody_at_once(contacts):
    known = contacts("192.0.2.7 " + " ".join(f"a{number}@isp.example" for number in range(10)))
    assert len(await known.of(job())) == MAX_TOLD


@pytest.mark.parametrize("address", ["abuse@trap.example", "abuse@a.trap.example", "abuse@mx.isp.example",
                                     "Joe@other.example"])  # fmt: skip
def test_nobody_is_told_at_a_name_of_the_traps_own(contacts, address):
    with pytest.raises(ValueError, match=r"contacts:1: .*is at a name of the trap's own"):
        contacts(f"192.0.2.0/24 {address}")
    with pytest.raises(ValueError, match=r"contacts: default: .*is at a name of the trap's own"):
        contacts(default=[address])


def test_we_do_not_write_to_ourselves(contacts):
    with pytest.raises(ValueError, match=r"reports@example\.org is who writes the reports"):
        contacts(default=["reports@example.org"])


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"default": ["nobody"]}, "contacts: default: 'nobody' is no address"),
        ({"never": ["a b"]}, "contacts: never: 'a b' is no address or domain"),
        ({"only": ["/nowhere/list"]}, "/nowhere/list: no such file or directory"),
    ],
)
def test_settings_that_make_no_sense(contacts, settings, why):
    with pytest.raises(ValueError, match=why):
        contacts(**settings)
