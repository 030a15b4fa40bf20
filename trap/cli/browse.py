"""The command `spamtrap archive browse`."""

import importlib
import os
import pwd
import sys

import click

from trap.cli.base import App, command, fail, pass_app
from trap.cli.library import joined, opened, parsed


@command(
    "browse",
    "spamtrap archive browse\nspamtrap archive browse invoice -unsubscribe date:3d",
    context_settings={"ignore_unknown_options": True},  # -word is a word that must not be there
)
@click.argument("words", nargs=-1, metavar="[QUERY]")
@pass_app
def browse(app: App, words: tuple[str, ...]) -> None:
    """Look through the archive on the screen: a list, a search and the message, safely shown.

    For those who have nothing but ssh. ? shows the keys; QUERY is as in `archive search`.
    """
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        fail("browse needs a terminal; `spamtrap archive search` does without", os.EX_USAGE)
    user = os.environ.get("SUDO_USER") or _user()
    query = parsed(joined(words))
    with opened(app):  # so that the newest mail is indexed, or what is wrong said
        pass
    for name in ("COLUMNS", "LINES"):  # exported once, they would be believed when the terminal has changed
        os.environ.pop(name, None)
    # Textual takes a third of a second to import, which no other command has to wait for.
    importlib.import_module("trap.browse.app").Browser(app.config, query.text, user).run()


def _user() -> str:
    """Who looks, before this process becomes the trap's user."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
