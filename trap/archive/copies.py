"""Lets a copy of a campaign lean on an earlier one: what both say is stored once a segment.

No dictionary can hold every campaign, but the dedup stage says which messages are near-copies. The
first of a campaign in a segment stands alone; a later one is compressed with the first as its
dictionary when that saves enough, and becomes the new first when it does not. So a record never
needs more than one other, which lies before it in the same segment.
"""

from collections import OrderedDict
from typing import NamedTuple

import zstandard

MAX_BYTES = 1 << 20
"""A larger record is not leant on."""
MAX_TOTAL = 32 << 20
WORTH = 0.8
"""A copy leans on the first when it then takes less than this share of what it takes alone."""


class _First(NamedTuple):
    offset: int
    content: bytes


class Copies:
    """The campaigns of one segment that came lately; when they are too many, the stalest is forgotten."""

    def __init__(self, level: int) -> None:
        self._level = level
        self._firsts: OrderedDict[str, _First] = OrderedDict()
        self._bytes = 0

    def compress(self, campaign: str, content: bytes, alone: bytes, offset: int) -> tuple[bytes, int]:
        """Compress a record of a campaign.

        Args:
            content: the packed record.
            alone: its frame when it leans on nothing.
            offset: where it will lie in the segment.

        Returns:
            The frame, and the offset of the record it leans on, 0 for none.
        """
        if first := self._firsts.get(campaign):
            self._firsts.move_to_end(campaign)
            compressor = zstandard.ZstdCompressor(level=self._level, dict_data=as_dictionary(first.content))
            frame = compressor.compress(content)
            if len(frame) < WORTH * len(alone):
                return frame, first.offset
        self._remember(campaign, _First(offset, content))
        return alone, 0

    def _remember(self, campaign: str, first: _First) -> None:
        if len(first.content) > MAX_BYTES:
            return
        if before := self._firsts.pop(campaign, None):
            self._bytes -= len(before.content)
        self._firsts[campaign] = first
        self._bytes += len(first.content)
        while self._bytes > MAX_TOTAL:
            self._bytes -= len(self._firsts.popitem(last=False)[1].content)


def as_dictionary(content: bytes) -> zstandard.ZstdCompressionDict:
    """A record that another one leans on."""
    return zstandard.ZstdCompressionDict(content, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
