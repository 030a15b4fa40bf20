"""Signatures in the header of a message: DKIM's (RFC 6376, 8301, 8463), and those of ARC, which are alike.

Whether one is right is told by the public key of a domain. What is noted is more than that: what it says,
what is odd about it, and what was right as far as it went.
"""

import base64
import binascii
import hashlib
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from stages.authentication import dkimkey, taglist
from stages.authentication.domainname import domain_of, is_below
from stages.authentication.signedmail import Field, SignedMail
from stages.authentication.spfcheck import Query
from trap.envelope import printable

MAX_SIGNATURE = 16 << 10
"""Bytes of a signature that is looked at."""
SLACK = 3600.0
"""Seconds by which clocks may differ."""
WORTH_KNOWING = ("from", "sender", "reply-to", "to", "cc", "subject", "date", "message-id", "content-type")
"""Names that are noted when one of them stands there unsigned, or when more are signed than stand there."""
MAX_WORDS = 100
"""Characters of what a signature says that are noted."""
DKIM_TAGS = ("v", "a", "b", "bh", "d", "h", "s")
_ALGORITHMS = {
    "rsa-sha1": ("rsa", "sha1"),
    "rsa-sha256": ("rsa", "sha256"),
    "ed25519-sha256": ("ed25519", "sha256"),
}
_FORMS = {"simple": False, "relaxed": True}
_NUMBER = re.compile(r"[0-9]{1,76}")
_SELECTOR = re.compile(r"[!-~]{1,190}")


