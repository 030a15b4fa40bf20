"""What a command works with: the configuration in force, and the spool as the user it belongs to.

Nothing here knows of the command line: `inject`, which is started for each message, does without click.
"""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from trap.config import Config, paths_below
from trap.configfile import ConfigError, Source, parse
from trap.queue import Spool

if TYPE_CHECKING:
    import pwd

SYSTEM_CONFIG = Path("/etc/spamtrap/spamtrap.yaml")
CONFIG_VARIABLE, DIR_VARIABLE = "SPAMTRAP_CONFIG", "SPAMTRAP_DIR"
"""What stands for --config and --dir where they are not given."""


class App:
    """What a command works with.

    Args:
        config_file: --config, if given.
        directory: --dir, if given.

    Attributes:
        config_file: the same.
        directory: the same.
    """

    def __init__(self, config_file: Path | None = None, directory: Path | None = None) -> None:
        self.config_file = config_file
        self.directory = directory

    @cached_property
    def source(self) -> Path | None:
        """The configuration file in force; None: embedded defaults."""
        if self.config_file:
            return self.config_file
        places = [self.directory / "spamtrap.yaml"] if self.directory else []
        return next((place for place in [*places, SYSTEM_CONFIG] if place.exists()), None)

    @cached_property
    def config(self) -> Config:
        """The effective configuration.

        Raises:
            ConfigError: it holds a mistake.
        """
        config = parse(self._read(), self.name)
        if self.directory:
            below = paths_below(self.directory, config.paths.plugins)
            config = msgspec.structs.replace(config, paths=below)
        return config

    @property
    def name(self) -> str:
        """How the configuration in force is called."""
        return str(self.source or "embedded defaults")

    @property
    def text(self) -> Source:
        """The configuration as it stands in its file, for errors that name a line."""
        return Source(self._read(), self.name)

    def _read(self) -> str:
        if not self.source:
            return ""
        try:
            return self.source.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{self.source}: {getattr(error, 'strerror', None) or error}") from None

    @cached_property
    def spool(self) -> Spool:
        """The spool of the configuration, as the user it belongs to.

        Raises:
            StartError: the configured user can't be had.
            OSError: the spool can't be made, or is somebody else's.
        """
        self.become_user()
        return Spool.open(self.config)

    def user(self) -> "pwd.struct_passwd | None":
        """The user to become: the configured one, as root.

        Raises:
            StartError: there is no such user, or we may not become it.
        """
        if not self.config.user:
            return None
        from trap.listening import find_user  # noqa: PLC0415 - sockets and all: not for each message

        return find_user(self.config.user)

    def become_user(self, *, at_work: bool = True) -> None:
        """As root, and with a user configured: become that user.

        Whoever only looks would otherwise leave files of root's that the trap can't write to.

        Args:
            at_work: make the places that are not there, for that user.

        Raises:
            StartError: the configured user can't be had.
        """
        paths = self.config.paths
        if user := self.user():
            from trap.listening import become, provide  # noqa: PLC0415 - as above

            if at_work:
                provide([paths.spool, paths.archive, paths.state, paths.maillog], user)
            become(user)

    @property
    def arguments(self) -> list[str]:
        """Arguments that make another `spamtrap` see the same configuration."""
        made = []
        if self.config_file:
            made += ["--config", str(self.config_file.absolute())]
        if self.directory:
            made += ["--dir", str(self.directory.absolute())]
        return made
