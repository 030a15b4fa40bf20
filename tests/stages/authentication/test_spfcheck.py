"""spfcheck: RFC 7208 as tables of zones, senders and results; and pyspf's opinion of the same."""

import warnings
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from zonekit import Names, Zone

from stages.authentication import spfcheck, spfrecord
from stages.authentication.spfcheck import Client

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # its source is older than Python 3
    import spf

AT = 1_700_000_000.0
V4, V6 = "192.0.2.25", "2001:db8::25"
OTHER = "198.51.100.7"


class Case(NamedTuple):
    """A sender, and what its domain says of it."""

    record: str
    result: str
    ip: str = V4
    sender: str = "joe@a.example"
    helo: str = "mail.helo.example"
    agrees: bool = True
    """Whether pyspf says the same."""


WORLD: Zone = {
    "a.example": ["A 192.0.2.25", "AAAA 2001:db8::25", "MX 10 mx.b.example"],
    "b.example": ["A 198.51.100.1", "MX 20 mx.b.example", "MX 10 gone.b.example"],
    "mx.b.example": ["A 192.0.2.25", "AAAA 2001:db8::25"],
    "gone.b.example": ["A 203.0.113.1"],
    "other.example": ["A 198.51.100.9"],
    "crowd.example": [f"MX {n} mx{n}.crowd.example" for n in range(11)],
    **{f"mx{n}.crowd.example": ["A 192.0.2.25"] for n in range(11)},
    "slow.example": ["FAIL"],
    "pass.example": ["TXT v=spf1 ip4:192.0.2.0/24 -all"],
    "fails.example": ["TXT v=spf1 -all"],
    "soft.example": ["TXT v=spf1 ~all"],
    "neutral.example": ["TXT v=spf1 ?all"],
    "bare.example": ["TXT something else"],
    "broken.example": ["TXT v=spf1 ip4:nonsense -all"],
    "twice.example": ["TXT v=spf1 -all", "TXT v=spf1 +all"],
    "circle.example": ["TXT v=spf1 include:circle2.example -all"],
    "circle2.example": ["TXT v=spf1 include:circle.example -all"],
    "round.example": ["TXT v=spf1 redirect=round.example"],
    "25.2.0.192.in-addr.arpa": ["PTR liar.example", "PTR mail.a.example", "PTR joe.b.example"],
    "mail.a.example": ["A 192.0.2.25"],
    "joe.b.example": ["A 192.0.2.25"],
    "liar.example": ["A 203.0.113.99"],
    "25.2.0.192._spf.a.example": ["A 127.0.0.2"],
    "joe._local.a.example": ["A 127.0.0.2"],
    "why.a.example": ["TXT %{i} is none of %{o}, says %{r} at %{t}. See https://why.example/?s=%{S}"],
    "helo.example": ["TXT v=spf1 a:mx.b.example -all"],
    "mail.helo.example": ["TXT v=spf1 ip4:192.0.2.25 -all"],
    "xn--bcher-kva.example": ["TXT v=spf1 +all"],
}

