"""What the messages of a part of a segment have in common: lines, and tokens that come again.

A dictionary of all lines that two messages share brings blocks of a MiB close to what one compressor
gets that sees everything at once. A line is all the grain it needs: mail is made of lines.

    >>> said = Shared()
    >>> for message in (b"Dear Joe,\\nbuy our pills now\\n", b"Dear Jane,\\nbuy our pills now\\n"):
    ...     said.add([message])
    >>> said.lines([[b"buy our pills now\\n"], [b"and never again\\n"]])
    b'buy our pills now\\n'
"""

from collections.abc import Hashable, Iterable

from trap.archive import tokens

LINES = 8 << 20
"""Bytes of lines at most: a reader holds them in memory."""
_SHORTEST = 8
_LOOK = 1 << 20
"""Bytes of a text that are looked at: a line feed costs more in memory than in mail."""
_TIMES = 4


class Counter:
    """Says how often a thing came, up to four times. Holds hashes only: now and then it says too much."""

    def __init__(self) -> None:
        self._came = tuple(set[int]() for _ in range(_TIMES))

    def add(self, things: Iterable[Hashable]) -> None:
        """These came once more, each of them."""
        new = set(map(hash, things))
        for before in self._came:
            again = new & before
            before.update(new)
            new = again

    def came(self, thing: Hashable, times: int = 2) -> bool:
        """Whether a thing came so often."""
        return hash(thing) in self._came[times - 1]


class Shared:
    """Lines and tokens of many messages."""

    def __init__(self) -> None:
        self._lines = Counter()
        self._tokens = Counter()

    def add(self, texts: list[bytes]) -> None:
        """One more message."""
        self._lines.add(line for text in texts for line in _lines(text))
        self._tokens.add(token for text in texts for token in tokens.found(text[:_LOOK]))

    def token(self, token: bytes) -> bool:
        """Whether several messages have this token."""
        return self._tokens.came(token)

    def lines(self, messages: Iterable[list[bytes]], firsts: Iterable[list[bytes]] = ()) -> bytes:
        """The lines that several messages have, in the order they come.

        When all of them are too many, only the more frequent.

        Args:
            firsts: messages of which there are near-copies; all their lines are added, as long as there is
                room: what varies in a line is less than what does not.
        """
        kept: dict[bytes, None] = {}
        for texts in messages:
            for text in texts:
                for line in _lines(text):
                    if len(line) >= _SHORTEST and self._lines.came(line):
                        kept[line] = None
        for times in range(3, _TIMES + 1):
            if sum(map(len, kept)) > LINES:
                kept = {line: None for line in kept if self._lines.came(line, times)}
        for texts in firsts:
            kept |= dict.fromkeys(
                line for text in texts for line in _lines(tokens.split(text, self.token)[0])
            )
        return b"".join(kept)[:LINES]


def _lines(text: bytes) -> list[bytes]:
    return text[:_LOOK].splitlines(keepends=True)
