"""arcchain: chains that dkimpy has sealed, and what becomes of them on their way."""

from typing import Any

import dkim
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from signingkit import MESSAGE, record, sealed, signed, zone
from support import at_most
from zonekit import Names, Zone

from stages.authentication import arcchain
from stages.authentication.signedmail import SignedMail

HOPS = ["list.example", "forward.example", "alumni.example"]
KEYS: Zone = {name: records for hop in HOPS for name, records in zone(domain=hop).items()}


def chain(hops: list[str], message: bytes = MESSAGE) -> bytes:
    """A message that was passed on; every hop saw that the chain was right so far."""
    for number, hop in enumerate(hops):
        message = sealed(message, hop, "spf=pass" if not number else "arc=pass")
    return message


async def notes_of(message: bytes, known: Zone = KEYS) -> dict[str, Any]:
    return await arcchain.check(SignedMail(message), Names(known).query)


async def why(message: bytes, known: Zone = KEYS) -> str:
    notes = await notes_of(message, known)
    assert notes["result"] == "fail"
    return str(notes["why"])


async def test_mail_that_nobody_sealed() -> None:
    assert await notes_of(signed()) == {"result": "none"}


@pytest.mark.parametrize("hops", [HOPS[:1], HOPS[:2], HOPS], ids=len)
async def test_a_whole_chain(hops: list[str]) -> None:
    message = chain(hops)
    known = record().removeprefix("TXT ").encode("ascii")
    assert dkim.arc_verify(message, dnsfunc=lambda *_, **__: known)[0] == b"pass"
    assert await notes_of(message) == {"result": "pass", "instances": len(hops), "domains": hops}


async def test_a_chain_that_came_with_bare_lf() -> None:
    assert (await notes_of(chain(HOPS).replace(b"\r\n", b"\n")))["result"] == "pass"


async def test_who_changes_the_message_afterwards() -> None:
    message = chain(HOPS)
    assert await why(message + b"-- \r\nA footer\r\n") == "body hash"
    assert await why(message.replace(b"pills", b"bills")) == "signature"


async def test_the_next_hop_may_change_it_and_seal_it_anew() -> None:
    message = chain(HOPS[:2])
    notes = await notes_of(sealed(message + b"-- \r\nA footer\r\n", HOPS[2], "arc=pass"))
    assert (notes["result"], notes["instances"]) == ("pass", 3)


async def test_a_hop_that_found_the_chain_broken_says_so() -> None:
    message = sealed(chain(HOPS[:2]) + b"A footer\r\n", HOPS[2], "arc=fail")
    assert await why(message) == "alumni.example says so"


async def test_results_that_were_made_up_later() -> None:
    message = chain(HOPS)
    first = message.index(b"i=1; list.example")
    assert (
        await why(message[:first] + message[first:].replace(b"spf=pass", b"spf=fail", 1))
        == "seal 3 is broken"
    )


async def test_a_set_that_is_missing() -> None:
    message = chain(HOPS)
    start = message.index(b"ARC-Seal: i=2")
    end = message.index(b"ARC-Message-Signature: i=2")
    assert await why(message[:start] + message[end:]) == "instances that are not whole"


async def test_two_of_a_kind() -> None:
    message = chain(HOPS[:1])
    seal = message[: message.index(b"ARC-Message-Signature")]
    assert await why(seal + message) == "two of a kind in instance 1"


async def test_a_first_hop_that_claims_to_have_had_one_before() -> None:
    assert await why(chain(HOPS[:1]).replace(b"cv=none", b"cv=pass")) == "seal 1 says what can't be"


async def test_keys_that_are_missing_weak_or_not_to_be_had() -> None:
    message = chain(HOPS)
    name = "trap._domainkey.list.example"
    assert await why(message, {key: known for key, known in KEYS.items() if key != name}) == "key missing"
    assert (await notes_of(message, KEYS | {name: ["FAIL"]}))["result"] == "temperror"


@pytest.mark.parametrize("count", [51, 2000])
async def test_chains_without_an_end(count: int) -> None:
    one = b"ARC-Seal: i=%d\r\nARC-Message-Signature: i=%d\r\nARC-Authentication-Results: i=%d; a\r\n"
    names = Names(KEYS)
    with at_most(0.5):
        mail = SignedMail(b"".join(one % (n, n, n) for n in range(1, count + 1)) + MESSAGE)
        notes = await arcchain.check(mail, names.query)
    assert notes["result"] == "fail" and not names.asked


async def test_fifty_hops_are_the_most_that_is_looked_at() -> None:
    """None of these seals holds, which the first look tells."""
    seal = b"ARC-Seal: i=%d; a=rsa-sha256; cv=%s; d=x%d.example; s=trap; b=AAAA\r\n"
    signature = b"ARC-Message-Signature: i=%d; a=rsa-sha256; d=x.example; s=trap; h=from; bh=AAAA; b=AAAA\r\n"
    results = b"ARC-Authentication-Results: i=%d; a\r\n"
    sets = (seal % (n, b"pass" if n > 1 else b"none", n) + signature % n + results % n for n in range(1, 51))
    notes = await notes_of(b"".join(sets) + MESSAGE)
    assert (notes["result"], notes["why"], notes["instances"]) == ("fail", "body hash", 50)


_fields = st.sampled_from([b"ARC-Seal", b"ARC-Message-Signature", b"ARC-Authentication-Results"])
_texts = st.sampled_from(
    [b"i=1", b"i=2", b"i=0", b"i=", b"cv=none", b"a=rsa-sha256", b"d=list.example", b"s=trap"]
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(_fields, st.lists(_texts | st.binary(max_size=9), max_size=7)), max_size=7))
async def test_any_chain_has_a_result(fields: list[tuple[bytes, list[bytes]]]) -> None:
    header = b"".join(b"%s: %s\r\n" % (name, b"; ".join(texts)) for name, texts in fields)
    notes = await notes_of(header + MESSAGE)
    assert notes["result"] in {"none", "pass", "fail", "temperror"}