# fmt: off
MECHANISMS = [
    Case("v=spf1", "neutral"),
    Case("v=spf1 all", "pass"),
    Case("V=SPF1 -ALL", "fail"),
    Case("v=spf1 -all", "fail"),
    Case("v=spf1 ~all", "softfail"),
    Case("v=spf1 ?all", "neutral"),
    Case("v=spf1 ip4:192.0.2.25 -all", "pass"),
    Case("v=spf1   ip4:192.0.2.0/24    -all ", "pass"),
    Case("v=spf1 ip4:192.0.2.0/28 -all", "fail"),
    Case("v=spf1 ip4:192.0.2.99/24 -all", "pass"),  # host bits set
    Case("v=spf1 ip4:0.0.0.0/0 -all", "pass"),
    Case("v=spf1 ip4:192.0.2.25 -all", "pass", ip="::ffff:192.0.2.25"),
    Case("v=spf1 ip6:2001:db8::/32 -all", "pass", ip=V6),
    Case("v=spf1 ip6:2001:db8::/32 -all", "fail", ip=V4),
    Case("v=spf1 ip6:::/0 -all", "pass", ip=V6),
    Case("v=spf1 ip4:0.0.0.0/0 -all", "fail", ip=V6),
    Case("v=spf1 a -all", "pass"),
    Case("v=spf1 a -all", "pass", ip=V6),
    Case("v=spf1 a -all", "fail", ip=OTHER),
    Case("v=spf1 a:other.example -all", "fail"),
    Case("v=spf1 a:other.example/24 -all", "pass", ip=OTHER),
    Case("v=spf1 a/24//64 -all", "pass", ip="2001:db8::ffff"),
    Case("v=spf1 a//128 -all", "fail", ip="2001:db8::ffff"),
    Case("v=spf1 a/0 -all", "pass", ip=OTHER),
    Case("v=spf1 mx -all", "pass"),
    Case("v=spf1 mx -all", "pass", ip=V6),
    Case("v=spf1 mx:b.example -all", "pass", ip="203.0.113.1"),
    Case("v=spf1 mx:b.example/24 -all", "pass", ip="203.0.113.200"),
    Case("v=spf1 mx:crowd.example -all", "permerror"),
    Case("v=spf1 ptr -all", "pass"),
    Case("v=spf1 ptr:b.example -all", "pass"),
    Case("v=spf1 ptr:liar.example -all", "fail"),
    Case("v=spf1 ptr -all", "fail", ip=OTHER),
    Case("v=spf1 exists:%{ir}._spf.%{d} -all", "pass"),
    Case("v=spf1 exists:%{ir}._spf.%{d} -all", "fail", ip=OTHER),
    Case("v=spf1 exists:%{l}._local.%{d} -all", "pass"),
    Case("v=spf1 exists:%{l}._local.%{d} -all", "fail", sender="ann@a.example"),
    Case("v=spf1 exists:%{p} -all", "pass"),
]
OTHERS_RECORDS = [
    Case("v=spf1 include:pass.example -all", "pass"),
    Case("v=spf1 include:fails.example ~all", "softfail"),
    Case("v=spf1 include:soft.example -all", "fail"),
    Case("v=spf1 include:neutral.example -all", "fail"),
    Case("v=spf1 -include:pass.example +all", "fail"),
    Case("v=spf1 include:bare.example -all", "permerror"),
    Case("v=spf1 include:nobody.example -all", "permerror"),
    Case("v=spf1 include:broken.example -all", "permerror"),
    Case("v=spf1 include:twice.example -all", "permerror"),
    Case("v=spf1 include:slow.example -all", "temperror"),
    Case("v=spf1 include:circle.example -all", "permerror"),
    Case("v=spf1 redirect=pass.example", "pass"),
    Case("v=spf1 redirect=fails.example", "fail"),
    Case("v=spf1 redirect=bare.example", "permerror"),
    Case("v=spf1 redirect=nobody.example", "permerror"),
    Case("v=spf1 redirect=fails.example +all", "pass"),
    Case("v=spf1 redirect=pass.example ip4:192.0.2.25", "pass"),
    Case("v=spf1 redirect=%{d2}", "permerror"),  # goes round
    Case("v=spf1 redirect=round.example", "permerror"),
    Case("v=spf1 redirect=slow.example", "temperror"),
    Case("v=spf1 a:slow.example -all", "temperror"),
    Case("v=spf1 mx:slow.example -all", "temperror"),
    Case("v=spf1 exists:slow.example -all", "temperror"),
    Case("v=spf1 ip4:192.0.2.25 a:slow.example -all", "pass"),  # not asked any more
]
GRAMMAR = [
    Case("v=spf10 -all", "none"),
    Case("v=spf1-all", "none"),
    Case("v=spf1 nonsense -all", "permerror"),
    Case("v=spf1 -all nonsense", "permerror"),  # looked at before it is evaluated
    Case("v=spf1 ip4 -all", "permerror"),
    Case("v=spf1 ip4:192.0.2 -all", "permerror"),
    Case("v=spf1 ip4:192.0.2.25/33 -all", "permerror"),
    Case("v=spf1 ip4:192.0.2.25/024 -all", "permerror"),
    Case("v=spf1 ip4:192.0.2.25//24 -all", "permerror"),
    Case("v=spf1 ip4:192.0.2.025 -all", "permerror"),
    Case("v=spf1 ip6:2001:db8::/129 -all", "permerror"),
    Case("v=spf1 ip6:192.0.2.25 -all", "permerror"),
    Case("v=spf1 ip6:fe80::1%eth0 -all", "permerror"),
    Case("v=spf1 all:a.example", "permerror"),
    Case("v=spf1 all/24", "permerror"),
    Case("v=spf1 --all", "permerror"),
    Case("v=spf1 =all", "permerror"),
    Case("v=spf1 include -all", "permerror"),
    Case("v=spf1 include: -all", "permerror"),
    Case("v=spf1 exists -all", "permerror"),
    Case("v=spf1 a: -all", "permerror"),
    Case("v=spf1 a:word -all", "permerror"),
    Case("v=spf1 a:192.0.2.25 -all", "permerror"),
    Case("v=spf1 a:a.example/ -all", "permerror"),
    Case("v=spf1 a:a.example/33 -all", "permerror"),
    Case("v=spf1 a:a.example//129 -all", "permerror"),
    Case("v=spf1 ptr/24 -all", "permerror"),
    Case("v=spf1 mx:%{x}.example -all", "permerror"),
    Case("v=spf1 mx:%{d0}.example -all", "permerror", agrees=False),  # "must be nonzero", 7.3
    Case("v=spf1 mx:% -all", "permerror"),
    Case("v=spf1 mx:%{d -all", "permerror"),
    Case("v=spf1 exists:%{c}.example -all", "permerror"),  # only in explanations
    Case("v=spf1 exists:%{d}%% -all", "fail", agrees=False),  # %% ends a domain, 7.1; nobody has it
    Case("v=spf1 redirect=", "permerror"),
    Case("v=spf1 redirect=a.example redirect=b.example", "permerror"),
    Case("v=spf1 exp=a.example exp=b.example -all", "permerror"),
    Case("v=spf1 exp= -all", "permerror"),
    Case("v=spf1 word=anything%{i} word=twice -all", "fail", agrees=False),  # only two are unique, 6
    Case("v=spf1 word=%nonsense -all", "permerror"),
    Case("v=spf1 1word=x -all", "permerror"),
    Case("v=spf1 ip4=192.0.2.25 -all", "fail"),  # an unknown modifier
    Case("v=spf1 moo.cow-far_out=man -all", "fail"),
    Case("v=spf1 \x07all", "permerror"),
    Case("v=spf1 a:b\u00fccher.example -all", "permerror"),
]
LIMITS = [
    Case("v=spf1" + " a:other.example" * 10 + " +all", "pass"),
    Case("v=spf1" + " a:other.example" * 11 + " +all", "permerror"),
    Case("v=spf1" + " a:other.example" * 10 + " redirect=pass.example", "permerror"),
    Case("v=spf1" + " ip4:203.0.113.1" * 300 + " +all", "pass"),
    Case("v=spf1 a:no1.example a:no2.example +all", "pass"),
    Case("v=spf1 a:no1.example a:no2.example a:no3.example +all", "permerror"),
    Case("v=spf1 exists:no1.example mx:no2.example a:bare.example +all", "permerror"),
]
SENDERS = [
    Case("v=spf1 -all", "none", sender="joe@nobody.example"),
    Case("v=spf1 -all", "none", sender="joe@word"),
    Case("v=spf1 -all", "none", sender="joe@[192.0.2.25]"),
    Case("v=spf1 -all", "none", sender="joe@a..example"),
    Case("v=spf1 -all", "none", sender=f"joe@{'x' * 64}.example"),
    Case("v=spf1 -all", "fail", sender="joe@A.EXAMPLE.", agrees=False),
    Case("v=spf1 -all", "fail", sender="a.example"),
    Case("v=spf1 -all", "fail", sender="@a.example"),
    Case("v=spf1 -all", "fail", sender='"joe@b.example"@a.example', agrees=False),
    Case("v=spf1 -all", "pass", sender="joe@bücher.example", agrees=False),
    Case("v=spf1 -all", "temperror", sender="joe@slow.example"),
    Case("v=spf1 -all", "permerror", sender="joe@twice.example"),
    Case("v=spf1 -all", "pass", sender=""),
    Case("v=spf1 -all", "fail", sender="", ip=OTHER),
    Case("v=spf1 -all", "none", sender="", helo="WIN-4711"),
    Case("v=spf1 -all", "none", sender="", helo=""),
]
# fmt: on
CASES = [*MECHANISMS, *OTHERS_RECORDS, *GRAMMAR, *LIMITS, *SENDERS]


