"""tally: counting a stream in bounded memory."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.reports.tally import Histogram, Quantiles, Recent, Top


@given(
    st.lists(st.floats(min_value=1e-4, max_value=1e6), min_size=1), st.sampled_from([0.01, 0.5, 0.95, 1.0])
)
def test_quantiles_are_right_within_three_percent(values: list[float], share: float) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    exact = sorted(values)[math.ceil(len(values) * share) - 1]
    assert histogram.quantile(share) == pytest.approx(exact, rel=0.03)


def test_quantiles_of_nothing() -> None:
    assert Histogram().summary() == Quantiles(0.0, 0.0, 0.0)


def test_a_clock_set_back_counts_as_no_time() -> None:
    histogram = Histogram()
    histogram.add(-5.0)
    assert histogram.summary() == Quantiles(0.0, 0.0, 0.0)


def test_the_largest_survive_a_flood_of_names() -> None:
    top = Top(limit=100)
    for number in range(10_000):
        top.add("large")
        top.add(f"small {number}")
    assert top.most(1) == [("large", 10_000)]
    assert len(top.most()) <= 100
    assert top.distinct == 10_001


def test_recent_remembers_at_least_its_size() -> None:
    recent = Recent(size=10)
    assert not any(recent.again(number) for number in range(100))
    assert all(recent.again(number) for number in range(90, 100))
    assert not recent.again(0)
