"""auth: whole messages and a real resolver; then resolvers in trouble, and mail that wants to make some."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.rcode
import pytest
import uvloop
import zoo
from bombs import BOMBS
from daemons import Daemon, unbound
from dnskit import Mood, except_for, late, name_server, saying, silently
from fakeserver import Opened
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from signingkit import DOMAIN, MESSAGE, sealed, signature, signed, zone
from support import at_most, every
from zonekit import Names

from stages import auth as module
from stages.auth import MAX_LOOKUPS, MAX_SIGNATURES, Auth
from stages.authentication.signedmail import MAX_HEADER
from trap.config import Duration, Size
from trap.envelope import Envelope
from trap.job import Job
from trap.stage import Notes, Pass, Unavailable

CLIENT = "192.0.2.25"
FORWARDER = "list.example"
SLACK = 3.0
"""Seconds that a loaded machine may take beyond any deadline."""
RECORDS = {
    DOMAIN: ["A 192.0.2.1", "TXT v=spf1 a:mail.sender.example ip6:2001:db8::/32 -all exp=why.sender.example"],
    f"mail.{DOMAIN}": [f"A {CLIENT}", "TXT v=spf1 a -all"],
    f"why.{DOMAIN}": ["TXT %{i} is not ours"],
    f"_dmarc.{DOMAIN}": ["TXT v=DMARC1; p=reject; adkim=s"],
    "fake.example": ["TXT v=spf1 ip4:192.0.2.0/24 -all"],
    "_dmarc.bank.example": ["TXT v=DMARC1; p=quarantine"],
    **zone(),
    **zone(domain=FORWARDER),
}


def in_zone_file(name: str, record: str) -> str:
    kind, _, data = record.partition(" ")
    if kind == "TXT":
        data = " ".join(f'"{data[at : at + 200]}"' for at in range(0, len(data), 200))
    return f"{name}. 300 IN {kind} {data}"


LINES = [in_zone_file(name, record) for name, records in RECORDS.items() for record in records]


@pytest.fixture(scope="module")
def resolver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """An unbound that knows a sender's domain."""
    with unbound(tmp_path_factory.mktemp("unbound"), LINES) as daemon:
        yield daemon


def envelope(**more: Any) -> Envelope:
    said = {"client_ip": CLIENT, "mail_from": f"joe@{DOMAIN}", "helo": f"mail.{DOMAIN}"}
    return Envelope(**{**said, **more})


def job(message: bytes, **more: Any) -> Job:
    return Job.from_message(message, envelope(**more))


async def notes_of(stage: Auth, message: bytes, **more: Any) -> Notes:
    verdict = await stage.process(job(message, **more))
    assert isinstance(verdict, Pass) and verdict.to is None
    return verdict.notes


# What a sender gets right


async def test_mail_that_is_what_it_says(resolver: Daemon, opened: Opened) -> None:
    assert await notes_of(opened(Auth, servers=resolver.tcp), signed()) == {
        "spf": {
            "result": "pass",
            "identity": "mailfrom",
            "domain": DOMAIN,
            "mechanism": "a:mail.sender.example",
            "helo": {"result": "pass", "domain": f"mail.{DOMAIN}", "mechanism": "a"},
        },
        "dkim": [
            {
                "result": "pass",
                "domain": DOMAIN,
                "selector": "trap",
                "identity": f"@{DOMAIN}",
                "algorithm": "rsa-sha256",
                "bits": 1024,
                "body": True,
                "oversigned": ["from"],
            }
        ],
        "arc": {"result": "none"},
        "dmarc": {
            "result": "pass",
            "domain": DOMAIN,
            "policy": "reject",
            "place": DOMAIN,
            "spf": [DOMAIN],
            "dkim": [DOMAIN],
        },
        "authenticated": [DOMAIN],
        "aligned": [DOMAIN],
    }


async def test_who_sends_in_anothers_name(resolver: Daemon, opened: Opened) -> None:
    notes = await notes_of(
        opened(Auth, servers=resolver.tcp),
        signed(MESSAGE.replace(b"joe@sender", b"joe@bank")),
        mail_from="joe@fake.example",
    )
    assert notes["authenticated"] == ["fake.example", DOMAIN]
    assert notes["aligned"] == []
    assert (notes["dmarc"]["result"], notes["dmarc"]["policy"]) == ("fail", "quarantine")


