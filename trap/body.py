"""What comes after DATA and BDAT: finds the end of a message in large pieces and keeps what it held.

Only CRLF.CRLF ends what comes after DATA, whatever look-alikes it holds, so nobody can smuggle a
second message into it (RFC 5321, 4.5.2). A client that never sent a CRLF can't say that; for it alone
LF.LF is the end, until it sends one. Dots are unstuffed after the line ending that is valid. After a
bare LF in an ordinary session, which is no line ending, a dot that stands alone is left as it came; but
of two one is taken away, because clients that have bare LFs in their messages (Python's smtplib is one)
stuff the dots that follow them too.

    >>> body = Body(limit=1000)
    >>> body.feed(b"Subject: a\\r\\n..b\\r\\n.")
    >>> body.feed(b"\\r\\nQUIT\\r\\n"), b"".join(body.take())
    (b'QUIT\\r\\n', b'Subject: a\\r\\n.b\\r\\n')

Pieces are kept as they came, not joined: the kernel can write them one after the other. Whoever feeds
may take away what is there at any time, so a large message need not be in memory.
"""

import re
from typing import Any

SMALL = 1024
"""Pieces shorter than this are joined: a client that sends byte by byte should not cost an object each."""
FEW = 32
"""Lines in one piece that begin with a dot; if there are more, they are not gone through one by one."""
_CR = 13
_dot = re.compile(rb"\n\.").search  # three times as fast as bytes.find, which stops at each line end


class Collected:
    """The pieces of one message.

    Args:
        limit: largest message, in bytes; of a longer one nothing is kept.

    Attributes:
        size: length of the message so far, in bytes.
        kept: how much of it is here, in bytes.
        oversize: it is longer than the limit.
    """

    __slots__ = ("_limit", "_pieces", "kept", "oversize", "size")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pieces: list[Any] = []  # bytes, and bytearrays of small ones
        self.kept = 0
        self.size = 0
        self.oversize = False

    def feed(self, data: bytes) -> bytes | None:
        """Take what was received; None, or what came after the end."""
        raise NotImplementedError

    def take(self) -> list[bytes]:
        """What is kept, in order; it is kept no longer."""
        pieces, self._pieces, self.kept = self._pieces, [], 0
        return pieces

    def give_up(self) -> None:
        """Keep nothing, whatever else comes."""
        self._limit, self.oversize = -1, True
        self._pieces, self.kept = [], 0

    def _keep(self, piece: bytes) -> None:
        length = len(piece)
        if not length:
            return
        self.size += length
        if self.size > self._limit:
            self.oversize = True
            self._pieces, self.kept = [], 0
            return
        self.kept += length
        if length >= SMALL:
            self._pieces.append(piece)
        elif self._pieces and type(last := self._pieces[-1]) is bytearray:
            last += piece
        else:
            self._pieces.append(bytearray(piece))


