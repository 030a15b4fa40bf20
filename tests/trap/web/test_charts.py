"""Charts: what is counted where, and that a drawing says what its numbers say."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trap.history import SPANS, Point
from trap.web.charts import HEIGHT, MOST, OTHERS, WIDTH, arrivals, ends, nice

START = 1_700_000_040


def points(*counts: dict[str, int], span: str = "hour") -> list[Point]:
    """A whole span, of which the last steps have these counts."""
    width, number = SPANS[span]
    missing: list[dict[str, int]] = [{}] * (number - len(counts))
    return [Point(START + at * width, each) for at, each in enumerate([*missing, *counts])]


def rectangles(path: str) -> list[tuple[float, float, float, float]]:
    """x, y, width and height of each."""
    pattern = r"M([\d.]+) ([\d.-]+)h([\d.]+)v([\d.]+)h-[\d.]+z"
    found = re.findall(pattern, path)
    assert "".join(re.findall(r"M[^M]*", path)) == path
    return [tuple(map(float, each)) for each in found]  # type: ignore[misc]


def test_arrivals() -> None:
    chart = arrivals(points({"accepted": 30}, {}, {"accepted": 60}), "hour")
    assert chart.top == 60
    assert chart.series[0].total == 90
    first, last = rectangles(chart.series[0].path)
    assert first[3] == HEIGHT / 2
    assert last[1:2] + last[3:] == (0, HEIGHT)
    assert last[0] + last[2] <= WIDTH


def test_what_became_of_it() -> None:
    counts = {
        "archived": 5,
        "dropped dedup duplicate": 4,
        "shed virus too old": 2,
        "purged": 1,
        "bad": 1,
        "left dedup": 9,
    }
    chart = ends(points(counts), "hour")
    assert {each.name: each.total for each in chart.series} == {
        "archived": 5,
        "duplicate": 4,
        "shed": 2,
        "purged": 1,
        "bad": 1,
    }
    assert chart.columns[-1].tip.splitlines()[1:] == [
        "archived: 5",
        "duplicate: 4",
        "shed: 2",
        "purged: 1",
        "bad: 1",
    ]
    assert chart.columns[0].tip.splitlines()[1:] == ["nothing"]


def test_bars_stand_on_one_another() -> None:
    chart = ends(points({"archived": 6, "dropped dedup duplicate": 4}), "hour")
    archived, dropped = (rectangles(each.path)[0] for each in chart.series)
    assert archived[1] + archived[3] == HEIGHT
    assert dropped[1] + dropped[3] == archived[1]


def test_many_reasons_share_the_last_colours() -> None:
    counts = {f"dropped dedup reason {number:02}": 100 - number for number in range(30)}
    chart = ends(points(counts), "day")
    names = [each.name for each in chart.series]
    assert names == ["archived", *(f"reason {number:02}" for number in range(MOST)), OTHERS]
    assert len({each.colour for each in chart.series}) == len(names)
    assert sum(each.total for each in chart.series) == sum(counts.values())


def test_of_nothing_there_is_a_chart_too() -> None:
    for span, (_, number) in SPANS.items():
        chart = ends(points(span=span), span)
        assert [each.path for each in chart.series] == [""]
        assert len(chart.columns) == number
        assert chart.labels[-1] == "now"


def test_labels_tell_the_time_at_their_place() -> None:
    assert arrivals(points(), "hour").labels == ["22:14", "22:29", "22:44", "22:59", "now"]


@given(st.integers(0, 10**12))
def test_an_axis_ends_at_a_round_number_above_the_values(value: int) -> None:
    top = nice(value)
    assert value <= top
    assert top <= max(2, 2.5 * value)
    assert top % 2 == 0
    assert len(str(top).rstrip("0")) <= 1


@pytest.mark.parametrize("span", SPANS)
def test_every_column_is_within_the_drawing(span: str) -> None:
    chart = arrivals(points(span=span), span)
    last = chart.columns[-1]
    assert last.x + last.width <= WIDTH + 1
