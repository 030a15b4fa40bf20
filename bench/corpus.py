"""Where benches find real mail. Not a bench itself."""

import os
import sys
from pathlib import Path

CORPUS = Path(os.environ.get("SPAMTRAP_CORPUS") or Path(__file__).parents[2] / "shared/corpus")


def needed(path: Path = CORPUS) -> Path:
    """The corpus; a bench that wants one ends with one line, and well, where there is none."""
    if not (path / "index.jsonl").exists():
        print(f"left out: no corpus at {path}; set SPAMTRAP_CORPUS")
        sys.exit(0)
    return path
