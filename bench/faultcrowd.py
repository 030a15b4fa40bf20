"""More mail at once than a scanner has children for; and spamc, beside. Not a bench itself."""

import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import kit
from faultrig import Outcome, Rig
from faultscenes import DEADLINE

from daemon import Daemon  # isort: skip
from daemons import SPAMD_RULES, spamd  # isort: skip

SPAMC = 12
"""Processes of spamc at a time, beside a worker."""
RIOT_DEADLINE = 15.0
"""Of riseup's series."""
PATIENCE = 900.0
"""Seconds for a crowd to be worked off."""
SLOW_SCAN = 0.5
"""Seconds a message, where scanning is slow."""
SLEEPER = """\
package Sleeper;
use Mail::SpamAssassin::Plugin;
our @ISA = qw(Mail::SpamAssassin::Plugin);
sub new {
    my ($class, $main) = @_;
    my $self = $class->SUPER::new($main);
    $self->register_eval_rule("sleeps");
    return $self;
}
sub sleeps { select(undef, undef, undef, %s); return 0; }
1;
"""


def spamc(address: Sequence[str], mail: Sequence[bytes], timeout: float, at_once: int) -> dict[str, Any]:
    """Run spamc, a process a message; what became of them.

    Args:
        address: of spamd, as options of spamc.
        mail: one process each.
        timeout: its -t.
        at_once: processes at a time.
    """
    command = [kit.program("spamc", "spamc"), "-x", "-c", "-t", f"{timeout:.0f}", *address]
    patience = 20 * timeout

    def one(message: bytes) -> tuple[bool, float]:
        begun = time.monotonic()
        try:
            done = subprocess.run(command, input=message, capture_output=True, timeout=patience, check=False)
        except subprocess.TimeoutExpired:
            return False, patience
        judged = done.returncode in {0, 1} and not done.stdout.startswith(b"0/0")
        return judged, time.monotonic() - begun

    with ThreadPoolExecutor(at_once) as pool:
        found = list(pool.map(one, mail))
    return {
        "put": len(found),
        "scanned": sum(judged for judged, _ in found),
        "longest": max(took for _, took in found),
    }


def slow(home: Path, seconds: float) -> Daemon:
    """A spamd with one child, whose scans take so long."""
    (home / "Sleeper.pm").write_text(SLEEPER % seconds)
    home.chmod(0o755)
    rule = f"loadplugin Sleeper {home}/Sleeper.pm\nheader SLEPT eval:sleeps()\nscore SLEPT 0.1\n"
    return spamd(home, max_children=1, rules=SPAMD_RULES + rule)


def crowd(
    home: Path, daemon: Daemon, mail: list[bytes], timeout: float, mode: str = "pass", **settings: object
) -> Outcome:
    """Put mail in at once, and wait until all has left the stage."""
    what = f"out of children: {len(mail):,} at once"
    outcome = Outcome("spamd, TCP", what, mode, timeout)
    rig = Rig(
        home,
        "spamd",
        {"spamd": daemon.tcp, "timeout": f"{timeout:g}s", "when_unavailable": mode, **settings},
        mail,
    )
    with rig.working():
        begun = time.time()
        for _ in mail:
            rig.add()
        time.sleep(1.0)
        outcome.status = rig.states()
        over = rig.settle(PATIENCE)
        rig.finished(outcome, begun, over)
        outcome.recovery = 0.0
    waiting = len(mail) - outcome.out
    rest = f"{waiting} were still waiting" if waiting else "all were through"
    outcome.log.insert(0, f"{rest} after {over - begun:.0f} s")
    return outcome


def riot(home: Path, mail: list[bytes], count: int) -> dict[str, Any]:
    """riseup's series: 3,000 messages at once on max-children 1, a limit of 15 s; ours, then spamc's."""
    many = [mail[number % len(mail)] for number in range(count)]
    with spamd(room(home, "spamd"), max_children=1, rules=None) as daemon:
        outcome = crowd(room(home, "ours"), daemon, many, RIOT_DEADLINE)
        # Left-overs of ours would be in spamc's way.
        daemon.restart()
        theirs = spamc(["-d", "127.0.0.1", "-p", str(daemon.port)], many, RIOT_DEADLINE, count)
    return {"ours": asdict(outcome), "spamc": theirs}


def room(where: Path, name: str) -> Path:
    """A directory of a name, made."""
    path = where / name
    path.mkdir()
    return path


def crowds(where: Path, mail: list[bytes]) -> Iterator[Outcome]:
    """Twelve at once for one slow child, passing and waiting, and beside them twelve of spamc."""
    few = mail[:SPAMC]
    for mode in ("pass", "wait"):
        with slow(room(where, f"slow-{mode}"), SLOW_SCAN) as one:
            outcome = crowd(room(where, f"rig-{mode}"), one, few, DEADLINE, mode)
            outcome.fault += f", {SLOW_SCAN:g} s each"
            if mode == "pass":
                one.restart()
                outcome.spamc = spamc(["-d", "127.0.0.1", "-p", str(one.port)], few, DEADLINE, SPAMC)
            yield outcome
