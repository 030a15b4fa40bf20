"""signature: what dkimpy and the RFCs have signed, and what senders get wrong."""

import base64
import re
from typing import Any

import dkim
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from signingkit import DOMAIN, MESSAGE, record, rsa, signature, signed, zone
from support import at_most
from zonekit import Names, Zone

from stages.authentication import dkimkey
from stages.authentication import signature as module
from stages.authentication.signedmail import MAX_HEADER, SignedMail, TooLarge

Notes = dict[str, Any]
NOW = 4_000_000_000.0
KEY = f"trap._domainkey.{DOMAIN}"


async def notes_of(message: bytes, known: Zone | None = None, at: float | None = None) -> list[Notes]:
    """What is noted of each signature."""
    mail = SignedMail(message)
    names = Names(zone() if known is None else known)
    # dkimpy says when it signed; an hour later is soon enough.
    times = [int(found) for found in re.findall(rb"\bt=([0-9]{1,12});", message)]
    moment = at if at is not None else float(max(times, default=0))
    return [await module.check(mail, each, names.query, moment) for each in mail.named(b"dkim-signature")]


async def note_of(message: bytes, known: Zone | None = None, at: float | None = None) -> Notes:
    (notes,) = await notes_of(message, known, at)
    return notes


async def verdict(message: bytes, known: Zone | None = None, at: float | None = None) -> tuple[str, str]:
    notes = await note_of(message, known, at)
    return notes["result"], notes.get("why", "")


def changed(message: bytes, old: bytes, new: bytes) -> bytes:
    assert old in message
    return message.replace(old, new)


# What is right

FORMS = [(header, body) for header in (b"simple", b"relaxed") for body in (b"simple", b"relaxed")]


@pytest.mark.parametrize("forms", FORMS, ids=b"/".join)
@pytest.mark.parametrize("bits", [1024, 2048])
async def test_a_signature_that_is_right(forms: tuple[bytes, bytes], bits: int) -> None:
    notes = await note_of(signed(bits=bits, canonicalize=forms), zone(bits))
    assert notes == {
        "result": "pass",
        "domain": DOMAIN,
        "selector": "trap",
        "identity": f"@{DOMAIN}",
        "algorithm": "rsa-sha256",
        "bits": bits,
        "body": True,
        "oversigned": ["from"],
    }


BODIES = [
    b"",
    b"\r\n",
    b"\r\n\r\n\r\n",
    b"text",
    b"text\r\n",
    b"text \t\r\n\r\n",
    b"  text\t \ttwo\r\n \r\n\t\r\n",
    b"a\rb\r\r\n\r\n",
    b"\r",
    b"\r\r\n",
    b"text\r\n\r",
    b"caf\xe9\0 \x0b \x0c\r\n",
]


@pytest.mark.parametrize("forms", FORMS, ids=b"/".join)
@pytest.mark.parametrize("body", BODIES, ids=repr)
async def test_bodies(body: bytes, forms: tuple[bytes, bytes]) -> None:
    message = b"From: joe@sender.example\r\n\r\n" + body
    assert (await verdict(signed(message, canonicalize=forms))) == ("pass", "")


async def test_spaces_at_the_very_end_do_not_count_when_relaxed() -> None:
    """Nor where the last line has no end (RFC 6376, section 3.4.4); dkimpy forgets that."""
    forms = (b"relaxed", b"relaxed")
    message = signed(b"From: joe@sender.example\r\n\r\ntext\r\n", canonicalize=forms)
    assert await verdict(message.removesuffix(b"\r\n") + b" \t ") == ("pass", "")


async def test_several_signatures_each_have_a_result() -> None:
    other = signature(domain=b"other.example", identity=b"joe@other.example")
    notes = await notes_of(other + signed())
    assert [(each["domain"], each["result"], each.get("why")) for each in notes] == [
        ("other.example", "permerror", "key missing"),
        (DOMAIN, "pass", None),
    ]


async def test_mail_that_came_with_bare_lf_is_read_as_it_was_signed() -> None:
    assert await verdict(signed().replace(b"\r\n", b"\n")) == ("pass", "")


