"""Reads the mail log as a ledger: where is every job that was ever accepted?

For each job the ledger keeps the queues it should be in ("tokens") and how it ended elsewhere.
Events are idempotent, because a crash between a log line and its deed makes the line come twice.
Finished files of the log are settled: jobs whose way has ended shrink to totals, the others are
carried on, so the ledger's size is that of what is open, however long the trap has run.
"""

import errno
import fcntl
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from trap.claim import BAD
from trap.fsio import replace_file, unlink
from trap.job import id_time
from trap.maillog import CURRENT, MailLog, rotated, sequence

SETTLED = "settled.json"
LOCK = "settle.lock"
MOST_REASONS = 500
"""Distinct reasons for a drop that are counted apart."""
ARCHIVED = "archived"
ECHO = 60.0
"""Seconds for which a job that has ended is kept, because a crash may make one of its lines come again."""
LATE = 86400.0
"""Seconds for which a sink may be stalled between a job's place in its queue and its line."""
_ENDS = frozenset({"done", "dropped", "shed", "purged"})
_NO_LINES = frozenset({b"\n", b"#\n"})
"""What stands between two lines when the disk was full at the beginning of one."""
_BEGIN = re.compile(rb'\{"t":[0-9.]+,"e":"[^"]*","id":"')


class Event(msgspec.Struct, gc=False):
    """One line of the mail log."""

    t: float
    e: str
    id: str
    q: str
    to: list[str] = []
    did: str = ""
    reason: str = ""
    age: float = 0.0
    took: float = 0.0
    size: int = 0
    ip: str = ""
    tags: list[str] = []
    attempt: int = 0
    notes: dict[str, Any] = {}


_decode = msgspec.json.Decoder(Event).decode


def events(path: Path, torn: Counter[str] | None = None) -> Iterator[Event]:
    """Every event of one file. Half lines, left by a full disk, are skipped and counted in `torn`."""
    with path.open("rb") as file:
        yield from lines(file, torn)


def events_since(directory: Path, since: float) -> Iterator[Event]:
    """Every event not older than `since` (seconds since the epoch), from all files of a log in use."""
    read: set[int] = set()
    while True:
        count = len(read)
        for path in [*rotated(directory), directory / CURRENT]:
            try:
                with path.open("rb") as file:
                    info = os.fstat(file.fileno())
                    if info.st_ino not in read and info.st_mtime >= since:
                        read.add(info.st_ino)
                        yield from (event for event in lines(file) if event.t >= since)
            except FileNotFoundError:
                continue  # not begun, or settled and removed while we read
        # RACE: the log was rotated between the listing and the last file, so that one was not read
        # under any name; look again until nothing is new. (test_events_since_rotation)
        if len(read) == count:
            return


def lines(file: Iterable[bytes], torn: Counter[str] | None = None) -> Iterator[Event]:
    """The events that lines tell of. Half lines are skipped, and counted in `torn`."""
    for said in file:
        line = said if said.endswith(b"\n") else b"#"  # its writer was told that it is not written
        try:
            yield _decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            if torn is not None and line not in _NO_LINES:
                torn["lines"] += 1
            # Another process may have written its whole line behind the half one.
            for begin in list(_BEGIN.finditer(line, 1))[-1:]:
                with suppress(msgspec.MsgspecError, UnicodeDecodeError):
                    yield _decode(line[begin.start() :])


def recent(directory: Path, since: float, most: int = 2 << 20) -> Iterator[Event]:
    """Events of the current file that are not older than `since` (seconds since the epoch).

    Looks no further back than `most` bytes from its end.
    """
    try:
        with (directory / CURRENT).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - most))
            said = file.readlines()
    except FileNotFoundError:
        return
    for line in said:
        with suppress(msgspec.MsgspecError, UnicodeDecodeError):  # the first may be cut
            if (event := _decode(line)).t >= since:
                yield event


