"""Hostile sessions by the million: no crash, no leak, no message split or merged, nothing in the log.

    bench/fuzz.py                     1,000,000 sessions, made at random of what hurts (tests/fuzzkit.py)
    bench/fuzz.py --guided            the same number, led by the code they reach (needs atheris)

A session is played without a socket and compared with a model that sees all of its bytes at once. The
garbage collector is off: what counting references does not find stays, and would be seen. What went
wrong is told with the number that makes it again.
"""

import argparse
import gc
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

REPORTS = 10
"""Lines of progress."""
CODE = [
    "trap.connection",
    "trap.smtp",
    "trap.transfer",
    "trap.body",
    "trap.session",
    "trap.auth",
    "trap.proxied",
]
"""What guides."""


class Watch:
    """Counts what was played, and looks for what was left."""

    def __init__(self, fuzzer: Any, log: list[Any], goal: int) -> None:
        self._fuzzer, self._log, self._goal = fuzzer, log, goal
        self._began = self._cpu = 0.0
        self._told = 0
        self._first = 0
        self._began, self._cpu = time.monotonic(), time.process_time()

    def look(self) -> bool:
        """After each session: True when it was the last one."""
        complaints = [line for line in self._log if not line.getMessage().startswith("spool: [Errno 28]")]
        assert not complaints, complaints[0].getMessage() + (complaints[0].exc_text or "")
        self._log.clear()
        done = self._fuzzer.sessions
        if done * REPORTS >= self._told * self._goal:
            self._told = done * REPORTS // self._goal + 1
            memory = _memory()
            self._first = self._first or memory
            print(
                f"{done:>9} sessions  {self._fuzzer.replies} replies  {self._fuzzer.messages} stored"
                f"  {memory} KiB ({memory - self._first:+})  {time.process_time() - self._cpu:.0f} s CPU",
                flush=True,
            )
        return done >= self._goal


def _memory() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 10


def at_random(watch: Watch, fuzzer: Any, seed: int) -> None:
    """Sessions from a generator of random numbers."""
    while not watch.look():
        seed += 1
        try:
            fuzzer.session(Random(seed))
        except Exception:
            print(f"session {seed} went wrong: bench/fuzz.py --seed {seed - 1} --sessions 1", file=sys.stderr)
            raise


def guided(watch: Watch, fuzzer: Any, seed: int) -> None:
    """Sessions from atheris, which keeps those that reached new code and varies them. Does not return."""
    import atheris  # noqa: PLC0415 - it is wanted by those who ask for it only
    from fuzzkit import BEGIN, BODIES, COMMANDS, STEPS  # noqa: PLC0415

    words = [*COMMANDS, *BODIES, b"".join(BEGIN), b"".join(BEGIN).replace(b"\r", b"")]

    def script(data: bytes) -> list[bytes | str]:
        choice = atheris.FuzzedDataProvider(data)
        made: list[bytes | str] = []
        while choice.remaining_bytes() and len(made) < 60:
            what = choice.ConsumeIntInRange(0, 255)
            if what < 160:
                piece: bytes | str = words[what % len(words)]
            elif what < 230:
                piece = choice.ConsumeBytes(what - 160)
            else:
                piece = STEPS[what % len(STEPS)]
            if made and isinstance(piece, bytes) and isinstance(made[-1], bytes) and what & 1:
                made[-1] += piece
            elif piece:
                made.append(piece)
        return made

    def one(data: bytes) -> None:
        door = fuzzer.doors[data[0] % len(fuzzer.doors) if data else 0]
        fuzzer.play(door, [door[2], *script(data[1:])] if door[2] else script(data))
        if watch.look():
            fuzzer.close()
            sys.stdout.flush()
            os._exit(0)  # atheris does not return

    atheris.Setup([sys.argv[0], f"-seed={seed + 1}", "-max_len=400", "-verbosity=0", "-rss_limit_mb=0"], one)
    atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sessions", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--guided", action="store_true", help="by atheris")
    given = parser.parse_args()
    if given.guided:
        import atheris  # noqa: PLC0415

        with atheris.instrument_imports(include=CODE):
            from fuzzkit import Fuzzer, complaints  # noqa: PLC0415
    else:
        from fuzzkit import Fuzzer, complaints  # noqa: PLC0415
    play: Callable[[Watch, Any, int], None] = guided if given.guided else at_random
    gc.disable()
    fuzzer = Fuzzer()
    with complaints() as log, suppress(KeyboardInterrupt):
        play(Watch(fuzzer, log, given.sessions), fuzzer, given.seed)
    fuzzer.close()


if __name__ == "__main__":
    main()
