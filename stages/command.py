"""command - have a program of your own judge every message: its exit code is the verdict.

The program is an argument list, no shell reads it. The message is its standard input, and {file} in the
list is a name by which it can be opened; no file is written. {id}, {client_ip}, {helo}, {mail_from}, {rcpt}
(the first) and {size} stand for what a client said, each inside one argument. Where such an argument would
begin with -, + or @, by which programs know options and files of them, it begins with _ instead, unless
"--" stands before it.

* an exit code of `ok`: passes; one of `drop`: dropped for that reason, or passed to the queue `to`. Notes
  {"code", "output": lines}; {"found": {…}} by the named groups of `pattern`, {"json": …} with `json`.
* any other, a signal, or no end within `timeout`: it has not judged. `Unavailable`; jobs pass unjudged unless
  `when_unavailable: wait` is set. The third time the message is to blame and passes with
  {"unscanned": why}; not so for codes of `unavailable`, by which the program blames something else.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

import msgspec

from stages.clients.program import located
from stages.shared.expressions import expression
from trap.address import Address
from trap.backend import Backends, Broken, Dialect, Unscannable
from trap.command import Done, find, run
from trap.config import Duration, Size
from trap.envelope import Envelope, plain, printable
from trap.job import Job
from trap.stage import Drop, Pass, Unavailable, Verdict

UNAVAILABLE = (69, 71, 73, 74, 75)
"""sysexits.h: EX_UNAVAILABLE, EX_OSERR, EX_CANTCREAT, EX_IOERR, EX_TEMPFAIL."""
MAX_OUTPUT = 16 << 10
"""Bytes of a program's output that are looked at."""
MAX_LINES, MAX_LINE = 20, 200
"""Lines of output noted, and characters of each."""
MAX_ARGUMENT = 512
"""Characters of an argument that came from a client; an address has 320 at most."""
TINY = b"From: <probe@localhost>\r\nTo: <probe@localhost>\r\nSubject: probe\r\n\r\nIs this program there?\r\n"
"""The message of a probe."""

_PLACE = re.compile(r"\{(\w+)\}")
_LEADS = ("-", "+", "@")


class Command:
    """Run one program a message.

    Args:
        argv: the program, as a path or as a name in /usr/local/bin, /usr/bin and so on; its arguments.
        timeout: for one message; then the program and all it started are killed.
        max_size: larger messages pass unscanned.
        ok: exit codes by which a message passes.
        drop: reasons for which it is dropped, each with its exit code or codes.
        to: queue that such mail goes to instead of being dropped.
        unavailable: exit codes by which the program says that it can't judge any message now.
        pattern: regular expression (RE2) that is looked for in the output; named groups become notes.
        json: the output is a JSON document.
        memory: bytes of address space the program may have; 0 is no limit.
        probe: what is run instead to find out whether it is back, for a program that should not
            get a message of ours, such as one that reports.

    Raises:
        ValueError: a setting makes no sense.
    """

    when_unavailable = "pass"

    def __init__(  # noqa: PLR0913 - all of them settings
        self,
        *,
        argv: list[str] | str,
        timeout: Duration = Duration("10s"),
        max_size: Size = Size("1MB"),
        ok: list[int] | None = None,
        drop: dict[str, int | list[int]] | None = None,
        to: str | None = None,
        unavailable: list[int] | None = None,
        pattern: str = "",
        json: bool = False,
        memory: Size = Size("2GB"),
        probe: list[str] | None = None,
    ) -> None:
        self._argv = _template("argv", argv)
        self._probe_argv = _template("probe", probe) if probe else self._argv
        self._ok = frozenset(ok if ok is not None else [0])
        self._drop = _by_code(drop or {})
        self._unavailable = frozenset(unavailable if unavailable is not None else UNAVAILABLE)
        _check_codes({"ok": self._ok, "drop": self._drop.keys(), "unavailable": self._unavailable})
        self._pattern = expression(pattern) if pattern else None
        self._json = json
        self._timeout, self._max_size, self._memory, self._to = timeout, max_size, memory, to
        program = self._argv[0]
        name = PurePath(program).name
        by_hand = " ".join(self._probe_argv)
        hint = f"is it installed and set up for the trap's user? try it by hand: {by_hand} < message"
        dialect = Dialect(name, self._open, self._probe, hint)
        self.backends: Backends[_Run] = Backends(dialect, located(program), timeout)

    async def process(self, job: Job) -> Verdict:
        """Judge one message.

        Raises:
            Unavailable: the program is not there, or has not managed this message yet.
        """
        if job.size > self._max_size:
            return Pass({"unscanned": f"larger than max_size, {self._max_size} bytes"})
        codes: list[int] = []
        argv = fill(self._argv, values(job.id, job.envelope, job.size))
        try:
            done = await self.backends.ask(lambda session: session.judge(argv, job.message, codes), job.id)
        except Unscannable as error:
            if codes and codes[-1] in self._unavailable:
                raise Unavailable(str(error)) from None
            return Pass({"unscanned": printable(str(error))})
        return self._verdict(done)

    def _verdict(self, done: Done) -> Verdict:
        notes = {"code": done.code, **self._noted(done.out)}
        if reason := self._drop.get(done.code):
            return Pass(notes, to=self._to) if self._to else Drop(reason, notes)
        return Pass(notes)

    def _noted(self, out: bytes) -> dict[str, Any]:
        text = out.decode("utf-8", "replace")
        notes: dict[str, Any] = {}
        if self._json:
            try:
                return {"json": plain(msgspec.json.decode(out))}
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                notes["unread"] = "the output is no JSON"
        elif self._pattern and (found := self._pattern.search(text)):
            groups = found.groupdict()
            return {"found": {name: printable(said)[:MAX_LINE] for name, said in groups.items() if said}}
        if lines := [printable(line)[:MAX_LINE] for line in text.splitlines() if line.strip()]:
            notes["output"] = lines[:MAX_LINES]
        return notes

    async def _open(self, address: Address) -> "_Run":
        find(address.path)
        return _Run(self)

    async def _probe(self, session: "_Run") -> str:
        envelope = Envelope(client_ip="127.0.0.1", helo="localhost", mail_from="probe@localhost")
        argv = fill(self._probe_argv, values("0" * 24, envelope, len(TINY)))
        done = await session.judge(argv, TINY, [])
        return f"{argv[0]} (exit code {done.code})"

    async def run(self, argv: Sequence[str], message: bytes, codes: list[int]) -> Done:
        """Run it once.

        Args:
            argv: program and arguments, filled in.
            message: its input.
            codes: gets the exit code.

        Raises:
            OSError: it can't be started, or has no end.
            Broken: its exit code is no judgement.
        """
        done = await run(argv, message, timeout=self._timeout, limit=MAX_OUTPUT, memory=self._memory)
        codes.append(done.code)
        if done.code in self._ok or done.code in self._drop:
            return done
        said = next(iter((done.err or done.out).decode("utf-8", "replace").splitlines()), "")
        raise Broken(f"{self._meaning(done.code)}{': ' if said else ''}{printable(said)[:MAX_LINE]}")

    def _meaning(self, code: int) -> str:
        if code < 0:
            return f"killed by signal {-code}"
        known = code in self._unavailable
        return f"exit code {code}" + ("" if known else " (in none of ok, drop, unavailable)")


