"""Notes of stages as lines: whatever they are, a page can hold them."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from trap.view.outline import MAX_DEPTH, MAX_LINES, MAX_VALUE, Line, outline

PLAIN = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=99) | st.binary(max_size=99)
)


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=10), inner, max_size=5)


NOTES = st.dictionaries(
    st.text(max_size=10),
    st.recursive(PLAIN, _nested, max_leaves=12),
    max_size=5,
)


def test_short_lists_stand_in_one_line() -> None:
    assert outline({"backscatter": {"kind": "bounce", "evidence": ["null sender", 5], "clean": None}}) == [
        Line(0, "backscatter"),
        Line(1, "kind", "bounce"),
        Line(1, "evidence", "null sender, 5"),
        Line(1, "clean", "none"),
    ]


def test_lists_of_maps_are_numbered() -> None:
    found = outline({"virus": [{"name": "Eicar"}, {"name": "Other"}]})
    assert [(line.depth, line.key) for line in found] == [
        (0, "virus"),
        (1, "1"),
        (2, "name"),
        (1, "2"),
        (2, "name"),
    ]


def test_too_many_lines_are_cut_and_said_so() -> None:
    found = outline({str(number): number for number in range(MAX_LINES + 1)})
    assert len(found) == MAX_LINES + 1
    assert found[-1].value == "there is more"


def test_depth_has_an_end() -> None:
    notes: dict[str, Any] = {}
    for _ in range(500):
        notes = {"in": notes}
    found = outline(notes)
    assert len(found) == MAX_DEPTH + 1
    assert found[-1].value == "(1 within)"


@settings(max_examples=50)
@given(NOTES)
def test_any_notes_become_bounded_text(notes: dict[str, Any]) -> None:
    for line in outline(notes):
        assert line.depth <= MAX_DEPTH
        assert line.key.isprintable()
        assert line.value.isprintable()
        assert len(line.value) <= 10 * MAX_VALUE * 8
