"""What hits are worth, and for how long."""

from collections.abc import Sequence
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.listing.score import joined, lasts, least, level, score

NOW = 1_763_640_000.0
SPANS = st.floats(60, 90 * 86400)
AGES = st.lists(st.floats(0, 30 * 86400), min_size=1, max_size=20)


def of(ages: Sequence[float], half_life: float) -> float:
    """The level of hits that are so old."""
    return reduce(joined, (level(NOW - age, half_life) for age in ages))


@given(AGES, SPANS)
def test_each_hit_counts_half_after_every_half_life(ages: list[float], half_life: float) -> None:
    expected = sum(2 ** (-age / half_life) for age in ages)
    assert score(of(ages, half_life), NOW, half_life) == pytest.approx(expected, rel=1e-4)


@given(AGES, SPANS, st.randoms())
def test_the_order_of_hits_does_not_matter(ages: list[float], half_life: float, random: object) -> None:
    other = list(ages)
    random.shuffle(other)  # type: ignore[attr-defined]
    assert of(other, half_life) == pytest.approx(of(ages, half_life), rel=1e-12)


@given(AGES, SPANS, st.floats(0.1, 100), st.floats(0, 60 * 86400))
def test_what_is_above_a_bar_is_what_the_score_says(
    ages: list[float], half_life: float, bar: float, later: float
) -> None:
    """A list is a range of levels: nothing has to be counted again as time goes by."""
    reached, moment = of(ages, half_life), NOW + later
    worth = score(reached, moment, half_life)
    if abs(worth - bar) > 1e-3 * bar:
        assert (reached >= least(bar, moment, half_life)) == (worth > bar)
        assert (lasts(reached, bar, half_life) > moment) == (worth > bar)


@given(AGES, SPANS, st.floats(1, 86400))
def test_a_score_only_falls_while_nothing_comes(ages: list[float], half_life: float, later: float) -> None:
    reached = of(ages, half_life)
    assert score(reached, NOW + later, half_life) <= score(reached, NOW, half_life)
