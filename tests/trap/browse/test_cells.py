"""Hostile text takes exactly the cells that it is given, and does nothing else."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from trap.browse.cells import cut, folds, safe

ANY = st.text(st.characters(), max_size=200) | st.text(
    "a \u0301\u200d\ufe0f\u202e日👨\x1b\udc80\t[/]", max_size=60
)


@given(ANY)
def test_nothing_is_left_to_obey(text: str) -> None:
    made = safe(text)
    assert made.isprintable()
    assert not {"Cc", "Cf", "Cs"} & set(map(unicodedata.category, made))
    assert safe(made) == made


@given(ANY, st.integers(0, 60))
def test_cut_is_exact(text: str, width: int) -> None:
    assert cell_len(cut(safe(text), width)) == width


@given(ANY, st.integers(2, 60))
def test_folded_lines_fit(text: str, width: int) -> None:
    text = safe(text)
    ends = [*folds(text, width), len(text)]
    pieces = [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    assert "".join(pieces) == text
    assert all(cell_len(piece.rstrip(" ")) <= width for piece in pieces)


def test_folds_behind_words_and_within_long_ones() -> None:
    assert folds("one two three", 8) == [8]
    assert folds("x" * 10, 4) == [4, 8]
    assert folds("    5 " + "x" * 20, 16) == [16]  # no line with a number alone
    assert folds("a" * 16, 10, 3) == [10, 13]


def test_accents_do_not_climb() -> None:
    assert safe("Z" + "\u0301" * 50) == "Z\u0301\u0301"
    assert safe("\u0301a") == "a"
