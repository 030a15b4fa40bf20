"""Masks the trap identities a message may name, in whatever is shown, unless they are shown."""

from collections.abc import Callable
from typing import Any

import msgspec

from trap.archive.record import Record
from trap.config import Config
from trap.envelope import Envelope, Rcpt
from trap.view.finder import mentions
from trap.view.mask import identities, mask_html, mask_lines, mask_text, masked
from trap.view.view import DiffLine, View


class Veil:
    """What masks the identities that one message may name.

    Args:
        record: its recipients and our hosts are masked, wherever they stand.
        config: of the trap.
        shown: nothing is masked.
    """

    def __init__(self, record: Record, config: Config, *, shown: bool) -> None:
        self._ours = frozenset() if shown else identities(record, config)

    def view(self, view: View) -> View:
        """A view without them."""
        return masked(view, self._ours) if self._ours else view

    def html(self, document: str) -> str:
        """The document of a view without them."""
        return mask_html(document, self._ours) if self._ours else document

    def source(self, lines: list[tuple[int, str]]) -> list[tuple[int, str]]:
        """Lines of a message without them; one that goes on in the next line is found as well."""
        return mask_lines(lines, self._ours) if self._ours else lines

    def difference(self, lines: list[DiffLine]) -> list[DiffLine]:
        """The lines of a comparison without them."""
        return [
            msgspec.structs.replace(line, left=self.told(line.left), right=self.told(line.right))
            for line in lines
        ]

    def told(self, thing: Any) -> Any:
        """Texts, or lists, named tuples and maps that hold texts, without them; keys stay."""
        return each_text(thing, lambda text: mask_text(text, self._ours)) if self._ours else thing


def known(rcpt_tos: list[str], config: Config) -> frozenset[str]:
    """The identities that can be known without the message: of a line in a list."""
    envelope = Envelope(rcpts=[Rcpt(address=address) for address in rcpt_tos])
    return identities(Record("", b"", envelope, {}, b""), config)


def hide_in(rcpt_tos: list[str], config: Config) -> Callable[[str], str]:
    """What masks the texts of a line in a list, by the recipients of its message."""
    names = known(rcpt_tos, config)
    # Most texts name none of them, and that is known long before one could be found.
    return lambda text: mask_text(text, names) if mentions(text, names) else text


def each_text(thing: Any, change: Callable[[str], str]) -> Any:
    """The same thing with every text in it changed; keys stay."""
    if isinstance(thing, str):
        return change(thing)
    if isinstance(thing, dict):
        return {key: each_text(value, change) for key, value in thing.items()}
    if isinstance(thing, list | tuple):
        found = [each_text(value, change) for value in thing]
        made = getattr(thing, "_make", None)  # a named tuple
        return made(found) if made else found
    return thing
