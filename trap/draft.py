"""A large message on its way in: written straight into a file of the spool, never held in memory.

The file becomes the job's by a rename, nothing is copied. What precedes the message in it, envelope
and notes, is known last; so room is left for it at the beginning, and what of the room it does not
fill is a hole: the value of the envelope's key `pad`, which readers ignore and which is lost when
the job is written anew. Until the rename the file lies in the writer's place in tmp/, where the
recoverer sweeps it if the writer is killed.

    >>> import tempfile; from trap.envelope import Envelope; from trap.job import Job, encode_head
    >>> home = tempfile.TemporaryDirectory()
    >>> draft = Draft(f"{home.name}/draft")
    >>> draft.write([b"Subject: a\\r\\n", b"\\r\\n"]); draft.write([b"b\\r\\n"])
    >>> draft.finish(encode_head(Envelope(helo="me"), {}, draft.size))
    >>> job = Job.decode("1", fsio.read(draft.path))
    >>> job.envelope.helo, job.message
    ('me', b'Subject: a\\r\\n\\r\\nb\\r\\n')
    >>> home.cleanup()
"""

import errno
import os
from contextlib import suppress

from trap import fsio

ROOM = 16 << 10
"""Bytes left for envelope and notes: some 200 recipients. Where it is too little the file is copied."""
_PAGE = 4096
_MAP16, _FEW = 0xDE, 0x80
_PAD = b"\xa3pad\xc6"
_OVERHEAD = 3 + len(_PAD) + 4
"""The map's new count, the key, and the length of the hole."""


class Draft:
    """One message on its way in.

    Args:
        path: of the file, which must not exist.
        room: bytes left for what precedes the message.

    Attributes:
        size: bytes of the message so far.

    Raises:
        OSError: it can't be made.
    """

    __slots__ = ("_fd", "_room", "path", "size")

    def __init__(self, path: str, room: int = ROOM) -> None:
        self.path = path
        self.size = 0
        self._room = room
        self._fd = fsio.create(path)
        os.lseek(self._fd, room, os.SEEK_SET)

    def write(self, pieces: fsio.Pieces) -> None:
        """Add to the message.

        Raises:
            OSError: nothing was added; it may be tried again.
        """
        try:
            fsio.write_all(self._fd, pieces)
        except OSError:
            with suppress(OSError):  # it is closed: that is what went wrong
                os.lseek(self._fd, self._room + self.size, os.SEEK_SET)
            raise
        self.size += sum(map(len, pieces))

    def finish(self, head: bytes, *, sync: bool = False) -> None:
        """Write what precedes the message: it is a job's file now, once it has the name of one.

        Args:
            head: as made by trap.job.encode_head for a message of this size.
            sync: fsync the file before returning.

        Raises:
            OSError: it is not one; it may be tried again.
        """
        if len(head) + _OVERHEAD > self._room:
            wide = self.copy(-(-(len(head) + _OVERHEAD) // _PAGE) * _PAGE)
            self.abandon()
            self.path, self._fd, self._room = wide.path, wide._fd, wide._room
        begin, rest = _padded(head, self._room)
        for piece, at in ((begin, 0), (rest, self._room - len(rest))):
            if os.pwrite(self._fd, piece, at) != len(piece):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.path)
        if sync:
            os.fsync(self._fd)

    def copy(self, room: int = ROOM) -> "Draft":
        """A second draft of the same message, copied inside the kernel.

        Raises:
            OSError: there is none.
        """
        twin = Draft(f"{self.path}+", room)
        try:
            while twin.size < self.size:
                done = os.sendfile(twin._fd, self._fd, self._room + twin.size, self.size - twin.size)
                if not done:
                    raise OSError(errno.EIO, "shorter than what was written", self.path)
                twin.size += done
        except OSError:
            twin.abandon()
            raise
        return twin

    def abandon(self) -> None:
        """The message is not wanted: nothing is left of it. May be called again; a job stays."""
        self.close()
        with suppress(OSError):  # the recoverer sweeps it once this process is gone
            fsio.unlink(self.path)

    def close(self) -> None:
        """Close the file; may be called again."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with suppress(OSError):
                os.close(fd)


def _padded(head: bytes, room: int) -> tuple[bytes, bytes]:
    """A head as it fills `room` bytes: its beginning, and its end; between them is the hole."""
    # msgpack, by hand: the count of a map's pairs is in its first byte, or in the two behind 0xde.
    if head[0] == _MAP16:
        count, rest = int.from_bytes(head[1:3], "big"), head[3:]
    else:
        count, rest = head[0] - _FEW, head[1:]
    hole = room - _OVERHEAD - len(rest)
    begin = bytes([_MAP16]) + (count + 1).to_bytes(2, "big") + _PAD + hole.to_bytes(4, "big")
    return begin, rest
