"""Packs sealed segments: the same records, a third smaller (trap.archive.packed).

    python -m trap.archive.packer DIRECTORY LEVEL

The archive stage runs this as a child process of the lowest priority: a mebibyte of mail takes a third
of a second of one core, once in its life. It packs what is sealed and not packed, oldest first, and
ends; also when its parent is gone. Of several on one archive, one is at work. The packed segment is
written beside the loose one, read again and compared with it record by record, synced, and only then
takes its name: whatever ends this process on the way, the archive is as good as it was.
"""

import hashlib
import logging
import os
import resource
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgpack
import zstandard

from trap import fsio
from trap.archive.blocks import Frames, Item, encode
from trap.archive.fold import Piece
from trap.archive.form import Footer, footer
from trap.archive.packed import BLOB, BLOCK, DICTIONARY, lines_frames, marked, raw_dictionary, start
from trap.archive.record import Corrupt, campaign_of
from trap.archive.record import encode as encode_record
from trap.archive.segment import Reader
from trap.archive.shared import Shared
from trap.archive.store import exclusive, folder, lock, segments

log = logging.getLogger("spamtrap.archive")

LEVEL = 19
"""Of zstd: level 12 takes a sixth of the time, and 3 percent more bytes."""
UNREADY = ".packing"
"""Suffix of a packed segment that is being written."""
LOCK = "pack.lock"
BLOCK_BYTES = 1 << 20
"""Bytes of text after which a block ends."""
PART_BYTES = 64 << 20
"""Bytes of text that share a dictionary: they are held in memory."""
_LARGE = 32 << 10
_SMALL = 2 << 10
"""A file that mail carries is a blob when it is large, or not small and can't be compressed."""
_WINDOW_LOG = 24
"""A dictionary and a block together."""
_MODE = 0o440
_MEMORY = 3 << 30
_ROOM = 3
"""Sizes of a segment that must be free on the disk before it is packed."""


def waiting(directory: Path, known: set[str]) -> list[Path]:
    """The sealed segments that are not packed, oldest first.

    Args:
        known: names of such that are; what is found to be is added.
    """
    found = []
    for path in segments(directory):
        if path.name in known:
            continue
        try:
            if path.stat().st_mode & 0o222:
                continue
            with Reader(path) as reader:
                packed = reader.packed
        except (FileNotFoundError, Corrupt):
            continue
        if packed:
            known.add(path.name)
        else:
            found.append(path)
    return found


def pack_all(directory: Path, level: int = LEVEL) -> int:
    """Pack what waits for it; returns how many segments were. None when somebody else is at it."""
    with lock(directory, LOCK) as ours:
        if not ours:
            return 0
        for left in folder(directory).glob("*" + UNREADY):
            fsio.unlink(str(left))
        return sum(_tried(path, level) for path in waiting(directory, set()))


def _tried(path: Path, level: int) -> bool:
    try:
        if fsio.space(path.parent).bytes_free < _ROOM * path.stat().st_size:
            log.warning("segment %s is not packed: the disk is nearly full", path.name)
            return False
        return pack(path, level)
    except FileNotFoundError:
        return False  # retention took it
    except Corrupt as error:
        log.error("segment %s is not packed, it is damaged: %s", path.name, error)
    except (OSError, MemoryError) as error:
        log.warning("segment %s could not be packed: %s", path.name, error)
    return False


def pack(path: Path, level: int = LEVEL) -> bool:
    """Give a segment its packed form, unless it has it or is not sealed.

    Args:
        level: of zstd.

    Returns:
        Whether it was packed.

    Raises:
        Corrupt: it is damaged, and was left as it is.
        OSError: it could not be done, for instance because the disk is full.
    """
    with Reader(path) as old:
        seal = old.seal
        if old.packed or not seal:
            return False
        if old.proof() != seal.sha256:
            raise Corrupt("the segment's sha256 is not the one in its footer")
        unready = str(path.with_suffix(UNREADY))
        fd = fsio.create(unready)
        try:
            with closing(os.fdopen(fd, "rb", closefd=True)):
                _Writing(fd, old, level).write(seal)
                os.fchmod(fd, _MODE)
                os.fsync(fd)
            _compare(old, Path(unready))
            # RACE: retention may have dropped it while we packed; it must not come back.
            # (test_what_was_dropped_while_it_was_packed_stays_away)
            with exclusive(path.parent):
                if path.exists():
                    fsio.rename(unready, str(path), sync=True)
                    return True
            raise FileNotFoundError(2, "it was dropped", str(path))
        except BaseException:
            fsio.unlink(unready)
            raise


def _compare(old: Reader, made: Path) -> None:
    """Read what was made, and prove that every record is what it was.

    Raises:
        Corrupt: it is not.
    """
    with Reader(made) as new:
        ours = new.frames()
        for frame in old.frames():
            other = next(ours, None)
            before, after = frame._replace(base=0, data=b""), other
            if before != after or encode_record(old.record(frame).job()) != new.content(frame):
                raise Corrupt(f"{frame.id} would not come out as it went in")
        if next(ours, None) or (new.start, new.end, new.created) != (old.start, old.end, old.created):
            raise Corrupt("it would not come out as it went in")


