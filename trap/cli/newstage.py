"""The command `spamtrap new-stage`: a plugin, its settings and its test, ready to run."""

import keyword
import re
from pathlib import Path

import click

from trap.cli.base import App, command, pass_app
from trap.configcheck import NAME

STAGE = '''"""{name} - drop messages larger than a limit. Make it judge what you like."""

from trap.config import Size
from trap.job import Job
from trap.stage import Drop, Pass, Verdict


class {class_name}:
    """One line a setting: the constructor's keywords are the stage's settings.

    Args:
        limit: messages larger than this are dropped; "10MB" or a number of bytes.
    """

    def __init__(self, limit: Size = Size("1MB")) -> None:
        self.limit = limit

    def process(self, job: Job) -> Verdict:
        """Judge one message: job.message, job.headers, job.envelope, job.notes."""
        if job.size > self.limit:
            return Drop("too large", {{"size": job.size}})
        return Pass({{"size": job.size}})
'''

TEST = '''"""Run it with: pytest {test_file}"""

from pathlib import Path

import pytest
from trap.job import Job
from trap.plugin import find
from trap.stage import Drop, Pass

Stage = find("{name}", Path(__file__).parent)


@pytest.mark.parametrize(("size", "verdict"), [(10, Pass), (1001, Drop)])
def test_limit(size: int, verdict: type) -> None:
    job = Job.from_message(b"x" * size)
    assert isinstance(Stage(limit=1000).process(job), verdict)
'''

SETTINGS = """\
# Put this into your spamtrap.yaml, with {name!r} where you want it in the pipeline.
paths:
  plugins: {folder}
pipeline: [dedup, {name}, virus, backscatter, archive, [report]]
stages:
  {name}: {{limit: 1MB}}
"""


@command("new-stage", "spamtrap new-stage oversize --to ./plugins")
@click.argument("name")
@click.option("--to", "folder", type=click.Path(path_type=Path, file_okay=False), help="Folder to write to.")
@pass_app
def new_stage(app: App, name: str, folder: Path | None) -> None:
    """Write a stage plugin, its settings and its test, ready to run.

    They go into the configured plugin folder, or ./plugins when there is none.
    """
    module = name.replace("-", "_")
    if not NAME.fullmatch(name) or not module.isidentifier() or keyword.iskeyword(module):
        raise click.BadParameter(
            f"{name!r}: lower case letters, digits, - and _, a letter first", param_hint="NAME"
        )
    folder = (folder or app.config.paths.plugins or Path("plugins")).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    class_name = "".join(part.capitalize() for part in re.split("[-_]", name))
    test = folder / f"test_{module}.py"
    settings = folder / f"{name}.yaml"
    files = {
        folder / f"{name}.py": STAGE.format(name=name, class_name=class_name),
        test: TEST.format(name=name, test_file=test.name),
        settings: SETTINGS.format(name=name, folder=folder),
    }
    for path in files:
        if path.exists():
            raise click.ClickException(f"{path} is there already; nothing was written")
    for path, text in files.items():
        path.write_text(text, encoding="utf-8")
        click.echo(f"wrote {path}")
    click.echo(
        f"try it:     spamtrap --config {settings} try {name} message.eml\n"
        f"test it:    pytest {test}\n"
        f"run it:     spamtrap --config {settings} up"
    )
