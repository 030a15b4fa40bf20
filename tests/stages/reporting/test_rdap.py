"""Asking registries: whom, how often, and what is done when they do not answer."""

import asyncio
import json
import time
from ipaddress import ip_address
from typing import Any

import pytest
from rdapkit import SILENT, Registry, entity, network

from stages.reporting.rdap import Rdap, Registries
from trap.config import Duration

HOST = ip_address("192.0.2.7")
ISP = network("192.0.2.0", "192.0.2.255", entity("abuse", mail="abuse@isp.example"))


@pytest.fixture
async def registry():
    async with Registry() as there:
        yield there


@pytest.fixture
def ask(tmp_path):
    made = []

    def rdap(**settings: Any) -> Rdap:
        made.append(Rdap(Registries(**settings), tmp_path / "rdap.cache"))
        return made[-1]

    yield rdap
    for each in made:
        each.close()


async def test_the_registry_that_knows_a_network_is_asked_once(registry, ask):
    registry.answers["192.0.2.7"] = ISP
    rdap = ask(servers={"192.0.0.0/8": f"{registry.url}/rdap/"})
    assert await rdap.contacts(HOST) == ["abuse@isp.example"]
    assert await rdap.contacts(ip_address("192.0.2.200")) == ["abuse@isp.example"]
    assert registry.asked == ["/rdap/ip/192.0.2.7"]
    assert registry.accepts == ["Accept: application/rdap+json"]


async def test_the_bootstrap_file_of_iana_tells_who_that_is(registry, ask, tmp_path):
    registry.answers["2001:db8::7"] = network(
        "2001:db8::", "2001:db8:ffff::", entity("abuse", mail="a@b.example")
    )
    services = [[["198.51.100.0/24"], ["https://other.example/"]], [["2001:d00::/24"], [f"{registry.url}/"]]]
    (tmp_path / "ipv6.json").write_text(json.dumps({"version": "1.0", "services": services}))
    rdap = ask(bootstrap=[str(tmp_path / "ipv6.json")])
    assert await rdap.contacts(ip_address("2001:db8::7")) == ["a@b.example"]
    assert rdap.findings()[0].text == "2 networks of 2 registries"


async def test_an_address_that_no_registry_knows(registry, ask):
    rdap = ask(servers={"198.51.100.0/24": registry.url})
    assert await rdap.contacts(HOST) == []
    assert registry.asked == []


@pytest.mark.parametrize("address", ["10.0.0.1", "127.0.0.1", "169.254.1.1", "fd00::1", "224.0.0.1"])
async def test_nobody_is_asked_about_addresses_of_our_own(registry, ask, address):
    rdap = ask(servers={"0.0.0.0/0": registry.url, "::/0": registry.url})
    assert await rdap.contacts(ip_address(address)) == []
    assert registry.asked == []


async def test_that_nobody_is_named_is_remembered_for_a_shorter_time(registry, ask):
    registry.answers["192.0.2.7"] = network("192.0.2.0", "192.0.2.255")
    rdap = ask(servers={"192.0.0.0/8": registry.url}, keep_none=Duration("1h"))
    assert await rdap.contacts(HOST) == []
    assert await rdap.contacts(HOST) == []
    assert len(registry.asked) == 1
    sooner = ask(servers={"192.0.0.0/8": registry.url}, keep_none=Duration(0))
    registry.answers["192.0.2.7"] = ISP
    assert await sooner.contacts(HOST) == ["abuse@isp.example"]


async def test_a_network_that_is_not_there(registry, ask):
    rdap = ask(servers={"192.0.0.0/8": registry.url})
    assert await rdap.contacts(HOST) == []
    assert await rdap.contacts(HOST) == []
    assert len(registry.asked) == 1


async def test_an_old_answer_is_used_on_when_nobody_gives_a_new_one(registry, ask):
    registry.answers["192.0.2.7"] = ISP
    rdap = ask(servers={"192.0.0.0/8": registry.url}, keep=Duration(0))
    assert await rdap.contacts(HOST) == ["abuse@isp.example"]
    registry.answers["192.0.2.7"] = 500
    assert await rdap.contacts(HOST) == ["abuse@isp.example"]
    assert len(registry.asked) == 2


