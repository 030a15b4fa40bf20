"""dmarcpolicy: what domains ask for, and which mail is their own."""

from typing import Any

import pytest
from zonekit import Names, Zone

from stages.authentication import dmarcpolicy
from stages.authentication.dmarcpolicy import Policy, aligned, find, judge

ORGANISATION = "a.example"
AUTHOR = "news.a.example"


def published(*records: str, place: str = AUTHOR) -> Zone:
    return {f"_dmarc.{place}": [f"TXT {record}" for record in records], AUTHOR: ["A 192.0.2.1"]}


async def policy(zone: Zone, author: str = AUTHOR) -> Policy:
    return await find(author, Names(zone).query)


# Where a policy stands (RFC 7489, section 6.6.3)


async def test_a_policy_of_the_domain_itself() -> None:
    assert await policy(published("v=DMARC1; p=reject; sp=none")) == Policy(AUTHOR, AUTHOR, "reject")


async def test_a_policy_of_the_organisation() -> None:
    found = await policy(published("v=DMARC1; p=quarantine", place=ORGANISATION))
    assert found == Policy(AUTHOR, ORGANISATION, "quarantine")


async def test_one_of_its_own_counts_more() -> None:
    zone = published("v=DMARC1; p=none") | published("v=DMARC1; p=reject", place=ORGANISATION)
    assert (await policy(zone)).action == "none"


async def test_the_organisation_may_ask_for_something_else_below_it() -> None:
    zone = published("v=DMARC1; p=none; sp=reject", place=ORGANISATION)
    assert (await policy(zone)).action == "reject"
    assert (await policy(zone, ORGANISATION)).action == "none"


async def test_and_for_domains_that_are_not_there() -> None:
    zone = published("v=DMARC1; p=none; sp=quarantine; np=reject", place=ORGANISATION)
    assert (await policy(zone)).action == "quarantine"
    assert (await policy(zone, "nobody.a.example")).action == "reject"


async def test_no_policy() -> None:
    assert await policy({}) == Policy(AUTHOR)


async def test_public_suffixes_are_asked_for_no_policy() -> None:
    names = Names({})
    await find("news.a.co.uk", names.query)
    assert set(names.asked) == {("_dmarc.news.a.co.uk", "TXT"), ("_dmarc.a.co.uk", "TXT")}


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        (["v=spf1 -all", "v=DMARC1; p=reject"], Policy(AUTHOR, AUTHOR, "reject")),
        (["v=DMARC1; p=none", "v=DMARC1; p=reject"], Policy(AUTHOR, why=f"{AUTHOR} has 2 records")),
        (["p=reject; v=DMARC1"], Policy(AUTHOR)),
        (["v=DMARC12; p=reject"], Policy(AUTHOR)),
        (["v = DMARC1 ;p = REJECT ;"], Policy(AUTHOR, AUTHOR, "reject")),
        (["v=DMARC1"], Policy(AUTHOR, why=f"{AUTHOR} names no policy")),
        (["v=DMARC1; p=maybe"], Policy(AUTHOR, why=f"{AUTHOR} names no policy")),
        (["v=DMARC1; p=maybe; rua=mailto:x@a.example"], Policy(AUTHOR, AUTHOR, "none")),
        (["v=DMARC1; p=reject; pct=20"], Policy(AUTHOR, AUTHOR, "reject", percent=20)),
        (["v=DMARC1; p=reject; pct=-1"], Policy(AUTHOR, AUTHOR, "reject")),
        (["v=DMARC1; p=reject; pct=999"], Policy(AUTHOR, AUTHOR, "reject")),
        (
            ["v=DMARC1; p=reject; adkim=s; aspf=s"],
            Policy(AUTHOR, AUTHOR, "reject", strict_spf=True, strict_dkim=True),
        ),
        (
            ["v=DMARC1; p=reject; p=none"],
            Policy(AUTHOR, AUTHOR, trouble="permerror", why=f"{AUTHOR}: it says p= twice"),
        ),
        (
            ["v=DMARC1; " + "x" * 20_000],
            Policy(AUTHOR, AUTHOR, trouble="permerror", why=f"{AUTHOR}: a record of 20010 bytes"),
        ),
    ],
)
async def test_records(records: list[str], expected: Policy) -> None:
    assert await policy(published(*records)) == expected


