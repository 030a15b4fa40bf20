"""mask: what is shown tells nobody who the trap is."""

import base64
import hashlib
import re
from urllib.parse import quote

import msgspec
import pytest
from archived import job
from hypothesis import given
from hypothesis import strategies as st

from trap.archive.record import Record
from trap.config import Config
from trap.configfile import parse
from trap.view.finder import mentions
from trap.view.mask import MASK, identities, mask_html, mask_lines, mask_text, masked
from trap.view.view import Header, PartInfo, View

JOE = "joe.trapper@pristine-trap.example"
NAMES = frozenset(
    (JOE, "jim@pristine-trap.example", "info@pristine-trap.example", "mx7.trap-host.example", "192.0.2.25")
)


@pytest.mark.parametrize(
    "hidden",
    [
        JOE,
        JOE.upper(),
        JOE[::-1],
        JOE.replace("@", "="),
        quote(JOE, safe=""),
        JOE.encode().hex(),
        hashlib.md5(JOE.encode()).hexdigest(),
        hashlib.sha256(JOE.encode()).hexdigest(),
        "joe.trapper",
        "joe.trapper@pristine-trap[.]example",
        "anyone@mail.pristine-trap.example",
        "info@pristine-trap.example",
        "jim",
        "mx7.trap-host.example",
        "192.0.2.25",
        *(base64.b64encode(b"x" * n + JOE.encode() + b"y" * n).decode()[4:-4] for n in (3, 4, 5)),
        base64.b64encode(b"xxxjoe.trapperyyy").decode()[4:-4],
    ],
)
def test_no_form_of_an_identity_is_left(hidden: str) -> None:
    text = f"see http://e.example/?u={hidden}&v=1"
    shown = mask_text(text, NAMES)
    assert mentions(text, NAMES)
    assert shown.startswith("see http://e.example/?u=")
    assert MASK in shown
    for end in (hidden[4:-4], hidden) if len(hidden) > 20 else (hidden,):
        assert end.lower() not in shown.lower()


def test_what_is_not_the_traps_stays() -> None:
    text = "jimmy <sender@mail.b.example> info@b.example 1192.0.2.250 pristine-trapper.example"
    assert mask_text(text, NAMES) == text
    assert not mentions("jon <sender@mail.b.example>", NAMES)
    assert mask_text("bounce+joe.trapper=pristine-trap.example@b.example", NAMES).endswith("@b.example")
    assert mask_text("anything", []) == "anything"


def test_a_short_name_is_found_where_it_stands_alone() -> None:
    names = frozenset({"part@trap.example"})
    assert (
        mask_text("multipart for part, u=part&x, cGFydA==", names)
        == f"multipart for {MASK}, u={MASK}&x, cGFydA=="
    )
    assert mask_text("part@trap.example", names) == MASK


def test_of_very_many_recipients_what_is_readable_is_masked() -> None:
    many = frozenset(f"user{n}.x@trap{n % 9}.example" for n in range(1000))
    assert (
        mask_text("To: user77.x@trap5.example, user78.x at mail.trap3.example", many)
        == f"To: {MASK}, {MASK} at {MASK}"
    )


def test_a_line_end_within_hides_nothing() -> None:
    coded = base64.b64encode(b"xx" + JOE.encode() * 3).decode()
    lines = [(n, coded[at : at + 20]) for n, at in enumerate(range(0, len(coded), 20))]
    assert MASK in mask_lines(lines, NAMES)[1][1]
    whole = "".join(text for _, text in mask_lines(lines, NAMES))
    assert base64.b64encode(JOE.encode()).decode()[4:-8] not in whole
    assert mask_lines([(1, "joe.trap="), (2, "per is here")], NAMES) == [
        (1, f"{MASK}="),
        (2, f"{MASK} is here"),
    ]
    assert mask_lines([(1, "one"), (2, "two=")], NAMES) == [(1, "one"), (2, "two=")]


def test_html_is_masked_without_touching_its_tags() -> None:
    document = (
        '<html><head><style>p{}</style></head><body>\n<p style="color:red" title="to joe.trapper">table</p>'
    )
    assert mask_html(
        document, {"table@x-trap.example", "color@x-trap.example", "style@x-trap.example", JOE}
    ) == (f'<html><head><style>p{{}}</style></head><body>\n<p style="color:red" title="to {MASK}">{MASK}</p>')


def test_a_view_is_masked_in_all_its_strings() -> None:
    view = View(
        headers=[Header("To", JOE, f"To: {JOE}", 1)],
        text=f"Dear {JOE}",
        parts=[PartInfo(0, 0, "text/plain", name="joe.trapper.pdf", sha256="ab")],
        defects=["joe.trapper"],
    )
    shown = masked(view, NAMES)
    assert shown.headers[0] == Header("To", MASK, f"To: {MASK}", 1)
    assert shown.parts[0].name == f"{MASK}.pdf"
    assert "trapper" not in msgspec.json.encode(shown).decode()
    assert view.text == f"Dear {JOE}"


