"""The jobs in the queues, for people who look at them and act on them: list, read, requeue, purge."""

import math
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from heapq import nlargest, nsmallest
from operator import itemgetter
from typing import NamedTuple

import msgspec

from trap import fsio
from trap.claim import BAD, MAX_ATTEMPTS, Claim, Consumer
from trap.envelope import printable
from trap.job import ID_LENGTH, NAME, CorruptJob, Job, id_time
from trap.queue import Queue, Spool

KEEPER = "keeper-"
"""How the leases of whoever only throws away are called: they count as no worker."""
PEEK = 256 << 10
"""Bytes of a job's file that are read to tell what it is."""
WAITING, CLAIMED = "waiting", "claimed"
_ID = re.compile(r"[0-9]{16}[0-9a-f]{8}")


class Entry(NamedTuple):
    """One job in one queue."""

    queue: str
    state: str
    """WAITING, CLAIMED or BAD."""
    id: str
    attempt: int
    path: str

    @property
    def place(self) -> str:
        """The queue as listings name it: "bad/dedup" for what was put aside there."""
        return f"{BAD}/{self.queue}" if self.state == BAD else self.queue


class Page(NamedTuple):
    """A part of a listing."""

    entries: list[Entry]
    total: int
    """Jobs in the queue."""
    more: bool
    """Whether others follow."""


class Row(msgspec.Struct):
    """One job of a listing, read."""

    queue: str
    id: str
    attempt: int
    age_s: float
    size: int = 0
    mail_from: str = ""
    subject: str = ""
    reason: str = ""
    """Why it is bad, or that it can't be read."""


def page(spool: Spool, name: str, limit: int, *, after: str = "", newest: bool = False) -> Page:
    """Some jobs of a queue, waiting and claimed, or of those put aside ("bad").

    Lists each directory once, however many jobs there are, and reads none of them.

    Args:
        spool: the spool.
        name: of a queue, or "bad" for all that were put aside.
        limit: most jobs on the page.
        after: id of the last job of the page before.
        newest: newest first, else oldest first.

    Raises:
        KeyError: there is no such queue.
    """
    total = 0

    def left() -> Iterator[tuple[str, str, Queue, str]]:
        nonlocal total
        for queue, state, directory in _directories(spool, name):
            names = list(filter(NAME.fullmatch, _names(directory)))
            total += len(names)
            for each in names:
                if not after or (each[:ID_LENGTH] < after if newest else each[:ID_LENGTH] > after):
                    yield each, directory, queue, state

    found = (nlargest if newest else nsmallest)(limit + 1, left(), key=itemgetter(0))
    entries = [
        Entry(queue.name, state, each[:ID_LENGTH], int(each[ID_LENGTH + 1 :]), f"{directory}/{each}")
        for each, directory, queue, state in found[:limit]
    ]
    return Page(entries, total, len(found) > limit)


def _directories(spool: Spool, name: str) -> list[tuple[Queue, str, str]]:
    if name == BAD:
        return [(spool[each], BAD, spool[each].bad) for each in spool]
    queue = spool[name]
    return [(queue, WAITING, queue.new), *_claimed(queue)]


def _claimed(queue: Queue) -> list[tuple[Queue, str, str]]:
    return [(queue, CLAIMED, f"{queue.work}/{worker}") for worker in fsio.names(queue.work)]