async def test_fields_are_taken_from_the_bottom() -> None:
    """RFC 6376, section 5.4.2: a field that is added on top of the signed one does not break it."""
    notes = await note_of(b"Subject: another\r\n" + signed())
    assert notes["result"] == "pass"
    assert notes["unsigned"] == ["subject"]


async def test_a_field_signed_once_too_often_can_not_be_added() -> None:
    assert await verdict(b"From: eve@evil.example\r\n" + signed()) == ("fail", "signature")


async def test_what_is_not_signed_is_noted() -> None:
    notes = await note_of(signed(include_headers=[b"from", b"to"]))
    assert (notes["unsigned"], "oversigned" in notes) == (["subject", "date", "message-id"], False)


async def test_lines_that_are_no_fields_are_passed_over() -> None:
    assert await verdict(b"From joe Mon Jan  1 00:00:00 2024\r\n" + signed()) == ("pass", "")
    assert await verdict(changed(signed(), b"To: ann", b"no field\r\n of two lines\r\nTo: ann")) == (
        "pass",
        "",
    )


async def test_only_a_part_of_the_body_may_be_signed() -> None:
    notes = await note_of(signed(length=True) + b"Buy more!\r\n")
    assert notes["result"] == "pass"
    assert notes["length"] == len(MESSAGE.partition(b"\r\n\r\n")[2].rstrip()) + 2


async def test_a_key_may_stand_in_the_dns_as_plain_rsa_too() -> None:
    raw = rsa(1024).public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
    known = {KEY: [f"TXT p={base64.b64encode(raw).decode('ascii')}"]}
    assert await verdict(signed(), known) == ("pass", "")


async def test_a_domain_that_only_tries_it_out() -> None:
    notes = await note_of(signed(), {KEY: [record(tags="v=DKIM1; t=y:s; s=email; h=sha1:sha256; ")]})
    assert (notes["result"], notes["testing"]) == ("pass", True)


async def test_other_texts_beside_the_key_do_no_harm() -> None:
    assert await verdict(signed(), {KEY: ["TXT v=spf1 exp=a.example -all", record()]}) == ("pass", "")


# RFC 8463, appendix A: one message, signed twice

RFC8463 = b"""\
DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=test; t=1528637909; h=from : to : subject :
 date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3
 DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz
 dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game.  Are you hungry yet?

Joe.
""".replace(b"\n", b"\r\n")
RFC8463_RSA = (
    "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Q"
    "vx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kry"
    "OTIKT+l/K4w3QIDAQAB"
)
RFC8463_ZONE = {
    "brisbane._domainkey.football.example.com": [
        "TXT v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
    ],
    "test._domainkey.football.example.com": [f"TXT v=DKIM1; k=rsa; p={RFC8463_RSA}"],
}


async def test_the_example_of_rfc_8463() -> None:
    notes = await notes_of(RFC8463, RFC8463_ZONE)
    assert [(each["algorithm"], each["bits"], each["result"]) for each in notes] == [
        ("ed25519-sha256", 256, "pass"),
        ("rsa-sha256", 1024, "pass"),
    ]


async def test_the_example_of_rfc_8463_with_another_subject() -> None:
    notes = await notes_of(changed(RFC8463, b"dinner", b"lunch"), RFC8463_ZONE)
    assert [(each["result"], each["why"]) for each in notes] == [("fail", "signature")] * 2


# What is wrong


