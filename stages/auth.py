"""auth - what did the sender get right? SPF, DKIM, ARC and DMARC, as facts in the notes.

Nothing is dropped and nothing is changed: most spam passes one of them, and a trap wants to know for which
domain. All is asked of the envelope and the message as they are now; where an earlier stage has unwrapped
a sample from the mail of a donor, these are the sample's. Age does not matter: a signature counts as
expired when it was so as the message came.

What it notes:

* spf: result, identity (mailfrom, or helo for the null sender), domain, mechanism, why, explanation; and
  under helo the same for the name in the greeting.
* dkim: for each signature result, why, domain, selector, algorithm, identity, bits of the key, body (true:
  its hash is right), length (of the body, when only so much is signed), unsigned and oversigned fields.
  dkim_more: how many more signatures there are. bare_lf: signed mail came with lines that end in LF alone,
  and was read as if they ended in CRLF.
* arc: result, instances, domains that sealed, why.
* dmarc: result, domain (in From), policy, place, spf and dkim that are aligned, why.
* authenticated: domains for which SPF or a signature is right; aligned: those that fit the one in From.

A look-up is seen by whoever runs the domain, as from any server that receives mail: selectors and macros
can name the very message. So old samples should not be sent through this stage without need.

What nobody knows within `timeout` is a temperror. Only when all resolvers are away is it `Unavailable`.
"""

import asyncio
from typing import Any

from stages.authentication import arcchain, author, dmarcpolicy, signature, spfcheck
from stages.authentication.signedmail import SignedMail, TooLarge
from stages.names.lookup import FAILED, Answer, Lookup
from trap.config import Duration, Size
from trap.job import Job
from trap.stage import Pass, Unavailable, Verdict

MAX_SIGNATURES = 10
"""Signatures that are checked; one or two are usual."""
MAX_LOOKUPS = 400
"""Names looked up for a message: more than two checks of SPF and a chain of 50 seals need."""


class Auth:
    """Check who sent a message.

    Args:
        servers: addresses of resolvers, the one to be asked first in front; those of /etc/resolv.conf when
            not given.
        timeout: for all look-ups about one message.
        probe: a name whose name servers (NS) every one of them knows.
        max_size: larger messages pass unchecked.
    """

    when_unavailable = "pass"

    def __init__(
        self,
        servers: str | list[str] = "",
        timeout: Duration = Duration("10s"),
        probe: str = ".",
        max_size: Size = Size("30MB"),
    ) -> None:
        self.lookup = Lookup(servers, timeout, probe=probe)
        self.backends = self.lookup.backends
        self.timeout = timeout
        self.max_size = max_size

    async def process(self, job: Job) -> Verdict:
        """Check one message.

        Raises:
            Unavailable: all resolvers are away.
        """
        if job.size > self.max_size:
            return Pass({"unscanned": f"larger than max_size, {self.max_size} bytes"})
        asking = _Asking(self.lookup, self.timeout)
        notes = await _facts(job, asking)
        if asking.away:
            raise Unavailable(asking.away)
        return Pass(notes)


class _Asking:
    """The look-ups about one message: all together take a bounded time, and are of a bounded number.

    What is asked for beyond that has no answer, so whoever asks comes to its end.
    """

    def __init__(self, lookup: Lookup, seconds: float) -> None:
        self._lookup = lookup
        self._end = asyncio.get_running_loop().time() + seconds
        self._left = MAX_LOOKUPS
        self.away = ""
        """Why nobody can be asked."""

    async def query(self, name: str, rdtype: str) -> Answer:
        """Look a name up."""
        self._left -= 1
        if self._left < 0 or self.away:
            return FAILED
        try:
            async with asyncio.timeout_at(self._end):
                return await self._lookup.query(name, rdtype)
        except TimeoutError:
            return FAILED
        except Unavailable as error:
            self.away = str(error)
            return FAILED


async def _facts(job: Job, asking: _Asking) -> dict[str, Any]:
    at = job.envelope.received_at or job.received_at
    domains, why = author.domains_of(job.headers.get_all("from"))
    spf, signed, policy = await asyncio.gather(
        _spf(job, asking, at), _signatures(job, asking, at), _policy(domains, why, asking)
    )
    if policy:
        dmarc = dmarcpolicy.judge(policy, spf, signed["dkim"])
    else:
        dmarc = {"result": "none", "why": why, "domains": domains[:MAX_SIGNATURES]}
    passed = [each["domain"] for each in (spf, *signed["dkim"]) if each["result"] == "pass"]
    right = [*dmarc.get("spf", ()), *dmarc.get("dkim", ())]
    return {
        "spf": spf,
        **signed,
        "dmarc": dmarc,
        "authenticated": list(dict.fromkeys(passed)),
        "aligned": list(dict.fromkeys(right)),
    }


async def _spf(job: Job, asking: _Asking, at: float) -> dict[str, Any]:
    said = job.envelope
    ip = spfcheck.address_of(said.client_ip)
    if ip is None:
        return {"result": "none", "why": "the client's address is not known"}
    senders = [said.mail_from, ""] if said.mail_from else [""]
    clients = [spfcheck.Client(ip, sender, said.helo or "") for sender in senders]
    notes, *greeting = await asyncio.gather(*(spfcheck.check(each, asking.query, at) for each in clients))
    for each in greeting:
        del each["identity"]
        notes["helo"] = each
    return notes


async def _policy(domains: list[str], why: str, asking: _Asking) -> dmarcpolicy.Policy | None:
    """What the domain in From asks for; None when there is not exactly one."""
    return None if why else await dmarcpolicy.find(domains[0], asking.query)


async def _signatures(job: Job, asking: _Asking, at: float) -> dict[str, Any]:
    """The notes about DKIM and ARC."""
    try:
        mail = SignedMail(job.message)
    except TooLarge as error:
        return {"dkim": [], "arc": {"result": "none"}, "unscanned": str(error)}
    fields = mail.named(b"dkim-signature")
    checks = [signature.check(mail, field, asking.query, at) for field in fields[:MAX_SIGNATURES]]
    *dkim, arc = await asyncio.gather(*checks, arcchain.check(mail, asking.query))
    notes: dict[str, Any] = {"dkim": dkim, "arc": arc}
    if len(fields) > MAX_SIGNATURES:
        notes["dkim_more"] = len(fields) - MAX_SIGNATURES
    if (fields or arc["result"] != "none") and mail.has_bare_lf:
        notes["bare_lf"] = True
    return notes
