"""Draws the plots of the README from the figures kept. Not a bench itself.

Lines and words are of a grey that can be read on white and on black; what is ours is orange.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import kit

OURS, OTHERS, LIMIT, WORDS = "#e8743b", "#6f8fb3", "#58a55c", "#7d8590"
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "spamtrap",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": WORDS,
    "axes.labelcolor": WORDS,
    "axes.edgecolor": WORDS,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": WORDS,
    "ytick.color": WORDS,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
}
LEVELS = {"yellow": "#d9a400", "red": "#d1493b"}

Result = dict[str, Any]


def all_of(found: dict[str, Result], into: Path) -> list[Path]:
    """Draw what there are figures for.

    Returns:
        The files written; none where matplotlib is not installed.
    """
    try:
        import matplotlib as mpl  # noqa: PLC0415 - only whoever draws needs it
    except ImportError:
        print("no plots: matplotlib is not installed (pip install -e '.[bench]')")
        return []
    mpl.use("svg")
    from matplotlib import pyplot  # noqa: PLC0415

    into.mkdir(exist_ok=True)
    drawn = []
    with mpl.rc_context(STYLE):
        for name, plot in PLOTS.items():
            if name in found:
                figure = plot(pyplot, found)
                path = into / f"{name}.svg"
                figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")
                pyplot.close(figure)
                path.write_text("\n".join(row.rstrip() for row in path.read_text().splitlines()) + "\n")
                drawn.append(path)
    return drawn


def median(result: Result, what: str, subject: str) -> float | None:
    """The median of a row, if there is such a row."""
    return next(
        (
            row["median"]
            for row in result["rows"]
            if row["what"].startswith(what) and row["subject"] == subject
        ),
        None,
    )


def colour(subject: str) -> str:
    return OURS if subject == kit.OURS else LIMIT if subject == "bare epoll in C" else OTHERS


def bars(axes: Any, values: dict[str, float], title: str, form: Callable[[float], str] = kit.number) -> None:
    """One bar a subject, the first on top, with its figure behind it."""
    names = list(values)[::-1]
    drawn = axes.barh(
        names, [values[name] for name in names], color=[colour(name) for name in names], height=0.7
    )
    axes.bar_label(drawn, [form(values[name]) for name in names], padding=3, color=WORDS, fontsize=8)
    axes.set_title(title, loc="left")
    axes.tick_params(axis="both", length=0)
    axes.spines["bottom"].set_visible(False)
    axes.set_xticks([])
    axes.set_xlim(0, max(values.values()) * 1.2)


def sink(pyplot: Any, found: dict[str, Result]) -> Any:
    """CPU time a message in six cells."""
    result = found["sink"]
    figure, grid = pyplot.subplots(2, 3, figsize=(9.5, 4.6), sharey=True, layout="constrained")
    for column, size in enumerate(("4 KiB", "30 KiB", "300 KiB")):
        for row, kind in enumerate(("new", "reuse")):
            what = f"CPU ms a message, {size} {kind}"
            values = {name: median(result, what, name) for name in kit.SUBJECTS if name != "smtp-sink"}
            known = {name: value for name, value in values.items() if value is not None}
            bars(
                grid[row][column],
                known,
                f"{size}, {'a connection each' if kind == 'new' else 'connections kept'}",
            )
    figure.suptitle("CPU milliseconds of the sink for a message, stored on tmpfs before 250", color=WORDS)
    return figure


def held(pyplot: Any, found: dict[str, Result]) -> Any:
    """What waiting sessions cost."""
    result = found["held"]
    measures = {
        "resident KiB a session": "KiB a session",
        "banner, p99 ms": "new banner, p99 ms",
        "250 after data, p99 ms": "250 after data, p99 ms",
        "throughput while held": "messages/s meanwhile",
    }
    subjects = list(dict.fromkeys(row["subject"] for row in result["rows"]))
    figure, grid = pyplot.subplots(1, len(measures), figsize=(9.5, 1.6), sharey=True, layout="constrained")
    for axes, (what, title) in zip(grid, measures.items(), strict=True):
        values = {name: median(result, what, name) for name in subjects}
        bars(axes, {name: value for name, value in values.items() if value is not None}, title)
    many = result["rows"][0]["what"].rsplit(", ", 1)[1]
    figure.suptitle(f"{many.removesuffix(' held')} sessions held open after RCPT, one process", color=WORDS)
    return figure


def wave(pyplot: Any, found: dict[str, Result]) -> Any:
    """The wave over time, and memory over a million connections."""
    points = next(row["timeline"] for row in found["wave"]["rows"] if "timeline" in row)
    figure, (left, right) = pyplot.subplots(
        1, 2, figsize=(9.5, 2.8), layout="constrained", gridspec_kw={"width_ratios": [3, 2]}
    )
    seconds = [point["seconds"] for point in points]
    left.plot(seconds, [point["open"] for point in points], color=OURS)
    left.set_xlabel("seconds")
    left.set_ylabel("open connections", color=OURS)
    left.set_title("A wave of spam", loc="left")
    for at, point in enumerate(points):
        if point["level"] in LEVELS:
            end = seconds[at + 1] if at + 1 < len(points) else point["seconds"]
            left.axvspan(point["seconds"], end, color=LEVELS[point["level"]], alpha=0.22, linewidth=0)
    for level in dict.fromkeys(point["level"] for point in points if point["level"] in LEVELS):
        first = next(point["seconds"] for point in points if point["level"] == level)
        left.annotate(
            f"{level} ",
            (first, 0.04 if level == "yellow" else 0.14),
            xycoords=("data", "axes fraction"),
            color=LEVELS[level],
            fontsize=8,
            ha="right",
        )
    memory = left.twinx()
    memory.plot(seconds, [point["kib"] / 1024 for point in points], color=OTHERS)
    memory.set_ylabel("resident MiB", color=OTHERS)
    memory.set_ylim(0, None)
    left.set_ylim(0, None)
    coming_and_going(right, found.get("churn"))
    return figure


def coming_and_going(axes: Any, result: Result | None) -> None:
    """Memory over the connections that came and went."""
    row = next((row for row in (result or {"rows": []})["rows"] if "timeline_kib" in row), None)
    if row is None:
        axes.set_axis_off()
        return
    count = int(row["what"].split(" ")[0].replace(",", ""))
    memory = [kib / 1024 for kib in row["timeline_kib"]]
    axes.plot([count * at / (len(memory) - 1) for at in range(len(memory))], memory, color=OTHERS, marker=".")
    axes.set_ylim(0, max(memory) * 1.3)
    axes.ticklabel_format(style="plain", axis="x")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:,.0f} k")
    axes.set_xlabel("connections that came and went")
    axes.set_ylabel("resident MiB", color=OTHERS)
    axes.set_title(f"Memory over {count:,} connections", loc="left")


def search(pyplot: Any, found: dict[str, Result]) -> Any:
    """What a page takes, by the size of the archive."""
    tables = [table for table in found["search"]["tables"] if table["columns"][2:3] == ["p50"]]
    lines: dict[str, dict[str, list[tuple[int, float, float]]]] = {}
    for table in tables:
        size = int(table["title"].split(" ")[0].replace(",", ""))
        for page, whose, p50, _, p99, _ in table["rows"]:
            lines.setdefault(page, {}).setdefault(whose, []).append((size, p50, p99))
    across, sizes = 3, sorted({size for subjects in lines.values() for size, *_ in subjects[kit.OURS]})
    figure, grid = pyplot.subplots(
        -(-len(lines) // across), across, figsize=(9.5, 6.5), sharex=True, sharey=True, layout="constrained"
    )
    for axes, (page, subjects) in zip(grid.flat, lines.items(), strict=False):
        for whose, points in subjects.items():
            at, middle, worst = zip(*points, strict=True)
            mark, shade = MARKS[whose]
            axes.loglog(at, worst, mark, color=shade, label=whose, markersize=4)
            axes.fill_between(at, middle, worst, color=shade, alpha=0.12, linewidth=0)
        axes.axhline(100, color=LIMIT, linewidth=0.8)
        axes.set_title(page, loc="left")
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.set_yticks([0.1, 1, 10, 100, 1000], ["0.1", "1", "10", "100", "1,000"])
        axes.minorticks_off()
    for axes in grid.flat[len(lines) :]:
        axes.set_axis_off()
    handles = {
        label: handle
        for axes in grid.flat
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        handles.values(),
        handles,
        loc="outside lower center",
        ncols=len(handles),
        frameon=False,
        labelcolor=WORDS,
    )
    figure.supylabel("ms, from p50 to p99", fontsize=9)
    figure.suptitle("A page, by the messages in the archive", color=WORDS)
    return figure


MARKS = {
    kit.OURS: ("o-", OURS),
    "over HTTP": ("o:", OURS),
    "FTS5, naive": ("s-", OTHERS),
    "tantivy": ("^--", OTHERS),
    "notmuch": ("D:", OTHERS),
}
PLOTS: dict[str, Callable[[Any, dict[str, Result]], Any]] = {
    "sink": sink,
    "held": held,
    "wave": wave,
    "search": search,
}
