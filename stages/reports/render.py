"""Summaries for people: plain text of 80 columns, and one HTML page that loads nothing."""

import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from stages.reports.summary import Row, Summary, Totals

WIDTH = 80
NAMES = {
    "sender": {"own": "(like a recipient's)", "null": "<> (null sender)", "other": "(no domain)"},
    "helo": {
        "own": "a name like ours",
        "domain": "a domain",
        "address": "an address",
        "word": "a single word",
        "none": "nothing",
    },
}
"""What the words in a fact mean to people."""
OUTCOMES = ("archived", "dropped", "shed", "purged", "bad")
_BLOCKS = " ▁▂▃▄▅▆▇█"
_UNITS = ("B", "kB", "MB", "GB", "TB")
_SPANS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"))


def number(count: int) -> str:
    """A count with its thousands marked."""
    return f"{count:,}"


def size(count: float) -> str:
    """A number of bytes.

    >>> size(512), size(2048), size(1_900_000)
    ('512 B', '2 kB', '1.8 MB')
    """
    unit = 0
    while count >= 1000 and unit < len(_UNITS) - 1:
        count, unit = count / 1024, unit + 1
    return f"{_short(count)} {_UNITS[unit]}"


def span(seconds: float) -> str:
    """A time span.

    >>> span(0.00042), span(0.0314), span(1.25), span(90), span(0)
    ('0.4 ms', '31 ms', '1.2 s', '1.5 min', '0')
    """
    for length, unit in _SPANS:
        if seconds >= 0.9995 * length:
            return f"{_short(seconds / length)} {unit}"
    return f"{_short(seconds * 1e3)} ms" if seconds > 0 else "0"


def share(part: float, whole: float) -> str:
    """A part in percent, empty when there is no whole."""
    return f"{_short(100 * part / whole)} %" if whole else ""


def change(now: float, before: float | None) -> str:
    """How a number changed; empty when there is nothing to compare with.

    >>> change(112, 100), change(97, 100), change(3, 3), change(5, 0), change(900, 100)
    ('▲ 12 %', '▼ 3 %', '=', '▲ new', '▲ 9x')
    """
    if before is None:
        return ""
    if now == before:
        return "="
    arrow = "▲" if now > before else "▼"
    if not before:
        return f"{arrow} new"
    if now >= 3 * before:
        return f"{arrow} {_short(now / before)}x"
    return f"{arrow} {_short(100 * abs(now - before) / before)} %"


def _short(value: float) -> str:
    """Two digits that count, no digits behind the point from ten on."""
    return f"{value:.0f}" if value >= 9.95 or value == int(value) else f"{value:.1f}"


def clock(time: float, form: str = "%H:%M") -> str:
    """A time of day, or what `form` (strftime) asks for; UTC."""
    return datetime.fromtimestamp(time, UTC).strftime(form)


def title(summary: Summary) -> str:
    """The period in words."""
    begin, end = clock(summary.start, "%-d %B %Y, %H:%M"), clock(summary.end)
    if summary.end - summary.start >= 86_400:
        end = clock(summary.end, "%-d %B %Y, %H:%M")
    return f"{begin} - {end} UTC"


def named(summary: Summary, field: str) -> list[Row]:
    """The rows of a field of the facts, in words for people."""
    words = NAMES.get(field, {})
    rows = [Row(words.get(row.name, row.name), row.count) for row in summary.by[field]]
    if field == "tls" and summary.facts:
        rows.append(Row("not at all", summary.facts - sum(row.count for row in rows)))
    return rows


def drops(summary: Summary) -> list[Row]:
    """Drops with their stage, where the reason does not say it."""
    return [
        Row(drop.reason if drop.reason.startswith(drop.stage) else f"{drop.stage}: {drop.reason}", drop.count)
        for drop in summary.drops
    ]


def sizes(summary: Summary) -> list[Row]:
    """The classes of sizes, in words."""
    rows, low = [], 0
    for row in summary.sizes:
        if row.name == "more":
            label = f"over {size(low)}"
        else:
            label = f"{size(low)} - {size(int(row.name))}" if low else f"under {size(int(row.name))}"
            low = int(row.name)
        rows.append(Row(label, row.count))
    return rows


def ends(totals: Totals) -> list[Row]:
    """How messages ended."""
    return [Row(name, getattr(totals, name)) for name in OUTCOMES]


def text(summary: Summary) -> str:
    """The summary as text, at most WIDTH columns wide, for terminals and mail."""
    return "\n".join(line.rstrip() for line in _lines(summary)) + "\n"


