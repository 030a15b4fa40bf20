"""The fault matrix for people: a line at the terminal, docs/faults.md. Not a bench itself."""

from collections.abc import Iterable
from itertools import groupby
from typing import Any

import kit

Line = dict[str, Any]

SLACK, RECOVERY = 1.0, 5.0
INTRO = """\
# When backends fail

Made by `make bench` (bench/faults.py). Every line is a stage at work, by its real worker, asking a real
daemon of our own, while that befalls the daemon or the way to it. {rate:.0f} messages of real mail come
in a second; after a second of peace the fault lasts five, then mail goes on until all is scanned again.
A message may take **{limit:g} s**. What a daemon can't be brought to do itself a proxy before it does;
packets vanish in the packet filter of a network namespace; a full disk is a tmpfs of 256 kB.

Columns: messages put in and lost, by the audit; the share that was scanned of what left the stage while
the fault was on; the longest time one message took from claim to leaving; seconds from the end of the
fault until the last message left unscanned. Beside spamd, twelve processes `spamc -t {limit:g}` ask the
same one under the same fault: how many of them got a score, and the longest time one took.

Aims: no message lost; none over its limit + {slack:g} s; all scanned again within {recovery:g} s; other
branches as fast as ever.
"""
WAIT = """
## Where jobs wait

`when_unavailable: wait`: nothing passes unscanned; what waits is worked off afterwards, and the last
column is the time until that was done.

"""
RIOT = """
## {put:,} messages at once, for one child

riseup tried it by hand in 2007: `max-children 1`, 3,000 clients at once, a limit of 15 s. 58 were
scanned, and one client waited 70 s. Here it is spamd with the rules of the Debian package and one child,
and the same limit:

| | at once | scanned | lost | longest, s |
|---|---:|---:|---:|---:|
| spamtrap | {put:,} | {scanned:,} | {lost} | {longest:.1f} |
| `spamc -t {limit:g}` | {their_put:,} | {their_scanned:,} | | {their_longest:.1f} |

Ours: {log}. The longest is from claim to leaving: no more are asked about at a time than a worker has in
flight, the others wait in their queue, where they hold up nobody. spamc are as many processes at once,
as riseup had them.
"""
BRANCHES = """
## The other branches

A pipeline that ends in two branches, spamd's and another one, each with its worker; the figures are the
other one's. The ratio is to the rounds in which spamd was well.

"""
SAID = """
## What the operator sees

The most frequent words of each line: in the notes of mail that was not scanned, in the log, and in
`spamtrap status` while the fault was on.
"""


def row(line: Line) -> str:
    """One line for the terminal."""
    spamc = line["spamc"]
    beside = f"spamc {spamc['scanned']}/{spamc['put']} {spamc['longest']:.1f} s" if spamc else ""
    flags = "".join(f" {flag}" for flag in missed(line))
    return (
        f"{line['backend']:20} {line['fault']:36} {line['mode']:5} in {line['put']:5} lost {line['lost']} "
        f"scanned {share(line):>5} longest {line['longest']:5.1f} s, "
        f"again after {line['recovery']:4.1f} s  {beside}{flags}"
    ).rstrip()


def missed(line: Line) -> list[str]:
    """The aims that a line misses, as words."""
    found = ["LOST"] if line["lost"] else []
    found += ["BAD"] if line["bad"] else []
    found += ["LATE"] if line["longest"] > line["timeout"] + SLACK else []
    found += ["SLOW"] if line["recovery"] > RECOVERY else []
    return found


def share(line: Line) -> str:
    """What was scanned while the fault was on."""
    return f"{line['scanned_under'] / line['under']:.0%}" if line["under"] else "-"


def page(result: dict[str, Any]) -> str:
    """docs/faults.md, from the figures that were kept."""
    lines: list[Line] = result["lines"]
    parts = [INTRO.format(rate=result["rate"], limit=result["limit"], slack=SLACK, recovery=RECOVERY)]
    parts.append(f"\n{_sum(lines)}\n")
    if result["riot"]:
        parts.append(_riot(result["riot"]))
    parts.append(_branches(result["rows"]))
    passing = [line for line in lines if line["mode"] == "pass"]
    waiting = [line for line in lines if line["mode"] == "wait"]
    for backend, found in groupby(passing, key=lambda line: str(line["backend"])):
        parts.append(f"\n## {backend}\n\n{_table(list(found))}")
    if waiting:
        parts += [WAIT, _table(waiting, named=True)]
    parts.append(_said(lines))
    return "".join(parts)