async def test_a_policy_that_nobody_can_look_up() -> None:
    found = await policy({f"_dmarc.{AUTHOR}": ["FAIL"]})
    assert (found.trouble, found.why) == ("temperror", f"no answer about the policy of {AUTHOR}")


# Whose mail it is (RFC 7489, sections 3.1 and 4.2)


@pytest.mark.parametrize(
    ("author", "domain", "relaxed", "strict"),
    [
        ("a.example", "a.example", True, True),
        ("news.a.example", "a.example", True, False),
        ("a.example", "bounce.a.example", True, False),
        ("x.a.example", "y.a.example", True, False),
        ("a.example", "b.example", False, False),
        ("a.co.uk", "b.co.uk", False, False),
        ("x.a.co.uk", "a.co.uk", True, False),
        ("a.github.io", "b.github.io", False, False),
        ("a.example", "", False, False),
    ],
)
def test_alignment(author: str, domain: str, relaxed: bool, strict: bool) -> None:
    assert aligned(author, domain, strict=False) is relaxed
    assert aligned(author, domain, strict=True) is strict


def fact(result: str, domain: str = ORGANISATION) -> dict[str, Any]:
    return {"result": result, "domain": domain}


ASKS = Policy(AUTHOR, ORGANISATION, "reject")
STRICT = Policy(AUTHOR, ORGANISATION, "reject", strict_spf=True, strict_dkim=True)


@pytest.mark.parametrize(
    ("policy", "spf", "dkim", "result"),
    [
        (ASKS, fact("pass"), [], "pass"),
        (ASKS, fact("fail"), [fact("pass")], "pass"),
        (ASKS, fact("softfail"), [fact("fail"), fact("pass")], "pass"),
        (ASKS, fact("pass", "b.example"), [fact("pass", "b.example")], "fail"),
        (ASKS, fact("none"), [], "fail"),
        (ASKS, fact("neutral"), [fact("policy")], "fail"),
        (ASKS, fact("temperror"), [], "temperror"),
        (ASKS, fact("temperror", "b.example"), [fact("temperror", "b.example")], "fail"),
        (ASKS, fact("fail"), [fact("temperror")], "temperror"),
        (STRICT, fact("pass"), [fact("pass")], "fail"),
        (STRICT, fact("pass", AUTHOR), [], "pass"),
        (STRICT, fact("fail"), [fact("pass", AUTHOR)], "pass"),
        (Policy(AUTHOR), fact("pass"), [fact("pass")], "none"),
        (Policy(AUTHOR, trouble="permerror"), fact("pass"), [], "permerror"),
        (Policy(AUTHOR, trouble="temperror"), fact("pass"), [], "temperror"),
    ],
)
def test_results(policy: Policy, spf: dict[str, Any], dkim: list[dict[str, Any]], result: str) -> None:
    assert judge(policy, spf, dkim)["result"] == result


def test_what_is_noted() -> None:
    asks = Policy(AUTHOR, ORGANISATION, "reject", percent=20)
    assert judge(asks, fact("pass"), [fact("pass", "b.example"), fact("pass"), fact("pass")]) == {
        "result": "pass",
        "domain": AUTHOR,
        "policy": "reject",
        "place": ORGANISATION,
        "percent": 20,
        "spf": [ORGANISATION],
        "dkim": [ORGANISATION],
    }


def test_what_is_aligned_is_noted_without_a_policy_too() -> None:
    notes = judge(Policy(AUTHOR), fact("pass"), [])
    assert (notes["result"], notes["spf"]) == ("none", [ORGANISATION])


def test_the_largest_record_is_bounded() -> None:
    assert dmarcpolicy.MAX_RECORD <= 1 << 16
