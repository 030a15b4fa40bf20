"""How fast a campaign came: a rate is drawn up to its last copy, however short or long it was."""

from hypothesis import given
from hypothesis import strategies as st

from trap.web.narrowing import rate

HOUR = 3600
NINE = 1_793_523_600  # a full hour


def test_a_short_campaign_ends_where_its_last_hour_does() -> None:
    """What is drawn behind it would be the future, or look as if it had died."""
    drawn = rate([(NINE, 3), (NINE + HOUR, 1)], "", 36)
    assert drawn
    assert [bar.messages for bar in drawn.bars] == [0] * 10 + [3, 1]
    assert drawn.until == NINE + 2 * HOUR


def test_no_hours_are_no_rate() -> None:
    assert rate([], "", 36) is None


@given(
    hours=st.dictionaries(st.integers(400_000, 500_000), st.integers(1, 9), min_size=1, max_size=40),
    most=st.sampled_from([36, 72]),
)
def test_every_copy_is_in_a_bar_and_the_last_bar_has_some(hours: dict[int, int], most: int) -> None:
    drawn = rate([(hour * HOUR, count) for hour, count in sorted(hours.items())], "", most)
    assert drawn
    assert sum(bar.messages for bar in drawn.bars) == sum(hours.values())
    assert drawn.bars[-1].messages
    assert 12 <= len(drawn.bars) <= most
