"""difference: two messages side by side."""

from hypothesis import given
from hypothesis import strategies as st

from trap.view.difference import difference, lines
from trap.view.view import DiffLine

LEFT = b"From: a\r\nSubject: win 100 Euro\r\n\r\n" + b"".join(b"line %d\r\n" % n for n in range(40))


def test_what_changed_stands_beside_what_it_was() -> None:
    found = difference(LEFT, LEFT.replace(b"100", b"200").replace(b"line 39\r\n", b""))
    assert found[1] == DiffLine("changed", "Subject: win 100 Euro", "Subject: win 200 Euro", 2, 2)
    assert DiffLine("left", "line 39", "", 43, 0) in found


def test_long_runs_of_lines_alike_are_folded() -> None:
    found = difference(LEFT, LEFT.replace(b"100", b"200"))
    assert [line.kind for line in found] == ["same", "changed", "same", "same", "same", "fold"]
    assert found[-1].left_no == 39
    assert difference(LEFT, LEFT)[0].kind == "fold"


@given(st.binary(), st.binary())
def test_each_side_is_whole(left: bytes, right: bytes) -> None:
    found = difference(left, right)
    hidden = sum(line.left_no for line in found if line.kind == "fold")
    assert hidden + sum(line.kind in ("same", "changed", "left") for line in found) == len(lines(left))
    assert hidden + sum(line.kind in ("same", "changed", "right") for line in found) == len(lines(right))


def test_urls_are_defanged_after_they_were_compared() -> None:
    (line,) = (line for line in difference(b"X: http://a.example", b"X: hxxp://a[.]example") if line.left)
    assert line == DiffLine("changed", "X: hxxp://a[.]example", "X: hxxp://a[.]example", 1, 1)
