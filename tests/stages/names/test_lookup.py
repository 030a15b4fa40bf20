"""lookup: names, from a real resolver, and from servers that are dead, slow, wrong or hostile."""

import asyncio
import gc
import os
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rrset
import pytest
import uvloop
from daemons import Daemon, unbound
from dnskit import (
    Mood,
    NameServer,
    Reply,
    cut_off,
    except_for,
    late,
    name_server,
    saying,
    silently,
)
from hypothesis import example, given
from hypothesis import strategies as st
from support import at_most, free_port

from stages.names import lookup as module
from stages.names.lookup import MAX_KEPT, Answer, Lookup, servers_of_host, told
from stages.names.resolver import name_of
from stages.names.wire import MAX_RECORDS, NoReply, read
from trap.stage import Unavailable

A = "a.example. 60 A 192.0.2.1"
ADDRESS = Answer(["192.0.2.1"])
SLACK = 3.0
"""Seconds that a loaded machine may take beyond any deadline."""


@pytest.fixture(scope="module")
def resolver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """An unbound with names of ours."""
    records = [
        "a.example. 300 IN A 192.0.2.1",
        "a.example. 300 IN A 192.0.2.2",
        "a.example. 300 IN AAAA 2001:db8::1",
        "a.example. 300 IN MX 10 mx.a.example.",
        'a.example. 300 IN TXT "v=spf1 " "-all"',
        "long.example. 300 IN TXT " + " ".join(["x" * 250] * 100),
        "1.2.0.192.in-addr.arpa. 300 IN PTR a.example.",
        "xn--bcher-kva.example. 300 IN A 192.0.2.3",
    ]
    with unbound(tmp_path_factory.mktemp("unbound"), records) as daemon:
        yield daemon


# What a real resolver says


@pytest.mark.parametrize(
    ("name", "kind", "records"),
    [
        ("a.example", "AAAA", ["2001:db8::1"]),
        ("a.example", "MX", [(10, "mx.a.example")]),
        ("a.example", "TXT", [b"v=spf1 -all"]),
        ("long.example", "TXT", [b"x" * 25_000]),  # by TCP
        ("1.2.0.192.in-addr.arpa", "PTR", ["a.example"]),
        ("Bücher.example.", "A", ["192.0.2.3"]),
    ],
)
async def test_records(resolver: Daemon, name: str, kind: str, records: list[object]) -> None:
    assert await Lookup(resolver.tcp).query(name, kind) == Answer(records)


async def test_a_name_may_have_several_addresses(resolver: Daemon) -> None:
    answer = await Lookup(resolver.tcp).query("a.example", "A")
    assert sorted(answer.records) == ["192.0.2.1", "192.0.2.2"]


async def test_no_such_name_and_no_such_records_are_two_things(resolver: Daemon) -> None:
    lookup = Lookup(resolver.tcp)
    assert await lookup.query("b.example", "A") == Answer(status="nxdomain")
    assert await lookup.query("a.example", "NS") == Answer(status="nodata")


def test_it_runs_on_uvloop_too(resolver: Daemon) -> None:
    answer = uvloop.run(Lookup(resolver.tcp).query("long.example", "TXT"))
    assert answer.records == [b"x" * 25_000]


async def test_a_thousand_at_once_neither_mix_up_nor_leave_anything_open(resolver: Daemon) -> None:
    gc.collect()  # what other tests have left would else be closed meanwhile
    before = len(os.listdir("/proc/self/fd"))
    lookup = Lookup(resolver.tcp, timeout=30.0)
    names = [f"{i}.example" if i % 2 else "1.2.0.192.in-addr.arpa" for i in range(1000)]
    answers = await asyncio.gather(*(lookup.query(name, "PTR") for name in names))
    assert [answer.status for answer in answers] == ["ok", "nxdomain"] * 500
    assert len(os.listdir("/proc/self/fd")) == before