@pytest.mark.parametrize(
    ("old", "new", "result", "why"),
    [
        (b"Buy  now!", b"Buy  later!", "fail", "body hash"),
        (b"Subject:  cheap", b"Subject:  dear", "fail", "signature"),
        (b"; d=", b"; u=", "permerror", "it lacks d="),
        (b"v=1;", b"v=2;", "permerror", "another version"),
        (b"v=1;", b"v=1; v=1;", "permerror", "it says v= twice"),
        (b"v=1;", b"v=1; nonsense;", "permerror", "it is no list of tags"),
        (b"a=rsa-sha256", b"a=rsa-md5", "permerror", "an unknown algorithm, rsa-md5"),
        (b"a=rsa-sha256", b"a=ed25519-sha256", "permerror", "key: it is not for this algorithm"),
        (b"c=relaxed/simple", b"c=loose/simple", "permerror", "an unknown canonical form"),
        (b"d=sender.example", b"d=word", "permerror", "no domain, or no selector"),
        (b"i=@sender.example", b"i=@other.example", "permerror", "its identity is of another domain"),
        (b"i=@sender.example", b"i=@xsender.example", "permerror", "its identity is of another domain"),
        (b"q=dns/txt", b"q=pigeon", "permerror", "its key is not in the DNS"),
        (b"h=from", b"h=fro", "permerror", "From is not signed"),
        (b"s=trap", b"s=other", "permerror", "key missing"),
        (b"bh=", b"bh=!", "permerror", "bh= is no base64"),
        (b" b=", b" b=!", "permerror", "b= is no base64"),
        (b"q=dns/txt;", b"q=dns/txt; x=1;", "permerror", "it expired before it was made"),
        (b"q=dns/txt;", b"q=dns/txt; x=-1;", "permerror", "x= is no number"),
        (b"q=dns/txt;", b"q=dns/txt; l=1e9;", "permerror", "l= is no number"),
        (b"q=dns/txt;", b"q=dns/txt; l=" + b"9" * 76 + b";", "permerror", "it signs more than there is"),
        (b"q=dns/txt;", b"q=dns/txt; z=" + b"x" * 20_000 + b";", "permerror", "a signature of 20"),
    ],
)
async def test_wrong_signatures(old: bytes, new: bytes, result: str, why: str) -> None:
    message = signed(include_headers=[b"from", b"to", b"subject"])
    found = await verdict(changed(message, old, new))
    assert found[0] == result and found[1].startswith(why), found


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("v=DKIM1; p=", "revoked"),
        ("v=DKIM2; p=AAAA", "another version"),
        ("v=DKIM1; k=rsa", "there is no key in the record"),
        ("v=DKIM1; s=tlsrpt; p=AAAA", "it is not for mail"),
        ("v=DKIM1; k=dsa; p=AAAA", "of an unknown kind, dsa"),
        ("v=DKIM1; k=ed25519; p=AAAA", "it can't be read"),
        ("v=DKIM1; p=AAAA", "it can't be read"),
        ("v=DKIM1; p=A!A", "it can't be read"),
        ("v=DKIM1; p=\udcff", "it can't be read"),
        ("nonsense", "it is no list of tags"),
        ("p=" + "A" * 20_000, "a record of 20002 bytes"),
        (record(tags="h=sha1; ").removeprefix("TXT "), "it is not for this algorithm"),
    ],
)
async def test_keys_that_can_not_be_used(text: str, why: str) -> None:
    assert await verdict(signed(), {KEY: [f"TXT {text}"]}) == ("permerror", f"key: {why}")


async def test_a_key_that_nobody_can_look_up() -> None:
    assert await verdict(signed(), {KEY: ["FAIL"]}) == ("temperror", "no answer about the key")


async def test_a_key_for_its_domain_alone() -> None:
    known = {KEY: [record(tags="t=s; ")]}
    below = signed(identity=b"joe@news.sender.example")
    assert await verdict(below, known) == ("permerror", "key: it is not for subdomains")
    assert await verdict(below) == ("pass", "")


# What is right and still not believed


async def test_a_weak_key() -> None:
    message = signed(bits=768)
    notes = await note_of(message, zone(768))
    assert (notes["result"], notes["why"], notes["bits"]) == ("policy", "weak key of 768 bits", 768)


async def test_sha1() -> None:
    assert await verdict(signed(signature_algorithm=b"rsa-sha1")) == ("policy", "sha1")


async def test_time_is_that_of_the_message() -> None:
    """A sample that is replayed after years is not expired because of that."""
    message = signed()
    made = int(re.findall(rb"t=([0-9]+);", message)[0])
    assert await verdict(message, at=made + 1e9) == ("pass", "")
    assert await verdict(message, at=made - 1e6) == ("policy", "signed in the future")
    assert await verdict(message, at=made - 600.0) == ("pass", "")


async def test_expiry_is_that_of_the_message() -> None:
    tags = {"x": "1000000"}
    signed_ = module.Signature(SignedMail(signed()).fields[0], tags, ("", "rsa", "sha256"), DOMAIN, b"")
    key = dkimkey.parse(record().removeprefix("TXT ").encode("ascii"))
    signed_.check_rules(key, 1_000_000.0 + 60)
    with pytest.raises(module.Wrong, match="expired"):
        signed_.check_rules(key, 1_000_000.0 + 7200)


