"""What a list is narrowed by, and how fast a campaign came.

A rate is drawn up to its last copy, however short or long it was.
"""

from pathlib import Path

from archived import job, mail
from hypothesis import given
from hypothesis import strategies as st
from webkit import config_at, fill, visitor

from trap.archive.library import Facets
from trap.envelope import Rcpt
from trap.web.narrowing import facets, rate

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


def test_masked_values_are_counted_not_named() -> None:
    counted = Facets(
        9, True, {"domain": [("own.example", 5), ("a.example", 3)], "tld": [("own", 1)], "tag": []}
    )
    domains, codes = facets(counted, "", lambda text: text.replace("own", "•••"))
    assert [value.text for value in domains.values] == ["a.example"]
    assert (domains.masked, codes.values, codes.masked) == (1, [], 1)


def test_a_domain_that_a_sender_names_once_stays_in_the_list(tmp_path: Path) -> None:
    """A probe is addressed to a large provider; that provider's mail is as interesting as before."""
    config = config_at(tmp_path)
    jobs = [job(number) for number in range(60)]
    jobs[3] = job(3, rcpts=[Rcpt(address="probe@a.example")])
    jobs[4] = job(4, message=mail().replace(b"joe@a.example", b"boss@trap.example"))
    fill(config, jobs)
    with visitor(config) as me:
        page = me.get("/messages").text
    assert '<bdi class="cut">a.example</bdi>' in page
    assert "1 value is masked." in page
    assert "trap.example" not in page