def names(record: str) -> Names:
    return Names(WORLD | {"a.example": [*WORLD["a.example"], f"TXT {record}"]})


async def checked(case: Case) -> dict[str, Any]:
    client = Client(spfcheck.address_of(case.ip) or ip_address(V4), case.sender, case.helo)
    return await spfcheck.check(client, names(case.record).query, AT)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.record[:60]} {case.sender} {case.ip}")
async def test_results(case: Case) -> None:
    notes = await checked(case)
    assert notes["result"] == case.result, notes
    assert ("why" in notes) >= (case.result in ("permerror", "temperror"))


@pytest.fixture
def elder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """pyspf, which asks our zone."""

    def check(case: Case) -> str:
        world = names(case.record)

        def look_up(name: str, qtype: str, *_: object) -> list[tuple[tuple[str, str], object]]:
            answer = world.answer(name, qtype)
            if answer.status == "servfail":
                raise spf.TempError("DNS")
            found = ([each] if qtype == "TXT" else each for each in answer.records)
            return [((name, qtype), each) for each in found]

        monkeypatch.setattr(spf, "DNSLookup", look_up)
        return str(spf.query(i=case.ip, s=case.sender, h=case.helo).check()[0])

    yield check


@pytest.mark.parametrize(
    "case", [each for each in CASES if each.agrees], ids=lambda case: f"{case.record[:60]} {case.sender}"
)
def test_pyspf_says_the_same(case: Case, elder: Any) -> None:
    assert elder(case) == case.result


