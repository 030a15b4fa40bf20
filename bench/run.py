"""All benches, one table, and the plots of the README: `make bench`, `make bench-quick`.

    python bench/run.py [--quick] [--draw] [NAME ...]

What is missing of programs is installed where that is possible, as root by apt-get; what is still
missing then is named. Each bench is a program of its own and writes its rows as JSON; here they are run
one after the other, kept in bench/results/ with what machine it was, made into a table
(bench/results/README.md) and drawn (docs/). A quick run only prints. --draw makes table and plots anew
from what was kept.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import draw
import faultpage
import kit

RESULTS = kit.HERE / "results"
DOCS = kit.HERE.parent / "docs"
BENCHES = {
    "sink": "Speed of the sink, one core",
    "held": "Ten thousand sessions held open",
    "held_100k": "A hundred thousand sessions held open",
    "churn": "Connections that come and go",
    "wave": "A wave of spam",
    "queues": "The queue",
    "end_to_end": "From port to archive",
    "inject": "Delivery by a command",
    "search": "Pages of the archive",
    "search_live": "The archive, read and written at a time",
    "size": "Bytes a message",
    "faults": "When backends fail",
    "chaos": "Backends stopped and started at random",
    "redact_quality": "What redaction leaves",
    "reporters": "Those whom reporters tell, killed for a while",
}
VARIANTS = {"held_100k": ("held", "--sessions", "100000")}
"""Benches that are another one with other arguments."""
TELLING = ("archive", "dedup_quality", "dedup_scale", "backscatter_quality", "policy_quality")
"""These tell of the stages in words of their own."""
PROGRAMS = {
    "clamd": "clamav-daemon",
    "gcc": "gcc libc6-dev",
    "ip": "iproute2",
    "nft": "nftables",
    "node": "nodejs",
    "notmuch": "notmuch",
    "npm": "npm",
    "pg_ctlcluster": "postgresql libdbd-pg-perl",
    "razor-report": "razor",
    "rbldnsd": "rbldnsd",
    "redis-server": "redis-server",
    "rspamd": "rspamd",
    "smtp-sink": "postfix",
    "spamc": "spamc",
    "spamd": "spamd spamassassin",
    "taskset": "util-linux",
    "unbound": "unbound",
}
"""And the packages of Debian that they come from."""
SLOW = {*VARIANTS, *TELLING, "size", "faults", "chaos", "reporters", "redact_quality"}
"""No part of a quick run."""
PACKAGES = ("aiosmtpd", "uvloop", "msgspec", "msgpack", "watchdog", "zstandard", "tantivy")

Result = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join((*BENCHES, *TELLING))}")
    parser.add_argument("--quick", action="store_true", help="two minutes for all; nothing is kept")
    parser.add_argument("--draw", action="store_true", help="measure nothing")
    options = parser.parse_args()
    unknown = set(options.names) - {*BENCHES, *TELLING}
    if unknown:
        parser.error(f"no bench: {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory() as directory:
        results = Path(directory) if options.quick else RESULTS
        results.mkdir(exist_ok=True)
        failed = []
        if not options.draw:
            provide()
            failed = measured(options.names, results, options.quick)
        found = kept(results)
        if not options.quick:
            (RESULTS / "README.md").write_text(table(found))
            if "faults" in found:
                (DOCS / "faults.md").write_text(faultpage.page(found["faults"]))
            for plot in draw.all_of(found, DOCS):
                print(f"drawn: {plot.relative_to(kit.HERE.parent)}")
    summary(found)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def provide() -> None:
    """Install the programs that are missing, if we may."""
    path = f"{os.environ['PATH']}:/usr/sbin"
    missing = [package for name, package in PROGRAMS.items() if not shutil.which(name, path=path)]
    if not missing or os.geteuid() != 0 or not shutil.which("apt-get"):
        return
    # RUNLEVEL=1: nothing that is installed here is to be started as a service.
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    packages = " ".join(missing).split()
    for words in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *packages]):
        subprocess.run(["apt-get", *words], env=quiet, stdout=subprocess.DEVNULL, check=False)


def measured(names: list[str], results: Path, quick: bool) -> list[str]:
    """Run the benches; the names of those that failed."""
    failed = []
    for name in names or [name for name in (*BENCHES, *TELLING) if not quick or name not in SLOW]:
        print(f"\n== {name}", flush=True)
        started, into = time.monotonic(), results / f"{name}.json"
        program, *arguments = VARIANTS.get(name, (name,))
        if name == "queues" and not quick:
            arguments = ["--huge", "1"]  # a million as well
        command = [sys.executable, str(kit.HERE / f"{program}.py"), *arguments]
        if name in BENCHES:
            command += ["--json", str(into), *(["--quick"] if quick else [])]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
        elif name in BENCHES and into.exists():
            result = json.loads(into.read_text())
            into.write_text(json.dumps({**result, "machine": machine()}, indent=1) + "\n")
        print(f"== {name}: {time.monotonic() - started:.0f} s", flush=True)
    return failed


def machine() -> dict[str, str]:
    """What the figures depend on. No names of hosts or places."""
    facts = {
        "cores": str(len(kit.CORES)),
        "processor": "",
        "kernel": platform.release(),
        "Python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
    }
    with open("/proc/cpuinfo") as file:
        facts["processor"] = next(
            (row.split(":")[1].strip() for row in file if row.startswith("model name")), ""
        )
    for name, command in (("Postfix", ["postconf", "-h", "mail_version"]), ("Node", ["node", "--version"])):
        if program := shutil.which(command[0], path=f"{os.environ['PATH']}:/usr/sbin"):
            said = subprocess.run([program, *command[1:]], capture_output=True, text=True, check=False)
            facts[name] = said.stdout.strip().lstrip("v")
    facts.update(json.loads((kit.PEERS / "package.json").read_text())["dependencies"])
    return facts


def kept(results: Path) -> dict[str, Result]:
    """The results there are, by name, in the order of the benches."""
    files = {name: results / f"{name}.json" for name in BENCHES}
    return {name: json.loads(file.read_text()) for name, file in files.items() if file.exists()}


def table(found: dict[str, Result]) -> str:
    """Everything, as Markdown."""
    parts = [
        "# Figures\n\nMade by `make bench`. Medians with their quartiles; "
        "a ratio is the median of the rounds' ratios.\n"
    ]
    for name, result in found.items():
        facts = ", ".join(f"{what} {value}" for what, value in result.get("machine", {}).items() if value)
        parts.append(f"\n## {BENCHES[name]}\n\n{facts}.\n")
        parts.append(
            "\n| what | whose | median | quartiles | ratio | to | aim |\n|---|---|---:|---:|---:|---|---|\n"
        )
        parts += [f"| {' | '.join(cells(row))} |\n" for row in result["rows"]]
        parts += [side_by_side(one) for one in result.get("tables", [])]
        parts += [f"\n{note[0].upper()}{note[1:]}.\n" for note in result.get("notes", []) if note]
    return "".join(parts)


def side_by_side(found: dict[str, Any]) -> str:
    """A table of a report, as Markdown."""
    lines = [found["columns"], *([kit.cell(value) for value in row] for row in found["rows"])]
    texts = [" | ".join(line) for line in lines]
    texts.insert(1, "|".join("---" if isinstance(value, str) else "---:" for value in found["rows"][0]))
    return f"\n{found['title']}:\n\n" + "".join(f"| {text} |\n" for text in texts)


def cells(row: dict[str, Any]) -> list[str]:
    """A row's columns."""
    ratio = kit.number(row["ratio"]) if row.get("ratio") is not None else ""
    aim = f"{row['aim']}: {'met' if row.get('met') else '**not met**'}" if row.get("aim") else ""
    quartiles = "" if row["low"] == row["high"] else f"{kit.number(row['low'])} to {kit.number(row['high'])}"
    return [row["what"], row["subject"], kit.number(row["median"]), quartiles, ratio, row.get("to", ""), aim]


def summary(found: dict[str, Result]) -> None:
    """One table of ratios and of what was aimed at."""
    print(f"\n{'':60}{'median':>10}{'quartiles':>20}   ratio")
    for name, result in found.items():
        print(f"{BENCHES[name]}:")
        for row in result["rows"]:
            if row.get("ratio") is not None or row.get("aim"):
                print(f"  {kit.line(row)}")
    rows = [row for result in found.values() for row in result["rows"] if row.get("aim")]
    missed = [row for row in rows if not row.get("met")]
    print(f"\n{len(rows) - len(missed)} of {len(rows)} aims met" + (", not met:" if missed else ""))
    for row in missed:
        print(f"  {kit.line(row)}")


if __name__ == "__main__":
    main()