async def test_who_sends_from_elsewhere(resolver: Daemon, opened: Opened) -> None:
    notes = await notes_of(opened(Auth, servers=resolver.tcp), MESSAGE, client_ip="203.0.113.7")
    assert notes["spf"]["result"] == "fail"
    assert notes["spf"]["explanation"] == "203.0.113.7 is not ours"
    assert notes["dmarc"]["result"] == "fail"
    assert notes["authenticated"] == notes["aligned"] == notes["dkim"] == []


async def test_a_client_with_ipv6(resolver: Daemon, opened: Opened) -> None:
    notes = await notes_of(opened(Auth, servers=resolver.tcp), MESSAGE, client_ip="2001:db8::25")
    assert (notes["spf"]["result"], notes["spf"]["mechanism"]) == ("pass", "ip6:2001:db8::/32")


async def test_the_null_sender_is_who_greeted(resolver: Daemon, opened: Opened) -> None:
    notes = await notes_of(opened(Auth, servers=resolver.tcp), MESSAGE, mail_from="")
    assert notes["spf"]["identity"] == "helo" and "helo" not in notes["spf"]
    assert notes["aligned"] == [f"mail.{DOMAIN}"]


@pytest.mark.parametrize("client", ["", "/run/spamtrap/lmtp.sock", "localhost"])
async def test_a_client_that_nobody_knows(resolver: Daemon, opened: Opened, client: str) -> None:
    notes = await notes_of(opened(Auth, servers=resolver.tcp), signed(), client_ip=client)
    assert notes["spf"] == {"result": "none", "why": "the client's address is not known"}
    assert notes["dmarc"]["result"] == "pass"


async def test_mail_that_was_passed_on(resolver: Daemon, opened: Opened) -> None:
    notes = await notes_of(opened(Auth, servers=resolver.tcp), sealed(signed(), FORWARDER))
    assert notes["arc"] == {"result": "pass", "instances": 1, "domains": [FORWARDER]}


async def test_signed_mail_that_came_with_bare_lf(resolver: Daemon, opened: Opened) -> None:
    stage = opened(Auth, servers=resolver.tcp)
    notes = await notes_of(stage, signed().replace(b"\r\n", b"\n"))
    assert (notes["dkim"][0]["result"], notes["bare_lf"]) == ("pass", True)
    assert "bare_lf" not in await notes_of(stage, MESSAGE.replace(b"\r\n", b"\n"))


async def test_mail_of_several_authors_is_nobodys(resolver: Daemon, opened: Opened) -> None:
    message = signed(MESSAGE.replace(b"From: Joe <", b"From: ann@b.example, <"))
    notes = await notes_of(opened(Auth, servers=resolver.tcp), message)
    assert notes["dmarc"] == {
        "result": "none",
        "why": "From names 2 domains",
        "domains": ["b.example", DOMAIN],
    }
    assert (notes["authenticated"], notes["aligned"]) == ([DOMAIN], [])


async def test_a_sample_of_years_ago_has_not_expired(resolver: Daemon, opened: Opened) -> None:
    stage = opened(Auth, servers=resolver.tcp)
    notes = await notes_of(stage, signed(), received_at=time.time() + 10 * 366 * 86_400)
    assert notes["dkim"][0]["result"] == "pass"
    notes = await notes_of(stage, signed(), received_at=1e9)
    assert (notes["dkim"][0]["result"], notes["dkim"][0]["why"]) == ("policy", "signed in the future")


async def test_large_mail_passes_unchecked(resolver: Daemon, opened: Opened) -> None:
    stage = opened(Auth, servers=resolver.tcp, max_size=Size(10))
    assert await notes_of(stage, MESSAGE) == {"unscanned": "larger than max_size, 10 bytes"}


def test_it_runs_on_uvloop_too(resolver: Daemon) -> None:
    assert uvloop.run(notes_of(Auth(servers=resolver.tcp), signed()))["aligned"] == [DOMAIN]