class Wrong(Exception):
    """What a signature comes to when it is not believed.

    Args:
        result: fail, permerror, temperror or policy (RFC 8601, section 2.7.1).
        why: in a few words.
    """

    def __init__(self, result: str, why: str) -> None:
        super().__init__(why)
        self.result = result


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature that was read.

    Attributes:
        field: where it stands.
        tags: what it says.
        algorithm: name, kind of key and hash.
        domain: whose key it is, in lower case.
        value: the signature itself.
    """

    field: Field
    tags: dict[str, str]
    algorithm: tuple[str, str, str]
    domain: str
    value: bytes

    @classmethod
    def read(cls, field: Field, required: tuple[str, ...]) -> "Signature":
        """Read one.

        Raises:
            Wrong: it lacks something, or says what can't be understood.
        """
        tags = tags_of(field)
        if missing := [tag for tag in required if tag not in tags]:
            raise Wrong("permerror", f"it lacks {missing[0]}=")
        name = tags["a"].lower()
        if name not in _ALGORITHMS:
            raise Wrong("permerror", f"an unknown algorithm, {name}")
        domain = domain_of(tags["d"])
        if not domain or not _SELECTOR.fullmatch(tags["s"]):
            raise Wrong("permerror", "no domain, or no selector")
        return cls(field, tags, (name, *_ALGORITHMS[name]), domain, _base64(tags, "b"))

    @property
    def key_name(self) -> str:
        """Where its key stands in the DNS."""
        return f"{self.tags['s'].lower()}._domainkey.{self.domain}"

    @property
    def forms(self) -> tuple[bool, bool]:
        """Whether header and body are hashed in relaxed form.

        Raises:
            Wrong: it names another form.
        """
        header, _, body = self.tags.get("c", "simple/simple").lower().partition("/")
        try:
            return _FORMS[header], _FORMS[body or "simple"]
        except KeyError:
            raise Wrong("permerror", "an unknown canonical form") from None

    @property
    def names(self) -> list[str]:
        """The fields that are signed, in lower case."""
        return taglist.words(self.tags["h"])

    @property
    def length(self) -> int | None:
        """Bytes of the body that are signed; None when it is all of it.

        Raises:
            Wrong: it is no number.
        """
        return self.number("l")

    def number(self, tag: str) -> int | None:
        """A number that it says; None when it does not.

        Raises:
            Wrong: it is none.
        """
        if tag not in self.tags:
            return None
        if not _NUMBER.fullmatch(self.tags[tag]):
            raise Wrong("permerror", f"{tag}= is no number")
        return int(self.tags[tag])

    def check_body(self, mail: SignedMail) -> None:
        """Compare the hash of the body.

        Raises:
            Wrong: it is another.
        """
        relaxed, length = self.forms[1], self.length
        if length is not None and length > mail.body_length(relaxed=relaxed):
            raise Wrong("permerror", "it signs more than there is")
        if mail.body_hash(self.algorithm[2], relaxed=relaxed, length=length) != _base64(self.tags, "bh"):
            raise Wrong("fail", "body hash")

    def check_header(self, mail: SignedMail, key: dkimkey.Key) -> None:
        """Check the signature of the header fields that it names.

        Raises:
            Wrong: it is not right.
        """
        relaxed = self.forms[0]
        names = [name.encode("utf-8", "surrogateescape") for name in self.names]
        self.check(mail.selected(names, relaxed=relaxed), key, relaxed=relaxed)

    def check(self, signed: bytes, key: dkimkey.Key, *, relaxed: bool) -> None:
        """Check the signature of some canonical fields, and of its own.

        Raises:
            Wrong: it is not right.
        """
        own = self.field.unsigned().canonical(relaxed=relaxed).removesuffix(b"\r\n")
        digest = hashlib.new(self.algorithm[2], signed + own, usedforsecurity=False).digest()
        if not key.signed(self.value, digest, self.algorithm[2]):
            raise Wrong("fail", "signature")

    def check_rules(self, key: dkimkey.Key, at: float) -> None:
        """Whether a signature that is right may be believed.

        Raises:
            Wrong: it may not.
        """
        expires, signed_at = self.number("x"), self.number("t")
        if self.algorithm[2] == "sha1":
            raise Wrong("policy", "sha1")
        if key.kind == "rsa" and key.bits < dkimkey.MIN_BITS:
            raise Wrong("policy", f"weak key of {key.bits} bits")
        if expires is not None and expires + SLACK < at:
            raise Wrong("policy", "expired")
        if signed_at is not None and signed_at - SLACK > at:
            raise Wrong("policy", "signed in the future")


def tags_of(field: Field) -> dict[str, str]:
    """What a signature says.

    Raises:
        Wrong: it is no list of tags, or too long a one.
    """
    if len(field.raw) > MAX_SIGNATURE:
        raise Wrong("permerror", f"a signature of {len(field.raw)} bytes")
    try:
        return taglist.parse(field.value.decode("utf-8", "surrogateescape"))
    except taglist.BadTags as error:
        raise Wrong("permerror", str(error)) from error


async def key_of(signature: Signature, query: Query) -> dkimkey.Key:
    """Look up the key that a signature is checked with.

    Raises:
        Wrong: there is none, none for this signature, or nobody knows.
    """
    answer = await query(signature.key_name, "TXT")
    if answer.status == "servfail":
        raise Wrong("temperror", "no answer about the key")
    if not answer.records:
        raise Wrong("permerror", "key missing")
    try:
        # There should be one record; where there are more, most are of something else.
        key = dkimkey.parse(next(filter(dkimkey.HOLDS_KEY.search, answer.records), answer.records[0]))
    except dkimkey.BadKey as error:
        raise Wrong("permerror", f"key: {error}") from error
    _, kind, algorithm = signature.algorithm
    if key.kind != kind or (key.hashes and algorithm not in key.hashes):
        raise Wrong("permerror", "key: it is not for this algorithm")
    return key


async def check(mail: SignedMail, field: Field, query: Query, at: float) -> dict[str, Any]:
    """Check one DKIM signature.

    Args:
        mail: the message.
        field: the signature, one of its fields.
        query: looks names up.
        at: when the message came, in seconds since the epoch: an old sample is not expired.

    Returns:
        What is noted, result (RFC 8601, section 2.7.1) and why among it.
    """
    notes: dict[str, Any] = {}
    try:
        notes |= said(tags_of(field))
        signature = Signature.read(field, DKIM_TAGS)
        notes |= _shape(mail, signature)
        _check_form(signature)
        await mail.aside(signature.check_body)
        notes["body"] = True
        key = await key_of(signature, query)
        notes["bits"] = key.bits
        notes |= {"testing": True} if key.testing else {}
        if key.strict and _identity(signature) != signature.domain:
            raise Wrong("permerror", "key: it is not for subdomains")
        signature.check_header(mail, key)
        signature.check_rules(key, at)
    except Wrong as error:
        return notes | {"result": error.result, "why": printable(str(error))[:MAX_WORDS]}
    return notes | {"result": "pass"}


def said(tags: dict[str, str]) -> dict[str, Any]:
    """What a signature says of itself, whether it is right or not."""
    names = {"domain": "d", "selector": "s", "algorithm": "a", "identity": "i"}
    notes: dict[str, Any] = {name: _told(tags[tag]) for name, tag in names.items() if tag in tags}
    if "domain" in notes:
        notes["domain"] = domain_of(tags["d"]) or notes["domain"]
    return notes


def _shape(mail: SignedMail, signature: Signature) -> dict[str, Any]:
    """What is odd about what is signed."""
    signs = Counter(signature.names)
    stands = {name: len(mail.named(name.encode("ascii"))) for name in WORTH_KNOWING}
    notes: dict[str, Any] = {
        "unsigned": [name for name, count in stands.items() if count > signs[name]],
        "oversigned": [name for name, count in stands.items() if count < signs[name]],
    }
    notes = {name: names for name, names in notes.items() if names}
    if (length := signature.length) is not None:
        notes["length"] = min(length, (1 << 63) - 1)
    return notes


def _check_form(signature: Signature) -> None:
    """Check what must be so before anything is computed (RFC 6376, section 6.1.1)."""
    tags = signature.tags
    if tags["v"] != "1":
        raise Wrong("permerror", "another version")
    if "from" not in signature.names:
        raise Wrong("permerror", "From is not signed")
    if "dns/txt" not in taglist.words(tags.get("q", "dns/txt")):
        raise Wrong("permerror", "its key is not in the DNS")
    if not is_below(_identity(signature), signature.domain):
        raise Wrong("permerror", "its identity is of another domain")
    expires, signed_at = signature.number("x"), signature.number("t")
    if expires is not None and signed_at is not None and expires <= signed_at:
        raise Wrong("permerror", "it expired before it was made")


def _identity(signature: Signature) -> str:
    """The domain of its identity."""
    return domain_of(signature.tags.get("i", signature.domain).rpartition("@")[2])


def _base64(tags: dict[str, str], tag: str) -> bytes:
    try:
        return base64.b64decode(taglist.joined(tags[tag]), validate=True)
    except (binascii.Error, ValueError):
        raise Wrong("permerror", f"{tag}= is no base64") from None


def _told(text: str) -> str:
    return printable(text)[:MAX_WORDS]
