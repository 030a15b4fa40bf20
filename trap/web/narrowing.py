"""What narrows a list at a click: its terms, the values messages are counted by, and stretches of time.

All of it becomes terms of the query (trap/archive/terms.py), so that what was clicked together is a
plain address, as if it had been typed.
"""

from collections.abc import Sequence
from typing import NamedTuple

from trap.archive.facts import FACETS
from trap.archive.library import Facets, Histogram
from trap.archive.ranges import between
from trap.archive.terms import QueryError, has_term, lexemes, term, with_term, without_term
from trap.web.listing import HERE, Hide, Page
from trap.web.site import link

TITLES = {
    "domain": "Sender domain",
    "network": "Client network",
    "charset": "Charset",
    "tld": "Country code",
    "tag": "Tag",
    "kind": "Kind",
    "campaign": "Campaign",
}
SHOWN, FOLDED = 6, 16
"""Values shown of a facet at once, and when unfolded."""
CHART = 100.0
"""Height of the chart, in its own units."""
_SMALLEST = 3.0
"""Height of a bar for a single message, so that it can be seen."""
_MAX_TERMS = 30
_SPANS = ("1h", "1d", "7d", "30d")
_HOUR = 3600
_WIDTHS = [hours * _HOUR for hours in (1, 2, 3, 6, 12, 24, 48, 168)]
_FEWEST = 12
"""Bars of a rate, however short the time was: one alone would be as wide as the page."""


class Count(NamedTuple):
    """How many messages a list has."""

    messages: int
    is_all: bool
    """Otherwise there are more."""


class Term(NamedTuple):
    """A term that narrows the list, and the address of the list without it."""

    text: str
    without: str
    is_excluding: bool


class Span(NamedTuple):
    """A stretch of time up to now, and the address of the list narrowed to it."""

    title: str
    address: str
    is_chosen: bool


class Value(NamedTuple):
    """A value that messages of the list have."""

    text: str
    messages: int
    share: float
    """Of the facet's most frequent value, in percent."""
    address: str
    """Of the list narrowed to it, or of the list as it was before, when it is."""
    is_chosen: bool
    exclude: str
    """Address of the list without messages that have it; empty when there would be none."""


class Facet(NamedTuple):
    """The most frequent values of one kind."""

    title: str
    values: list[Value]
    more: list[Value]
    masked: int
    """Values that are not offered, as they would tell who the trap is."""


class Bar(NamedTuple):
    """A stretch of time."""

    at: int
    height: float
    address: str
    label: str
    messages: int


class Chart(NamedTuple):
    """A histogram as it is drawn."""

    bars: list[Bar]
    most: int
    since: float
    until: float
    counted_from: int
    """The first bar whose messages were counted; those before it are not known."""


def total(page: Page, facets: Facets | None, histogram: Histogram | None) -> Count:
    """How many messages a list has, by whatever came to an end of it; else the most that anything saw."""
    known = [Count(facets.counted, facets.complete)] if facets else []
    known.append(Count(len(page.rows), bool(page.rows) and not (page.newer or page.older)))
    known += [Count(histogram.found, histogram.complete)] if histogram else []
    return next((each for each in known if each.is_all), max(known))


def active(text: str) -> list[Term]:
    """The terms that narrow a query as a whole."""
    try:
        found = [text[each.start : each.end] for each in lexemes(text) if each.kind == "term"]
    except QueryError:
        return []
    narrowing = [said for said in dict.fromkeys(found) if has_term(text, said)]
    return [
        Term(said, link(HERE, q=without_term(text, said)), said.startswith("-"))
        for said in narrowing[:_MAX_TERMS]
    ]


def spans(text: str) -> list[Span]:
    """The usual stretches of time, and all of it."""
    found = [
        Span(title, link(HERE, q=with_term(text, f"date:{title}")), has_term(text, f"date:{title}"))
        for title in _SPANS
    ]
    dates = [each.text for each in active(text) if each.text.startswith("date:")]
    for each in dates:
        text = without_term(text, each)
    return [*found, Span("all", link(HERE, q=text), not dates)]


def facets(found: Facets, text: str, hide: Hide) -> list[Facet]:
    """The facets of a list, those without a value left out.

    Args:
        text: the query.
        hide: masks what must not be seen; a value that it changes is only counted.
    """
    made = []
    for name in FACETS:
        known = found.values.get(name, [])
        counted = [(value, count) for value, count in known if hide(value) == value]
        most = max((count for _, count in counted), default=0)
        values = [_value(name, value, count, count / most, text) for value, count in counted[:FOLDED]]
        if known:
            made.append(Facet(TITLES[name], values[:SHOWN], values[SHOWN:], len(known) - len(counted)))
    return made


def _value(name: str, value: str, count: int, share: float, text: str) -> Value:
    said = term(name, value)
    chosen = has_term(text, said)
    narrowed = without_term(text, said) if chosen else with_term(text, said)
    exclude = "" if chosen else link(HERE, q=with_term(text, f"-{said}"))
    return Value(value, count, round(100 * share, 1), link(HERE, q=narrowed), chosen, exclude)


def chart(found: Histogram, text: str) -> Chart | None:
    """The histogram of a list; None when there is nothing in it."""
    most = max(found.counts, default=0)
    if not most:
        return None
    bars = []
    for at, count in enumerate(found.counts):
        since = found.since + at * found.width
        said = between(since, since + found.width)
        height = max(_SMALLEST, CHART * count / most) if count else 0.0
        label = said.replace("..", " to ").replace("T", " ")
        bars.append(Bar(at, round(height, 1), _address(text, said), label, count))
    unknown = 0 if found.complete else int((found.counted_since - found.since) / found.width)
    return Chart(bars, most, found.since, found.until, min(max(unknown, 0), len(bars)))


def rate(hours: Sequence[tuple[int, int]], text: str, most: int) -> Chart | None:
    """The same for copies of a campaign.

    Args:
        hours: when an hour began, and how many came in it; only those with some, in order.
        text: the query that finds them.
        most: bars at most.
    """
    if not hours:
        return None
    since, until = hours[0][0], hours[-1][0] + _HOUR
    longest = ((until - since) // _HOUR // (most - 1) + 1) * _HOUR
    width = next((wide for wide in _WIDTHS if until - since + wide <= most * wide), longest)
    since -= since % width
    end = until + -until % width
    # More bars than there are come in front: nobody knows what will be.
    since = min(since, end - _FEWEST * width)
    counts = [0] * ((end - since) // width)
    for hour, count in hours:
        counts[(hour - since) // width] += count
    return chart(Histogram(since, end, width, counts, sum(counts), complete=True, counted_since=since), text)


def _address(text: str, period: str) -> str:
    return link(HERE, q=with_term(text, f"date:{period}"))
