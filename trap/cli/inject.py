"""`spamtrap inject`: one message from stdin into its queue, for mail servers that deliver by a command.

The exit code is all that the caller hears. 0: the message is in the queue. 65: it is too large, today and
for ever. 75, come again later: everything else, whatever it was. A mail server returns mail to its sender
at any other code, and the senders of spam are forged: a trap whose configuration has a mistake in it would
answer the whole world (sysexits.h; Postfix's pipe(8), Exim's pipe transport, procmail(1)).

Its line is read here, without click, which alone would take as long as the rest. Words behind `--` are
recipients, whatever they look like.
"""

import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, NoReturn

from trap.cli.app import CONFIG_VARIABLE, DIR_VARIABLE, App
from trap.envelope import printable
from trap.inject import Letter, NotTaken, take

HELP = """Read one message on stdin and put it into the first queue; for Postfix pipe(8) and .forward.

Every recipient is taken, so nothing bounces for its address. Write `--` before the recipients: what
stands behind it is no option.

Exit code 0 when it is in the queue; 65 when it is larger than smtp.max_size; 75, try again later, for
everything else, mistakes in the configuration and on this line included."""
EXAMPLE = "spamtrap inject -f sender@example.org -- trap@trap.example < message.eml"
AGAIN = "not taken, try again later"
MOST_SAID = 500
"""Characters of what went wrong."""
_PIECE = 1 << 18
_STOPPING = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGALRM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGVTALRM,
    signal.SIGPROF,
    signal.SIGXCPU,
)
"""Signals that would end us with no answer. (Of a broken pipe and a file too long, Python makes errors.)"""


class Option(NamedTuple):
    """One that takes a value."""

    name: str
    spellings: tuple[str, ...]
    metavar: str
    help: str


OPTIONS = (
    Option("sender", ("-f", "--from"), "ADDRESS", "MAIL FROM; empty is the null sender."),
    Option("client_ip", ("--client-ip",), "ADDRESS", "Address of the client that sent it."),
    Option("helo", ("--helo",), "NAME", "What the client said in HELO."),
    Option(
        "queue_id", ("--queue-id",), "ID", "Of the mail server; noted, so that a second delivery can be told."
    ),
    Option("queue", ("--queue",), "QUEUE", "Put it there, whatever its recipients' routes say."),
)
_EVERYWHERE = (
    Option("config_file", ("--config",), "FILE", ""),
    Option("directory", ("--dir",), "DIR", ""),
)
"""What every command takes; their help is click's."""
_SPELLINGS = {spelling: option for option in (*OPTIONS, *_EVERYWHERE) for spelling in option.spellings}


class Line(NamedTuple):
    """What was typed."""

    given: dict[str, str]
    """Values of options, by name; the last one counts."""
    rcpts: list[str]


def read(words: list[str]) -> Line | None:
    """Understand a line.

    Args:
        words: everything behind `spamtrap`, the word `inject` among it.

    Returns:
        None: it asks for help, or for the version.

    Raises:
        NotTaken: there is a mistake in it.
    """
    given: dict[str, str] = {}
    rcpts: list[str] = []
    named = False
    rest = iter(words)
    for word in rest:
        if word == "--" and named:
            rcpts += rest
        elif word == "--help" or (word == "--version" and not named):
            return None
        elif word.startswith("-") and word != "-":
            option, value = _option(word, rest)
            given[option.name] = value
        elif named:
            rcpts.append(word)
        elif word == "inject":
            named = True
        else:
            raise NotTaken(f"no command {word!r} (see `spamtrap inject --help`)")
    return Line(given, rcpts)


def _option(word: str, rest: Iterator[str]) -> tuple[Option, str]:
    """An option and its value: --name=value, --name value, -fvalue, -f value."""
    name, equals, value = word.partition("=") if word.startswith("--") else (word[:2], word[2:], word[2:])
    option = _SPELLINGS.get(name)
    if option is None:
        raise NotTaken(f"no option {word!r}; recipients stand behind `--` (see `spamtrap inject --help`)")
    if not equals:
        try:
            value = next(rest)
        except StopIteration:
            raise NotTaken(f"{name} needs a value (see `spamtrap inject --help`)") from None
    return option, value