@pytest.fixture
def settings() -> Config:
    return parse(
        "smtp: {hostname: mx7.trap-host.example}\n"
        "accept: {domains: {.pristine-trap.example: {}}, addresses: {'*@wild-trap.example': {}}}\n"
    )


def record(message: bytes, **envelope: object) -> Record:
    made = job(message=message, **envelope)
    return Record(made.id, b"", made.envelope, {}, made.message)


def test_the_identities_of_a_message(settings: Config) -> None:
    message = (
        b"Received: from mail.b.example by mx.trap.example with ESMTP id 1 for <old@recycled.example>; x\r\n"
        b"Received: from pc.b.example by relay.b.example; x\r\n"
        b"Delivered-To: someone@elsewhere.example\r\n\r\n"
    )
    found = identities(record(message, client_ip="198.51.100.7", server_ip="192.0.2.25"), settings)
    assert found == {
        "trap@trap.example",
        "trap",
        "trap.example",
        "mx.trap.example",
        "192.0.2.25",
        "mx7.trap-host.example",
        "pristine-trap.example",
        "wild-trap.example",
    }


def test_a_relay_of_ours_in_front_is_ours(settings: Config) -> None:
    message = b"Received: from mail.b.example by relay.house.example; x\r\n\r\n"
    assert "relay.house.example" in identities(record(message, client_ip="10.0.0.1"), settings)
    assert "relay.house.example" not in identities(record(message, client_ip="198.51.100.7"), settings)


def test_whom_a_donor_sent_it_to_is_ours_too(settings: Config) -> None:
    notes = {"extract": {"donor": {"name": "joe", "rcpts": ["Gift-Box@hidden-trap.example", 7]}}, "odd": 1}
    given = record(b"\r\n", client_ip="198.51.100.7")
    given = Record(given.id, b"", given.envelope, notes, given.message)
    assert "gift-box@hidden-trap.example" in identities(given, settings)


@given(st.text(), st.sets(st.text(min_size=1, max_size=30)))
def test_any_text_can_be_masked(text: str, names: set[str]) -> None:
    mask_text(text, names)
    mask_lines(list(enumerate(text.split("\n"))), names)


FEW = st.text("abc.@+=-", max_size=40)


@given(FEW, st.sets(FEW, max_size=4))
def test_what_is_masked_was_mentioned(text: str, names: set[str]) -> None:
    assert mask_text(text, names) == text or mentions(text, names)


def test_tags_that_cut_a_name_in_two_hide_nothing() -> None:
    document = "<html><body><p>for j<b>oe.trapper@pristine-trap.exa</b>mple, and others</p></body></html>"
    shown = mask_html(document, NAMES)
    assert re.sub("<[^>]*>", "", shown).replace(MASK, "") == "for , and others"
    assert re.findall("<[^>]*>", shown) == re.findall("<[^>]*>", document)


def test_a_title_is_read_as_a_url_is() -> None:
    document = '<body><a title="hxxp://x[.]example/?u=%6aoe.trapper&amp;q=%22">x</a></body>'
    shown = mask_html(document, NAMES)
    assert "oe.trapper" not in shown
    assert f'title="hxxp://x[.]example/?u={MASK}&amp;q=&quot;"' in shown


def test_a_sender_can_not_have_his_own_domain_masked() -> None:
    head = b"Delivered-To: x@evil.example\r\nReceived: from a by b for <y@evil.example>; now\r\n\r\n"
    direct = Record("1" * 24, b"", job(1, client_ip="203.0.113.5").envelope, {}, head)
    assert mask_text("go to login.evil.example", identities(direct, Config())) == "go to login.evil.example"
    relayed = Record("1" * 24, b"", job(1, client_ip="10.0.0.5").envelope, {}, head)
    assert mask_text("for evil.example", identities(relayed, Config())) == f"for {MASK}"
    ours = Record("1" * 24, b"", direct.envelope, {}, head.replace(b"evil.example", b"mx.trap.example"))
    assert "y@mx.trap.example" in identities(ours, Config())


def test_what_is_looked_for_is_not_the_senders_to_choose() -> None:
    """A hundred thousand names in header fields make no expression of a hundred thousand names."""
    flood = "".join(
        f"Delivered-To: {','.join(f'a@{n}-{at}.uk' for at in range(150))}\r\n" for n in range(600)
    )
    record = Record("1" * 24, b"", job(1, client_ip="10.0.0.5").envelope, {}, flood.encode() + b"\r\n")
    assert len(identities(record, Config())) < 150
    assert "trap@trap.example" in identities(record, Config())
