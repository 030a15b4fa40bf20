"""How evidence is weighed: each hit counts one, and half as much after every half-life.

What is kept is not the score, which changes with time, but a level that does not: the logarithm of the score
plus the half-lives that have passed since 1970. Later hits are higher up; a score is how far a level stands
above now. So the order of hits does not matter, what is listed is one range of an index, and nothing has to
be written as time goes by.

    >>> day, noon = 86400.0, 1_763_640_000.0
    >>> two = joined(level(noon, day), level(noon, day))
    >>> round(score(two, noon, day), 6), round(score(two, noon + day, day), 6)
    (2.0, 1.0)
"""

from math import exp2, log2

_MOST = 1000.0
"""Bits of a score that can be told; more are no number."""


def level(at: float, half_life: float) -> float:
    """The level of one hit.

    Args:
        at: when it was, in seconds since the epoch.
        half_life: in seconds.
    """
    return at / half_life


def joined(one: float, other: float) -> float:
    """The level of what has both levels' hits."""
    higher, lower = max(one, other), min(one, other)
    return higher + log2(1 + exp2(max(lower - higher, -_MOST)))


def score(of: float, now: float, half_life: float) -> float:
    """What a level is worth at a time."""
    return exp2(min(of - now / half_life, _MOST))


def least(wanted: float, now: float, half_life: float) -> float:
    """The level that has a score at a time."""
    return log2(wanted) + now / half_life


def lasts(of: float, wanted: float, half_life: float) -> float:
    """Until when a level is worth so much, in seconds since the epoch."""
    return (of - log2(wanted)) * half_life