async def test_a_resolver_that_stands_still_and_goes_on(resolver: Daemon) -> None:
    lookup = Lookup(resolver.tcp, timeout=0.6)
    with resolver.frozen():
        for number in range(3):
            with pytest.raises(Unavailable, match="no answer within"):
                await lookup.query(f"{number}.example", "A")
        assert lookup.backends.away
    for _ in range(500):
        if lookup.backends.away:
            await asyncio.sleep(0.02)
    assert (await lookup.query("a.example", "AAAA")).status == "ok"
    lookup.backends.close()


# What is kept


async def test_an_answer_is_kept_for_its_ttl(monkeypatch: pytest.MonkeyPatch) -> None:
    async with name_server("a.example. 100 A 192.0.2.1") as server:
        lookup = Lookup(server.address)
        now = time.monotonic()
        for later, times in ((0, 1), (99, 1), (101, 2)):
            monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda at=now + later: at))
            assert await lookup.query("A.Example.", "A") == ADDRESS
            assert sum(server.asked.values()) == times


@pytest.mark.parametrize(
    ("ttl", "kept", "asked_again"),
    [(0, 4, 6), (100, 99, 101), (2**31 - 1, 3599, 3601)],
    ids=["none", "some", "longest"],
)
async def test_that_there_is_none_is_kept_as_the_soa_says_within_limits(
    monkeypatch: pytest.MonkeyPatch, ttl: int, kept: float, asked_again: float
) -> None:
    async with name_server(ttl=ttl) as server:
        lookup = Lookup(server.address)
        now = time.monotonic()
        for later, times in ((0, 1), (kept, 1), (asked_again, 2)):
            monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda at=now + later: at))
            assert (await lookup.query("a.example", "A")).status == "nxdomain"
            assert sum(server.asked.values()) == times


async def test_what_is_kept_is_bounded_and_the_least_used_goes_first() -> None:
    async with name_server() as server:
        lookup = Lookup(server.address, cache=3)
        for name in "abcacda":
            await lookup.query(name, "A")
        assert {name[0]: times for name, times in server.asked.items()} == {"a": 1, "b": 1, "c": 1, "d": 1}
        await lookup.query("b", "A")
        assert server.asked["b. A"] == 2


