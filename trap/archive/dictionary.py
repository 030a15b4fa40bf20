"""Trains the dictionary that a segment's frames lean on, from the trap's own mail.

Spam is alike: what one message says was said before. A dictionary brings that to messages too
short to repeat themselves. It is trained from the segment just sealed, so it is never older than
one segment; ours is far larger than zstd's usual 110 KB, because whole texts come back, not just
headers.
"""

import zstandard

from trap.archive.record import Corrupt
from trap.archive.segment import Frame
from trap.archive.writer import Writer

SIZE = 1 << 20
SAMPLES = 2000
SAMPLE_BYTES = 32 << 10
"""Longer records are represented by their beginning."""
ENOUGH = 1000
"""Fewer records than this are not trained from."""
_SEGMENT_BYTES = 1024
_MATCH_BYTES = 8


def train(segment: Writer) -> bytes:
    """A dictionary made of samples evenly spread over a segment; empty when it can't be made.

    The method is zstd's fast cover (Liao, Petri, Moffat, Wirth 2016, "Effective construction of
    relative Lempel-Ziv dictionaries") with parameters given instead of searched: a third of a second.
    """
    count = min(SAMPLES, len(segment.offsets))
    samples: list[bytes | bytearray | memoryview[int]] = []
    for at in range(count):
        if frame := _frame(segment, segment.offsets[at * len(segment.offsets) // count]):
            samples.append(frame[:SAMPLE_BYTES])
    try:
        made = zstandard.train_dictionary(SIZE, samples, k=_SEGMENT_BYTES, d=_MATCH_BYTES)
    except zstandard.ZstdError:  # too few or too much alike: mail goes on without
        return b""
    return bytes(made.as_bytes())


def _frame(segment: Writer, offset: int) -> bytes | None:
    frame: Frame | None = next(segment.reader.frames(offset), None)
    try:
        return segment.reader.content(frame) if frame else None
    except Corrupt:
        return None
