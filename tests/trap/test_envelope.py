"""Envelopes survive the job file byte for byte, and what is shown of them is safe to show."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trap.envelope import Envelope, Rcpt, printable, printable_all

WIRE = st.binary(max_size=60).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
ANY_TEXT = st.text(st.characters(), max_size=60)


@given(WIRE)
def test_what_was_on_the_wire_can_be_written_back(text):
    envelope = Envelope(helo=text, mail_from=text, rcpts=[Rcpt(address=text, params=[text])])
    again = Envelope.from_map(envelope.to_map())
    assert again == envelope
    assert again.rcpt_tos[0].encode("utf-8", "surrogateescape") == text.encode("utf-8", "surrogateescape")


@given(ANY_TEXT)
def test_printable_is_printable_whatever_the_text(text):
    """Fit for a terminal, for JSON and for a log of one line an event; and stable."""
    shown = printable(text)
    assert shown.isprintable()
    assert shown.encode("utf-8").decode("utf-8") == shown
    assert printable(shown) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("caf\xe9", "caf\xe9"),
        ("caf\udce9", "caf\\xe9"),
        ("\udcc3\udca9", "\xe9"),
        ("two\r\nlines\t\x1b[2J", "two\\x0d\\x0alines\\x09\\x1b[2J"),
        ("zero\u200bwidth", "zero\\x200bwidth"),
        ("\ud800", "\\ud800"),
    ],
)
def test_printable(text, shown):
    assert printable(text) == shown


def test_printable_all_reaches_every_string():
    dirty = {"k\udce9": ["\ud800", ("\n",), {"a": b"raw", 1: None, 2: 1.5}]}
    clean = printable_all(dirty)
    assert clean == {"k\\xe9": ["\\ud800", ["\\x0a"], {"a": b"raw", "1": None, "2": 1.5}]}
    assert json.dumps(clean["k\\xe9"][:2])


def test_tags_are_distinct_and_sorted():
    rcpts = [
        Rcpt(address="a", tag="typo"),
        Rcpt(address="b"),
        Rcpt(address="c", tag="pristine"),
        Rcpt(address="d", tag="typo"),
    ]
    assert Envelope(rcpts=rcpts).tags == ["pristine", "typo"]


def test_defaults_take_no_room_and_later_fields_are_ignored():
    assert Envelope().to_map() == {}
    assert Envelope.from_map({"helo": "x", "field_of_a_later_version": 1}) == Envelope(helo="x")


def test_an_envelope_cannot_be_changed():
    with pytest.raises(AttributeError):
        Envelope().helo = "x"


@pytest.mark.parametrize("data", [None, [], "x", {"helo": 1}, {"rcpts": [{}]}, {1: 2}, {"connected_at": "x"}])
def test_what_is_no_envelope_is_a_value_error(data):
    with pytest.raises(ValueError, match=r"."):
        Envelope.from_map(data)