# What is noted


async def test_what_matched_is_noted() -> None:
    notes = await checked(Case("v=spf1 a:other.example include:pass.example -all", "pass"))
    assert notes == {
        "result": "pass",
        "identity": "mailfrom",
        "domain": "a.example",
        "mechanism": "include:pass.example",
    }


async def test_the_greeting_answers_for_a_null_sender() -> None:
    notes = await checked(Case("v=spf1 -all", "pass", sender=""))
    assert (notes["identity"], notes["domain"]) == ("helo", "mail.helo.example")


async def test_a_domain_explains_why_it_refuses() -> None:
    notes = await checked(Case("v=spf1 exp=why.%{d} -all", "fail"))
    assert notes["explanation"] == (
        "192.0.2.25 is none of a.example, says unknown at 1700000000. "
        "See https://why.example/?s=joe%40a.example"
    )


@pytest.mark.parametrize("record", ["v=spf1 exp=nobody.example -all", "v=spf1 exp=slow.example -all"])
async def test_an_explanation_that_can_not_be_had_changes_nothing(record: str) -> None:
    notes = await checked(Case(record, "fail"))
    assert notes["result"] == "fail" and "explanation" not in notes


async def test_no_explanation_is_asked_for_unless_it_fails() -> None:
    world = names("v=spf1 exp=why.%{d} ~all")
    await spfcheck.check(Client(ip_address(V4), "joe@a.example", ""), world.query, AT)
    assert not any(name.startswith("why") for name, _ in world.asked)


async def test_the_explanation_is_that_of_the_record_which_refuses() -> None:
    """Not that of an included one, but that of one it redirects to (RFC 7208, section 6.2)."""
    more = {
        "included.example": ["TXT v=spf1 -all exp=theirs.example"],
        "theirs.example": ["TXT theirs, of %{d}"],
        "ours.example": ["TXT ours"],
    }
    for record, said in {
        "v=spf1 include:included.example -all exp=ours.example": "ours",
        "v=spf1 include:included.example -all": None,
        "v=spf1 redirect=included.example exp=ours.example": "theirs, of included.example",
    }.items():
        world = Names(WORLD | more | {"a.example": [f"TXT {record}"]})
        notes = await spfcheck.check(Client(ip_address(V4), "joe@a.example", ""), world.query, AT)
        assert (notes["result"], notes.get("explanation")) == ("fail", said)


async def test_names_of_an_address_that_can_not_be_had_are_no_match() -> None:
    """RFC 7208, section 5.5: an error there is none of the check."""
    reverse = "25.2.0.192.in-addr.arpa"
    record = {"a.example": ["TXT v=spf1 ptr -exists:%{p}.nobody.example ~all"]}
    for names_ in (["FAIL"], ["PTR slow.example"], []):
        world = Names(WORLD | record | {reverse: names_})
        notes = await spfcheck.check(Client(ip_address(V4), "joe@a.example", ""), world.query, AT)
        assert notes["result"] == "softfail"
        assert world.asked["unknown.nobody.example", "A"] == 1


async def test_only_ten_names_of_an_address_are_looked_at() -> None:
    reverse = {"25.2.0.192.in-addr.arpa": [f"PTR n{n}.a.example" for n in range(20)]}
    forward = {f"n{n}.a.example": [f"A {V4 if n == 10 else OTHER}"] for n in range(20)}
    world = Names(reverse | forward | {"a.example": ["TXT v=spf1 ptr ~all"]})
    notes = await spfcheck.check(Client(ip_address(V4), "joe@a.example", ""), world.query, AT)
    assert notes["result"] == "softfail"
    assert ("n9.a.example", "A") in world.asked and ("n10.a.example", "A") not in world.asked


async def test_exists_asks_for_ipv4_whatever_the_client_has() -> None:
    world = Names(WORLD | {"a.example": ["TXT v=spf1 exists:b.example -all"]})
    notes = await spfcheck.check(Client(ip_address(V6), "joe@a.example", ""), world.query, AT)
    assert notes["result"] == "pass" and ("b.example", "AAAA") not in world.asked