@pytest.mark.parametrize("answer", [500, 429, 204, b"<html>", b"x" * (600 << 10), b"[]"])
async def test_a_registry_that_fails_is_left_alone_for_a_while(registry, ask, answer):
    registry.answers["192.0.2.7"] = answer
    rdap = ask(servers={"192.0.0.0/8": registry.url})
    assert await rdap.contacts(HOST) is None
    assert await rdap.contacts(ip_address("192.0.2.8")) is None
    assert len(registry.asked) == 1


async def test_one_that_is_not_there(ask):
    rdap = ask(servers={"192.0.0.0/8": "http://127.0.0.1:1/"})
    assert await rdap.contacts(HOST) is None


async def test_one_that_is_silent_costs_its_time_once_however_many_ask(registry, ask):
    registry.answers["192.0.2.7"] = SILENT
    rdap = ask(servers={"192.0.0.0/8": registry.url}, timeout=Duration("200ms"))
    begun = time.monotonic()
    assert await asyncio.gather(*(rdap.contacts(HOST) for _ in range(20))) == [None] * 20
    assert time.monotonic() - begun < 0.2 + 3
    assert len(registry.asked) == 1


async def test_who_asks_at_once_gets_one_answer(registry, ask):
    registry.answers["192.0.2.7"] = ISP
    rdap = ask(servers={"192.0.0.0/8": registry.url})
    assert await asyncio.gather(*(rdap.contacts(HOST) for _ in range(20))) == [["abuse@isp.example"]] * 20
    assert len(registry.asked) == 1


async def test_only_so_many_questions_an_hour(registry, ask):
    rdap = ask(servers={"192.0.0.0/8": registry.url}, rate=3)
    answers = [await rdap.contacts(ip_address(f"192.0.2.{number}")) for number in range(5)]
    assert answers == [[], [], [], None, None]
    assert len(registry.asked) == 3


async def test_one_registry_may_point_to_another(registry, ask):
    async with Registry() as other:
        registry.answers["192.0.2.7"] = f"{other.url}/rdap/ip/192.0.2.7"
        other.answers["192.0.2.7"] = ISP
        rdap = ask(servers={"192.0.0.0/8": registry.url, "198.51.100.0/24": f"{other.url}/rdap"})
        assert await rdap.contacts(HOST) == ["abuse@isp.example"]


async def test_but_not_to_a_stranger(registry, ask):
    async with Registry() as stranger:
        registry.answers["192.0.2.7"] = f"{stranger.url}/ip/192.0.2.7"
        rdap = ask(servers={"192.0.0.0/8": registry.url})
        assert await rdap.contacts(HOST) == []
        assert stranger.asked == []


@pytest.mark.parametrize("target", ["//127.0.0.1:1/", "http://[/", "", "file:///etc/passwd", "/ip/192.0.2.7"])
async def test_redirections_that_lead_nowhere(registry, ask, target):
    registry.answers["192.0.2.7"] = target
    rdap = ask(servers={"192.0.0.0/8": registry.url})
    assert await rdap.contacts(HOST) in ([], None)
    assert len(registry.asked) <= 4


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({}, "rdap: nobody is to be asked: set bootstrap or servers"),
        (
            {"servers": {"192.0.2.0/24": "http://rdap.example/"}},
            "would be read by all on its way; write https://",
        ),
        ({"servers": {"192.0.2.1/24": "https://rdap.example/"}}, "192.0.2.1/24 has host bits set"),
        (
            {"servers": {"192.0.2.0/24": "https://rdap.example/"}, "rate": 0},
            "rdap: rate: should be 1 or more",
        ),
        ({"bootstrap": ["/nowhere/ipv4.json"]}, "rdap: bootstrap: /nowhere/ipv4.json: no such file"),
        ({"bootstrap": ["/etc/passwd"]}, "no file of IANA's"),
    ],
)
def test_settings_that_make_no_sense(ask, settings, why):
    with pytest.raises(ValueError, match=why):
        ask(**settings)
