"""Redaction: a message without any trace of who received it.

Names of the trap, and what else tells who a message was for, are overwritten wherever they stand and
however they are spelt: in headers, texts, HTML, URLs, nested and coded parts, names of attachments.
Nothing moves: a redacted message is as long as it was, MIME and transfer encodings stay valid, fuzzy
check sums change little. Its signatures are broken, and said to be.

Masks are drawn with the key of the consumer who will read them: he sees the same mask for the same name,
and can't compare with another. The release gate looks at the result; parts in which it still finds a
name, as archives, are overwritten whole, and what it finds then is told: such a message may not leave.

    >>> ours = Identities.named(["joe.miller@trap.example"])
    >>> message = b"To: Joe.Miller@trap.example\\r\\n\\r\\nhi =?utf-8?q?joe=2Emiller?="
    >>> Redactor(ours, b"").redact(message).message
    b'To: Xxx.Xxxxxx@xxxx.zzzzzzz\\r\\n\\r\\nhi =?utf-8?q?xxx=2Exxxxxx?='
"""

from collections import Counter
from collections.abc import Collection
from typing import NamedTuple

from trap.envelope import printable
from trap.redaction.gate import OPAQUE, Leak, found_by
from trap.redaction.identities import Identities
from trap.redaction.layers import Scrubber
from trap.redaction.masks import blank
from trap.redaction.search import Searcher
from trap.redaction.sheet import Sheet, signatures

_TURNS = 2
"""Masks are drawn again when one happens to be a name."""
_BLANKINGS = 4
"""Times that the gate is asked what is still to be blanked: in what it finds first, more may be hidden."""


class Redacted(NamedTuple):
    """A message that tells nobody who received it, and what was done to it."""

    message: bytes
    masked: dict[str, int]
    """How many names were masked, by where they stood and how they were spelt: "header/plain"."""
    blanked: list[str]
    """Parts and header fields that could not be masked in place, and were overwritten whole, for people."""
    signatures: list[str]
    """What no longer verifies, for people: "dkim d=b.example"."""
    leaks: list[Leak]
    """What the release gate still finds. Unless it is empty, the message may not leave."""


class Redactor:
    """Redacts messages and texts for one consumer.

    Args:
        identities: who the trap is, with what is known of the message.
        key: the consumer's; see `trap.keys`. Without one, letters become x and digits 1.
        standing: finds some of the identities already, as those of the configuration; made once for many
            messages, as it costs more than redacting one.
    """

    def __init__(self, identities: Identities, key: bytes, standing: Searcher | None = None) -> None:
        self._identities, self._key, self._standing = identities, key, standing
        self._tokens: frozenset[str] = frozenset()
        self._searcher = Searcher(identities, (), standing)
        self._ascii_only = all(map(str.isascii, identities.names()))

    def redact(self, message: bytes, tokens: Collection[str] = (), files: Collection[bytes] = ()) -> Redacted:
        """A message without any trace of the identities.

        Args:
            message: as it was received.
            tokens: other strings in it that tell who it was for; see `trap.redaction.tokens`.
            files: in it that do so, and are overwritten whole; see `trap.redaction.sheet.only_here`.
        """
        searcher = self.searcher(tokens)
        data = bytearray(message)
        sheet = Sheet(data)
        masked: Counter[str] = Counter()
        told = [region for digest, region in sheet.files().items() if digest in files] if files else []
        blanked = {sheet.blank(region): None for region in told}
        leaks: list[Leak] = []
        for turn in range(_TURNS):
            scrubber = Scrubber(searcher, self._key, len(data), turn, self._ascii_only and _ascii(tokens))
            blanked.update((sheet.blank(region), None) for region in sheet.mask(scrubber))
            masked += scrubber.masked
            leaks = found_by(searcher, bytes(data))
            if all(leak.kind == OPAQUE for leak in leaks):
                break
        for _ in range(_BLANKINGS):
            if not leaks:
                break
            blanked.update((what, None) for what in _blank(sheet, leaks))
            leaks = found_by(searcher, bytes(data))
        new = bytes(data)
        broken = signatures(new) if new != message else []
        return Redacted(new, dict(masked), list(blanked), broken, leaks)

    def text(self, text: str, tokens: Collection[str] = ()) -> str:
        """Any other string that leaves, without them: an address, a subject, a URL; as long as it was."""
        searcher = self.searcher(tokens)
        try:
            data = bytearray(text.encode("utf-8", "surrogateescape"))
        except UnicodeEncodeError:  # half a character, which stands for no byte
            data = bytearray(printable(text).encode())
        for turn in range(_TURNS):
            Scrubber(searcher, self._key, len(data), turn).scrub(data, "text")
            if not found_by(searcher, bytes(data)):
                return data.decode("utf-8", "surrogateescape")
        return blank(data.decode("utf-8", "surrogateescape"))

    def searcher(self, tokens: Collection[str] = ()) -> Searcher:
        """What finds the identities and these tokens, for the gate too; made once for the same tokens."""
        if self._tokens != (wanted := frozenset(tokens)):
            self._tokens, self._searcher = wanted, Searcher(self._identities, wanted, self._standing)
        return self._searcher


def _ascii(tokens: Collection[str]) -> bool:
    return all(map(str.isascii, tokens))


def _blank(sheet: Sheet, leaks: list[Leak]) -> list[str]:
    """Blank where leaks are: where that is told exactly, else what is no text, else all."""
    told = [leak for leak in leaks if leak.part or leak.field]
    regions = {region for leak in told if not leak.field for region in sheet.within(leak.part)}
    fields = {(leak.part, leak.field) for leak in told if leak.field}
    if not regions and not fields:  # nobody can say where, or there is no such part to us
        regions = {region for region in sheet.within(()) if not sheet.is_blank(region)}
        regions = {region for region in regions if not region.type.startswith("text/")} or regions
    return [sheet.blank_field(*field) for field in sorted(fields)] + [
        sheet.blank(region) for region in sorted(regions)
    ]