class Way(msgspec.Struct, gc=False):
    """What the ledger knows of one job."""

    tokens: dict[str, str] = {}
    """Queues it should be in ("bad/queue" once it was put aside) -> the queue that passed it there."""
    ends: dict[str, tuple[str, str]] = {}
    """Where it ended: queue -> (event, reason)."""
    archived: bool = False
    last: float = 0.0
    """Time of its last event."""
    accepted: bool = True
    """Whether the line that says so was read."""


class Totals(msgspec.Struct):
    """Settled jobs, counted by how their way through the trunk and through each branch ended."""

    upto: int = 0
    """Number of the last log file counted."""
    horizon: float = 0.0
    """Jobs accepted before this time and not open are in these totals."""
    trunk: dict[str, int] = {}
    """How many ended each way: archived, done, shed, purged, "dropped reason"."""
    branches: dict[str, dict[str, int]] = {}
    """The same for each branch."""
    open: dict[str, Way] = {}
    unsaid: set[str] = set()
    """Jobs that are not in `open`, had events, and whose acceptance was not read, for a day (LATE)."""


class Ledger:
    """The state of all jobs by the mail log.

    Args:
        branches: queues that run in parallel at the end of the pipeline; each has its own account.
    """

    def __init__(self, branches: list[str], totals: Totals | None = None) -> None:
        self.branches = frozenset(branches)
        self.totals = totals or Totals()
        self.ways: dict[str, Way] = self.totals.open
        self.torn: Counter[str] = Counter()
        self.latest = 0.0

    @classmethod
    def read(cls, directory: Path, branches: list[str]) -> "Ledger":
        """Read settled totals and every log file that is not in them.

        Raises:
            OSError: the log, or the totals, can't be read.
        """
        while True:
            totals = read_totals(directory)
            ledger = cls(branches, totals)
            files = [path for path in rotated(directory) if sequence(path) > totals.upto]
            current = directory / CURRENT
            try:
                for path in files:
                    ledger.add(path)
                if current.exists():
                    ledger.add(current)
            except FileNotFoundError:
                continue  # RACE: settled and removed while we read. (test_read_while_settling)
            # RACE: the log was rotated while we read, so the current file we read may be its
            # successor; begin again. (test_read_while_rotating)
            if [path for path in rotated(directory) if sequence(path) > totals.upto] == files:
                return ledger

    def add(self, path: Path) -> None:
        """Take in every event of a file."""
        for event in events(path, self.torn):
            self.apply(event)

    def apply(self, event: Event) -> None:
        """Take in one event."""
        way = self.ways.get(event.id) or self._begin(event)
        if way is None:
            return
        way.last = max(way.last, event.t)
        self.latest = max(self.latest, event.t)
        if event.e == "accepted":
            way.accepted = True
            return
        # A job that has an event here is here: what this queue promised to others before came to
        # nothing, or in part, because of a crash or a full spool between the word and the deed.
        here = {event.q, f"{BAD}/{event.q}"}
        way.tokens = {
            place: origin for place, origin in way.tokens.items() if origin != event.q and place not in here
        }
        if event.e == "requeued":
            way.tokens[event.q] = ""
            way.ends.pop(event.q, None)
        elif event.e == BAD:
            way.tokens[f"{BAD}/{event.q}"] = ""
        elif event.e in _ENDS:
            way.ends[event.q] = (event.e, event.reason)
            way.archived |= event.did == ARCHIVED
        else:
            way.tokens.update(dict.fromkeys(event.to, event.q))
            if event.q in self.branches:
                way.ends[event.q] = (
                    "done",
                    "",
                )  # what it passes on to a queue beside the pipeline is done here
            way.archived |= event.e == ARCHIVED

    def _begin(self, event: Event) -> Way | None:
        """The way of a job that is not open, beginning with this event; None: the event tells nothing new.

        A job is in its queue before its "accepted" is in the log. When the sink was stalled between the
        two, workers may have ended the job, and its end may be settled. So a late "accepted" opens no way
        for a job that had events before: `Totals.unsaid` remembers those whose acceptance was not read.
        """
        accepted = event.e == "accepted"
        if id_time(event.id) < self.totals.horizon:
            if not accepted:
                # The echo of a crash, about a job that is settled; or its sink is stalled still.
                self.totals.unsaid.add(event.id)
                return None
            if event.id in self.totals.unsaid:
                return None
        # The first event need not be "accepted": a sink that died between rename and log never said
        # 250, and the job is real all the same.
        way = self.ways[event.id] = Way(accepted=accepted)
        if accepted:
            way.tokens[event.q] = ""
        return way

    def in_branch(self, place: str) -> bool:
        """Whether a queue, or what was put aside from it, belongs to a branch."""
        return place.removeprefix(f"{BAD}/") in self.branches

    def trunk_end(self, way: Way) -> str:
        """How the trunk part of a finished way ended, as counted in Totals.trunk."""
        if way.archived:
            return ARCHIVED
        ends = [end for queue, end in way.ends.items() if queue not in self.branches]
        return ended(*ends[-1]) if ends else "done"

    def settle(self) -> None:
        """Shrink every job whose way ended well before the latest event to totals."""
        horizon = self.totals.horizon = max(self.totals.horizon, self.latest - ECHO)
        ripe = [job_id for job_id, way in self.ways.items() if not way.tokens and way.last < horizon]
        for job_id in ripe:
            way = self.ways.pop(job_id)
            if not way.accepted:
                self.totals.unsaid.add(job_id)
            count(self.totals.trunk, self.trunk_end(way))
            for queue, end in way.ends.items():
                if queue in self.branches:
                    count(self.totals.branches.setdefault(queue, {}), ended(*end))
        self.totals.unsaid = {each for each in self.totals.unsaid if id_time(each) > horizon - LATE}