def _lines(summary: Summary) -> Iterator[str]:
    totals, before = summary.totals, summary.before
    yield f"Spamtrap report  {title(summary)}"
    yield "=" * WIDTH
    if summary.log_from:
        yield f"The mail log begins at {clock(summary.log_from)}; what came before is missing here."
    yield ""
    whole = sum(row.count for row in ends(totals))
    for name, said, part in (
        ("accepted", number(totals.accepted), ""),
        ("bytes", size(totals.bytes), ""),
        *((row.name, number(row.count), share(row.count, whole)) for row in ends(totals)),
    ):
        changed = change(getattr(totals, name), getattr(before, name) if before else None)
        yield f"  {name:<8} {said:>12} {part:>6}  {changed}"
    yield ""
    yield f"MESSAGES, {span(summary.series.step)} a column"
    for name in ("accepted", "archived", "dropped"):
        columns = getattr(summary.series, name)
        yield f"  {name:<8} |{_spark(columns)}|  max {number(max(columns))}"
    if summary.history:
        past = [entry.totals.accepted for entry in summary.history] + [totals.accepted]
        yield f"  periods  |{_spark(past)}|  accepted, this one last; max {number(max(past))}"
    yield from _freshness(summary)
    yield from _table("DROPPED", drops(summary), totals.dropped)
    networks = f"FROM (of {number(summary.networks_distinct)} networks)"
    yield from _table(networks, summary.networks, totals.accepted)
    yield from _campaigns(summary)
    yield from _table("SIZES", sizes(summary), totals.accepted)
    yield from _table("KINDS OF TRAPS", summary.tags, totals.accepted)
    of = f"of the {number(summary.facts)} reported"
    for field, heading in (
        ("sender", "SENDERS' DOMAINS"),
        ("country", "SENDERS' COUNTRIES"),
        ("language", "LANGUAGES"),
        ("charset", "CHARSETS"),
        ("helo", "GREETED WITH"),
        ("tls", "ENCRYPTED"),
    ):
        yield from _table(f"{heading}, {of}", named(summary, field), summary.facts)


def _freshness(summary: Summary) -> Iterator[str]:
    if not summary.stages:
        return
    yield ""
    yield "FRESHNESS                              age when it left     time it took"
    yield "  stage            passed  dropped    p50     p95     max     p50     p95"
    for stage in summary.stages:
        times = (stage.age.p50, stage.age.p95, stage.age.max, stage.took.p50, stage.took.p95)
        cells = "".join(f"{span(value):>8}" for value in times)
        yield f"  {_cut(stage.stage, 14):<14}{number(stage.passed):>9}{number(stage.dropped):>9}{cells}"


def _campaigns(summary: Summary) -> Iterator[str]:
    if not summary.campaigns:
        return
    yield ""
    yield f"CAMPAIGNS (of {number(summary.campaigns_distinct)})"
    yield "  id                messages  reported  networks  size     sender"
    for found in summary.campaigns:
        sender = NAMES["sender"].get(found.sender, found.sender)
        about = size(found.size) if found.size else ""
        yield (
            f"  {found.id:<16}{number(found.messages):>10}{number(found.reported):>10}"
            f"{number(found.networks):>10}  {about:<9}{_cut(sender, 20)}"
        )


def _table(heading: str, rows: list[Row], whole: int) -> Iterator[str]:
    if not rows or not any(row.count for row in rows):
        return
    yield ""
    yield heading
    most = max(row.count for row in rows)
    for row in rows:
        bar = "█" * math.ceil(16 * row.count / most)
        yield f"  {_cut(row.name, 40):<40}{number(row.count):>11}{share(row.count, whole):>8}  {bar}"


def _spark(columns: list[int]) -> str:
    most = max(*columns, 1)
    return "".join(_BLOCKS[math.ceil(8 * count / most)] for count in columns)


def _cut(name: str, width: int) -> str:
    return name if len(name) <= width else name[: width - 1] + "…"


def _scale(summary: Summary) -> Callable[[float], float]:
    """Puts an age on a line of length 100: 1 ms at its begin, the oldest at its end, logarithmic."""
    oldest = max((stage.age.max for stage in summary.stages), default=1.0)
    decades = max(math.log10(max(oldest, 0.01)) + 3, 1.0)
    return lambda age: round(100 * min(max(math.log10(max(age, 1e-3)) + 3, 0.0) / decades, 1.0), 2)


def html(summary: Summary) -> str:
    """The summary as a page of its own: no script, nothing loaded, everything escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "size": size, "span": span, "clock": clock}
    template = environment.get_template("report.html.j2")
    return template.render(
        s=summary,
        title=title(summary),
        share=share,
        change=change,
        ends=ends(summary.totals),
        drops=drops(summary),
        sizes=sizes(summary),
        named=lambda field: named(summary, field),
        senders=NAMES["sender"],
        scale=_scale(summary),
    )
