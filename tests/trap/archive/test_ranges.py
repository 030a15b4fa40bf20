"""ranges: times and sizes as people write them."""

import calendar
import time

import pytest
from archived import DAY, NOVEMBER
from hypothesis import given
from hypothesis import strategies as st

from trap.archive.ranges import FOREVER, between, extent, period

NOW = NOVEMBER + 2 * DAY + 3600.0
"""2026-11-03, 01:00 UTC."""


def test_periods() -> None:
    november, december = NOVEMBER, calendar.timegm((2026, 12, 1, 0, 0, 0))
    assert period("2026-11", NOW) == (november, december)
    assert period("2026", NOW) == (
        calendar.timegm((2026, 1, 1, 0, 0, 0)),
        calendar.timegm((2027, 1, 1, 0, 0, 0)),
    )
    assert period("2026-11-01T10:30", NOW) == (november + 37800, november + 37860)
    assert period("2026-11-01 10:30:05Z", NOW) == (november + 37805, november + 37806)
    assert period("20261101", NOW) == period("2026-11-01", NOW)
    assert period("20261101..20261130", NOW) == (november, december)
    assert period("2026-11..", NOW) == (november, FOREVER)
    assert period("3d", NOW) == (NOW - 3 * DAY, FOREVER)
    assert period("7d..3d", NOW) == (NOW - 7 * DAY, NOW - 3 * DAY)
    assert period("..3d", NOW) == (0, NOW - 3 * DAY)
    assert period("today", NOW) == (november + 2 * DAY, november + 3 * DAY)
    assert period("yesterday..today", NOW) == (november + DAY, november + 3 * DAY)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("soon", "'soon' is not a date"),
        ("2026-13", "not in the calendar"),
        ("2026-02-30", "not in the calendar"),
        ("9999", "not in the calendar"),
        ("9999-12..", "not in the calendar"),
        ("20261301", "not in the calendar"),
        ("2026-01-01T25:00", "not a time of day"),
        ("..", "names no time"),
        ("2026-11-03..2026-11-01", "ends before it begins"),
        ("3d..7d", "ends before it begins"),
        ("10000", "'10000' is neither a date .* which unit"),
        ("202611", "which unit"),
        ("0", "which unit"),
        ("1.5..", "which unit"),
    ],
)
def test_no_period(text: str, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        period(text, NOW)


@given(st.floats(0, 2e11), st.floats(1, 1e10))
def test_a_time_that_is_written_is_the_one_that_is_read(since: float, seconds: float) -> None:
    """To the second, that is, and as far as the calendar goes."""
    last = calendar.timegm((9999, 1, 1, 0, 0, 0))
    until = since + seconds
    read = period(between(since, until), time.time())
    assert read[0] == min(int(since), last - 1)
    assert read[1] == max(read[0] + 1, min(int(until), last))


def test_sizes() -> None:
    assert extent(">1M") == (1048577, None)
    assert extent(">=1MB") == (1048576, None)
    assert extent("<10k") == (0, 10239)
    assert extent("<=10k") == (0, 10240)
    assert extent("1.5k..1M") == (1536, 1048576)
    assert extent("10k..") == (10240, None)
    assert extent("..500") == (0, 500)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "not a range of sizes"),
        ("1M", "write it like >1M"),
        (">", "not a size"),
        (">big", "not a size"),
        (">99999999999999999999T", "no message has so many bytes"),
        (">٣", "not a size"),
        (">" + "9" * 3000, "no message has so many bytes"),
        ("..", "names no size"),
        ("1M..10k", "ends before it begins"),
    ],
)
def test_no_sizes(text: str, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        extent(text)
