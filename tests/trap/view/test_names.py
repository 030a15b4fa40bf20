"""names: names of files, safe to save under."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trap.view.names import MAX_NAME, made_up, safe


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("invoice.pdf", "invoice.pdf"),
        ("Rechnung März 2026.pdf", "Rechnung März 2026.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Windows\\x.exe", "x.exe"),
        ("a\r\nSet-Cookie: x", "aSet-Cookie_ x"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("-rf", "rf"),
        (".htaccess", "htaccess"),
        ("CON", "_CON"),
        ("lpt1.txt", "_lpt1.txt"),
        ("a'b\"c<d>.txt", "a_b_c_d_.txt"),
        ("...", ""),
        ("", ""),
        ("a" * 500 + ".docx", "a" * (MAX_NAME - 5) + ".docx"),
    ],
)
def test_a_name_is_made_safe(said: str, name: str) -> None:
    assert safe(said) == name


@given(st.text())
def test_whatever_it_was(said: str) -> None:
    name = safe(said)
    assert len(name) <= MAX_NAME
    assert len(name.encode()) <= 255
    assert not set(name) & set('/\\:*?"<>|\0\n;')
    assert not name.startswith((".", "-", " "))
    assert not any(unicodedata.category(c) in ("Cc", "Cf", "Cs") for c in name)
    assert safe(name) == name or len(name) == MAX_NAME


def test_a_part_without_a_name_has_one_too() -> None:
    assert made_up(3, "image/png") == "part-3.png"
    assert made_up(3, "text/html") == "part-3.html.txt"
    assert made_up(3, "x/y") == "part-3.bin"
