"""The program that reads hostile messages: `python -m trap.view.child FD BYTES`, started by a viewer.

It hears requests on the socket FD and answers each in sections. It has no files, no children and no
more than BYTES of memory; it ends when nobody can speak to it any more.
"""

import resource
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec

from trap.envelope import printable
from trap.view import packing, reading, wire
from trap.view.difference import difference

_MAX_FILES = 32
_SPARE_CPU = 2
"""Seconds of CPU time beyond the deadline, after which the kernel ends it should its parent not."""


def main() -> None:
    """Serve until the viewer is gone."""
    fd, memory = map(int, sys.argv[1:3])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C at the terminal is for the viewer
    _limit(memory)
    encode = msgspec.msgpack.Encoder().encode
    with socket.socket(fileno=fd) as viewer, suppress(OSError):
        while True:
            request = msgspec.msgpack.decode(wire.receive(viewer), type=wire.Request)
            messages = [bytes(wire.receive(viewer)) for _ in request.sources]
            _limit_cpu(request.seconds)
            for answer in answers(request, messages):
                wire.send(viewer, encode(answer))
            wire.send(viewer, encode(wire.Answer("done")))


def answers(request: wire.Request, messages: list[bytes]) -> Iterator[wire.Answer]:
    """What is asked for, section by section; what fails is an answer too."""
    for name, work in _work(request, messages):
        try:
            yield wire.Answer(name, msgspec.Raw(msgspec.msgpack.encode(work())))
        except wire.NoPart:
            yield wire.Answer(name, error=wire.NO_PART)
        except Exception as error:  # hostile mail makes parsers raise anything; the next section may do
            yield wire.Answer(name, error=printable(f"{type(error).__name__}: {error}"[:200]))


def _work(request: wire.Request, messages: list[bytes]) -> Iterator[tuple[str, Any]]:
    if request.what == "view":
        yield from reading.sections(request.sources[0], messages[0], request.images)
    elif request.what == "part":
        yield "part", lambda: reading.part(messages[0], request.number or 0)
    elif request.what == "packed":
        yield "packed", lambda: packing.packed(request.sources[0], messages[0], request.number)
    else:
        yield "difference", lambda: difference(*messages)


def _limit(memory: int) -> None:
    """No more memory than this, no files written, no processes, no core."""
    for what, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_NOFILE, _MAX_FILES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
    ):
        with suppress(ValueError):  # it is less already
            resource.setrlimit(what, (most, most))


def _limit_cpu(seconds: float) -> None:
    used = time.process_time()
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    with suppress(ValueError):
        resource.setrlimit(resource.RLIMIT_CPU, (int(used + seconds) + _SPARE_CPU, hard))


if __name__ == "__main__":
    main()
