"""What the domain in From asks for, and whether the message is really its own: DMARC (RFC 7489, RFC 9091).

Whose a domain is, the Public Suffix List tells, which is at hand. DMARC's successor walks up the DNS for
that: up to eight look-ups for each domain, whose servers a sender chooses, with the same result but for
the few who publish psd=.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stages.authentication import taglist
from stages.authentication.domainname import organisation
from stages.authentication.spfcheck import Query

MAX_RECORD = 16 << 10
"""Bytes of a record."""
POLICIES = ("none", "quarantine", "reject")
_RECORD = re.compile(rb"v[ \t]*=[ \t]*DMARC1[ \t]*(?:;|$)")


@dataclass(frozen=True, slots=True)
class Policy:
    """What a domain asks for.

    Attributes:
        domain: in From.
        place: the domain whose record says so; "" when there is none.
        action: none, quarantine or reject.
        strict_spf: whether SPF counts for the very domain only.
        strict_dkim: the same for DKIM.
        percent: share of mail that it asks it for.
        trouble: temperror or permerror, when it is not known; "" else.
        why: of trouble, or of there being no record, when that needs a word.
    """

    domain: str
    place: str = ""
    action: str = ""
    strict_spf: bool = False
    strict_dkim: bool = False
    percent: int = 100
    trouble: str = ""
    why: str = ""


async def find(domain: str, query: Query) -> Policy:
    """Look the policy of a domain up, its own or that of its organisation (RFC 7489, section 6.6.3)."""
    above = organisation(domain)
    for place in dict.fromkeys((domain, above)):
        answer = await query(f"_dmarc.{place}", "TXT")
        if answer.status == "servfail":
            return Policy(domain, trouble="temperror", why=f"no answer about the policy of {place}")
        records = [text for text in answer.records if _RECORD.match(text)]
        if len(records) > 1:
            return Policy(domain, why=f"{place} has {len(records)} records")
        if records:
            return await _read(records[0], domain, place, query)
    return Policy(domain)


async def _read(record: bytes, domain: str, place: str, query: Query) -> Policy:
    try:
        if len(record) > MAX_RECORD:
            raise taglist.BadTags(f"a record of {len(record)} bytes")
        tags = taglist.parse(record.decode("utf-8", "replace"))
    except taglist.BadTags as error:
        return Policy(domain, place, trouble="permerror", why=f"{place}: {error}")
    tags = {name.lower(): value.lower() for name, value in tags.items()}
    action = tags.get("p", "")
    if place != domain:
        action = tags.get("sp", action)
        if "np" in tags and (await query(domain, "A")).status == "nxdomain":
            action = tags["np"]
    if action not in POLICIES:
        # Whoever wants reports meant something by it.
        if "rua" not in tags:
            return Policy(domain, why=f"{place} names no policy")
        action = "none"
    percent = tags.get("pct", "100")
    return Policy(
        domain,
        place,
        action,
        strict_spf=tags.get("aspf") == "s",
        strict_dkim=tags.get("adkim") == "s",
        percent=min(int(percent), 100) if re.fullmatch(r"[0-9]{1,3}", percent) else 100,
    )


def aligned(author: str, domain: str, *, strict: bool) -> bool:
    """Whether two domains are the same, or of one organisation when that is enough."""
    return author == domain or (not strict and organisation(author) == organisation(domain))


def judge(policy: Policy, spf: dict[str, Any], dkim: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Whether a message is what its From says.

    Args:
        policy: of the domain in From.
        spf: the notes about SPF.
        dkim: those about each signature.

    Returns:
        What is noted: result (pass, fail, none, temperror, permerror), domain (in From), spf and dkim (the
        domains that are right and aligned), and of a policy: policy, place and percent; why.
    """
    by_spf = [spf["domain"]] if _fits(policy, spf, strict=policy.strict_spf, result="pass") else []
    by_dkim = [
        each["domain"] for each in dkim if _fits(policy, each, strict=policy.strict_dkim, result="pass")
    ]
    notes: dict[str, Any] = {"domain": policy.domain, "spf": by_spf, "dkim": list(dict.fromkeys(by_dkim))}
    notes |= {"why": policy.why} if policy.why else {}
    if policy.trouble:
        return notes | {"result": policy.trouble}
    if not policy.place:
        return notes | {"result": "none"}
    notes |= {"policy": policy.action, "place": policy.place}
    notes |= {"percent": policy.percent} if policy.percent < 100 else {}
    if by_spf or by_dkim:
        return notes | {"result": "pass"}
    unknown = _fits(policy, spf, strict=policy.strict_spf, result="temperror") or any(
        _fits(policy, each, strict=policy.strict_dkim, result="temperror") for each in dkim
    )
    return notes | {"result": "temperror" if unknown else "fail"}


def _fits(policy: Policy, notes: dict[str, Any], *, strict: bool, result: str) -> bool:
    """Whether a check came to a result about a domain that is aligned."""
    return notes["result"] == result and aligned(policy.domain, notes.get("domain", ""), strict=strict)
