"""headers: fields as they stand, in order, with their lines and what is odd about them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trap.view.headers import MAX_FIELDS, addresses, lined, scan, shown, words
from trap.view.view import Header


def read(message: bytes) -> list[Header]:
    return list(shown(scan(message)))


def test_fields_have_their_lines_and_both_spellings() -> None:
    found = read(b"From: a\r\nSubject: =?utf-8?q?caf=C3=A9?=\r\n  au lait\r\nX-Last: y\r\n\r\nbody: none\r\n")
    assert [(field.name, field.value, field.line) for field in found] == [
        ("From", "a", 1),
        ("Subject", "café au lait", 2),
        ("X-Last", "y", 4),
    ]
    assert found[1].raw == "Subject: =?utf-8?q?caf=C3=A9?=\n  au lait"


@pytest.mark.parametrize(
    ("field", "defect"),
    [
        (
            b"Subject: one\r\nSubject: two\r\n",
            "second field of its kind; programs differ in which they believe",
        ),
        (b"Subject: caf\xc3\xa9\r\n", "8-bit characters"),
        (b"Subject: caf\xe9\r\n", "8-bit characters that are not UTF-8"),
        (b"Subject: a\r\n \r\n b\r\n", "a folded line holds nothing but space"),
        (b"Subject:\r\n a\r\n", "folded before its first word"),
        (b"Subject: a\rb\r\n", "a bare CR"),
        (b"Subject: a\0b\r\n", "a NUL"),
        (b"Subject: " + b"a" * 999 + b"\r\n", "a line longer than 998 characters"),
        (b"no colon here\r\nX: y\r\n", "not a field: many programs take the header for ended here"),
    ],
)
def test_what_is_odd_is_said(field: bytes, defect: str) -> None:
    found = read(b"From: joe\r\n" + field + b"\r\nbody\r\n")
    assert defect in [one.defect for one in found]


def test_a_plain_header_has_no_defects() -> None:
    assert not any(field.defect for field in read(b"From: a\r\nTo: b\r\nReceived: x\r\nReceived: y\r\n\r\n"))


def test_text_without_an_empty_line_ends_the_header() -> None:
    found = scan(b"From: a\r\nDear friend,\r\nyou won\r\n")
    assert [field.name for field in found.fields] == [b"From"]
    assert found.body == 9
    assert found.defects == ["no empty line ends the header (line 2)"]


def test_a_message_may_begin_with_its_body() -> None:
    assert scan(b"\r\nFrom: a\r\n\r\n").body == 2
    assert scan(b"Dear friend\r\n\r\n").body == 0
    assert scan(b"").fields == []


def test_of_endless_headers_the_first_fields_are_shown_and_the_body_is_found() -> None:
    found = scan(b"X: y\r\n" * 100_000 + b"\r\nhello")
    assert len(found.fields) == MAX_FIELDS
    assert found.body == 600_002
    assert found.lines == 100_001
    assert found.defects == [f"only the first {MAX_FIELDS} header fields are shown"]


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ("=?utf-8?b?w5xiZXI=?= =?utf-8?q?weisung?=", "Überweisung"),
        ("=?utf-8?b?w5xiZXI?=", "Über"),
        ("=?utf-8*de?q?=C3=9C?=", "Ü"),
        ("=?utf-8?q?=C3?= =?utf-8?q?=9C?=", "Ü"),
        ("=?iso-2022-jp?b?GyRCRnxLXBsoQg==?=", "日本"),
        ("=?utf-8?q?caf=E9?=", "café"),
        ("a =?x?q?b?= c", "a b c"),
        ("=?utf-8?x?b?= =?utf-8?q?open", "=?utf-8?x?b?= =?utf-8?q?open"),
    ],
)
def test_encoded_words_are_read_as_leniently_as_by_mail_programs(said: str, text: str) -> None:
    assert words(said) == text


def test_people_are_named_with_their_field() -> None:
    found = addresses(scan(b'From: "A, B" <a@b.example>\r\nTo: c@d.example,\r\n e@f.example\r\n\r\n'))
    assert [(one.field, one.name, one.address) for one in found] == [
        ("From", "A, B", "a@b.example"),
        ("To", "", "c@d.example"),
        ("To", "", "e@f.example"),
    ]


def test_lines_of_old_macs_are_lines() -> None:
    assert read(lined(b"From: a\rTo: b\r\rhello"))[1].name == "To"
    assert lined(b"From: a\r\nTo: b\r") == b"From: a\r\nTo: b\r"


@given(st.binary())
def test_any_bytes_have_a_header(message: bytes) -> None:
    found = scan(message)
    assert 0 <= found.body <= len(message)
    assert found.lines == message.count(b"\n", 0, found.body) or found.body == len(message)
    addresses(found)
    assert len(list(shown(found))) == len(found.fields)