def _names(directory: str) -> list[str]:
    try:
        return fsio.names(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []  # a worker that stops removes its directory


def locate(spool: Spool, job_id: str) -> list[Entry]:
    """Where a job is: in several queues at once when its way branches, nowhere when it has ended."""
    found = []
    for queue in (spool[name] for name in spool) if _ID.fullmatch(job_id) else ():
        for _, state, directory in [(queue, WAITING, queue.new), *_claimed(queue), (queue, BAD, queue.bad)]:
            for attempt in range(MAX_ATTEMPTS + 1):
                path = f"{directory}/{job_id}.{attempt}"
                if os.path.exists(path):
                    found.append(Entry(queue.name, state, job_id, attempt, path))
    return found


def peek(entry: Entry, most: int = PEEK) -> tuple[Job, int]:
    """A job whose message may be cut, and the whole message's length; reads `most` bytes of its file.

    Raises:
        CorruptJob: it is none, or what the stages noted is longer than that.
        FileNotFoundError: it is gone by now.
    """
    with open(entry.path, "rb") as file:
        data = file.read(most)
        whole = os.fstat(file.fileno()).st_size
    job = Job.decode(entry.id, data, whole)
    return job, whole - len(data) + job.size


def row(entry: Entry) -> Row:
    """What a listing tells of a job."""
    return described(entry)[0]


def described(entry: Entry) -> tuple[Row, Job | None]:
    """What a listing tells of a job, and the job as far as it was read; None when it can't be."""
    made = Row(entry.place, entry.id, entry.attempt, round(time.time() - id_time(entry.id), 3))
    try:
        job, made.size = peek(entry)
    except (CorruptJob, FileNotFoundError):
        made.reason = "unreadable, or gone by now"
        return made, None
    made.mail_from = printable(job.envelope.mail_from)
    made.subject = printable(job.headers.get("subject") or "")[:60]
    made.reason = why_bad(job)
    return made, job


def why_bad(job: Job) -> str:
    """Why a job was put aside; "" when it was not."""
    why = job.notes.get(BAD)
    return printable(str(why.get("reason", ""))) if isinstance(why, dict) else ""


def requeue(spool: Spool, entries: Iterable[Entry]) -> int:
    """Give bad jobs another three attempts, where they failed; those that are gone by now are passed over.

    Raises:
        LookupError: one was put aside by a queue that is no longer configured; nothing was requeued.

    Returns:
        How many were requeued.
    """
    entries = list(entries)
    for entry in entries:
        if entry.queue not in spool.configured:
            raise LookupError(
                f"job {entry.id} was put aside by {entry.queue!r}, a queue that is no longer configured"
            )
    count = 0
    for entry in entries:
        with suppress(FileNotFoundError):
            spool[entry.queue].requeue(entry.id, entry.attempt)
            count += 1
    return count


def throw_away(consumer: Consumer, entries: Iterable[str], end: Callable[[Claim], None]) -> int:
    """Claim waiting jobs and end them; those that a worker claims first are left to it.

    Raises:
        OSError: an end can't be logged; that job has gone back, and waits.
    """
    count = 0
    for entry in entries:
        if claim := consumer.take(entry):
            try:
                end(claim)
            except OSError:
                claim.give_back()
                raise
            count += 1
    return count


def purgeable(queue: Queue, before: float = math.inf, keep_newest: int = 0) -> list[str]:
    """File names of the waiting jobs that a purge throws away, oldest first.

    Args:
        queue: where they wait.
        before: only jobs accepted at this time or earlier, in seconds since the epoch.
        keep_newest: leave this many of the newest.
    """
    names = queue.waiting()
    return [name for name in names[: max(0, len(names) - keep_newest)] if id_time(name) <= before]


def purge(
    spool: Spool,
    queues: Iterable[str],
    reason: str,
    *,
    before: float = math.inf,
    keep_newest: int = 0,
    most: int | None = None,
    dry_run: bool = False,
) -> Counter[str]:
    """Throw away waiting jobs.

    Args:
        spool: the spool.
        queues: names of the queues to purge.
        reason: stands in the mail log.
        before: only jobs accepted at this time or earlier, in seconds since the epoch.
        keep_newest: leave this many of the newest in each queue.
        most: of each queue no more than this many, the oldest; None for all.
        dry_run: only count.

    Returns:
        Jobs purged, by queue.
    """
    purged: Counter[str] = Counter()
    for queue in queues:
        names = purgeable(spool[queue], before, keep_newest)[:most]
        purged[queue] = len(names) if dry_run else 0
        if names and not dry_run:
            with spool[queue].consumer(KEEPER) as consumer:
                purged[queue] = throw_away(consumer, names, lambda claim: claim.purge(reason))
    return purged


def discard(spool: Spool, entry: Entry, reason: str) -> bool:
    """Throw away one job that waits or was put aside; whether it was still there.

    What a worker holds is left to it.
    """
    queue = spool[entry.queue]
    if entry.state == BAD:
        there = os.path.exists(entry.path)
        queue.discard_bad(entry.id, entry.attempt, reason)
        return there
    with queue.consumer(KEEPER) as consumer:
        return throw_away(consumer, [os.path.basename(entry.path)], lambda claim: claim.purge(reason)) > 0


def purge_bad(
    spool: Spool, reason: str, *, before: float = math.inf, most: int | None = None, dry_run: bool = False
) -> int:
    """Throw away the jobs that were put aside.

    Args:
        spool: the spool.
        reason: stands in the mail log.
        before: only jobs accepted at this time or earlier, in seconds since the epoch.
        most: no more than this many, the oldest; None for all.
        dry_run: only count.

    Returns:
        How many.
    """
    old = [entry for entry in spool.bad() if id_time(entry[1]) <= before and entry[0] in spool]
    old = sorted(old, key=itemgetter(1))[:most]
    if not dry_run:
        for name, job_id, attempt in old:
            spool[name].discard_bad(job_id, attempt, reason)
    return len(old)