class _Writing:
    """A packed segment that is being written."""

    def __init__(self, fd: int, old: Reader, level: int) -> None:
        self._fd = fd
        self._old = old
        self._at = 0
        self._hash = hashlib.sha256()
        self._blobs: dict[bytes, int] = {}
        self._level = level
        self._others = zstandard.ZstdCompressor(level=level)
        self._checked = zstandard.ZstdCompressor(level=level, write_checksum=True)
        self._quick = zstandard.ZstdCompressor(level=1)

    def write(self, seal: Footer) -> None:
        """Write all of it."""
        old = self._old
        digest = hashlib.sha256(b"".join(frame.sha256 for frame in old.frames())).digest()
        self._put([start(old.seed, old.created, (old.start, old.end), digest)])
        items: list[Item] = []
        size = 0
        for item, text_bytes in self._items():
            items.append(item)
            size += text_bytes
            if size >= PART_BYTES:
                self._part(items)
                items, size = [], 0
        if items:
            self._part(items)
        fsio.write_all(self._fd, [footer(seal._replace(sha256=self._hash.digest()))])

    def _items(self) -> Iterator[tuple[Item, int]]:
        """The records, their blobs written, and how many bytes of text each has."""
        for frame in self._old.frames():
            # What can't be read would not come out as it went in.
            envelope, notes, pieces = msgpack.unpackb(
                self._old.content(frame), unicode_errors="surrogateescape", strict_map_key=False
            )
            left = [self._placed(piece) for piece in pieces]
            item = Item(frame._replace(data=b""), envelope, notes, left)
            yield item, sum(map(len, _texts(item)))

    def _placed(self, piece: Piece) -> Piece:
        if isinstance(piece, bytes):
            return piece
        width, crlf, data = piece
        if len(data) < _LARGE and (len(data) < _SMALL or len(self._quick.compress(data)) < 0.8 * len(data)):
            return piece
        name = hashlib.sha256(data).digest()
        if name not in self._blobs:
            self._blobs[name] = self._mark(BLOB, self._others.compress(data))
        return [width, crlf, self._blobs[name]]

    def _part(self, items: list[Item]) -> None:
        """Write a part of the segment: a dictionary, and the blocks that lean on it."""
        shared = Shared()
        for item in items:
            shared.add(_texts(item))
        lines = shared.lines(map(_texts, items), map(_texts, _copied(items)))
        at = self._mark(DICTIONARY, lines_frames(lines, self._checked))
        dictionary = raw_dictionary(lines)
        settings = zstandard.ZstdCompressionParameters.from_level(self._level, window_log=_WINDOW_LOG)
        dictionary.precompute_compress(compression_params=settings)
        texts = zstandard.ZstdCompressor(dict_data=dictionary, compression_params=settings)
        for block in _blocks(items):
            frames = encode(block, shared.token, texts, self._others)
            self._mark(BLOCK, frames, block[0].frame.offset, at)

    def _mark(self, kind: bytes, frames: Frames | bytes, offset: int = 0, dictionary: int = 0) -> int:
        at = self._at
        self._put(marked(self._old.seed, kind, frames, offset, dictionary))
        return at

    def _put(self, pieces: list[bytes]) -> None:
        fsio.write_all(self._fd, pieces)
        for piece in pieces:
            self._hash.update(piece)
            self._at += len(piece)


def _texts(item: Item) -> list[bytes]:
    """What of a message goes into a block."""
    inner = (piece if isinstance(piece, bytes) else piece[2] for piece in item.pieces)
    return [text for text in inner if isinstance(text, bytes)]


def _copied(items: list[Item]) -> list[Item]:
    """The first of each campaign that has more."""
    firsts: dict[str, Item] = {}
    more: dict[str, Item] = {}
    for item in items:
        if campaign := campaign_of(item.notes):
            if campaign in firsts:
                more[campaign] = firsts[campaign]
            firsts.setdefault(campaign, item)
    return list(more.values())


def _blocks(items: list[Item]) -> Iterator[list[Item]]:
    block: list[Item] = []
    size = 0
    for item in items:
        more = sum(map(len, _texts(item)))
        if block and size + more > BLOCK_BYTES:
            yield block
            block, size = [], 0
        block.append(item)
        size += more
    yield block


def _end_with_parent() -> None:
    """End when standard input is closed: when our parent is gone."""

    def listen() -> None:
        while os.read(0, 4096):
            pass
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()


def main() -> None:
    """Entry point of the child process."""
    logging.basicConfig(level=logging.INFO, format="archive packer: %(message)s")
    _end_with_parent()
    os.nice(19)
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, hard))
    pack_all(Path(sys.argv[1]), int(sys.argv[2]))


if __name__ == "__main__":
    main()
