"""A Razor2 server of our own, as far as razor-agents speak with one: nomination of spam, with a login.

No server of Razor's can be had to run. So the real razor-report and razor-revoke are asked, and what they say
is answered here as the agents' source expects it (Razor2::Client::Core): lines of "key=value&key=value", in
batches that begin with "-" and end with a dot.
"""

import asyncio
from pathlib import Path
from urllib.parse import parse_qsl

GREETING = b"sn=N&srl=1&ep4=7542-10&a=l\r\n"
STATE = b"sn=N&srl=1&se=88&dre=4&bql=50&bqs=128&ep4=7542-10&ac=10\r\n"
WANTS_MAIL = "err=230"


class RazorServer:
    """What it was told, and how it answers.

    Attributes:
        reports: signatures reported, revoked ones with "revoke" in front.
        mails: messages that it asked for, and got.
        answer: to a report: "res=1" taken, "res=0" not, WANTS_MAIL that it wants the text.
        login: whether it lets anybody in.
        silent: after this request it says nothing any more.
    """

    def __init__(self) -> None:
        self.reports: list[str] = []
        self.mails: list[bytes] = []
        self.logins = 0
        self.answer = "res=1"
        self.login = True
        self.silent = ""

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        writer.write(GREETING)
        while line := await reader.readline():
            lines = [line]
            if line.startswith(b"-"):
                while (line := await reader.readline()) not in (b".\r\n", b""):
                    lines.append(line)
            lines[0] = lines[0].removeprefix(b"-")
            first = dict(parse_qsl(lines[0].strip().decode("latin-1"), keep_blank_values=True))
            if first.get("a") == self.silent:
                await asyncio.sleep(60)
            if first.get("a") == "q":
                return
            if "a" in first:
                writer.write(self._answered(first, lines))
                await writer.drain()

    def _answered(self, first: dict[str, str], lines: list[bytes]) -> bytes:
        match first["a"]:
            case "g":
                return STATE
            case "ai":
                return b"achal=0123456789abcdef0123456789abcdef\r\n"
            case "auth":
                self.logins += self.login
                return b"res=1\r\n" if self.login else b"res=0\r\n"
        if first.get("message") == "*":
            self.mails.append(b"".join(lines[1:]))
            return b"res=1\r\n"
        answers = []
        for line in lines:
            query = dict(parse_qsl(line.strip().decode("latin-1")))
            self.reports.append(("revoke " if query["a"] == "revoke" else "") + query["s"])
            answers.append(self.answer if query["a"] == "r" else "res=1")
        if len(lines) == 1:
            return answers[0].encode() + b"\r\n"
        return b"-" + "\r\n".join(answers).encode() + b"\r\n.\r\n"


def razor_home(home: Path) -> Path:
    """A home as `razor-admin -create` and `-register` leave it, that asks nobody on the internet."""
    home.mkdir(exist_ok=True)
    (home / "razor-agent.conf").write_text("turn_off_discovery = 1\nlogfile = razor-agent.log\n")
    (home / "identity-trap").write_text("user = trap\npass = secret\n")
    (home / "identity").symlink_to("identity-trap")
    return home