def read_totals(directory: Path) -> Totals:
    """The settled totals; none when nothing is settled yet.

    Raises:
        OSError: they can't be read.
    """
    path = directory / SETTLED
    try:
        return msgspec.json.decode(path.read_bytes(), type=Totals)
    except FileNotFoundError:
        return Totals()
    except msgspec.MsgspecError as error:
        text = f"not the totals of a mail log ({error}); move it away to count from what log files are left"
        raise OSError(errno.EIO, text, str(path)) from None


def ended(event: str, reason: str) -> str:
    """The name an end is counted by."""
    return f"dropped {reason}" if event == "dropped" else event


def count(totals: dict[str, int], key: str, by: int = 1) -> None:
    """Add to one of several totals. Reasons that a stage makes up by the thousand share one."""
    if key not in totals and len(totals) >= MOST_REASONS:
        key = "dropped for other reasons" if key.startswith("dropped ") else key
    totals[key] = totals.get(key, 0) + by


def settle(log: MailLog, directory: Path, branches: list[str], limit: int, keep: int) -> bool:
    """Rotate a log grown over `limit` bytes, settle what is finished, keep `keep` old files to read.

    Returns:
        Whether the log was rotated.
    """
    with (directory / LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False  # somebody else settles at this moment
        return _settle(log, directory, branches, limit, keep)


def _settle(log: MailLog, directory: Path, branches: list[str], limit: int, keep: int) -> bool:
    totals = read_totals(directory)
    if not log.rotate(limit, totals.upto):
        return False
    files = rotated(directory)
    # The newest finished file waits for the next time: a job's last event and the echo of a crash
    # a moment later are then in one reading.
    ripe = files[:-1]
    ledger = Ledger(branches, totals)
    for path in ripe:
        if sequence(path) > totals.upto:
            ledger.add(path)
            totals.upto = sequence(path)
    ledger.settle()
    replace_file(directory / SETTLED, msgspec.json.encode(totals))
    for path in ripe[: max(0, len(files) - keep)]:
        unlink(str(path))
    return True