class _Run:
    """What stands for a connection: the program is there. Each message gets a process of its own."""

    reusable = False

    def __init__(self, stage: Command) -> None:
        self._stage = stage

    async def judge(self, argv: Sequence[str], message: bytes, codes: list[int]) -> Done:
        """See Command.run."""
        return await self._stage.run(argv, message, codes)

    def close(self) -> None:
        """There is nothing to close."""


def _template(name: str, argv: list[str] | str) -> list[str]:
    if isinstance(argv, str):
        raise ValueError(f"{name}: no shell is ever used; write a list: {name}: [{', '.join(argv.split())}]")
    if not argv or not argv[0]:
        raise ValueError(f"{name}: the list is empty; it begins with the program")
    if "{" in argv[0] or ("/" in argv[0] and not argv[0].startswith("/")):
        raise ValueError(f"{name}: {argv[0]!r} should be the path of a program, or its name")
    known = values("", Envelope(), 0)
    for argument in argv:
        if "\0" in argument:
            raise ValueError(f"{name}: {argument!r} has a NUL in it")
        for place in _PLACE.findall(argument):
            if place not in known:
                raise ValueError(f"{name}: there is no {{{place}}}; there are {', '.join(known)}")
    return list(argv)


def _by_code(drop: Mapping[str, int | list[int]]) -> dict[int, str]:
    """Reasons by exit code."""
    found: dict[int, str] = {}
    for reason, codes in drop.items():
        for code in [codes] if isinstance(codes, int) else codes:
            if code in found:
                raise ValueError(f"drop: exit code {code} stands there twice")
            found[code] = reason
    return found


def _check_codes(kinds: Mapping[str, Any]) -> None:
    seen: dict[int, str] = {}
    for kind, codes in kinds.items():
        for code in codes:
            if not 0 <= code <= 255:
                raise ValueError(f"{kind}: {code} is no exit code; they are 0 to 255")
            if code in seen and "unavailable" not in (kind, seen[code]):
                raise ValueError(f"{kind}: exit code {code} stands in {seen[code]}, too")
            seen[code] = kind
    if not seen or not (kinds["ok"] or kinds["drop"]):
        raise ValueError("ok: with neither ok nor drop no exit code is a verdict")


def values(job_id: str, envelope: Envelope, size: int) -> dict[str, str]:
    """What the names in an argument list stand for."""
    return {
        "file": "/dev/stdin",
        "id": job_id,
        "client_ip": envelope.client_ip,
        "helo": envelope.helo or "",
        "mail_from": envelope.mail_from,
        "rcpt": next(iter(envelope.rcpt_tos), ""),
        "size": str(size),
    }


def fill(argv: Sequence[str], known: Mapping[str, str]) -> list[str]:
    """Put values into an argument list; none of them can become an option or another argument.

    >>> fill(["check", "--helo={helo}", "{helo}", "--", "{helo}"], {"helo": "-rf /"})
    ['check', '--helo=-rf /', '_rf /', '--', '-rf /']
    """
    filled: list[str] = []
    for argument in argv:
        made = _PLACE.sub(lambda place: printable(known[place[1]])[:MAX_ARGUMENT], argument)
        if made.startswith(_LEADS) and _PLACE.match(argument) and "--" not in argv[: len(filled)]:
            made = "_" + made[1:]
        filled.append(made)
    return filled
