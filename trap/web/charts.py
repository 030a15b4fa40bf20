"""Charts as inline SVG: stacked bars over time. No script, no style attribute; a table tells the same.

A drawing is stretched to the width there is, so what is to be read stands beside it in HTML.
"""

import math
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from trap.history import SPANS, Point
from trap.web.flow import ended

WIDTH, HEIGHT = 1000, 200
"""The drawing's own units."""
MOST = 4
"""Reasons for drops that have a colour of their own."""
OTHERS = "dropped otherwise"
_STEPS = {"hour": "a minute", "day": "in 5 minutes", "week": "an hour"}
_CLOCK = {"hour": "%H:%M", "day": "%H:%M", "week": "%a %d"}
_LABELS = 4
"""Parts into which the labels divide the time."""


class Series(msgspec.Struct):
    """One colour of a chart."""

    name: str
    colour: str
    """A class of the stylesheet: s1 to s7."""
    values: list[int]
    path: str = ""
    """Its bars, as the data of an SVG path."""

    @property
    def total(self) -> int:
        """All of it."""
        return sum(self.values)


class Column(msgspec.Struct):
    """One step of a chart, for who points at it and for who reads the table."""

    x: float
    width: float
    label: str
    values: list[int]
    tip: str


class Chart(msgspec.Struct):
    """A chart, ready to be written down."""

    title: str
    unit: str
    top: int
    """The value at the upper edge."""
    series: list[Series]
    columns: list[Column]
    labels: list[str]
    """Below it, from the left edge to the right."""


def arrivals(points: Sequence[Point], span: str) -> Chart:
    """Messages accepted."""
    accepted = [point.counts.get("accepted", 0) for point in points]
    return _chart("Arrivals", points, span, [Series("accepted", "s1", accepted)])


def ends(points: Sequence[Point], span: str) -> Chart:
    """What became of messages: archived, dropped by reason, shed, purged, bad; what never was is left out."""
    by_step = [_ends(point.counts) for point in points]
    totals: Counter[str] = Counter()
    for step in by_step:
        totals.update(step)
    fixed = {"archived": "s1", "shed": "s6", "purged": "s6", "bad": "s8"}
    reasons = sorted(name for name, _ in _by_size(totals) if name not in fixed)
    frequent = sorted([name for name, _ in _by_size(totals) if name not in fixed][:MOST])
    series = [Series("archived", "s1", [step["archived"] for step in by_step])]
    series += [
        Series(name, f"s{at}", [step[name] for step in by_step]) for at, name in enumerate(frequent, 2)
    ]
    rest = [name for name in reasons if name not in frequent]
    series.append(Series(OTHERS, "s7", [sum(step[name] for name in rest) for step in by_step]))
    series += [
        Series(name, fixed[name], [step[name] for step in by_step]) for name in ("shed", "purged", "bad")
    ]
    return _chart(
        "What became of it", points, span, [each for each in series if each.total or each.name == "archived"]
    )


def _ends(counts: Mapping[str, int]) -> Counter[str]:
    found = Counter({name: counts.get(name, 0) for name in ("archived", "purged", "bad")})
    for (_, reason), number in ended([Point(0, counts)]).items():
        found["shed" if reason.startswith("shed: ") else reason] += number
    return found


def _by_size(totals: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(totals.items(), key=lambda entry: (-entry[1], entry[0]))


def _chart(title: str, points: Sequence[Point], span: str, series: list[Series]) -> Chart:
    sums = [sum(values) for values in zip(*(each.values for each in series), strict=True)]
    top = nice(max(sums, default=0))
    step = WIDTH / len(points)
    width = step * 0.8 if len(points) <= 100 else step * 0.9
    below = [0] * len(points)
    for each in series:
        each.path = _bars(each.values, below, top, step, width)
        below = [low + value for low, value in zip(below, each.values, strict=True)]
    form = "%a %H:%M" if span == "week" else "%H:%M"
    columns = []
    for at, point in enumerate(points):
        label = clock(point.start, form)
        lines = [f"{each.name}: {each.values[at]:,}" for each in series if each.values[at]]
        tip = "\n".join([label, *(lines or ["nothing"])])
        column = Column(round(at * step, 2), round(step, 2), label, [each.values[at] for each in series], tip)
        columns.append(column)
    begin, length = points[0].start, SPANS[span][0] * len(points)
    labels = [clock(begin + length * part / _LABELS, _CLOCK[span]) for part in range(_LABELS)]
    return Chart(title, _STEPS[span], top, series, columns, [*labels, "now"])


def _bars(values: Iterable[int], below: Iterable[int], top: int, step: float, width: float) -> str:
    """The data of a path: one rectangle for each value that is not 0, standing on those below."""
    unit, drawn = HEIGHT / top, []
    for at, (value, low) in enumerate(zip(values, below, strict=True)):
        if value:
            x, y, height = at * step, HEIGHT - (low + value) * unit, value * unit
            drawn.append(f"M{x:.1f} {y:.1f}h{width:.1f}v{height:.1f}h-{width:.1f}z")
    return "".join(drawn)


def nice(value: float) -> int:
    """The next round number that is as large, and even: half of it stands in the middle of an axis.

    >>> [nice(each) for each in (0, 1, 3, 17, 99, 101, 2300)]
    [2, 2, 4, 20, 100, 200, 3000]
    """
    if value <= 2:
        return 2
    power = 10 ** math.floor(math.log10(value))
    for factor in (1, 2, 3, 4, 6, 8, 10):
        if factor * power >= value and factor * power % 2 == 0:
            return int(factor * power)
    return int(20 * power)


def clock(at: float, form: str = "%H:%M") -> str:
    """A time of the axis, UTC."""
    return time.strftime(form, time.gmtime(at))