# What is hostile


def der(tag: int, content: bytes) -> bytes:
    size = len(content).to_bytes((len(content).bit_length() + 7) // 8 or 1, "big")
    return bytes([tag]) + (size if len(content) < 128 else bytes([0x80 | len(size)]) + size) + content


def published(modulus: int, exponent: int) -> str:
    numbers = b"".join(der(2, n.to_bytes(n.bit_length() // 8 + 1, "big")) for n in (modulus, exponent))
    return f"TXT p={base64.b64encode(der(0x30, numbers)).decode('ascii')}"


@pytest.mark.parametrize(
    ("bits", "exponent", "why"),
    [
        (65_536, 3, "key: 65536 bits"),
        (16_384, 65_537, "key: 16384 bits"),
        (2048, (1 << 2000) + 1, "key: an exponent that nobody uses"),
        (8192, (1 << 8000) + 1, "key: an exponent that nobody uses"),
        (40, 3, "signature"),
    ],
)
async def test_keys_that_would_cost_time(bits: int, exponent: int, why: str) -> None:
    with at_most(0.5, bits):
        notes = await note_of(signed(), {KEY: [published((1 << bits - 1) | 1, exponent)]})
    assert notes["result"] in ("permerror", "fail") and notes["why"] == why


async def test_the_largest_key_that_is_used_costs_little() -> None:
    with at_most(0.5):
        assert await verdict(
            signed(), {KEY: [published(rsa(1024).public_key().public_numbers().n << 7168 | 1, 65_537)]}
        ) == ("fail", "signature")


def test_a_header_without_an_end_is_refused() -> None:
    with pytest.raises(TooLarge):
        SignedMail(b"X-Long: " + b"a" * MAX_HEADER + b"\r\n\r\n")


async def test_thousands_of_names_are_selected_in_linear_time() -> None:
    names = b":".join([b"from"] + [b"x"] * 7000)
    message = changed(signed(), b"h=from", b"h=" + names)
    with at_most(1.0):
        notes = await note_of(b"X: y\r\n" * 20_000 + message)
    assert notes["result"] == "fail"


_pieces = st.sampled_from(
    b"v=1|a=rsa-sha256|c=relaxed|d=sender.example|s=trap|h=from|h=From:To:\xff|bh=AAAA|b=AAAA|b=|=||i=joe|l=0|l=5|"
    b"x=9|t=9|q=dns/txt|\r\n |b\r\n =\t1".split(b"|")
)


@settings(max_examples=150, deadline=None)
@given(st.lists(_pieces | st.binary(max_size=12), max_size=14), st.binary(max_size=60))
async def test_any_signature_has_a_result(pieces: list[bytes], body: bytes) -> None:
    message = b"DKIM-Signature: " + b"; ".join(pieces) + b"\r\nFrom: joe@sender.example\r\n\r\n" + body
    for notes in await notes_of(message, at=NOW):
        assert notes["result"] in {"pass", "fail", "permerror", "temperror", "policy"}
        assert all(value.isprintable() for value in notes.values() if isinstance(value, str))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from([b"a", b" ", b"\t", b"\r\n", b"\r", b":", b"\xff", b"\r\n\r\n"]), max_size=25),
    st.lists(st.sampled_from([b"a", b" ", b"\t", b"\r\n ", b"=", b"\xff"]), max_size=25),
    st.sampled_from(FORMS),
)
async def test_dkimpy_says_the_same(
    body: list[bytes], subject: list[bytes], forms: tuple[bytes, bytes]
) -> None:
    text = b"".join(body)
    if forms[1] == b"relaxed":
        text += b"."  # see above
    message = b"From: joe@sender.example\r\nSubject:%s.\r\n\r\n%s" % (b"".join(subject), text)
    message = signed(message, canonicalize=forms)
    known = record().removeprefix("TXT ").encode("ascii")
    assert dkim.verify(message, dnsfunc=lambda *_, **__: known)
    assert await verdict(message) == ("pass", "")
