"""Starts programs of ours: with this Python and this code, and nothing from the directory we stand in."""

import os
import sys
from pathlib import Path

import trap


def command(module: str, *arguments: str) -> list[str]:
    """The command line that runs a module; with -P, what lies in the working directory is not imported."""
    return [sys.executable, "-P", "-m", module, *arguments]


def environment(base: dict[str, str] | None = None) -> dict[str, str]:
    """The variables it gets.

    Args:
        base: what it gets besides the way to our code; all that we have, when not given.
    """
    base = dict(os.environ) if base is None else base
    root = str(Path(trap.__file__).parent.parent)
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    return {**base, "PYTHONPATH": path}