async def test_a_long_answer_is_given_but_not_kept() -> None:
    text = " ".join(['"' + "x" * 255 + '"'] * (MAX_KEPT // 255 + 1))
    async with name_server(f"a.example. 60 TXT {text}") as server:
        server.mood = cut_off
        lookup = Lookup(server.address)
        for _ in range(2):
            assert len((await lookup.query("a.example", "TXT")).records[0]) > MAX_KEPT
        assert server.asked["a.example. TXT"] == 4


async def test_of_very_many_records_some_are_looked_at() -> None:
    async with name_server(*(f"a.example. 60 A 192.0.2.{i}" for i in range(250))) as server:
        server.mood = cut_off
        assert len((await Lookup(server.address).query("a.example", "A")).records) == MAX_RECORDS


async def test_who_asks_what_is_being_asked_waits_for_the_same_answer() -> None:
    async with name_server(A) as server:
        server.mood = late(0.1)
        lookup = Lookup(server.address)
        first, *others = [asyncio.ensure_future(lookup.query("a.example", "A")) for _ in range(20)]
        await asyncio.sleep(0.01)
        first.cancel()  # which is no reason for the others to go without
        assert await asyncio.gather(*others) == [ADDRESS] * 19
        assert server.asked["a.example. A"] == 1


# Servers that fail, and names that do


async def test_the_first_is_dead_and_the_second_alive() -> None:
    async with name_server(A) as server:
        lookup = Lookup([f"127.0.0.1:{free_port()}", server.address])
        assert await lookup.query("a.example", "A") == ADDRESS


async def test_a_silent_first_server_costs_time_until_it_is_known() -> None:
    async with name_server() as silent, name_server(A) as server:
        silent.mood = silently
        lookup = Lookup([silent.address, server.address], timeout=1.2)
        for number in range(3):
            assert (await lookup.query(f"{number}.example", "A")).status == "nxdomain"
        told = lookup.backends.states()[0]
        assert (told.state, told.cause) == ("away", "no answer within 0.2 s")
        before = sum(silent.asked.values())
        assert await lookup.query("a.example", "A") == ADDRESS
        assert silent.asked["a.example. A"] == 0
        assert before > 0
        lookup.backends.close()


async def test_all_are_away() -> None:
    async with name_server() as silent:
        silent.mood = silently
        lookup = Lookup([silent.address, f"127.0.0.1:{free_port()}"], timeout=0.6)
        begun = time.monotonic()
        with pytest.raises(Unavailable, match="connection refused"):
            await lookup.query("a.example", "A")
        assert time.monotonic() - begun < 0.6 + SLACK


@pytest.mark.parametrize("rcode", [dns.rcode.SERVFAIL, dns.rcode.REFUSED, dns.rcode.FORMERR])
async def test_an_error_about_one_name_is_that_names(rcode: dns.rcode.Rcode) -> None:
    async with name_server(A) as server:
        server.mood = except_for("broken", saying(rcode))
        lookup = Lookup(server.address)
        for _ in range(10):
            assert (await lookup.query("broken.example", "A")).status == "servfail"
        assert server.asked["broken.example. A"] == 1  # it is kept for some seconds
        assert await lookup.query("a.example", "A") == ADDRESS
        assert lookup.backends.states()[0].failed == 0


async def test_errors_about_everything_are_the_resolvers() -> None:
    async with name_server(A) as broken, name_server(A) as server:
        broken.mood = saying(dns.rcode.SERVFAIL)
        assert await Lookup([broken.address, server.address]).query("a.example", "A") == ADDRESS
        with pytest.raises(Unavailable, match=r"answers SERVFAIL even to NS of \."):
            await Lookup(broken.address).query("a.example", "A")


async def test_a_resolver_that_is_not_for_us_is_away() -> None:
    async with name_server(A) as server:
        server.mood = saying(dns.rcode.REFUSED)
        with pytest.raises(Unavailable, match="answers REFUSED even to NS of"):
            await Lookup(server.address).query("a.example", "A")


async def test_a_slow_name_is_no_fault_of_the_resolvers() -> None:
    async with name_server(A) as server, name_server() as spare:
        server.mood = except_for("slow", silently)
        lookup = Lookup([server.address, spare.address], timeout=0.9)
        names = [f"{i}.slow.example" for i in range(20)]
        answers = await asyncio.gather(*(lookup.query(name, "A") for name in names))
        assert {answer.status for answer in answers} == {"servfail"}
        assert lookup.backends.states()[0].failed == 0
        assert not spare.asked
        assert server.asked[". NS"] < 5  # one proof does for all that wait for one


async def test_a_name_may_be_slower_than_the_patience_with_a_resolver() -> None:
    async with name_server("slow.example. 60 A 192.0.2.1") as server:
        server.mood = except_for("slow", late(1.0))
        assert await Lookup(server.address, timeout=20.0).query("slow.example", "A") == ADDRESS


async def test_a_question_that_got_lost_is_asked_again() -> None:
    async def forgetful(server: NameServer, query: dns.message.Message, tcp: bool) -> Reply:
        return server.truth(query) if server.asked["a.example. A"] != 1 else None

    async with name_server(A) as server:
        server.mood = forgetful
        assert await Lookup(server.address, timeout=1.5).query("a.example", "A") == ADDRESS


async def test_however_often_it_got_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    async def forgetful(server: NameServer, query: dns.message.Message, tcp: bool) -> Reply:
        return server.truth(query) if server.asked["a.example. A"] > 3 else None

    monkeypatch.setattr("stages.names.resolver.AGAIN", 0.1)
    async with name_server(A, ". 60 NS a.root.example.") as server:
        server.mood = except_for("a.example", forgetful)
        assert await Lookup(server.address, timeout=0.9).query("a.example", "A") == ADDRESS


async def test_tcp_that_is_silent_is_tried_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    async def forgetful(server: NameServer, query: dns.message.Message, tcp: bool) -> Reply:
        if tcp and server.asked["a.example. A"] <= 3:
            await asyncio.sleep(60)
        return await cut_off(server, query, tcp)

    monkeypatch.setattr("stages.names.resolver.AGAIN", 0.1)
    async with name_server(A) as server:
        server.mood = forgetful
        assert await Lookup(server.address, timeout=5.0).query("a.example", "A") == ADDRESS


@pytest.mark.parametrize("mood", [silently, saying(dns.rcode.SERVFAIL)], ids=["silent", "servfail"])
async def test_a_name_that_is_well_again_is_soon_known(monkeypatch: pytest.MonkeyPatch, mood: Mood) -> None:
    async with name_server(A, ". 60 NS a.root.example.") as server:
        server.mood = except_for("a.example", mood)
        lookup = Lookup(server.address, timeout=0.5)
        assert (await lookup.query("a.example", "A")).status == "servfail"
        server.mood = late(0)
        assert (await lookup.query("a.example", "A")).status == "servfail"
        now = time.monotonic()
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now + 3.0))
        assert await lookup.query("a.example", "A") == ADDRESS


