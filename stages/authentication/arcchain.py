"""Whether the seals of those who passed a message on are whole: Authenticated Received Chain, RFC 8617."""

import re
from typing import Any

from stages.authentication import signature
from stages.authentication.dkimkey import MIN_BITS
from stages.authentication.signature import Signature, Wrong
from stages.authentication.signedmail import Field, SignedMail
from stages.authentication.spfcheck import Query

MAX_INSTANCES = 50
"""RFC 8617, section 4.2.1."""
RESULTS, MESSAGE, SEAL = b"arc-authentication-results", b"arc-message-signature", b"arc-seal"
_MESSAGE_TAGS = ("i", "a", "b", "bh", "d", "h", "s")
_SEAL_TAGS = ("i", "a", "b", "cv", "d", "s")
_INSTANCE = re.compile(rb"(?:[^;]{0,2000};)*?\s*i\s*=\s*([0-9]{1,3})\s*(?:;|$)")

Sets = dict[int, dict[bytes, Field]]


async def check(mail: SignedMail, query: Query) -> dict[str, Any]:
    """Check the chain.

    Args:
        mail: the message.
        query: looks names up.

    Returns:
        What is noted: result (none, pass, fail; temperror when nobody can know now), and of a chain its
        instances, the domains that sealed it, oldest first, and why it does not hold.
    """
    fields = [field for name in (RESULTS, MESSAGE, SEAL) for field in mail.named(name)]
    if not fields:
        return {"result": "none"}
    notes: dict[str, Any] = {"instances": max(len(mail.named(SEAL)), 1)}
    try:
        sets = _sets(fields)
        notes["instances"] = len(sets)
        seals = [Signature.read(sets[number][SEAL], _SEAL_TAGS) for number in sorted(sets)]
        notes["domains"] = [seal.domain for seal in seals]
        _check_claims(seals)
        await _check_message(mail, sets[len(sets)][MESSAGE], query)
        for number in range(len(sets), 0, -1):
            await _check_seal(sets, seals[number - 1], number, query)
    except Wrong as error:
        result = "temperror" if error.result == "temperror" else "fail"
        return notes | {"result": result, "why": str(error)[: signature.MAX_WORDS]}
    return notes | {"result": "pass"}


def _sets(fields: list[Field]) -> Sets:
    """The sets by instance, all whole."""
    if len(fields) > 3 * MAX_INSTANCES:
        raise Wrong("fail", f"more than {MAX_INSTANCES} instances")
    sets: Sets = {}
    for field in fields:
        number = _instance(field)
        if field.name in sets.setdefault(number, {}):
            raise Wrong("fail", f"two of a kind in instance {number}")
        sets[number][field.name] = field
    if sorted(sets) != list(range(1, len(sets) + 1)) or any(len(each) != 3 for each in sets.values()):
        raise Wrong("fail", "instances that are not whole")
    return sets


def _instance(field: Field) -> int:
    found = _INSTANCE.match(field.value[: signature.MAX_SIGNATURE])
    if not found:
        raise Wrong("fail", "a field of no instance")
    return int(found[1])


def _check_claims(seals: list[Signature]) -> None:
    """What the seals say of the chain before them must fit."""
    if seals[-1].tags["cv"].lower() == "fail":
        raise Wrong("fail", f"{seals[-1].domain} says so")
    for number, seal in enumerate(seals, 1):
        if seal.tags["cv"].lower() != ("pass" if number > 1 else "none") or "h" in seal.tags:
            raise Wrong("fail", f"seal {number} says what can't be")


async def _check_message(mail: SignedMail, field: Field, query: Query) -> None:
    """The newest signature of the message must hold."""
    signed = Signature.read(field, _MESSAGE_TAGS)
    if SEAL.decode("ascii") in signed.names:
        raise Wrong("fail", "a signature of seals")
    await mail.aside(signed.check_body)
    key = await signature.key_of(signed, query)
    signed.check_header(mail, key)
    _check_strength(key.kind, key.bits)


async def _check_seal(sets: Sets, seal: Signature, number: int, query: Query) -> None:
    """A seal must hold of all sets up to its own."""
    key = await signature.key_of(seal, query)
    before = [sets[each][name] for each in range(1, number + 1) for name in (RESULTS, MESSAGE, SEAL)]
    sealed = b"".join(field.canonical(relaxed=True) for field in before[:-1])
    try:
        seal.check(sealed, key, relaxed=True)
    except Wrong as error:
        raise Wrong(error.result, f"seal {number} is broken") from None
    _check_strength(key.kind, key.bits)


def _check_strength(kind: str, bits: int) -> None:
    if kind == "rsa" and bits < MIN_BITS:
        raise Wrong("fail", f"weak key of {bits} bits")