def main(words: list[str]) -> None:
    """Do what a line asks for, and end the process; comes back when it asks for help.

    Args:
        words: what was typed behind `spamtrap`.
    """
    try:
        _prepare()
        line = read([_utf8(word) for word in words])
        if line is None:
            return
        ids = _deliver(line)
    except NotTaken as error:
        leave(error.code, str(error))
    except BaseException as error:  # whatever it is, there is an answer to it: the mail must wait
        leave(os.EX_TEMPFAIL, f"{AGAIN}: {_told(error)}")
    leave(os.EX_OK, "\n".join(ids))


def _deliver(line: Line) -> list[str]:
    """Put what stdin holds into its queues; the ids of the jobs."""
    given = line.given
    app = App(
        *(
            Path(os.fsdecode(value.encode("utf-8", "surrogateescape"))) if value else None
            for value in (
                given.get("config_file") or os.environ.get(CONFIG_VARIABLE),
                given.get("directory") or os.environ.get(DIR_VARIABLE),
            )
        )
    )
    most = int(app.config.smtp.max_size)
    letter = Letter(
        message=_message(most),
        rcpts=line.rcpts,
        **{
            name: given[name]
            for name in ("sender", "client_ip", "helo", "queue", "queue_id")
            if name in given
        },
    )
    # From here on nothing stops us half way. Only SIGKILL can, and leaves no half message either.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    ids = take(app.config, app.spool, letter)
    with suppress(Exception):  # it is in: nothing that goes wrong from now on may say anything else
        app.spool.close()
    return ids


def _message(most: int) -> list[bytes]:
    """What stdin holds, in pieces."""
    if sys.stdin is None:
        raise NotTaken("standard input is closed")
    pieces: list[bytes] = []
    size = 0
    for piece in _pieces(sys.stdin.fileno()):
        size += len(piece)
        if size > most:
            pieces.clear()  # and read on: a caller that can't write all of it may call that the failure
        else:
            pieces.append(piece)
    if size > most:
        raise NotTaken(f"larger than smtp.max_size, {most} bytes", os.EX_DATAERR)
    if not pieces:
        # Mail servers hand over a header at least: this is a caller that failed, and nobody's mail.
        raise NotTaken("no message on standard input")
    return pieces


def _pieces(source: int) -> Iterator[bytes]:
    """What a file holds, as it comes."""
    # RACE: a signal that comes just before the kernel waits would be heard of only when more has come. So
    # it is waited for, too. (test_a_signal_before_the_message_is_whole_is_temporary)
    woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        either = select.poll()
        either.register(source, select.POLLIN)
        either.register(woken, select.POLLIN)
        while True:
            either.poll()
            if not (piece := os.read(source, _PIECE)):
                return
            yield piece
    finally:
        signal.set_wakeup_fd(-1)
        os.close(woken)
        os.close(wake)


def _prepare() -> None:
    """See to it that signals get an answer, and that nothing of ours gets onto stdout or stderr."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass  # somebody closed it before we began
    os.close(number)
    for each in _STOPPING:
        if signal.getsignal(each) != signal.SIG_IGN:
            signal.signal(each, _stopped)


def _stopped(number: int, _frame: object) -> NoReturn:
    """Nothing is in the queue yet, or the signal would be blocked."""
    leave(os.EX_TEMPFAIL, f"{AGAIN}: ended by {signal.Signals(number).name}")


def _utf8(word: str) -> str:
    """A word of the line as envelopes hold it, whatever the locale."""
    return os.fsencode(word).decode("utf-8", "surrogateescape")


def _told(error: BaseException) -> str:
    """An error in words."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    text = str(error)
    expected = isinstance(error, ValueError | OSError) or type(error).__module__.startswith("trap.")
    return text if text and expected else f"{type(error).__name__}{': ' if text else ''}{text}"


def leave(code: int, text: str) -> NoReturn:
    """End the process at once: what Python does at its end could fail, and would change the code.

    Args:
        code: of sysexits.h.
        text: for stdout when that is 0, else for stderr.
    """
    with suppress(OSError, ValueError, AttributeError):  # nobody listens; the code says it all
        if code == os.EX_OK:
            print(text, flush=True)
        else:
            print(f"spamtrap: {printable(text)[:MOST_SAID]}", file=sys.stderr, flush=True)
    os._exit(code)
