"""render: summaries as text and as a page."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from reportkit import NOON, Clock, Trap

from stages.reports import render
from stages.reports.period import HOUR, Period
from stages.reports.summary import Campaign, Drop, Past, Row, Series, StageTimes, Summary, Totals
from stages.reports.tally import Quantiles

FIELDS = ("sender", "country", "language", "charset", "helo", "tls")
NASTY = '"><script>alert(1)</script>{{ 7*7 }}<img src=http://a.example onerror=x>'


def summary(name: str = "x", **other: object) -> Summary:
    """A summary in which every list holds something called `name`."""
    fields = {field: [Row(name, 3)] for field in FIELDS}
    totals = Totals(accepted=12_345_678, bytes=10**13, archived=5, dropped=12_345_000, shed=1)
    return Summary(
        start=NOON,
        end=NOON + 3600,
        generated=NOON + 3605,
        totals=totals,
        before=Totals(accepted=10),
        history=[Past(NOON - 3600, Totals(accepted=10))],
        series=Series(60, [1] * 60, [0] * 60, [2] * 60),
        stages=[StageTimes(name, 10**7, 10**7, Quantiles(0.001, 1, 9e6), Quantiles(0.001, 1, 9))],
        drops=[Drop(name, name, 4)],
        networks=[Row(name, 123_456_789)],
        networks_distinct=99,
        campaigns=[Campaign(id=name[:16], messages=10**8, sender=name, charset=name, size=4096)],
        campaigns_distinct=3,
        sizes=[Row("2048", 1), Row("4096", 0), Row("more", 4)],
        tags=[Row(name, 2)],
        facts=10,
        by=fields,
        **other,  # type: ignore[arg-type]
    )


def empty() -> Summary:
    return Summary(
        start=NOON,
        end=NOON + 3600,
        generated=NOON + 3605,
        totals=Totals(),
        series=Series(60, [0] * 60, [0] * 60, [0] * 60),
        stages=[],
        drops=[],
        networks=[],
        networks_distinct=0,
        campaigns=[],
        campaigns_distinct=0,
        sizes=[Row("2048", 0), Row("more", 0)],
        tags=[],
        facts=0,
        by={field: [] for field in FIELDS},
    )


class Page(HTMLParser):
    """Tags and attributes of a page, and whether its tags are closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("found", [summary(), summary("x" * 200), summary(NASTY), empty()])
def test_text_fits_a_terminal(found: Summary) -> None:
    lines = render.text(found).splitlines()
    assert max(map(len, lines)) <= render.WIDTH
    assert lines[0] == "Spamtrap report  20 November 2025, 12:00 - 13:00 UTC"


@pytest.mark.parametrize("found", [summary(), summary(NASTY), empty()])
def test_the_page_is_whole_and_loads_nothing(found: Summary) -> None:
    source = render.html(found)
    page = Page(source)
    assert not page.open
    assert not {"script", "img", "link", "iframe", "object", "form", "a"} & set(page.tags)
    assert not [
        name for name, _ in page.attributes if name in {"src", "href", "srcset", "style"} or name[:2] == "on"
    ]
    assert "url(" not in source
    assert "@import" not in source
    policy = next(value for name, value in page.attributes if name == "content" and "default-src" in value)
    assert policy.startswith("default-src 'none'; ")


def test_numbers_stand_in_the_charts() -> None:
    source = render.html(summary())
    assert "12:01: 1 accepted, 0 archived, 2 dropped" in source
    assert all(0 <= float(y) <= 150 for y in re.findall(r'<rect class="\w+" x="[\d.]+" y="([\d.]+)"', source))


def test_both_say_what_is_missing() -> None:
    found = summary(log_from=NOON + 600)
    assert "begins at 12:10" in render.text(found)
    assert "begins at 12:10" in render.html(found)
    assert "begins at" not in render.html(summary())


def test_words_of_facts_are_told_in_words_for_people() -> None:
    found = summary()
    found.by = {**found.by, "sender": [Row("null", 1)], "tls": [Row("TLSv1.3", 4)]}
    assert render.named(found, "sender") == [Row("<> (null sender)", 1)]
    assert render.named(found, "tls") == [Row("TLSv1.3", 4), Row("not at all", 6)]


def test_a_long_period_is_told_with_both_dates(tmp_path: Path) -> None:
    found = summary()
    found.start, found.end = Period.at(NOON, 24 * HOUR)
    assert render.title(found) == "20 November 2025, 00:00 - 21 November 2025, 00:00 UTC"


def test_a_real_period(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("time.time", clock)
    trap = Trap(tmp_path, clock)
    stage = trap.worker()
    trap.report(stage, trap.accept())
    found = trap.sum_up(stage)
    assert "  accepted            1" in render.text(found)
    assert "203.0.113.0/24" in render.html(found)