class Body(Collected):
    """One message after DATA.

    Args:
        limit: see Collected.
        bare_lf: the client never sent a CRLF, so LF.LF may end the message, until it sends one.

    Attributes:
        bare_lf: whether still not one CRLF was seen.
    """

    __slots__ = ("_before", "_held", "bare_lf")

    def __init__(self, limit: int, *, bare_lf: bool = False) -> None:
        super().__init__(limit)
        self.bare_lf = bare_lf
        self._before = b"\n" if bare_lf else b"\r\n"  # DATA's own line end: the first line is like any other
        self._held = b""  # a dot that may be stuffing or an end, and maybe the CR after it

    def feed(self, data: bytes) -> bytes | None:
        """Take what was received.

        Returns:
            What came after the end of the message; None when it has not ended.
        """
        if self._held or self.bare_lf or data.startswith((b".", b"\n.")):  # what was before matters
            done = len(self._before)
            data = self._before + self._held + data
            self._held = b""
            return self._look(data, done)
        found = data.find(b".")  # in most of a large message there is none
        whole = data.endswith(b"\r\n.\r\n")
        if found >= 0 and not (whole and found == len(data) - 3):
            begins = _dot(data, max(found - 1, 0))
            found = begins.end() - 1 if begins else -1
        if found < 0:
            self._keep(data)
            self._before = data[-2:] if len(data) > 1 else (self._before + data)[-2:]
            return None
        if whole and found == len(data) - 3:  # as most messages end
            self._keep(data[:-3])
            return b""
        return self._look(data, 0)

    def _look(self, data: bytes, done: int) -> bytes | None:
        """Go through the dots that begin a line. What stands before `done` is kept already."""
        if data.count(b"\n.") > FEW and not (self.bare_lf and b"\r\n" in data):
            return self._look_through(data, done)
        first_crlf = data.find(b"\r\n") if self.bare_lf else -1
        at = data.find(b"\n.")
        while at >= 0:
            dot = at + 1
            if self.bare_lf and 0 <= first_crlf < at:
                self.bare_lf = False
            after = data[dot + 1 : dot + 3]
            crlf = at > 0 and data[at - 1] == _CR
            if not after or (after == b"\r" and (crlf or self.bare_lf)):
                self._held = data[dot:]  # the next piece will tell
                data = data[:dot]
                break
            if self.bare_lf:
                if after.startswith(b"\n"):
                    self._keep(data[done:dot])
                    return data[dot + 2 :]
                drop = dot if after != b"\r\n" else -1  # that CRLF is the first: an ordinary session
            elif crlf:
                if after == b"\r\n":
                    self._keep(data[done:dot])
                    return data[dot + 3 :]
                drop = dot
            else:
                drop = dot if after.startswith(b".") else -1
            if drop >= 0:
                self._keep(data[done:drop])
                done = drop + 1
            at = data.find(b"\n.", dot)
        if first_crlf >= 0:
            self.bare_lf = False
        if done < len(data):
            self._keep(data[done:] if done else data)
        self._before = data[-2:]
        return None

    def _look_through(self, data: bytes, done: int) -> bytes | None:
        """The same for data in which most lines begin so, at a hundredth of the time for each."""
        line_end = b"\n" if self.bare_lf else b"\r\n"
        end = data.find(line_end + b"." + line_end)
        rest = None
        if end >= 0:
            end += len(line_end)
            data, rest = data[:end], data[end + 1 + len(line_end) :]
        elif data.endswith((b"\n.", line_end + b".\r")):
            dot = data.rindex(b".")
            data, self._held = data[:dot], data[dot:]
        self._before = data[-2:]
        # Nothing is taken away of what stands before `done`: no dot that begins a line is among it.
        if data.count(b"\n..") == data.count(line_end + b".."):
            data = data.replace(line_end + b".", line_end)
        else:
            data = line_end.join([part.replace(b"\n..", b"\n.") for part in data.split(line_end + b".")])
        self._keep(data[done:])
        return rest


class Chunks(Collected):
    """One message in chunks of announced size (RFC 3030).

    Args:
        limit: see Collected.
        refusal: what will be answered to the chunk, when none is wanted.

    Attributes:
        announced: bytes of the chunk that is coming in.
        last: it is the last.
    """

    __slots__ = ("_left", "announced", "last", "refusal")

    def __init__(self, limit: int, refusal: bytes | None = None) -> None:
        super().__init__(limit)
        self.refusal = refusal
        self.announced = self._left = 0
        self.last = False
        if refusal is not None:
            self.give_up()

    def expect(self, size: int, *, last: bool) -> None:
        """A chunk of so many bytes comes next."""
        self.announced = self._left = size
        self.last = last

    def feed(self, data: bytes) -> bytes | None:
        """Take what was received; None, or what came after the chunk."""
        if len(data) < self._left:
            self._left -= len(data)
            self._keep(data)
            return None
        if self._left:
            self._keep(data[: self._left])
        rest = data[self._left :]
        self._left = 0
        return rest
