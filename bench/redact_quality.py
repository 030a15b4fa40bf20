"""What redaction leaves of the corpus: leaks, messages that may leave, and what that costs.

    python bench/redact_quality.py [--quick] [--every N] [--processes N] [--json FILE]

Every message's own recipients are declared to be traps: whom To, Cc, Delivered-To and the like name, and the
"for" of Received. Then it is redacted as a reporter would, with what tells recipients by itself (tokens),
and the result is searched by tests/leakkit.py, which shares nothing with redaction. --show names what leaks
and what may not leave.
"""

import json
import multiprocessing
import sys
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import kit  # noqa: E402
import leakkit  # noqa: E402
from corpus import needed  # noqa: E402

from trap.redact import Redactor  # noqa: E402
from trap.redaction.gate import leaks  # noqa: E402
from trap.redaction.identities import Identities  # noqa: E402
from trap.redaction.tokens import tokens  # noqa: E402

KEY = b"a consumer's key"
SHORTEST = 4
"""Characters of a local part that the second opinion looks for by itself."""


ASKED = "048c"
"""First digits of the names of messages that are searched before redaction, too: a quarter."""


class Outcome(NamedTuple):
    """Of one message."""

    file: str
    names: int
    told: bool | None
    """Whether the message as it was told a name, by the second opinion; None: it was not asked."""
    leaks: list[tuple[str, str]]
    held: list[str]
    blanked: list[str]
    bytes_changed: float
    redacting: float
    tokens: float
    gate: float
    longer: bool


def main() -> None:
    options = kit.options(
        __doc__,
        every=(int, 1, "take every so many messages"),
        processes=(int, 2, "at a time"),
        show=(int, 0, "name so many messages that leak or are held"),
    )
    report = kit.Report("redact_quality")
    step = 40 if options.quick else options.every
    rows = [json.loads(row) for row in (needed() / "index.jsonl").read_text().splitlines()]
    files = sorted((str(needed() / row["file"]), row.get("env_rcpt") or "") for row in rows)[::step]
    with multiprocessing.Pool(options.processes) as pool:
        outcomes = [found for found in pool.imap(redacted, files, chunksize=8) if found]
    shown = [found for found in outcomes if found.leaks or found.held]
    for found in shown[: options.show]:
        print(json.dumps([found.file, found.leaks[:4], found.held[:4]]))
    tell(report, outcomes, len(files))
    report.write(options.json)


def redacted(what: tuple[str, str]) -> Outcome | None:
    """Redact one message of a recipient that the index knows; None when nobody knows any."""
    file, recipient = what
    message = Path(file).read_bytes()
    identities = Identities.named(leakkit.recipients(message) | set(leakkit.ADDRESS.findall(recipient)))
    if not identities.addresses:
        return None
    begun = time.process_time()
    also = tokens(message)
    found = time.process_time()
    done = Redactor(identities, KEY).redact(message, also)
    end = time.process_time()
    leaks(done.message, identities, also)
    gate = time.process_time() - end
    names = identities.addresses | identities.domains
    names |= {word for word in identities.words if len(word) >= SHORTEST}
    changed = sum(old != new for old, new in zip(message, done.message, strict=False))
    return Outcome(
        Path(file).name,
        len(names),
        bool(leakkit.leaks(message, names)) if Path(file).name[0] in ASKED else None,
        leakkit.leaks(done.message, names) if not done.leaks else [],
        [f"{leak.where}: {leak.kind} {leak.name}" for leak in done.leaks],
        done.blanked,
        changed / len(message),
        end - found,
        found - begun,
        gate,
        len(done.message) != len(message),
    )


def tell(report: kit.Report, outcomes: list[Outcome], files: int) -> None:
    count = len(outcomes)
    released = [found for found in outcomes if not found.held]
    leaking = [found for found in released if found.leaks]
    report.note(f"{files} messages, {count} of which name a recipient")
    report.add("messages that leave with a name", "spamtrap", [float(len(leaking))], aim="<= 0")
    report.add("messages that may leave, %", "spamtrap", [100 * len(released) / count], aim=">= 99")
    before = [found.told for found in outcomes if found.told is not None]
    report.add("messages that told a name before, %", "as received", [100 * sum(before) / len(before)])
    blanked = sum(bool(found.blanked) for found in outcomes)
    report.add("messages with a part blanked whole, %", "spamtrap", [100 * blanked / count])
    report.add("bytes changed, %", "spamtrap", [100 * found.bytes_changed for found in outcomes])
    report.add("messages of another length", "spamtrap", [float(sum(o.longer for o in outcomes))], aim="<= 0")
    for what, times in (
        ("redaction, with its look at the gate", [found.redacting for found in outcomes]),
        ("tokens", [found.tokens for found in outcomes]),
        ("the gate", [found.gate for found in outcomes]),
    ):
        samples = [1000 * seconds for seconds in times]
        report.add(f"ms of CPU a message, {what}", "spamtrap", samples)
        report.add(f"ms of CPU a message, {what}, p99", "spamtrap", [kit.percentile(samples, 0.99)])
    kinds = Counter(
        what.partition(" (")[2].rstrip(")") or what for found in outcomes for what in found.blanked
    )
    report.table("Blanked whole", ("what", "times"), kinds.most_common(15))


if __name__ == "__main__":
    main()
