"""How well and how fast the backscatter stage judges the corpus: `python bench/backscatter_quality.py`.

For each half of the corpus (by the parity of the first byte of the file's SHA-256: the even half is what
the rules were written on) and each class: how many are recognised, by kind, and the processor time a
message takes. The envelope's sender is the corpus' hint, or with `--sender null` empty for every message,
or with `--sender none` never empty. The last lines say how many of spam and phish are dropped when two lines
of header stand in front that cost a forger nothing. `--show` names what is missed and what is falsely taken
for backscatter.
"""

import argparse
import json
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from corpus import CORPUS, needed  # noqa: E402

from stages.backscatter import KINDS, Backscatter  # noqa: E402
from trap.envelope import Envelope  # noqa: E402
from trap.job import Job  # noqa: E402
from trap.stage import Drop  # noqa: E402

FORGED = (
    b"X-Autoreply: yes\r\nIn-Reply-To: <a@b.example>\r\n",
    b"Auto-Submitted: auto-replied\r\nPrecedence: bulk\r\n",
    b"X-Failed-Recipients: a@b.example\r\nPrecedence: bulk\r\n",
)
"""Lines of header that no reader sees."""


def sender(record: dict[str, Any], mode: str) -> str:
    """The reverse-path to judge a corpus message with."""
    if mode == "null" or (mode == "hint" and record.get("null_sender")):
        return ""
    return (record.get("env_from") if mode == "hint" else None) or "someone@sender.example"


def main() -> None:
    """Judge every message once and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, default=CORPUS)
    parser.add_argument("--sender", choices=("hint", "null", "none"), default="hint")
    parser.add_argument("--show", action="store_true")
    options = parser.parse_args()
    stage = Backscatter()
    kinds: dict[tuple[int, str], Counter[str]] = defaultdict(Counter)
    cost: dict[tuple[int, str], list[float]] = defaultdict(list)
    hidden: Counter[bytes] = Counter()
    for line in (needed(options.corpus) / "index.jsonl").read_text().splitlines():
        record = json.loads(line)
        path = options.corpus / record["file"]
        envelope = Envelope(mail_from=sender(record, options.sender))
        job = Job.from_message(path.read_bytes(), envelope)
        start = time.thread_time()
        verdict = stage.process(job)
        taken = time.thread_time() - start
        key = int(path.stem[:2], 16) % 2, record["cls"]
        cost[key].append(taken)
        kind = verdict.notes.get("kind")
        if kind in KINDS:
            kinds[key][kind + (" (carries)" if "carries" in verdict.notes else "")] += 1
        if record["cls"] in ("spam", "phish"):
            for lines in FORGED:
                forged = stage.process(Job.from_message(lines + job.message, envelope))
                hidden[lines] += isinstance(forged, Drop)
        if options.show and (kind in KINDS) != (record["cls"] == "bounce"):
            print(record["file"][:24], record["path"][-40:], verdict.notes)
    print("half  class       mails  taken    share  median/p99/max µs   kinds")
    for (half, cls), times in sorted(cost.items()):
        named = kinds[half, cls]
        times.sort()
        micros = "/".join(f"{1e6 * times[int(share * (len(times) - 1))]:.0f}" for share in (0.5, 0.99, 1))
        taken = named.total()
        row = f"{('even', 'odd')[half]:5} {cls:10} {len(times):6} {taken:6} {taken / len(times):8.2%}"
        print(f"{row}  {micros:18}  {', '.join(f'{kind} {count}' for kind, count in named.most_common())}")
    for title, classes in (("recognised", ["bounce"]), ("spam and phish taken for it", ["spam", "phish"])):
        keys = [(half, cls) for half in (0, 1) for cls in classes]
        taken, mails = sum(kinds[key].total() for key in keys), sum(len(cost[key]) for key in keys)
        print(f"{title}: {taken} of {mails} = {taken / mails:.2%}")
    for lines in FORGED:
        names = " and ".join(line.decode() for line in lines.splitlines())
        print(f"dropped behind {names}: {hidden[lines]} of {mails} = {hidden[lines] / mails:.2%}")


if __name__ == "__main__":
    main()