def _sum(lines: list[Line]) -> str:
    bad = [line for line in lines if missed(line)]
    total = sum(line["put"] for line in lines)
    text = (
        f"**{len(lines)} lines, {total:,} messages, {sum(line['lost'] for line in lines)} lost; "
        f"{len(lines) - len(bad)} lines meet every aim.**"
    )
    if bad:
        text += " Not met:\n\n" + "\n".join(
            f"- {line['backend']}, {line['fault']} ({line['mode']}): {', '.join(map(_miss, missed(line)))}: "
            f"longest {line['longest']:.1f} s, again after {line['recovery']:.1f} s"
            for line in bad
        )
    return text


def _miss(flag: str) -> str:
    return {
        "LOST": "messages lost",
        "BAD": "messages put aside as bad",
        "LATE": "over its limit",
        "SLOW": "scans again late",
    }[flag]


def _table(lines: list[Line], *, named: bool = False) -> str:
    beside = any(line["spamc"] for line in lines)
    columns = [
        *(["backend"] if named else []),
        "fault",
        "in",
        "lost",
        "scanned",
        "longest, s",
        "again after, s",
    ]
    columns += ["spamc: scored", "longest, s"] if beside else []
    rule = ["---"] * (2 if named else 1) + ["---:"] * (len(columns) - (2 if named else 1))
    rows = [
        columns,
        rule,
        *([*([str(line["backend"])] if named else []), *_cells(line, beside)] for line in lines),
    ]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def _cells(line: Line, beside: bool) -> list[str]:
    late, slow = line["longest"] > line["timeout"] + SLACK, line["recovery"] > RECOVERY
    cells = [line["fault"], f"{line['put']:,}", f"{line['lost']}", share(line)]
    cells += [_strong(f"{line['longest']:.1f}", late), _strong(f"{line['recovery']:.1f}", slow)]
    if beside:
        spamc = line["spamc"]
        over = bool(spamc) and spamc["longest"] > line["timeout"] + SLACK
        cells += (
            [f"{spamc['scanned']} of {spamc['put']}", _strong(f"{spamc['longest']:.1f}", over)]
            if spamc
            else ["", ""]
        )
    return cells


def _strong(text: str, very: bool) -> str:
    return f"**{text}**" if very else text


def _riot(riot: dict[str, Any]) -> str:
    ours, spamc = riot["ours"], riot["spamc"]
    return RIOT.format(
        **{key: ours[key] for key in ("put", "scanned", "lost", "longest")},
        limit=ours["timeout"],
        log=ours["log"][0],
        **{f"their_{key}": value for key, value in spamc.items()},
    )


def _branches(rows: list[dict[str, Any]]) -> str:
    found = [row for row in rows if "branch" in str(row["what"])]
    if not found:
        return ""
    lines = [["what", "spamd is", "median", "ratio"], ["---", "---", "---:", "---:"]]
    for each in found:
        ratio = kit.number(each["ratio"]) if each.get("ratio") is not None else ""
        lines.append(
            [each["what"], each["subject"].removeprefix("spamd "), kit.number(each["median"]), ratio]
        )
    return BRANCHES + "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _said(lines: Iterable[Line]) -> str:
    """What notes, log and status said, a backend after the other."""
    parts = [SAID]
    for backend, found in groupby(lines, key=lambda line: f"{line['backend']}, {line['mode']}"):
        parts.append(f"\n### {backend}\n\n")
        for line in found:
            parts.append(f"- **{line['fault']}**\n")
            for what in ("notes", "log", "status"):
                if line[what]:
                    parts.append(f"  - {what}: {'; '.join(_code(text) for text in line[what])}\n")
    return "".join(parts)


def _code(text: str) -> str:
    return "`" + text.replace("`", "'").replace("|", "\\|") + "`"
