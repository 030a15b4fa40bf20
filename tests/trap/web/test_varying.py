"""What stays and what varies between copies of a campaign."""

from hypothesis import given
from hypothesis import strategies as st
from support import at_most

from trap.view.view import Header
from trap.web.varying import MAX_FIELDS, MAX_LINES, Copy, Field, fields, lines


def copy(text: str = "", **headers: str) -> Copy:
    return Copy([Header(name, value, value, 1) for name, value in headers.items()], text)


def marked(line_runs: list[tuple[str, bool]]) -> str:
    """A line with what varies in brackets."""
    return " ".join(f"[{text}]" if varies else text for text, varies in line_runs)


def test_a_field_is_constant_or_varies_or_is_missing() -> None:
    found = fields([copy(Subject="one", To="x", Bulk="1"), copy(Subject="two", To="x")])
    assert {field.name: (field.values, field.distinct, field.present) for field in found} == {
        "Subject": (["one", "two"], 2, 2),
        "Bulk": (["1"], 1, 1),
        "To": (["x"], 1, 2),
    }
    assert [field.is_constant for field in found] == [False, False, True]


def test_fields_of_one_name_are_compared_together() -> None:
    twice = [Header("Received", value, value, 1) for value in "ab"]
    assert fields([Copy(twice, ""), Copy(twice[::-1], "")]) == [
        Field("Received", ["a\nb", "b\na"], 2, 2, is_constant=False)
    ]


def test_what_varies_is_told_word_by_word() -> None:
    found = lines(
        [
            copy("Dear Ann,\nyou won 17 Euro today\nbye"),
            copy("Dear Bob,\nyou won 4711 Euro today\nbye"),
            copy("Dear Cid Clark,\nyou won 17 Euro today\nbye"),
        ]
    )
    assert [marked(line.runs) for line in found] == ["Dear [Ann,]", "you won [17] Euro today", "bye"]
    assert [line.others for line in found] == [
        ["Dear Bob,", "Dear Cid Clark,"],
        ["you won 4711 Euro today"],
        [],
    ]


def test_a_line_that_a_copy_lacks_varies() -> None:
    found = lines([copy("one\ntwo\nthree"), copy("one\nthree")])
    assert [marked(line.runs) for line in found] == ["one", "[two]", "three"]
    assert found[1].others == ["(not there)"]


def test_what_is_alike_is_folded() -> None:
    same = "\n".join(f"line {number}" for number in range(20))
    found = lines([copy(f"{same}\nred\n{same}"), copy(f"{same}\nblue\n{same}")])
    assert [line.folded for line in found] == [18, 0, 0, 0, 0, 0, 18]


def test_copies_that_are_all_alike() -> None:
    assert [line.folded for line in lines([copy("a\nb\nc"), copy("a\nb\nc")])] == [3]


def test_nothing_to_compare() -> None:
    assert fields([]) == []
    assert lines([]) == []
    assert lines([copy(), copy("text")]) == []


def test_the_worst_copies_are_compared_in_time() -> None:
    worst = [
        copy("\n".join(f"{at} " * 3000 for _ in range(3000)), **{f"X-{n}": "v" * 9999 for n in range(3000)})
        for at in "abcdefgh"
    ]
    with at_most(2):
        assert len(fields(worst)) == MAX_FIELDS
        assert len(lines(worst)) <= MAX_LINES


@given(st.lists(st.text("ab \n", max_size=60), min_size=1, max_size=4))
def test_the_first_copy_is_all_there(texts: list[str]) -> None:
    found = lines([copy(text) for text in texts])
    shown = sum(line.folded or 1 for line in found)
    said = [line for line in texts[0].splitlines() if line.strip()]
    assert shown == len(said)
    words = " ".join(run.text for line in found for run in line.runs).split()
    assert not set(words) - set(" ".join(said).split())
