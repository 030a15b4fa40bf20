"""Archives every message: compressed, synced, and found again by `spamtrap archive`.

A batch of jobs is one write and one sync, and passes when both are done. Disk full, or any other
trouble of the disk: nothing of the batch counts as archived and the jobs wait. A job that comes
twice is archived once, as far as the archive knows; after a crash a second copy may lie in a
segment, the index has it once.
"""

import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path

from trap.archive import retention
from trap.archive.background import Indexer, Packer
from trap.archive.packer import LEVEL as PACK_LEVEL
from trap.archive.store import LEVEL, SEAL_AFTER, SEGMENT_SIZE, Store
from trap.config import Duration, Size
from trap.job import Job
from trap.stage import Pass, Unavailable, Verdict

log = logging.getLogger("spamtrap.archive")

_LOOK_EVERY = 60.0


class Archive:
    """The archive stage.

    Args:
        archive_dir: where the archive is.
        segment_size: a segment this large is sealed, and may be copied away or dropped.
        seal_after: a segment this old is sealed, however small.
        level: of zstd, 1 to 19; more costs time and saves little.
        pack: whether sealed segments are packed, in the background.
        pack_level: of zstd, 1 to 22, for packing; 12 takes a sixth of the time for 3 percent more bytes.
        retain: segments whose newest message is older are dropped; none are when not set.
        retain_bytes: the oldest segments are dropped when all together, with what the index holds of them,
            have more; none are when not set.
    """

    log_as = "archived"

    def __init__(
        self,
        archive_dir: Path,
        segment_size: Size = Size(SEGMENT_SIZE),
        seal_after: Duration = Duration(SEAL_AFTER),
        level: int = LEVEL,
        pack: bool = True,
        pack_level: int = PACK_LEVEL,
        retain: Duration | None = None,
        retain_bytes: Size | None = None,
    ) -> None:
        if not 1 <= level <= 19:
            raise ValueError(f"level: {level} is not one of zstd's, 1 to 19")
        if not 1 <= pack_level <= 22:
            raise ValueError(f"pack_level: {pack_level} is not one of zstd's, 1 to 22")
        self._directory = archive_dir
        self._retain = retain
        self._retain_bytes = retain_bytes
        self._store = Store(archive_dir, segment_size, level, seal_after)
        self._indexer = Indexer(archive_dir)
        self._packer = Packer(archive_dir, pack_level) if pack else None
        self._looked = 0.0

    def process(self, job: Job) -> Verdict:
        """Archive one job."""
        return self.process_batch([job])[0]

    def process_batch(self, jobs: Sequence[Job]) -> list[Verdict]:
        """Archive many jobs with one sync.

        Raises:
            Unavailable: the disk is full or fails; none of them is archived.
        """
        try:
            places = self._store.put(jobs)
        except OSError as error:
            reason = os.strerror(error.errno).lower() if error.errno else str(error)
            raise Unavailable(f"archive: {reason} at {self._directory}") from error
        self._indexer.poke()
        return [
            Pass({"segment": place.segment, "offset": place.offset, "sha256": place.sha256.hex()})
            for place in places
        ]

    def tick(self) -> None:
        """What is due by time: sealing, packing, retention, an indexer that died."""
        if not self._directory.exists():
            return  # nothing was archived yet
        self._indexer.poke()
        self._store.tick()
        now = time.time()
        if now - self._looked < _LOOK_EVERY:
            return
        self._looked = now
        if self._packer:
            self._packer.look()
        if self._retain is not None or self._retain_bytes is not None:
            for path in retention.enforce(self._directory, now, self._retain, self._retain_bytes):
                log.info("dropped segment %s", path.name)

    def close(self) -> None:
        """Leave the open segment to whoever comes next, and the index up to date."""
        self._store.close()
        if self._packer:
            self._packer.close()
        self._indexer.close()
