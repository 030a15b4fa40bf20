"""The commands of the web interface: web, web-password, web-token."""

import os
import sys

import click
import msgspec

from trap.cli.base import App, command, fail, pass_app
from trap.cli.run import begin
from trap.web import passwords, server

_SHORTEST = 8


@command("web", "spamtrap web --port 8025")
@click.option("--port", type=click.IntRange(0, 65535), help="Listen here instead of where it is configured.")
@pass_app
def web(app: App, port: int | None) -> int:
    """Serve the web interface: pipeline, archive and queues in a browser.

    It listens on 127.0.0.1:8025 unless web: in the configuration says otherwise. From elsewhere:
    ssh -L 8025:127.0.0.1:8025 trap.example, or users: and a reverse proxy with TLS.
    """
    begin("web")
    config = app.config
    if port is not None:
        config = msgspec.structs.replace(config, web=msgspec.structs.replace(config.web, port=port))
    app.become_user()
    return server.run(config)


@command("web-password", "spamtrap web-password")
def web_password() -> None:
    """Ask for a password and print what stands for it in web: {users: {NAME: …}}."""
    if sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline().rstrip("\n")
    if len(password) < _SHORTEST:
        fail(f"a password has {_SHORTEST} characters at least", os.EX_DATAERR)
    click.echo(passwords.hashed(password))


@command("web-token", "spamtrap web-token")
def web_token() -> None:
    """Make a token for a program that uses the API; print it and what stands for it in web: {tokens: …}."""
    token, kept = passwords.new_token()
    click.echo(f"for the program:        {token}")
    click.echo(f"for the configuration:  {kept}")