async def test_an_answer_that_does_not_fit_comes_over_tcp() -> None:
    async with name_server(A) as server:
        server.mood = cut_off
        assert await Lookup(server.address).query("a.example", "A") == ADDRESS
        assert server.asked["a.example. A"] == 2


@pytest.mark.parametrize(
    "said", [None, b"", b"\0", b"garbage" * 20], ids=["hangs-up", "empty", "short", "garbage"]
)
async def test_nonsense_over_tcp_is_no_answer(said: bytes | None) -> None:
    async def nonsense(server: NameServer, query: dns.message.Message, tcp: bool) -> Reply:
        return said if tcp else await cut_off(server, query, tcp)

    async with name_server(A) as server:
        server.mood = nonsense
        lookup = Lookup(server.address, timeout=1.0)
        assert (await lookup.query("a.example", "A")).status == "servfail"
        assert lookup.backends.states()[0].failed == 0


async def test_only_an_answer_to_the_question_is_one() -> None:
    """Of another id, another name, garbage: read over, until the right one comes."""

    async def surrounded(server: NameServer, query: dns.message.Message, tcp: bool) -> Reply:
        other = dns.message.make_response(dns.message.make_query("b.example", "A", id=query.id))
        foreign = dns.message.make_response(query)
        foreign.id ^= 1
        for forged in (other, foreign):
            forged.answer.append(dns.rrset.from_text("a.example.", 60, "IN", "A", "203.0.113.66"))
        return [b"", b"garbage" * 9, query, other, foreign, server.truth(query)]

    async with name_server(A) as server:
        server.mood = surrounded
        assert await Lookup(server.address).query("a.example", "A") == ADDRESS


SAMPLES = ["A 192.0.2.1", "CNAME b.example.", 'TXT "a" "b"', "MX 10 b.example.", "SOA a. b. 1 2 3 4 5"]
BYTES = st.sampled_from([0, 0xC0, 0xFF]) | st.integers(0, 255)


@example("A 192.0.2.1", {2: 0x28})
@given(st.sampled_from(SAMPLES), st.dictionaries(st.integers(2, 60), BYTES, max_size=6))
def test_a_damaged_answer_is_read_or_read_over(record: str, damage: dict[int, int]) -> None:
    kind, data = record.split(" ", 1)
    query = dns.message.make_query("a.example", kind)
    answer = dns.message.make_response(query)
    answer.answer.append(dns.rrset.from_text("a.example.", 60, "IN", kind, data))
    wire = bytearray(answer.to_wire())
    for place, byte in damage.items():
        wire[place % len(wire)] = byte
    with suppress(NoReply):
        assert told(read(bytes(wire), query))[1] > 0


