"""facts: what is exactly so of a message, as tokens that can't be planted and values that can be counted."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from archived import job, mail, mixed_message
from hypothesis import given
from hypothesis import strategies as st

from trap.archive.facts import (
    ALL,
    FACETS,
    MAX_VALUE,
    MAX_VALUES,
    charset,
    clean,
    facets,
    networks,
    token,
    tokens,
)
from trap.archive.fields import Attachment, Fields, indexed, unparsed
from trap.archive.record import Record
from trap.archive.text import FACT, searchable
from trap.envelope import Rcpt


def record(message: bytes, notes: dict[str, Any] | None = None, **envelope: object) -> Record:
    made = job(1, message=message, **envelope)
    return Record(made.id, hashlib.sha256(message).digest(), made.envelope, notes or {}, message)


def facts_of(record: Record) -> set[str]:
    return set(tokens(record, indexed(record)))


def test_the_facts_of_a_message() -> None:
    known = record(
        mixed_message(3),
        {"dedup": {"campaign": "00aa"}, "virus": {"found": []}},
        rcpts=[Rcpt(address="a@trap.example", tag="Web form"), Rcpt(address="b@trap.example")],
    )
    (file,) = indexed(known).attachments
    expected = {
        "tag": ["web form"],
        "stage": ["dedup", "virus"],
        "campaign": ["00aa"],
        "kind": ["attachment"],
        "charset": ["utf-8"],
        # of From, MAIL FROM, HELO and the link
        "domain": ["b.example", "a.example", "mail.a.example", "login.c.example", "c.example", "example"],
        "from": ["@b.example"],
        "net": ["4/", "4/c0", "4/c000", "4/c00002", "4/c0000207"],
        "hash": [known.sha256.hex(), file.sha256],
    }
    assert facts_of(known) == {ALL} | {token(name, v) for name, values in expected.items() for v in values}


def test_the_facets_of_a_message() -> None:
    known = record(mixed_message(3), {"dedup": {"campaign": "00aa"}}, client_ip="2001:db8:1:2::3")
    found = facets(known, indexed(known))
    assert tuple(found) == FACETS
    assert found == {
        "domain": ["b.example"],
        "network": ["2001:db8:1::/48"],
        "charset": ["utf-8"],
        "tld": [],
        "tag": [],
        "kind": ["attachment"],
        "campaign": ["00aa"],
    }


def test_the_sender_is_who_the_header_says_else_the_envelope() -> None:
    for message, mail_from, domain, tld in (
        (mail(1), "joe@other.example", "a.example", []),
        (b"Subject: x\r\n\r\n", "joe@shop.co.uk", "shop.co.uk", ["uk"]),
        (b"From: joe\r\n\r\n", "joe@mail.ru", "mail.ru", ["ru"]),
        (b"Subject: x\r\n\r\n", "", None, []),
        (b"From: a@xn--p1ai.xn--p1ai\r\n\r\n", "", "xn--p1ai.xn--p1ai", []),
        (b"From: a@192.0.2.10\r\n\r\n", "", "192.0.2.10", []),
    ):
        known = record(message, mail_from=mail_from)
        found = facets(known, indexed(known))
        assert (found["domain"], found["tld"]) == ([domain] if domain else [], tld)
        assert (token("from", "<>") in facts_of(known)) == (mail_from == "")


def test_the_kind_is_what_a_stage_noted() -> None:
    for notes, kind in (
        ({}, "plain"),
        ({"backscatter": {"kind": "Autoreply"}}, "autoreply"),
        ({"a": 1, "b": {"kind": 5}, "c": {"kind": "spam"}}, "spam"),
    ):
        known = record(mail(1), notes)
        assert facets(known, indexed(known))["kind"] == [kind]
        assert token("kind", kind) in facts_of(known)


def test_what_could_not_be_parsed_has_facts_too() -> None:
    known = record(mail(1))
    found = unparsed(known, "died of it")
    assert facets(known, found)["kind"] == ["unparsed"]
    assert token("domain", "mail.a.example") in tokens(known, found)


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("UTF8", "utf-8"),
        ("utf-8", "utf-8"),
        ("Latin1", "iso-8859-1"),
        ("iso-8859-1", "iso-8859-1"),
        ("ISO_8859-15", "iso-8859-15"),
        ("ascii", "us-ascii"),
        ("cp1251", "windows-1251"),
        ("Windows-1252", "windows-1252"),
        ("KOI8-U", "koi8-u"),
        ("windows-874", "windows-874"),
        ("iso-2022-jp", "iso-2022-jp"),
        ("Shift_JIS", "shift_jis"),
        ("ks_c_5601-1987", "euc-kr"),
        ("gb2312", "gb2312"),
        ("base64", "other"),
        ("x-unknown", "other"),
        ("../../etc", "other"),
    ],
)
def test_a_charset_has_one_name(said: str, name: str) -> None:
    assert charset(said) == name
    assert charset(name) == name


def test_networks_of_an_address() -> None:
    assert networks("192.0.2.7") == networks("::ffff:192.0.2.7")
    assert networks("2001:db8::7%eth0") == networks("2001:DB8:0::7")
    assert networks("2001:db8::7")[:3] == ["6/", "6/20010db8", "6/20010db80000"]
    for ip in ("", "unix:/run/x", "300.1.1.1", "\0", "1.2.3"):
        assert networks(ip) == []
    for ip, network in (("::ffff:192.0.2.7", ["192.0.2.0/24"]), ("unix", []), ("::1", ["::/48"])):
        assert facets(record(b"", client_ip=ip), Fields())["network"] == network


@given(st.text())
def test_a_clean_value_is_fit_for_any_output_and_stays_as_it_is(value: str) -> None:
    cleaned = clean(value)
    assert cleaned == clean(cleaned)
    assert len(cleaned) <= MAX_VALUE and cleaned.isprintable() and '"' not in cleaned
    assert token("tag", value) == token("tag", cleaned)


def test_a_token_is_one_word_that_no_text_holds() -> None:
    made = token("tag", 'any "thing" at\n all \udcff')
    assert made[0] == FACT and made[1:].isalnum() and len(made) == 17
    assert searchable(made, 100).strip() == made[1:]
    assert token("tag", "x") != token("kind", "x")


def test_a_hostile_message_has_no_more_facts_than_any_other() -> None:
    many = range(1000)
    known = record(
        b"From: " + b", ".join(b"a@%d.x.y.z.a%d.example" % (n, n) for n in many) + b"\r\n\r\n",
        {f"stage{n}": {"campaign": "c" * 5000, "kind": "k" * 5000} for n in many},
        rcpts=[Rcpt(address="a@trap.example", tag=f"tag {n}") for n in many],
        helo="a." * 5000 + "example",
        mail_from="@" * 5000,
    )
    found = indexed(known)
    found.urls = [f"http://{n}.example" for n in many]
    found.charsets = [f"x-{n}" for n in many]
    found.attachments = [Attachment("", "", 0, f"{n:064}") for n in many]
    assert len(tokens(known, found)) <= 12 * MAX_VALUES
    for values in facets(known, found).values():
        assert len(values) <= MAX_VALUES
        assert all(len(value) <= MAX_VALUE for value in values)


def test_all_of_the_corpus_has_facts(corpus: Path) -> None:
    for path in sorted(corpus.glob("*/*.eml"))[::50]:
        known = record(path.read_bytes())
        found = indexed(known)
        made = tokens(known, found)
        assert ALL in made and len(set(made)) == len(made)
        counted = facets(known, found)
        assert len(counted["kind"]) == 1
        for name in ("charset", "tld", "kind"):
            assert {token(name, value) for value in counted[name]} <= set(made)
