"""What settings are written in: time spans, sizes, shares; and what every part of the configuration is."""

import math
import re
import sys

import msgspec

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)?")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", re.IGNORECASE)
_SHARE = re.compile(r"(\d+(?:\.\d+)?)\s*%")
_POWER = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


class Duration(float):
    """A time span in seconds, written as a number or like "90s", "15m", "24h", "7d", "2w"."""

    def __new__(cls, value: str | float) -> "Duration":
        """Raise ValueError when `value` can't be read as a time span."""
        if isinstance(value, str):
            match = _DURATION.fullmatch(value.strip())
            if not match:
                raise ValueError(f"{value!r} is not a time span; write it like 90s, 15m, 24h or 7d")
            value = float(match[1]) * _SECONDS[match[2] or "s"]
        if not 0 <= value < math.inf:
            raise ValueError(f"{value!r} is not a time span: it should be 0 or more")
        return super().__new__(cls, value)


class Size(int):
    """A number of bytes, written as a number or like "500kB", "30MB", "2GB" (powers of 1024)."""

    def __new__(cls, value: str | int) -> "Size":
        """Raise ValueError when `value` can't be read as a size, OverflowError when it is too much."""
        if isinstance(value, str):
            match = _SIZE.fullmatch(value.strip())
            if not match:
                raise ValueError(f"{value!r} is not a size; write it like 500kB, 30MB or 2GB")
            value = int(float(match[1]) * 1024 ** _POWER[match[2].lower()])
        if value < 0:
            raise ValueError(f"{value!r} is not a size: it should be 0 or more")
        if value > sys.maxsize:
            raise OverflowError("more bytes than any machine has")
        return super().__new__(cls, value)


class Share(float):
    """A part of a whole, written like "70%" or 0.7."""

    def __new__(cls, value: str | float) -> "Share":
        """Raise ValueError when `value` can't be read as a share."""
        said = value
        if isinstance(value, str):
            match = _SHARE.fullmatch(value.strip())
            value = float(match[1]) / 100 if match else -1.0
        if not 0 <= value <= 1:
            raise ValueError(f"{said!r} is not a share; write it like 75%")
        return super().__new__(cls, value)


class Room:
    """An amount of a file system: a share of it ("75%") or a size ("2GB")."""

    def __init__(self, value: str | int) -> None:
        self.text = str(value)
        self.share: float | None = None
        self.size = 0
        if isinstance(value, str) and value.strip().endswith("%"):
            try:
                self.share = float(value.strip()[:-1]) / 100
            except ValueError:
                self.share = -1.0
            if not 0 <= self.share <= 1:
                raise ValueError(f"{value!r} is not a share; write it like 75%")
        else:
            self.size = Size(value)

    def of(self, total: int) -> int:
        """The amount in bytes on a file system of `total` bytes."""
        return self.size if self.share is None else int(total * self.share)

    def __repr__(self) -> str:
        return self.text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Room) and (self.share, self.size) == (other.share, other.size)

    def __hash__(self) -> int:
        return hash((self.share, self.size))


class Base(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every part of the configuration has in common."""


def age(seconds: float) -> str:
    """A time span as people say it: 0.3s, 45s, 12m, 3h, 2d."""
    for limit, unit, size in ((120, "s", 1), (7200, "m", 60), (172_800, "h", 3600)):
        if seconds < limit:
            return (
                f"{seconds / size:.1f}{unit}"
                if seconds < 10 and unit == "s"
                else f"{seconds / size:.0f}{unit}"
            )
    return f"{seconds / 86400:.0f}d"


def size(number: float) -> str:
    """A number of bytes as people say it: 512 B, 4.2 kB, 1.3 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TB"
