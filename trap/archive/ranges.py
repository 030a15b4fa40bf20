"""Times and sizes as a query writes them: date:2026-11-01..2026-11-03, size:>1M."""

import calendar
import datetime
import re
import time

from trap.config import Duration, Size

FOREVER = float("inf")
_DATE = re.compile(r"(\d{4})(?:-(\d\d?)(?:-(\d\d?)(?:[T ](\d\d?):(\d\d)(?::(\d\d))?Z?)?)?)?")
_DAY = re.compile(r"(\d{4})(\d\d)(\d\d)")
_FORMS = ((86400, "%Y-%m-%d"), (60, "%Y-%m-%dT%H:%M"), (1, "%Y-%m-%dT%H:%M:%S"))
_LAST = calendar.timegm((datetime.MAXYEAR, 1, 1, 0, 0, 0))
"""The first second that date: can't name."""
_NUMBER = re.compile(r"[\d.]+")


def extent(text: str) -> tuple[int, int | None]:
    """The sizes that size: names, in bytes: the smallest, and the largest if there is one.

    >>> extent(">1M"), extent("<=10k"), extent("10k..1M"), extent("..10k")
    ((1048577, None), (0, 10240), (10240, 1048576), (0, 10240))

    Raises:
        ValueError: it names no sizes.
    """
    low, dots, high = text.partition("..")
    if dots:
        if not low and not high:
            raise ValueError(".. names no size; give one end at least")
        smallest, largest = _bytes(low) if low else 0, _bytes(high) if high else None
        if largest is not None and smallest > largest:
            raise ValueError(f"{text!r} ends before it begins")
        return smallest, largest
    sign = text[: 2 if text[1:2] == "=" else 1]
    size = text[len(sign) :]
    if sign in {">", ">="}:
        return _bytes(size) + (sign == ">"), None
    if sign in {"<", "<="}:
        return 0, _bytes(size) - (sign == "<")
    raise ValueError(f"{text!r} is not a range of sizes; write it like >1M, <=10k or 10k..1M")


def _bytes(text: str) -> int:
    if not text.isascii():
        raise ValueError(f"{text!r} is not a size; write it like 500k, 30M or 2G")
    try:
        return Size(text)
    except OverflowError:
        raise ValueError("no message has so many bytes") from None


def between(since: float, until: float) -> str:
    """What date: takes for the time from `since` on and before `until`, in seconds, cut to whole ones.

    >>> between(1793491200, 1793577600), between(1793491200, 1793491260), between(1793491200, FOREVER)
    ('2026-11-01', '2026-11-01T00:00', '2026-11-01..')
    >>> between(1793491200, 1793494800)
    '2026-11-01T00:00..2026-11-01T00:59'
    """
    start = min(max(0, int(since)), _LAST - 1)
    stop = start if until == FOREVER else max(start + 1, int(min(until, _LAST)))
    form = next(form for unit, form in _FORMS if start % unit == 0 and stop % unit == 0)
    first, last = (time.strftime(form, time.gmtime(second)) for second in (start, stop - 1))
    return f"{first}.." if until == FOREVER else first if first == last else f"{first}..{last}"


def period(text: str, now: float) -> tuple[float, float]:
    """The time that date: names, as its first second and the one after its last, since the epoch.

    Raises:
        ValueError: it names no time.
    """
    if ".." not in text:
        return _span(text, now)
    first, _, last = text.partition("..")
    if not first and not last:
        raise ValueError(".. names no time; give one end at least")
    since = _span(first, now)[0] if first else 0.0
    until = _end(last, now) if last else FOREVER
    if since >= until:
        raise ValueError(f"{text!r} ends before it begins")
    return since, until


def _end(text: str, now: float) -> float:
    """The second after the last one that is meant by the second half of A..B: 3d there is three days ago."""
    since, until = _span(text, now)
    return since if until == FOREVER else until


def _span(text: str, now: float) -> tuple[float, float]:
    midnight = now - now % 86400
    if text == "today":
        return midnight, midnight + 86400
    if text == "yesterday":
        return midnight - 86400, midnight
    if match := _DATE.fullmatch(_DAY.sub(r"\1-\2-\3", text) if _DAY.fullmatch(text) else text):
        return _calendar(text, [int(part) if part else None for part in match.groups()])
    if _NUMBER.fullmatch(text):
        raise ValueError(f"{text!r} is neither a date like 20261101 or 2026 nor a time like 3d: which unit?")
    try:
        return now - Duration(text), FOREVER
    except ValueError:
        raise ValueError(f"{text!r} is not a date like 2026-11-01, 2026-11, today or 3d") from None


def _calendar(text: str, parts: list[int | None]) -> tuple[float, float]:
    """The year, month, day, minute or second that `parts` name."""
    year, month, day, hour, minute, second = parts
    start = (year or 0, month or 1, day or 1, hour or 0, minute or 0, second or 0)
    in_range = 1970 <= start[0] < datetime.MAXYEAR and 1 <= start[1] <= 12
    if not (in_range and 1 <= start[2] <= calendar.monthrange(*start[:2])[1]):
        raise ValueError(f"{text!r} is not in the calendar")
    if start[3] > 23 or start[4] > 59 or start[5] > 59:
        raise ValueError(f"{text!r} is not a time of day")
    since = calendar.timegm(start)
    if month is None:
        return since, calendar.timegm((start[0] + 1, 1, 1, 0, 0, 0))
    if day is None:
        return since, since + calendar.monthrange(*start[:2])[1] * 86400
    return since, since + (86400 if hour is None else 60 if second is None else 1)