async def test_fifty_at_once_do_not_mix_up_their_notes(resolver: Daemon, opened: Opened) -> None:
    stage = opened(Auth, servers=resolver.tcp)
    mails = [signed(), signed().replace(b"Buy", b"Bye")] * 25
    all_notes = await asyncio.gather(*(notes_of(stage, mail) for mail in mails))
    assert [each["dkim"][0]["result"] for each in all_notes] == ["pass", "fail"] * 25


# Resolvers in trouble


async def test_no_resolver_at_all(resolver: Daemon, opened: Opened) -> None:
    stage = opened(Auth, servers=["127.0.0.1:1", "127.0.0.1:2"])
    with pytest.raises(Unavailable, match="refused"):
        await stage.process(job(signed()))
    assert stage.backends.away
    assert Auth.when_unavailable == "pass"


async def test_the_second_resolver_is_there(resolver: Daemon, opened: Opened) -> None:
    notes = await notes_of(opened(Auth, servers=["127.0.0.1:1", resolver.tcp]), signed())
    assert notes["aligned"] == [DOMAIN]


@pytest.mark.parametrize("mood", [silently, saying(dns.rcode.SERVFAIL)], ids=["silent", "servfail"])
async def test_a_domain_in_trouble_is_a_fact_about_it(mood: Mood, opened: Opened) -> None:
    lines = [line.replace(" IN ", " ") for line in LINES]
    async with name_server(*lines, ". 300 NS a.root.example.") as server:
        server.mood = except_for("sender.example", mood)
        stage = opened(Auth, servers=server.address, timeout=Duration("1.5s"))
        begun = time.monotonic()
        notes = await notes_of(stage, signed(), mail_from="joe@fake.example")
        assert time.monotonic() - begun < 1.5 + SLACK
        assert not stage.backends.away
    assert notes["spf"]["result"] == "pass"
    assert notes["spf"]["helo"]["result"] == "temperror"
    assert (notes["dkim"][0]["result"], notes["dkim"][0]["why"]) == ("temperror", "no answer about the key")
    assert notes["dkim"][0]["body"] is True
    assert notes["dmarc"]["result"] == "temperror"
    assert notes["authenticated"] == ["fake.example"]


async def test_slow_names_one_after_the_other_have_one_deadline(opened: Opened) -> None:
    """Ten includes, each a fifth of a second late."""
    includes = " ".join(f"include:i{n}.example" for n in range(10))
    lines = [f'i{n}.example. 60 TXT "v=spf1 -all"' for n in range(10)]
    lines += [f'{DOMAIN}. 60 TXT "v=spf1 {includes} -all"', ". 300 NS a.root.example."]
    async with name_server(*lines) as server:
        server.mood = except_for("example.", late(0.2))
        stage = opened(Auth, servers=server.address, timeout=Duration("0.9s"))
        begun = time.monotonic()
        notes = await notes_of(stage, MESSAGE)
        assert time.monotonic() - begun < 0.9 + SLACK
    assert notes["spf"]["result"] == "temperror"


async def test_a_resolver_that_stands_still_and_goes_on(resolver: Daemon, opened: Opened) -> None:
    stage = opened(Auth, servers=resolver.tcp, timeout=Duration("0.5s"))
    with resolver.frozen():
        while not stage.backends.away:
            begun = time.monotonic()
            with pytest.raises(Unavailable):
                await stage.process(job(signed()))
            assert time.monotonic() - begun < 0.5 + SLACK
    async with asyncio.timeout(10):
        while stage.backends.away:  # noqa: ASYNC110  # it tells nobody
            await asyncio.sleep(0.02)
    stage.lookup.timeout = stage.timeout = Duration("10s")
    assert (await notes_of(stage, signed()))["aligned"] == [DOMAIN]


# Mail that wants to make trouble


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> tuple[Auth, Names]:
    """A stage whose resolver has never heard of anything."""
    names = Names({})
    stage = Auth(servers="127.0.0.1:1")
    monkeypatch.setattr(stage.lookup, "query", names.query)
    return stage, names