async def test_words_of_a_domain_are_bounded_and_printable() -> None:
    world = Names({"a.example": ["TXT v=spf1 \x1b[31m" + "x" * 9000]})
    notes = await spfcheck.check(Client(ip_address(V4), "joe@a.example", ""), world.query, AT)
    assert notes["why"].isprintable() and len(notes["why"]) <= spfcheck.MAX_WORDS


async def test_a_hostile_zone_is_asked_a_bounded_number_of_times() -> None:
    """Ten terms, each of ten mail servers or names."""
    crowd = [f"MX {n} mx{n}.crowd.example" for n in range(10)]
    world = Names(
        WORLD
        | {"a.example": ["TXT v=spf1" + " mx:crowd.example" * 50]}
        | {"crowd.example": crowd, **{f"mx{n}.crowd.example": ["A 203.0.113.7"] for n in range(10)}}
    )
    notes = await spfcheck.check(Client(ip_address(V4), "joe@a.example", ""), world.query, AT)
    assert notes["result"] == "permerror"
    assert world.asked.total() <= 1 + 10 * 11


# Macros (RFC 7208, section 7.4)

MACROS = {
    "s": "strong-bad@email.example.com",
    "o": "email.example.com",
    "d": "email.example.com",
    "l": "strong-bad",
    "i": "192.0.2.3",
    "v": "in-addr",
    "h": "mx.example.org",
    "p": "mx.example.org",
}


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("%{s}", "strong-bad@email.example.com"),
        ("%{o}", "email.example.com"),
        ("%{d}", "email.example.com"),
        ("%{d4}", "email.example.com"),
        ("%{d3}", "email.example.com"),
        ("%{d2}", "example.com"),
        ("%{d1}", "com"),
        ("%{dr}", "com.example.email"),
        ("%{d2r}", "example.email"),
        ("%{l}", "strong-bad"),
        ("%{l-}", "strong.bad"),
        ("%{lr}", "strong-bad"),
        ("%{lr-}", "bad.strong"),
        ("%{l1r-}", "strong"),
        ("%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"),
        ("%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"),
        ("%{lr-}.lp.%{ir}.%{v}._spf.%{d2}", "bad.strong.lp.3.2.0.192.in-addr._spf.example.com"),
        ("%{ir}.%{v}.%{l1r-}.lp._spf.%{d2}", "3.2.0.192.in-addr.strong.lp._spf.example.com"),
        ("%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net"),
        ("%{S}", "strong-bad%40email.example.com"),
        ("a%%b%_c%-d.example.", "a%b c%20d.example"),
        ("x" * 63 + ".%{d}" * 20, ".".join(["email.example.com"] * 14)),  # labels in front are dropped
        ("x" * 300, ""),
    ],
)
def test_macros(text: str, expanded: str) -> None:
    assert spfrecord.is_macro_string(text)
    assert spfrecord.expand(text, MACROS) == expanded


async def test_macros_of_ipv6() -> None:
    world = names("v=spf1 exists:%{ir}.%{v}.b.example -all")
    await spfcheck.check(Client(ip_address(V6), "joe@a.example", ""), world.query, AT)
    nibbles = ".".join(reversed("20010db8000000000000000000000025"))
    assert world.asked[f"{nibbles}.ip6.b.example", "A"] == 1


# Whatever it is

_terms = st.sampled_from(
    [
        "a",
        "mx",
        "ptr",
        "all",
        "-all",
        "~all",
        "ip4:",
        "ip6:",
        "ip4:192.0.2.0/24",
        "include:circle.example",
        "exists:%{p}",
        "redirect=",
        "exp=",
        "a:%{d}/",
        "%{",
        "%%",
        "/",
        "//",
        ".",
        ":",
        "=",
        "mx:crowd.example",
        "redirect=round.example",
        "exp=why.a.example",
        "\x00",
        "é",
    ]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(_terms | st.text(max_size=12), max_size=12).map(" ".join),
    st.text(max_size=40) | st.just("joe@a.example"),
    st.text(max_size=40),
    st.sampled_from([V4, V6]),
)
async def test_any_record_has_a_result(record: str, sender: str, helo: str, ip: str) -> None:
    text = f"v=spf1 {record}".encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape")
    notes = await checked(Case(text, "", ip=ip, sender=sender, helo=helo))
    assert notes["result"] in {"pass", "fail", "softfail", "neutral", "none", "permerror", "temperror"}
