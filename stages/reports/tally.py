"""Counting a stream of any length in bounded memory."""

import math
from collections import Counter
from collections.abc import Hashable

import msgspec

STEPS = 24
"""Classes of a histogram in each factor of e: a quantile is right within 2 percent."""
FLOOR = 1e-6
"""Smaller values are counted as this."""


class Quantiles(msgspec.Struct, frozen=True):
    """How long something took, in seconds."""

    p50: float = 0.0
    p95: float = 0.0
    max: float = 0.0


class Histogram:
    """Values in logarithmic classes.

    >>> h = Histogram()
    >>> for value in range(1, 1001):
    ...     h.add(value)
    >>> 490 < h.quantile(0.5) < 510, h.max
    (True, 1000)
    """

    def __init__(self) -> None:
        self._classes: Counter[int] = Counter()
        self.max = 0.0

    def add(self, value: float) -> None:
        """Count a value; what is negative (a clock set back) counts as nothing."""
        self._classes[round(math.log(max(value, FLOOR)) * STEPS)] += 1
        self.max = max(self.max, value)

    def quantile(self, share: float) -> float:
        """The value that `share` (0 to 1) of all values do not exceed; 0 when there are none."""
        rank = math.ceil(self._classes.total() * share)
        for number in sorted(self._classes):
            rank -= self._classes[number]
            if rank <= 0:
                return min(math.exp(number / STEPS), self.max)
        return 0.0

    def summary(self) -> Quantiles:
        """What is told of it."""
        return Quantiles(round(self.quantile(0.5), 6), round(self.quantile(0.95), 6), round(self.max, 6))


class Top:
    """Counts by name, of which the largest are wanted.

    With more than `limit` names the rarer half is forgotten, so a name that comes and goes may be
    counted too low; those that matter stay.
    """

    def __init__(self, limit: int = 50_000) -> None:
        self._counts: Counter[str] = Counter()
        self._limit = limit
        self._forgotten = 0

    def add(self, name: str, count: int = 1) -> None:
        """Count a name."""
        self._counts[name] += count
        if len(self._counts) > self._limit:
            kept = self._counts.most_common(self._limit // 2)
            self._forgotten += len(self._counts) - len(kept)
            self._counts = Counter(dict(kept))

    def most(self, number: int | None = None) -> list[tuple[str, int]]:
        """The largest counts (all of them when None) with their names, equal ones by name."""
        return sorted(self._counts.items(), key=lambda item: (-item[1], item[0]))[:number]

    @property
    def distinct(self) -> int:
        """How many names there were; too high when some were forgotten and came again."""
        return len(self._counts) + self._forgotten


class Recent:
    """Tells what was seen a moment ago: a crash between a line and its deed makes the line come twice.

    Remembers between `size` and twice as many things.
    """

    def __init__(self, size: int = 100_000) -> None:
        self._size = size
        self._young: set[Hashable] = set()
        self._old: set[Hashable] = set()

    def again(self, thing: Hashable) -> bool:
        """Whether it was seen before; remembers it."""
        if thing in self._young or thing in self._old:
            return True
        self._young.add(thing)
        if len(self._young) >= self._size:
            self._old, self._young = self._young, set()
        return False