def test_the_longest_answer_with_the_longest_names_takes_no_time() -> None:
    """As many records as fit into 64 kB, each with a name of 120 labels, most of them said once."""
    query = dns.message.make_query("a.example", "MX")
    wire = query.to_wire()
    first = struct.pack("!HHIHH", 15, 1, 60, 243, 1) + b"\1a" * 120 + b"\0"
    target = 0xC000 | len(wire) + 2 + 12 + 4
    others = b"".join(
        b"\xc0\x0c" + struct.pack("!HHIHHB4sH", 15, 1, 60, 9, 1, 4, b"%04x" % number, target)
        for number in range(3000)
    )
    header = wire[:2] + struct.pack("!HHHHH", 0x8180, 1, 3001, 0, 0)
    with at_most(0.5):
        answer, _ = told(read(header + wire[12:] + b"\xc0\x0c" + first + others, query))
    assert len(answer.records) == MAX_RECORDS
    assert answer.records[-1] == (1, "0062" + ".a" * 118)


async def test_aliases_are_followed_but_not_in_circles() -> None:
    async with name_server(
        "b.example. 60 CNAME a.example.",
        A,
        "c.example. 60 CNAME d.example.",
        "d.example. 60 CNAME c.example.",
    ) as server:
        lookup = Lookup(server.address)
        assert await lookup.query("b.example", "A") == ADDRESS
        assert (await lookup.query("c.example", "A")).status == "servfail"


# Names from mail


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "a..example",
        ".example",
        "a\\.example",
        "a\\046.example",
        "a b.example",
        "a\n.example",
        "\udcff.example",
        "x" * 64 + ".example",
        ".".join(["x" * 60] * 5),
        "ü" * 60 + ".example",
        "x." * 5_000_000,
    ],
    ids=range(13),
)
async def test_what_can_be_no_name_is_not_asked_for(text: str) -> None:
    async with name_server() as server:
        assert await Lookup(server.address).query(text, "A") == Answer(status="nxdomain")
        assert not server.asked


@given(st.text())
@example("ß.ﷺ。example")
@example("a.example.")
@example("xn--.example")
def test_every_text_is_a_name_or_none(text: str) -> None:
    name = name_of(text)
    if name is not None:
        assert name.is_absolute() and len(name.to_wire()) <= 255
        assert all(1 <= len(label) <= 63 and b"." not in label for label in name.labels[:-1])


@given(
    st.lists(
        st.from_regex(r"[!-\[\]-~]{1,63}", fullmatch=True).filter(lambda s: "." not in s),
        min_size=1,
        max_size=4,
    )
)
def test_a_name_is_what_was_written(labels: list[str]) -> None:
    name = name_of(".".join(labels))
    whole = sum(map(len, labels)) + len(labels) <= 254
    assert (name is not None) is whole
    assert name is None or name.labels == (*(label.lower().encode() for label in labels), b"")


# Settings


def test_the_hosts_own_resolvers_are_asked_when_none_are_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "resolv.conf"
    monkeypatch.setattr(module, "_RESOLV_CONF", str(file))
    assert servers_of_host() == ["127.0.0.1"]
    file.write_text("# ours\nsearch example\nnameserver 192.0.2.53\nnameserver fe80::1%lo\noptions edns0\n")
    assert [state.address for state in Lookup().backends.states()] == ["192.0.2.53:53", "[fe80::1%lo]:53"]


@pytest.mark.parametrize(
    "server", ["resolver.example", "/run/resolver", "127.0.0.1:0", "::1:x", "tls://127.0.0.1:853"]
)
def test_a_resolver_is_named_by_its_address(server: str) -> None:
    with pytest.raises(ValueError, match=r"^'.*(resolver|server)"):
        Lookup(server)


async def test_doctor_hears_whether_it_is_there() -> None:
    async with name_server() as server:
        dead = f"127.0.0.1:{free_port()}"
        good, bad = await Lookup([server.address, dead]).backends.check()
        assert (good.good, good.text) == (True, "answers")
        assert not bad.good and bad.text.startswith("connection refused; ")
