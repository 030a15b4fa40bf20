"""What the archive commands share: opening the archive, progress bars, queries as the shell leaves them."""

import os
import re
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from trap.archive import indexer, query, store
from trap.archive.library import Library
from trap.cli.base import App, fail
from trap.envelope import printable
from trap.units import size

_CONTEXT = 60
"""Characters of a query shown around what is wrong in it."""


def existing(app: App) -> Path:
    """Where the archive is; ends with one line and 66 when there is none."""
    app.become_user()
    directory = app.config.paths.archive
    if not store.folder(directory).is_dir():
        fail(f"{directory}: no archive here yet", os.EX_NOINPUT)
    return directory


@contextmanager
def opened(app: App) -> Iterator[Library]:
    """The archive, its index brought up to date as far as that can be done."""
    directory = existing(app)
    if not os.access(directory, os.W_OK):
        fail(f"{directory}: readers too must be able to write here, as SQLite locks files", os.EX_NOPERM)
    try:
        with Library(directory) as library:
            _catch_up(directory, library)
            yield library
    except sqlite3.Error as error:
        fail(f"{directory}: the index can't be read ({error}); run: spamtrap archive reindex", os.EX_DATAERR)


def _catch_up(directory: Path, library: Library) -> None:
    """Index what is not; when there is no room for that, what is indexed can be read all the same."""
    try:
        with progress("indexing", directory) as done:
            left = indexer.settle(directory, library.index, done=done)
    except (sqlite3.OperationalError, OSError) as error:
        click.echo(f"spamtrap: the newest mail can't be indexed: {error}", err=True)
    else:
        if left:
            click.echo(f"spamtrap: {size(left)} of the archive are not indexed yet", err=True)


@contextmanager
def progress(what: str, directory: Path) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr, when that is a terminal and something happens."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    columns = (TextColumn(what), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    total = sum(path.stat().st_size for path in store.segments(directory))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total, visible=False)
        yield lambda number: bar.update(task, advance=number, visible=True)


def joined(words: tuple[str, ...]) -> str:
    """The query as it was meant: the shell takes the quotes of "two words" away."""
    for word in words:
        if word.startswith("--"):
            raise click.NoSuchOption(word)
    if len(words) == 1:
        return words[0]
    return " ".join(
        re.sub(r"^(-?(?:[A-Za-z]+:)?)(.*)$", r'\1"\2"', word, flags=re.DOTALL)
        if " " in word and not re.search(r'["()]', word)
        else word
        for word in words
    )


def parsed(text: str) -> query.Query:
    """The query; ends with 64 when it is none, and says what is wrong, and where."""
    try:
        return query.parse(text)
    except query.QueryError as error:
        fail("\n".join([str(error), *_place(error)]), os.EX_USAGE)


def _place(error: query.QueryError) -> tuple[str, str]:
    """The query, or what is near the wrong place in it, and a line that points at the place."""
    begin = max(0, error.start - _CONTEXT)
    before = ("…" if begin else "") + printable(error.text[begin : error.start])
    wrong = printable(error.text[error.start : error.end])[:_CONTEXT]
    after = printable(error.text[error.end : error.end + _CONTEXT])
    return f"  {before}{wrong}{after}", "  " + " " * cell_len(before) + "^" * max(1, cell_len(wrong))
