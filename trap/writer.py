"""The way into the spool: files are written in a place of ours in tmp/, and renamed into a queue."""

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

from trap import fsio
from trap.draft import Draft
from trap.envelope import Envelope
from trap.job import encode_head, new_id
from trap.maillog import MailLog

Message = bytes | fsio.Pieces | Draft
"""Whole, or in pieces, which are written one after the other and never joined; or a draft, which
becomes the job's file."""
T = TypeVar("T")
P = ParamSpec("P")


class Item(NamedTuple):
    """A message for a queue, as `put` and `put_all` take it."""

    queue: str
    envelope: Envelope
    message: Message
    notes: Mapping[str, Any] | None = None
    copy: bool = False
    """The message is needed once more: of a draft, the job gets a copy."""

    @property
    def size(self) -> int:
        """Bytes of the message."""
        return size_of(self.message)

    @property
    def space(self) -> int:
        """Bytes of it that the spool does not hold yet."""
        return 0 if isinstance(self.message, Draft) and not self.copy else self.size


Results = list[str | OSError]
"""For each item the job's id, or why it is not stored."""


def size_of(message: Message) -> int:
    """Bytes of a message."""
    if isinstance(message, Draft):
        return message.size
    return len(message) if isinstance(message, bytes) else sum(map(len, message))


class Writer:
    """Writes jobs. Not made for two threads.

    Args:
        root: the spool's directory.
        log: every event is written to it.
        sync: fsync before a put returns, for a spool on a disk.
    """

    def __init__(self, root: Path, log: MailLog, *, sync: bool) -> None:
        self.root = root
        self.log = log
        self.sync = sync
        self._new: dict[str, str] = {}
        self._tmp = f"{root}/tmp"
        fsio.make_directory(self._tmp)

    def make(self) -> None:
        """Make the directories of all queues where they are not there."""
        raise NotImplementedError

    @cached_property
    def _lease(self) -> fsio.Lease:
        return fsio.Lease.take(self._tmp)

    def draft(self, make: Callable[[str], Draft] = Draft) -> Draft:
        """Begin to take in a large message; `put` makes a job of it.

        Args:
            make: makes it, given its path.

        Raises:
            OSError: no room, or no file may be opened any more.
        """
        return self._in_place(lambda: make(f"{self._lease.path}/{new_id()}"))

    def put(
        self,
        queue: str,
        envelope: Envelope,
        message: Message,
        notes: Mapping[str, Any] | None = None,
        copy: bool = False,
    ) -> str:
        """Take a message in. When this returns, it is in the queue and in the log.

        Args:
            queue: its name.
            envelope: what is known of the message.
            message: a draft ends here when this succeeds.
            notes: what is known of the message already.
            copy: the draft does not end, the job gets a copy.

        Returns:
            The job's id.

        Raises:
            OSError: it is not in the queue (ENOSPC: no bytes or no inodes left), or the log could
                not be written: do not acknowledge it. A draft may be tried again, or abandoned.
        """
        job_id, path, size = self._place(queue, envelope, message, notes, copy)
        if self.sync:
            fsio.sync_directory(self._new[queue])
        self._account(job_id, path, queue, envelope, size)
        return job_id

    def put_all(self, items: Iterable[Item]) -> Results:
        """Take several messages in, with one sync of each directory for all of them."""
        results: Results = []
        placed: list[tuple[int, Item, str, str, int]] = []
        for item in items:
            try:
                job_id, path, size = self._place(*item)
            except OSError as error:
                results.append(_bare(error))
            else:
                placed.append((len(results), item, job_id, path, size))
                results.append(job_id)
        errors = self._sync_all({item.queue for _, item, *_ in placed}) if self.sync else {}
        for at, item, job_id, path, size in placed:
            if failed := errors.get(item.queue):
                fsio.unlink(path)
                results[at] = failed
                continue
            try:
                self._account(job_id, path, item.queue, item.envelope, size)
            except OSError as error:
                results[at] = _bare(error)
        return results

    def _sync_all(self, queues: Iterable[str]) -> dict[str, OSError]:
        errors = {}
        for queue in queues:
            try:
                fsio.sync_directory(self._new[queue])
            except OSError as error:
                errors[queue] = _bare(error)
        return errors

    def _place(
        self,
        queue: str,
        envelope: Envelope,
        message: Message,
        notes: Mapping[str, Any] | None,
        copy: bool,
    ) -> tuple[str, str, int]:
        """Give a message a name in a queue: the job's id, its path, and the message's size."""
        job_id = new_id()
        path = f"{self._new[queue]}/{job_id}.0"
        size = size_of(message)
        head = encode_head(envelope, notes or {}, size)
        if not isinstance(message, Draft):
            pieces = (head, message) if isinstance(message, bytes) else (head, *message)
            self._in_place(self._write, job_id, path, pieces)
        elif copy:
            twin = message.copy()
            try:
                self._finish(twin, head, path)
            finally:
                twin.abandon()
        else:
            self._finish(message, head, path)
        return job_id, path, size

    def _finish(self, draft: Draft, head: bytes, path: str) -> None:
        draft.finish(head, sync=self.sync)
        self._in_place(fsio.rename, draft.path, path)
        draft.close()

    def _account(self, job_id: str, path: str, queue: str, envelope: Envelope, size: int) -> None:
        try:
            self.log.accepted(job_id, queue, envelope, size)
        except OSError:
            # It will not be acknowledged, so the client sends it again. Where a worker has it
            # already, there will be two.
            fsio.unlink(path)
            raise

    def replace(self, path: str, pieces: fsio.Pieces) -> None:
        """Put a file at `path`, new or in place of the old, whole or not at all.

        Raises:
            OSError: it is not there.
        """
        directory, _, name = path.rpartition("/")
        self._in_place(self._write, name, path, pieces)
        if self.sync:
            fsio.sync_directory(directory)

    def _write(self, name: str, path: str, pieces: fsio.Pieces) -> None:
        tmp = f"{self._lease.path}/{name}"
        fsio.write(tmp, pieces, sync=self.sync)
        try:
            fsio.rename(tmp, path)
        except OSError:
            fsio.unlink(tmp)
            raise

    def _in_place(self, act: Callable[P, T], *args: P.args, **keywords: P.kwargs) -> T:
        """Do something in the spool; where somebody removed it, or our place in it, make them again, once."""
        try:
            return act(*args, **keywords)
        except FileNotFoundError:
            fsio.make_directory(self._tmp)
            self.make()
            # A place that is there is kept: drafts may lie in it, and without its lease they are swept.
            if not fsio.Lease.owned(self._lease.path):
                self.close()
            return act(*args, **keywords)

    def close(self) -> None:
        """Give up the place for half-written files."""
        if "_lease" in self.__dict__:
            self._lease.release()
            del self._lease


def _bare(error: OSError) -> OSError:
    """The error without the frames it came through: it is kept, and they hold messages."""
    return error.with_traceback(None)
