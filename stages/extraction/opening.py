"""What opening an archive takes and gives: members come out one by one, within a budget.

All readers of archives (containers.py and its like) are functions of the archive's bytes and an Opening.
They may raise Exhausted and Damaged at any time; members that came before stand.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from stages.extraction.budget import Budget

CHUNK = 1 << 16
"""Bytes that are unpacked before somebody asks whether to go on."""


class Damaged(Exception):
    """An archive is not what its first bytes say, or is made to break readers; str(error) is how."""


class Member(NamedTuple):
    """What came out of an archive."""

    name: str
    """As the archive has it: hostile."""
    size: int
    """Bytes when unpacked: what the archive says where `data` is missing."""
    data: bytes | None = None
    """None when it could not be unpacked."""
    locked: bool = False
    """Whether only a password is missing."""


class Opening:
    """One archive that is being opened.

    Args:
        budget: what it may cost.
        passwords: those to be tried, best first.
        name: the archive's own, for what has one member without a name.

    Attributes:
        encrypted: whether any member is.
        password: the one that opened it; empty if none did.
        listed: whether members are listed only, as unpacking them takes what we don't have.
    """

    def __init__(self, budget: Budget, passwords: Sequence[str] = (), name: str = "") -> None:
        self.budget = budget
        self.passwords = passwords
        self.name = name
        self.encrypted = False
        self.password = ""
        self.listed = False

    def gather(self, name: str, said: int, chunks: Iterable[bytes]) -> Iterator[Member]:
        """Make one member of what is unpacked chunk by chunk; without data when it is too much.

        Args:
            name: the member's.
            said: its size as the archive says it.
            chunks: its bytes.

        Raises:
            Exhausted: it is too much.
        """
        found = bytearray()
        try:
            for chunk in chunks:
                self.budget.spend(len(chunk))
                found += chunk
        except Exception:  # whatever it is that goes wrong: the member is there, and is told of
            yield Member(name, max(said, len(found)))
            raise
        yield Member(name, len(found), bytes(found))

    def slice(self, name: str, data: bytes, start: int, size: int) -> Member:
        """A member that stands in the archive as it is.

        Raises:
            Damaged: it is cut off.
            Exhausted: it is too much.
        """
        if start < 0 or size < 0 or start + size > len(data):
            raise Damaged("cut off")
        self.budget.spend(size)
        return Member(name, size, data[start : start + size])
