"""What comes after DATA: finds its end in large pieces and undoes dot-stuffing (RFC 5321, 4.5.2).

Only CRLF.CRLF ends a message, whatever look-alikes it holds, so nobody can smuggle a second one
into it. A client that never sent a CRLF can't say that; for it alone LF.LF is the end. Dots are
unstuffed after the line ending that is valid. After a bare LF in an ordinary session, which is no line
ending, a dot that stands alone is left as it came; but of two one is taken away, because clients that
have bare LFs in their messages (Python's smtplib is one) stuff the dots that follow them too.

    >>> body = Body(limit=1000)
    >>> body.feed(b"Subject: a\\r\\n..b\\r\\n.")
    >>> body.feed(b"\\r\\nQUIT\\r\\n"), body.message()
    (b'QUIT\\r\\n', b'Subject: a\\r\\n.b\\r\\n')
"""

import re

CRLF_END = b"\r\n.\r\n"
LF_END = b"\n.\n"
_STUFFED_BARE = re.compile(rb"(?<!\r)\n\.\.")
_KEEP = len(CRLF_END) - 1
"""An end that is split between two pieces has this much of it in the first at most."""


class Body:
    """One message on its way in.

    Args:
        limit: largest message, in bytes; a longer one is read to its end but not kept.
        bare_lf: the client never sent a CRLF, so LF.LF may end the message, until it sends one.

    Attributes:
        oversize: it is longer than the limit, and gone.
    """

    def __init__(self, limit: int, *, bare_lf: bool = False) -> None:
        self.oversize = False
        self._limit = limit
        self._newline = b"\n" if bare_lf else b"\r\n"
        self._end = LF_END if bare_lf else CRLF_END
        self._raw = bytearray(b"\r\n")  # the line ending of DATA itself: the first line is like any other
        self._dots = 0

    @property
    def bare_lf(self) -> bool:
        """Whether not one CRLF was seen."""
        return self._newline == b"\n"

    def feed(self, piece: bytes) -> bytes | None:
        """Take what was received.

        Returns:
            What came after the end of the message; None when it has not ended.
        """
        raw, seen = self._raw, len(self._raw)
        raw += piece
        if self.bare_lf:
            self._look_for_crlf(seen)
        at = raw.find(self._end, max(0, seen - _KEEP))
        if at < 0:
            self._dots += self._count_dots(seen, len(raw))
            if len(raw) - 2 - self._dots > self._limit + _KEEP:  # the last of it may be half an end
                self.oversize = True
            if self.oversize:
                del raw[:-_KEEP]
            return None
        end = at + len(self._newline)
        if end < seen:
            self._dots -= 1  # the end's own dot came with an earlier piece
        self._dots += self._count_dots(seen, end)
        rest = bytes(raw[at + len(self._end) :])
        del raw[end:]
        if len(raw) - 2 - self._dots > self._limit:
            self.oversize = True
        return rest

    def message(self) -> bytes:
        """The message, once it has ended; empty when it was oversize."""
        if self.oversize:
            return b""
        raw: bytes | bytearray = self._raw
        if self._dots:
            raw = raw.replace(self._newline + b".", self._newline)
        if not self.bare_lf and b"\n.." in raw:
            raw = _STUFFED_BARE.sub(b"\n.", raw)
        return bytes(memoryview(raw)[2:])

    def _count_dots(self, seen: int, end: int) -> int:
        return self._raw.count(self._newline + b".", max(0, seen - len(self._newline)), end)

    def _look_for_crlf(self, seen: int) -> None:
        """The first CRLF turns this into an ordinary session, unless the message ended before it."""
        crlf = self._raw.find(b"\r\n", max(2, seen - 1))
        end = self._raw.find(LF_END, max(0, seen - len(LF_END) + 1))
        if crlf >= 0 and not 0 <= end < crlf:
            self._newline, self._end = b"\r\n", CRLF_END
            self._dots = self._raw.count(b"\r\n.", 0, seen)
