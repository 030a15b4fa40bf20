"""A real Postfix that takes reports for everybody into one mailbox, and can be killed and started again."""

import os
import pwd
import re
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import NamedTuple

from daemon import tree
from postfixkit import Postfix, running
from support import eventually

_MAIN = """
myhostname = mx.peer.example
mynetworks = 127.0.0.0/8
mydestination =
local_recipient_maps =
alias_maps =
virtual_mailbox_domains = static:all
virtual_mailbox_maps = static:all/
virtual_mailbox_base = {{0}}/mail
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_transport = virtual
virtual_mailbox_limit = 0
mailbox_size_limit = 0
message_size_limit = 50000000
smtpd_recipient_restrictions = permit_mynetworks, reject
smtpd_client_connection_count_limit = 0
local_header_rewrite_clients =
header_size_limit = 1000000
line_length_limit = 100000
smtpd_tls_security_level = {tls}
smtpd_tls_cert_file = {certificate}/cert.pem
smtpd_tls_key_file = {certificate}/key.pem
"""
_SERVICES = "virtual unix - n n - - virtual\ntlsmgr unix - - n 1000? 1 tlsmgr\n"
_QUEUE_ID = re.compile(r"\(Postfix\) with E?SMTPS? id (\w+)")


class Delivered(NamedTuple):
    """A message in the mailbox."""

    queue_id: str
    """Under which Postfix took it: twice the same is Postfix's own doing, after a crash."""
    to: str
    fields: dict[str, str]
    """Its header, by names in lower case; the first of each."""
    data: bytes


class Mailbox:
    """The mailbox, and the Postfix before it.

    Attributes:
        certificate: directory of cert.pem and key.pem, where it speaks TLS.
    """

    def __init__(self, postfix: Postfix, certificate: Path | None) -> None:
        self.postfix = postfix
        self.certificate = certificate

    @property
    def address(self) -> str:
        """Of the server, as settings write it."""
        return f"127.0.0.1:{self.postfix.port}"

    def kill(self) -> None:
        """Kill all its processes, by id."""
        everybody = tree(int((self.postfix.directory / "queue/pid/master.pid").read_text()))
        for pid in everybody:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        eventually(
            lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in everybody), what="Postfix is gone"
        )

    def start(self) -> None:
        """Start it again where it was."""
        self.postfix.command("postfix", "start")

    def delivered(self) -> list[Delivered]:
        """What it has taken, each once; waits until nothing is on its way any more."""
        self.postfix.delivers_all()
        return list({each.queue_id: each for each in self._read()}.values())

    def _read(self) -> Iterator[Delivered]:
        for path in sorted((self.postfix.directory / "mail/all/new").glob("*")):
            text = path.read_bytes()
            header = BytesHeaderParser().parsebytes(text[:100_000])
            fields = {name.lower(): str(value) for name, value in reversed(header.items())}
            found = _QUEUE_ID.search(fields.get("received", ""))
            data = text.split(b"\n\t", 1)[-1]
            yield Delivered(found[1] if found else path.name, fields.get("x-original-to", ""), fields, data)

    def times(self, field: str) -> Counter[str]:
        """How often messages with these values of a field were taken."""
        return Counter(each.fields.get(field, "") for each in self.delivered())


@contextmanager
def mailbox(certificate: Path | None = None, tls: str = "may") -> Iterator[Mailbox]:
    """One, for as long as the block lasts.

    Args:
        certificate: directory of cert.pem and key.pem; without it there is no TLS.
        tls: "may", or "encrypt" to insist on it.
    """
    nobody = pwd.getpwnam("nobody")
    level = tls if certificate else "none"
    main = _MAIN.format(
        uid=nobody.pw_uid, gid=nobody.pw_gid, tls=level, certificate=certificate or "/nowhere"
    )
    with running(main, _SERVICES) as postfix:
        (postfix.directory / "mail").mkdir()
        os.chown(postfix.directory / "mail", nobody.pw_uid, nobody.pw_gid)
        yield Mailbox(postfix, certificate)
