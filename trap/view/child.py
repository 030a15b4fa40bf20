"""The program that reads hostile messages: `python -m trap.view.child FD BYTES`, started by a viewer.

It hears requests on the socket FD and answers each in sections. Before the first it loads all it may
ever need, and then gives up the means to open anything: no file, no socket, no child, no more than
BYTES of memory, and no privileges by running another program. It ends when nobody can speak to it.
"""

import codecs
import encodings
import os
import pkgutil
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec

from trap.confinement import confine, limit_cpu
from trap.envelope import printable
from trap.view import packing, reading, wire
from trap.view.difference import difference

_SOCKET = 3
_SAMPLE = b"""From: =?utf-8?q?=C3=A9?= <a@b.example>
Received: from c.example ([192.0.2.1]) by d.example; Sun, 1 Nov 2026 10:00:00 +0000
Subject: =?iso-2022-jp?b?GyRCIUobKEI=?=
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: quoted-printable

<p style=3D"color: red">http://xn--e1afmkfd.example/</p><img src=3D"cid:x">
--b
Content-Type: image/png; name*=utf-8''%C3%A9
Content-ID: <x>
Content-Transfer-Encoding: base64

iVBORw0KGgo=
--b
Content-Transfer-Encoding: x-uuencode

begin 644 x
#0V%T
`
end
--b--
"""


def main() -> None:
    """Serve until the viewer is gone."""
    fd, memory = map(int, sys.argv[1:3])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C at the terminal is for the viewer
    if fd != _SOCKET:
        os.dup2(fd, _SOCKET)
        os.close(fd)
    _load()
    confine(memory, _SOCKET + 1)
    encode = msgspec.msgpack.Encoder().encode
    with socket.socket(fileno=_SOCKET) as viewer, suppress(OSError):
        viewer.sendall(wire.READY)
        while True:
            request = msgspec.msgpack.decode(wire.receive(viewer), type=wire.Request)
            messages = [bytes(wire.receive(viewer)) for _ in request.sources]
            limit_cpu(request.seconds)
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


def _load() -> None:
    """Import what is otherwise imported when it is first needed: codecs of all charsets, and what it takes
    to do each kind of work once."""
    for module in pkgutil.iter_modules(encodings.__path__):
        with suppress(LookupError):  # those of other systems, and what is none
            codecs.lookup(module.name)
    source = wire.Source("0" * 24, len(_SAMPLE), 0.0, "", "", "", "smtp", [])
    for what in ("view", "part", "packed", "difference"):
        for _ in answers(wire.Request(what, [source], number=1, images=True), [_SAMPLE, _SAMPLE]):
            pass


if __name__ == "__main__":
    main()
