"""The summary of a period, as data: the JSON report is this as it stands."""

import msgspec

from stages.reports.tally import Quantiles


class Row(msgspec.Struct, frozen=True):
    """How many messages have something in common."""

    name: str
    count: int


class Drop(msgspec.Struct, frozen=True):
    """How many messages a stage dropped for a reason."""

    stage: str
    reason: str
    count: int


class StageTimes(msgspec.Struct, frozen=True):
    """What went through a stage, how old it was then, and how long the stage took."""

    stage: str
    passed: int
    dropped: int
    age: Quantiles
    took: Quantiles


class Campaign(msgspec.Struct, frozen=True, kw_only=True):
    """A campaign's share of the period. Fields that are not counts are what most of its facts say."""

    id: str
    messages: int
    reported: int = 0
    """Of these, how many went the whole way."""
    networks: int = 0
    sender: str = ""
    charset: str = ""
    size: int = 0


class Totals(msgspec.Struct):
    """Events of the period. Its jobs may have come before, or end later."""

    accepted: int = 0
    bytes: int = 0
    archived: int = 0
    dropped: int = 0
    shed: int = 0
    purged: int = 0
    bad: int = 0
    requeued: int = 0
    reported: int = 0


class Series(msgspec.Struct):
    """Counts over time, one number a column."""

    step: int
    """Width of a column in seconds."""
    accepted: list[int]
    archived: list[int]
    dropped: list[int]


class Past(msgspec.Struct, frozen=True):
    """An earlier period's totals."""

    start: float
    totals: Totals


class Summary(msgspec.Struct, kw_only=True):
    """One period. Times are seconds since the epoch."""

    start: float
    end: float
    generated: float
    log_from: float = 0.0
    """When not 0: the mail log reached back no further, what came before is missing."""
    totals: Totals
    before: Totals | None = None
    """Of the period before."""
    history: list[Past] = []
    """Earlier periods, oldest first."""
    series: Series
    stages: list[StageTimes]
    """Youngest messages first, that is in the order of the pipeline."""
    drops: list[Drop]
    networks: list[Row]
    networks_distinct: int
    campaigns: list[Campaign]
    campaigns_distinct: int
    sizes: list[Row]
    """By upper bound in bytes; the last has none and is called "more"."""
    tags: list[Row]
    facts: int
    """Lines of the feed that `by` is counted from."""
    by: dict[str, list[Row]]
    """Facts by sender, country, language, charset, kind of HELO and TLS version; those that say
    nothing of it are the rest."""
