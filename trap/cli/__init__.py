"""The command `spamtrap`.

`inject` is started by a mail server for each message, and what it answers decides whether mail is kept,
tried again or returned to a forged sender. So it goes its own way from here on: nothing is imported for it
that it does not need, and nothing that goes wrong ends otherwise than with an answer of its own.
"""

import gc
import importlib
import os
import sys
from typing import NoReturn

COMMANDS = {
    "up": "trap.cli.run:up",
    "sink": "trap.cli.sink:sink",
    "work": "trap.cli.run:work",
    "reap": "trap.cli.run:reap",
    "web": "trap.cli.web:web",
    "web-password": "trap.cli.web:web_password",
    "web-token": "trap.cli.web:web_token",
    "status": "trap.cli.look:status",
    "metrics": "trap.cli.metrics:metrics",
    "audit": "trap.cli.look:audit",
    "doctor": "trap.cli.doctor:doctor",
    "queue": "trap.cli.queue:queue",
    "archive": "trap.cli.archive:archive",
    "reports": "trap.cli.reports:reports",
    "try": "trap.cli.feed:try_",
    "inject": "trap.cli.feed:inject",
    "replay": "trap.cli.replay:replay",
    "policy": "trap.cli.policy:policy",
    "dnsbl": "trap.cli.dnsbl:dnsbl",
    "config": "trap.cli.configure:config",
    "new-stage": "trap.cli.newstage:new_stage",
}


def main() -> NoReturn:
    """Entry point."""
    words = sys.argv[1:]
    if meant(words) == "inject":
        gc.disable()  # it would look in vain, a dozen times, while modules are made
        try:
            _load_msgspec()
            run = importlib.import_module("trap.cli.inject").main
        except BaseException as error:  # half an installation, no memory, no files: the mail must wait
            os.write(2, f"spamtrap: not taken, try again later: {error!a}\n".encode())
            os._exit(os.EX_TEMPFAIL)
        run(words)  # comes back when it is asked for help only
    group = importlib.import_module("trap.cli.group").spamtrap
    importlib.import_module("trap.cli.base").execute(group)
    raise AssertionError("execute returned")


def _load_msgspec() -> None:
    """Import msgspec without typing_extensions, which it prefers where it is there, and can do without.

    That takes half of msgspec's time. A version that can't do without is imported as usual, later.
    """
    if "typing_extensions" not in sys.modules:
        sys.modules["typing_extensions"] = None  # type: ignore[assignment]  # "not there", to whoever imports it
        try:
            importlib.import_module("msgspec")
        except ImportError:
            pass
        finally:
            del sys.modules["typing_extensions"]


def meant(words: list[str]) -> str:
    """The command that a line means, also one with mistakes in it: the first word that names one.

    Args:
        words: what was typed behind `spamtrap`.
    """
    before = ""
    for word in words:
        if word in COMMANDS and before not in {"--config", "--dir"}:
            return word
        before = word
    return ""
