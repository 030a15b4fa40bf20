"""plain: what leaves no doubt is read here, and only that."""

import mailparser
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trap.archive.mime import Field
from trap.archive.plain import take_out

PLAIN = [
    (b"From", b"ann@a.example"),
    (b"from", b"<ann@a.example>"),
    (b"From", b"Ann O'Neil-Smith Jr. <ann@a.example>"),
    (b"Reply-To", b'"Smith, Ann" <ann@a.example>'),
    (b"To", b'"=?utf-8?q?not_decoded?=" <ann@a.example>'),
    (b"To", b"=?utf-8?B?SsO2cmc=?= <j@b.example>"),
    (b"To", b"=?utf-8?q?one?= =?utf-8?q?_two?= three <j@b.example>"),
    (b"Cc", b"ann@a.example (Ann)"),
    (b"To", b"ann@a.example,\r\n\tBob <bob@b.example>, <c+d=e@c.example>"),
    (b"Bcc", b""),
    (b"Date", b"Tue, 3 Nov 2026 10:00:00 +0100 (CET)"),
    (b"Resent-Date", b"3 Nov 2026 10:00 GMT"),
    (b"Received", b"from a.example (a.example [192.0.2.7] (may be forged))\r\n by mx.trap.example"
                  b" with ESMTP id 1 for <ann@a.example>;\r\n Tue, 3 Nov 2026 10:00:00 +0100"),
]  # fmt: skip

DOUBTFUL = [
    (b"From", b"Ann <ann@a.example> <bob@b.example>"),
    (b"From", b"Ann, <ann@a.example>"),
    (b"From", b"me"),
    (b"From", b"J\xf6rg <j@b.example>"),
    (b"From", b"Ann <ann@a..example>"),
    (b"To", b"=?x-nonsense?q?a?= <j@b.example>"),
    (b"To", b"=?utf-8?q?a?=<j@b.example>"),
    (b"To", b"=?utf-8?q?=00?= <j@b.example>"),
    (b"To", b"=?utf-8?q?" + b"a" * 80 + b"?= <j@b.example>"),
    (b"To", b"undisclosed-recipients:;"),
    (b"Date", b"Wed, 3 Nov 2026 10:00:00 +0100"),
    (b"Date", b"31 Feb 2026 10:00:00 +0100"),
    (b"Date", b"3 Nov 2026 25:00:00 +0100"),
    (b"Received", b"from a.example (a.example; Tue, 3 Nov 2026 10:00:00 +0100"),
    (b"Received", b"from a.example by mx.trap.example"),
    (b"Received", b"from a; for <b@c.example>; Tue, 3 Nov 2026 10:00:00 +0100"),
]

DEFECTS = {"AddressHeaderDefect", "DateHeaderDefect", "ReceivedHeaderDefect"}


def mail_parser(field: Field) -> mailparser.MailParser:
    return mailparser.parse_from_bytes(b"%s: %s\r\n\r\n" % field)


@pytest.mark.parametrize("field", PLAIN)
def test_a_plain_field_is_read_as_mail_parser_reads_it(field: Field) -> None:
    plain = take_out([field])
    assert not plain.fields
    parsed = mail_parser(field)
    assert not parsed.defects_categories
    for name, people in plain.people.items():
        assert people == getattr(parsed, name.replace("-", "_") if name != "from" else "from_")


@pytest.mark.parametrize("field", DOUBTFUL)
def test_a_doubtful_field_is_left_to_mail_parser(field: Field) -> None:
    assert take_out([field]) == ([field], {})


PIECES = (
    b"a@b.c|Ann|=?utf-8?q?x?=|Tue, |3 Nov 2026|10:00:00|+0100|GMT|.|@|\xff| |\t|"
    b'"|<|>|(|)|[|]|,|;|:|\\'
).split(b"|")  # fmt: skip


@given(
    st.sampled_from([b"From", b"To", b"Date", b"Received"]),
    st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join),
)
def test_nothing_plain_has_a_defect(name: bytes, value: bytes) -> None:
    value = value.strip()
    plain = take_out([(name, value)])
    if not plain.fields:
        parsed = mail_parser((name, value))
        assert not DEFECTS & parsed.defects_categories
        if plain.people:
            assert [plain.people[name.lower().decode()]] == [parsed.from_ if name == b"From" else parsed.to]


def test_the_first_field_of_a_name_counts() -> None:
    first, second = (b"From", b"a@a.example"), (b"From", b"b@b.example")
    assert take_out([first, second]).people == {"from": [("", "a@a.example")]}
    odd = (b"From", b"(")
    assert take_out([odd, second]) == ([odd], {})
    assert take_out([first, odd]) == ([odd], {"from": [("", "a@a.example")]})


def test_only_what_the_index_holds_is_kept() -> None:
    kept = [(b"Subject", b"x"), (b"MIME-Version", b"1.0"), (b"content-type", b"text/html")]
    assert take_out([*kept, (b"X-Mailer", b"(((")]) == (kept, {})


@pytest.mark.parametrize("name", [b"From", b"Date", b"Received"])
@pytest.mark.parametrize(
    "piece", [b"a", b"a ", b"a@", b"a@b", b"a.", b"(", b"()", b"<", b'"', b" ", b"=?a?q?", b",", b"a@b,"]
)
def test_time_is_linear(name: bytes, piece: bytes) -> None:
    """What tries a character twice takes hours for this."""
    take_out([(name, piece * (2_000_000 // len(piece)))])
