"""What is done to which backend: the lines of the fault matrix. Not a bench itself.

Each group has a real daemon of its own, with a proxy before it that misbehaves, and yields its scenes.
"""

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import faultrig  # it sets the path  # isort: skip
from daemon import Daemon
from troubler import Mode, Troubler

DEADLINE = 3.0
"""Seconds that one message may take, in every line but where it is said."""
LASTS = 5.0
TOO_LATE = DEADLINE + 1.5
DROP = 0.25
"""Seconds between two bytes of an answer that comes byte by byte."""
TMPFS_SIZE = "256k"

_nothing: Callable[[], object] = lambda: None  # noqa: E731


@dataclass
class Scene:
    """A line of the matrix to be measured.

    Args:
        backend: which program, and how it is reached.
        fault: in a few words.
        stage: that asks it.
        settings: of the stage, without its timeout.
        on, off: switch the fault.
        mode: when_unavailable.
        spamc: how spamc reaches the same spamd; empty where it is another program.
        lasts: seconds of the fault.
        timeout: seconds that a message may take.
        scanned: by the notes.
    """

    backend: str
    fault: str
    stage: str
    settings: Mapping[str, Any]
    on: Callable[[], object]
    off: Callable[[], object]
    mode: str = "pass"
    spamc: list[str] = field(default_factory=list)
    lasts: float = LASTS
    timeout: float = DEADLINE
    scanned: faultrig.Scanned = faultrig.judged


Group = Callable[[ExitStack, Path], Iterator[Scene]]

WORDS: dict[str, Mode] = {
    "accepts and never answers": "deaf",
    "answers half and hangs": "half",
    "answers garbage": "garbage",
    "answers without an end": "endless",
    "answers after the deadline": "late",
    "answers a byte at a time": "drip",
    "resets midway": "reset",
    "hangs up instead of answering": "close",
}
"""Faults that a proxy plays."""


def conversations(
    name: str, stage: str, trouble: Troubler, settings: Mapping[str, Any], spamc: list[str]
) -> Iterator[Scene]:
    """All that can go wrong in a conversation."""
    for fault, mode in WORDS.items():

        def on(mode: Mode = mode) -> None:
            trouble.delay = DROP if mode == "drip" else TOO_LATE
            trouble.mode = mode

        def off() -> None:
            trouble.mode = "pass"

        yield Scene(name, fault, stage, settings, on, off, spamc=spamc)


def process(
    name: str, stage: str, daemon: Daemon, settings: Mapping[str, Any], spamc: list[str]
) -> Iterator[Scene]:
    """What happens to the program itself."""

    def half_started() -> None:
        daemon.restart()
        daemon.freeze()

    def shut() -> None:
        daemon.stop()
        daemon.start()

    for fault, on, off in (
        ("not running", daemon.kill, daemon.start),
        ("being shut down", daemon.ask_to_stop, shut),
        ("port open, still starting", half_started, daemon.thaw),
        ("stopped in its tracks", daemon.freeze, daemon.thaw),
    ):
        yield Scene(name, fault, stage, settings, on, off, spamc=spamc)


def dropped(
    name: str, stage: str, port: int, settings: Mapping[str, Any], spamc: list[str]
) -> Iterator[Scene]:
    """Packets that vanish, which needs a network of our own."""
    if not os.environ.get("OWN_NETWORK"):
        return

    def on() -> None:
        for chain, side in (("input", "dport"), ("output", "sport")):
            hook = f"{{ type filter hook {chain} priority 0; }}"
            nft("add", "table", "inet", f"p{port}")
            nft("add", "chain", "inet", f"p{port}", chain, hook)
            for kind in ("tcp", "udp"):
                nft("add", "rule", "inet", f"p{port}", chain, kind, side, str(port), "drop")

    yield Scene(
        name,
        "packets dropped",
        stage,
        settings,
        on,
        lambda: nft("delete", "table", "inet", f"p{port}"),
        spamc=spamc,
    )


def nft(*words: str) -> None:
    """A command to the packet filter."""
    subprocess.run(["nft", *words], check=True, capture_output=True)


def full(name: str, stage: str, tmp: Path, settings: Mapping[str, Any], spamc: list[str]) -> Iterator[Scene]:
    """No room where the program keeps what it works on; needs a mount of our own."""
    if not os.environ.get("OWN_NETWORK"):
        return

    def on() -> None:
        with suppress(OSError), (tmp / "filler").open("wb") as file:
            while True:
                file.write(bytes(4096))
                file.flush()

    yield Scene(name, "disk full in its tmp", stage, settings, on, (tmp / "filler").unlink, spamc=spamc)


def small_disk(stack: ExitStack, directory: Path) -> None:
    """A tmpfs of its own there, where we may."""
    directory.mkdir(exist_ok=True)
    if os.environ.get("OWN_NETWORK"):
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={TMPFS_SIZE},mode=1777", "none", directory], check=True
        )
        stack.callback(subprocess.run, ["umount", "-l", directory], check=True)
