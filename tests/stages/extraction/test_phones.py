"""Telephone numbers that can be dialled, and mail addresses, in any text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.extraction import addresses, phones

NUMBERS = {
    "+1 (212) 555-0123": "+12125550123",
    "(888)\u2011447\u20133210 +1\u2013888\u2013447\u20133210": "+18884473210",
    "Tel. +44 20 7946 0958.": "+442079460958",
    "+49 (30) 901820": "+4930901820",
    "+234-803-123-4567": "+2348031234567",
    "1-800-356-9377": "+18003569377",
    "(212) 555-0123": "+12125550123",
    "212-555-0123": "+12125550123",
    "call 212 555 0123 now": "+12125550123",
    "Call toll free: 1 800 356 9377": "+18003569377",
    "phone: 0044 20 7946 0958": "+442079460958",
    "WhatsApp: +27 82 123 4567": "+27821234567",
    "https://wa.me/447911123456": "+447911123456",
    "https://api.whatsapp.com/send?phone=447911123456&text=hi": "+447911123456",
    "tel:+12125550123": "+12125550123",
    "sms:%2B12125550123": "+12125550123",
}


@pytest.mark.parametrize(("text", "number"), NUMBERS.items(), ids=NUMBERS)
def test_numbers(text, number):
    assert phones.find(text, "US") == [number]


@pytest.mark.parametrize(
    "text",
    [
        "2003-10-12 10:20:30 +0200",
        "order 4711-08-15, invoice 2125550123",
        "123-45-6789",
        "192.168.100.200 and 10.0.0.1",
        "1.212.555.0123.example",
        "http://a.example/212-555-0123/x",
        "ISBN 0-201-37922-8",
        "+1 000 000 0000",
        "+999 123 456 789",
        "1234-5678-9012-3456",
        "call 911",
        "@@ -1,2 +100000000 @@",
    ],
)
def test_other_digits(text):
    assert phones.find(text, "US") == []


def test_numbers_without_a_code_are_of_the_region():
    assert phones.find("Tel: 030 901820", "DE") == ["+4930901820"]
    assert phones.find("Tel: 030 901820", "") == []


def test_there_is_an_end():
    text = " ".join(f"+1 212 555 {number:04}" for number in range(5000))
    assert len(phones.find(text, "US")) == phones.MAX_PHONES


ADDRESSES = {
    "joe@a.example": ["joe@a.example"],
    "Joe <Joe.Doe+x@A.Example>, 'ann@b.example'.": ["Joe.Doe+x@a.example", "ann@b.example"],
    "mailto:joe@a.example?subject=x": ["joe@a.example"],
    "email=joe@a.example&x": ["joe@a.example"],
    "3Djoe@a.example": ["joe@a.example"],
    "joe@bücher.example": [],
    "joe@localhost, @a.example, joe@, a@b@c.example": ["b@c.example"],
    "1@2.png, x@y.notatld, joe@192.0.2.1": [],
}


@pytest.mark.parametrize(("text", "found"), ADDRESSES.items(), ids=ADDRESSES)
def test_addresses(text, found):
    assert list(addresses.find(text)) == found


@given(st.text(alphabet="+0123456789 ()-./:@acelt\u00a0wm\uff0b", max_size=120))
def test_no_text_is_too_odd(text):
    for number in phones.find(text, "US"):
        assert number[0] == "+"
    list(addresses.find(text))
