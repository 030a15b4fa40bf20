"""A whole trap with every stage on, and backends that are stopped, killed and started again at random."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
from daemon import Daemon
from daemons import clamd, redis, rspamd, spamd, unbound

TIMEOUT = 2.0
"""Seconds that each stage gives a message."""
PIPELINE = ["extract", "dedup", "auth", "dns", "policy", "virus", "spamd", "rspamd", "command", "backscatter"]
PIPELINE_END = ["archive", ["report"]]
ASKING = ("auth", "dns", "virus", "spamd", "rspamd", "command")
PROGRAM = """\
#!/bin/sh
cat >/dev/null
case $(cat {manner}) in
75) exit 75;;
hang) sleep 60;;
crash) kill -9 $$;;
esac
"""
RECORDS = ["2.0.0.127.bl.example. A 127.0.0.2", 'example.com. 300 TXT "v=spf1 -all"']


class Cast:
    """Everybody whom a trap asks.

    Args:
        home: an empty directory.
        stack: they end with it.
    """

    def __init__(self, home: Path, stack: ExitStack) -> None:
        def at(name: str) -> Path:
            (home / name).mkdir()
            return home / name

        self.manner = home / "manner"
        self.manner.write_text("ok\n")
        self.program = home / "program"
        self.program.write_text(PROGRAM.format(manner=self.manner))
        self.program.chmod(0o755)
        store = stack.enter_context(redis(at("redis")))
        self.daemons: dict[str, Daemon] = {
            "redis": store,
            "spamd": stack.enter_context(spamd(at("spamd"), max_children=3)),
            "rspamd": stack.enter_context(rspamd(at("rspamd"), redis=store.tcp)),
            "clamd": stack.enter_context(clamd(at("clamd"))),
            "unbound": stack.enter_context(unbound(at("unbound"), RECORDS)),
        }

    def settings(self, **more: object) -> str:
        """Of a trap that asks them all, as YAML."""
        names = {"servers": self.daemons["unbound"].tcp}
        stages: dict[str, dict[str, Any]] = {
            "auth": dict(names),
            "dns": {**names, "dnsbl": ["bl.example"]},
            "virus": {"clamd": self.daemons["clamd"].socket},
            "spamd": {"spamd": self.daemons["spamd"].socket},
            "rspamd": {"rspamd": self.daemons["rspamd"].socket},
            "command": {"argv": [str(self.program)]},
        }
        for stage in stages.values():
            stage["timeout"] = f"{TIMEOUT:g}s"
        text = msgspec.yaml.encode({"pipeline": [*PIPELINE, *PIPELINE_END], "stages": stages, **more})
        return text.decode()

    @contextmanager
    def tormented(self, seed: int, pause: float = 1.0) -> Iterator[Counter[str]]:
        """Something befalls each of them again and again, at random, while the block lasts; what, is counted.

        Args:
            seed: of the random numbers.
            pause: seconds between two acts, and of each, about.
        """
        over, counts, dice = threading.Event(), Counter[str](), random.Random(seed)
        acts: dict[str, list[tuple[str, Callable[[], object], Callable[[], object]]]] = {
            name: [
                ("stopped in its tracks", daemon.freeze, daemon.thaw),
                ("killed", daemon.kill, daemon.start),
                ("ended in order", daemon.stop, daemon.start),
                ("restarted", daemon.restart, bool),
            ]
            for name, daemon in self.daemons.items()
        }
        acts["program"] = [
            (
                manner,
                lambda manner=manner: self.manner.write_text(manner),
                lambda: self.manner.write_text("ok"),
            )
            for manner in ("75", "hang", "crash")
        ]
        errors: list[BaseException] = []

        def torment(name: str, dice: random.Random) -> None:
            try:
                while not over.wait(dice.uniform(0.2, 1.8) * pause):
                    what, on, off = dice.choice(acts[name])
                    on()
                    over.wait(dice.uniform(0.2, 1.8) * pause)
                    off()
                    counts[f"{name} {what}"] += 1
            except BaseException as error:  # told at the end, in the thread that waits for us
                errors.append(error)

        threads = [
            threading.Thread(target=torment, args=(name, random.Random(dice.random()))) for name in acts
        ]
        for thread in threads:
            thread.start()
        try:
            yield counts
        finally:
            over.set()
            for thread in threads:
                thread.join(60)
        if errors:
            raise errors[0]


def undisturbed(ask: Callable[[], Any], seconds: float = 20.0) -> list[dict[str, Any]]:
    """What the status says of all backends, once none is away any more.

    Args:
        ask: for the status.
        seconds: patience; after that, whatever it says.
    """
    end = time.monotonic() + seconds
    while True:
        found: list[dict[str, Any]] = ask()["backends"]
        if all(one["state"] == "up" for one in found) or time.monotonic() > end:
            return found
        time.sleep(0.2)
