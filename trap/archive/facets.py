"""Counts the values of what a query finds: of the newest, up to a number and a time; says how many it saw."""

import time
from collections import Counter
from contextlib import suppress
from typing import Any, NamedTuple

from trap.archive.index import MAX_NUMBER, Index, TooSlow
from trap.archive.query import Query
from trap.archive.rows import COUNTED
from trap.archive.search import hits, reach
from trap.archive.values import unpack_name

MOST = 50
"""Values told of each facet, the most frequent."""
_PAGE = 500


class Facets(NamedTuple):
    """How often which values are among the newest messages found."""

    counted: int
    """Messages looked at."""
    complete: bool
    """These are all there are."""
    values: dict[str, list[tuple[str, int]]]
    """The most frequent first."""


def facets(index: Index, query: Query, sample: int, budget: float) -> Facets:
    """Count the values of the newest messages that a query finds.

    Args:
        sample: look at no more messages.
        budget: seconds it may take.
    """
    counters: list[Counter[Any]] = [Counter() for _ in COUNTED]
    counted, below, complete = 0, MAX_NUMBER, False
    end = time.monotonic() + budget
    with suppress(TooSlow):
        while counted < sample and not complete and (left := end - time.monotonic()) > 0:
            page = min(_PAGE, sample - counted)
            with index.question(left):
                found = hits(index, reach(index, query, 0, below - 1), ("n", *COUNTED), page)
            for counter, values in zip(counters, list(zip(*found, strict=True))[1:], strict=False):
                counter.update(values)
            complete = len(found) < page
            counted += len(found)
            below = found[-1][0] if found else below
    with index.question():
        named = {name: _named(index, name, counter) for name, counter in zip(COUNTED, counters, strict=True)}
    return Facets(counted, complete, named)


def _named(index: Index, name: str, counter: Counter[Any]) -> list[tuple[str, int]]:
    del counter[None]
    top = counter.most_common(MOST)
    if name == "campaign":
        return [(unpack_name(packed), count) for packed, count in top]
    index.values.load(value for value, _ in top)
    texts: Counter[str] = Counter()
    for value, count in top:
        for text in index.values.texts(value):
            texts[text] += count
    return texts.most_common(MOST)
