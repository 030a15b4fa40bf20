"""What `spamtrap inject` takes for one message, the whole process, beside a shell script.

    python bench/inject.py [--rounds 200] [--quick] [--json FILE]

The script does what the least could do: `cat > tmp; mv tmp new`. Ours reads deploy/spamtrap.yaml, takes
a lease, writes envelope and message, moves them into the queue and writes the mail log. It is the
program that pip installed, its bytecode compiled. The interpreter alone is shown too: what it takes,
nobody can save. All take turns, on one core and on tmpfs; the first round does not count.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import kit

MESSAGE = b"Subject: a prize\r\n\r\n" + b"You have won.\r\n" * 280
SCRIPT = """#!/bin/sh
cat > "$1/tmp/$$"
mv "$1/tmp/$$" "$1/new/$$"
"""
SHELL, BARE = "sh: cat, mv", "python3 -c pass"
AIM_MS = 60


def main() -> None:
    options = kit.options(__doc__, rounds=(int, 200, "turns of each"))
    rounds = min(options.rounds, 20) if options.quick else options.rounds
    report = kit.Report("inject")
    os.sched_setaffinity(0, {kit.LOAD_CORE})
    with tempfile.TemporaryDirectory(dir=kit.MEMORY) as directory:
        base = Path(directory)
        commands = subjects(base)
        (base / "message").write_bytes(MESSAGE)
        for command in commands.values():
            once(command, base)
        wall: dict[str, list[float]] = {subject: [] for subject in commands}
        cpu: dict[str, list[float]] = {subject: [] for subject in commands}
        for _ in range(rounds):
            for subject, command in commands.items():
                took, used = once(command, base)
                wall[subject].append(took * 1000)
                cpu[subject].append(used * 1000)
        stored = len(list((base / "trap/spool/dedup/new").iterdir()))
        assert stored == rounds + 1, f"{stored} of {rounds + 1} messages are in the queue"
    for subject in commands:
        aim = {"aim": f"< {AIM_MS}"} if subject == kit.OURS else {}
        report.add("one message, wall ms", subject, wall[subject], **aim)
    report.add("one message, wall", kit.OURS, wall[kit.OURS], peer=wall[SHELL], to=SHELL)
    for subject in commands:
        report.add("one message, CPU ms", subject, cpu[subject])
    report.add("one message, CPU", kit.OURS, cpu[kit.OURS], peer=cpu[SHELL], to=SHELL)
    report.write(options.json)


def subjects(base: Path) -> dict[str, list[str]]:
    """What is measured: name -> command line."""
    for name in ("tmp", "new"):
        (base / name).mkdir()
    script = base / "script"
    script.write_text(SCRIPT)
    script.chmod(0o755)
    python = Path(sys.executable)
    trap = ["--config", str(kit.HERE.parent / "deploy/spamtrap.yaml"), "--dir", str(base / "trap")]
    envelope = ["--from=s@example.org", "--client-ip=192.0.2.1", "--helo=mx.example.org"]
    return {
        kit.OURS: [str(python.with_name("spamtrap")), *trap, "inject", *envelope, "--", "trap@trap.example"],
        SHELL: [str(script), str(base)],
        BARE: [str(python), "-c", "pass"],
    }


def once(command: list[str], base: Path) -> tuple[float, float]:
    """Run a command with the message on stdin; seconds it took, and seconds of a processor."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    with (base / "message").open("rb") as stdin:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdin=stdin, stdout=subprocess.DEVNULL, env=kept)
        _, status, used = os.wait4(process.pid, 0)
        took = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"{command[0]} ended with {process.returncode}"
    return took, used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
