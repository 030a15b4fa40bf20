"""The pages that are asked for, of every subject in its own language. Not a bench itself."""

import random
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from mailfactory import END, SPAN, marked
from mailtext import word

LIMIT = 50
"""Messages on a page."""
QUERIES = 200
"""Different queries for each page."""
FIRST, DEEP, RARE, THOUSAND, FREQUENT = (
    "first page",
    "far in the past",
    "rare word",
    "word in 1,000",
    "frequent word",
)
NETWORK, DOMAIN, FACETS, CAMPAIGNS = "word, network, month", "word, domain, no word", "facets", "campaigns"
PAGES = (FIRST, DEEP, RARE, THOUSAND, FREQUENT, NETWORK, DOMAIN, FACETS, CAMPAIGNS)


class Ask(NamedTuple):
    """What a page is to show. Empty means anything."""

    word: str = ""
    without: str = ""
    """A word that must not be there."""
    domain: str = ""
    """Of the sender."""
    network: str = ""
    """The first three numbers of the client's address."""
    since: date | None = None
    until: date | None = None
    """The day after the last."""
    skip: int = 0
    """About so many messages are newer than the page …"""
    before: str = ""
    """… which goes on after the message with this id."""


class Seen(NamedTuple):
    """Of some message of the archive, what others are searched by."""

    id: str
    at: float
    """When it came, in seconds since the epoch."""
    domain: str
    network: str
    words: list[str]


def asks(count: int, some: Sequence[Seen], dice: random.Random) -> dict[str, list[Ask]]:
    """The queries of each page.

    Args:
        count: messages in the archive.
        some: messages of it.
        dice: for what is drawn.
    """
    rare = [Ask(mark) for mark in marked("one") + marked("ten")]
    often = marked("half") + marked("tenth") + [word(rank) for rank in range(QUERIES)]
    frequent = [Ask(one) for one in often][:QUERIES]
    found: dict[str, list[Ask]] = {
        FIRST: [Ask()] * QUERIES,
        DEEP: [Ask(skip=newer(count, seen.at), before=seen.id) for seen in some],
        RARE: rare,
        THOUSAND: [Ask(mark) for mark in marked("thousand")] * 2,
        FREQUENT: frequent,
        NETWORK: [_in_network(seen, dice) for seen in some if seen.network],
        DOMAIN: [_of_domain(seen, dice) for seen in some if seen.domain],
        FACETS: [Ask()] * 5 + frequent[:125] + rare[:20] + [Ask(domain=seen.domain) for seen in some],
        CAMPAIGNS: [Ask()] * QUERIES,
    }
    return {page: every[:QUERIES] for page, every in found.items()}


def _in_network(seen: Seen, dice: random.Random) -> Ask:
    """A frequent word, from where a message came, around when it did."""
    day = datetime.fromtimestamp(seen.at, UTC).date()
    words = [*marked("half"), *marked("tenth"), *seen.words]
    since, until = day - timedelta(dice.randrange(31)), day + timedelta(dice.randrange(1, 31))
    return Ask(dice.choice(words), network=seen.network, since=since, until=until)


def _of_domain(seen: Seen, dice: random.Random) -> Ask:
    """A frequent word, from whom a message came, without another word."""
    first, second = dice.sample([*marked("half"), *marked("tenth"), *seen.words], 2)
    return Ask(first, second, domain=seen.domain)


def newer(count: int, at: float) -> int:
    """About how many messages came after a time."""
    return max(0, min(count - LIMIT, int(count * (END - at) / SPAN)))


def moments(count: int, dice: random.Random) -> list[float]:
    """Times all over the archive, to look for messages at, in seconds since the epoch."""
    return [END - SPAN * dice.random() for _ in range(count)]