async def test_a_thousand_signatures(nowhere: tuple[Auth, Names]) -> None:
    stage, names = nowhere
    forged = b"".join(signature(selector=b"s%d" % number) for number in range(20)) * 50
    with at_most(1.0):
        notes = await notes_of(stage, forged[: MAX_HEADER * 9 // 10].rpartition(b"DKIM")[0] + MESSAGE)
    assert len(notes["dkim"]) == MAX_SIGNATURES and notes["dkim_more"] > 400
    assert names.asked.total() < 20


async def test_a_header_without_an_end(nowhere: tuple[Auth, Names]) -> None:
    stage, _ = nowhere
    notes = await notes_of(stage, signature() + b"X-Long: " + b"a" * MAX_HEADER + b"\r\n" + MESSAGE)
    assert notes["unscanned"] == f"a header of more than {MAX_HEADER} bytes"
    assert notes["dkim"] == [] and notes["spf"]["result"] == "none"


async def test_look_ups_are_bounded_whatever_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two checks of SPF that ask as much as they may, ten signatures, and fifty seals."""
    crowd = {f"mx{n}.crowd.example": ["A 203.0.113.1"] for n in range(10)}
    names = Names(
        {
            "crowd.example": [f"MX {n} mx{n}.crowd.example" for n in range(10)],
            DOMAIN: ["TXT v=spf1" + " mx:crowd.example" * 10 + " -all"],
            f"mail.{DOMAIN}": ["TXT v=spf1" + " mx:crowd.example" * 10 + " -all"],
            **crowd,
        }
    )
    stage = Auth(servers="127.0.0.1:1")
    monkeypatch.setattr(stage.lookup, "query", names.query)
    notes = await notes_of(stage, b"".join(signature(selector=b"s%d" % n) for n in range(10)) + MESSAGE)
    assert notes["spf"]["result"] == "fail" and notes["spf"]["helo"]["result"] == "fail"
    assert names.asked.total() <= MAX_LOOKUPS
    monkeypatch.setattr(module, "MAX_LOOKUPS", 5)
    assert (await notes_of(stage, MESSAGE))["spf"]["result"] == "temperror"


WORST = [
    "1 MB header",
    "header folded 500,000 times",
    "100,000 header fields",
    "comments in comments",
    "250 fields of half an address",
    "nothing but line ends",
    "quoted-printable",
    "100,000 small parts",
]


@pytest.mark.parametrize("name", WORST)
async def test_bombs(nowhere: tuple[Auth, Names], name: str) -> None:
    stage, _ = nowhere
    bomb = BOMBS[name]()
    forms = (b"simple", b"simple"), (b"relaxed", b"relaxed")
    shells = b"".join(signature(canonicalize=form) for form in forms) * 5
    with at_most(2.0, name):
        await notes_of(stage, shells + bomb)


async def test_the_zoo_is_mail_like_any_other(nowhere: tuple[Auth, Names]) -> None:
    for specimen in zoo.ZOO:
        notes = await notes_of(nowhere[0], signature() + zoo.letter(specimen, 1))
        assert notes["dkim"][0]["why"] == "body hash"


def test_the_corpus_raises_nothing(corpus: Path, nowhere: tuple[Auth, Names]) -> None:
    stage, _ = nowhere
    results = set()
    for path in every(corpus.rglob("*.eml"), 25):
        with at_most(2.0, path):
            notes = asyncio.run(notes_of(stage, path.read_bytes()))
        assert notes.keys() >= {"spf", "dkim", "arc", "dmarc", "authenticated", "aligned"}
        assert notes["aligned"] == []
        results |= {each["result"] for each in notes["dkim"]}
    assert results <= {"fail", "permerror"}  # nobody has the keys any more


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.sampled_from(
            [b"From:", b"DKIM-Signature:", b"ARC-Seal:", b" i=1;", b"joe@a.example", b"\r\n", b"\n"]
        )
        | st.binary(max_size=10),
        max_size=15,
    ).map(b"".join),
    st.text(max_size=30),
    st.none() | st.text(max_size=30),
    st.sampled_from(["", CLIENT, "::1", "fe80::1%eth0", "x"]),
)
async def test_any_message_has_notes(
    nowhere: tuple[Auth, Names], message: bytes, sender: str, helo: str | None, ip: str
) -> None:
    notes = await notes_of(nowhere[0], message, mail_from=sender, helo=helo, client_ip=ip)
    assert notes["dmarc"]["result"] == "none"
    Job.from_message(message).encode(notes)  # they can be written down
