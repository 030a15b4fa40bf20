"""dns - look up what DNS and the lists published by it know of a message's client, relays and domains.

It drops nothing. Its notes:

* ptr, ptr_confirmed: the client's name, and whether that name has the client's address; "" when it has none.
* asn, as_name, country: of the client, by DNS zones or from MMDB files, where these are configured.
* listed: {zone: [codes]} for the client; relays: {address: {zone: [codes]}} for those of the Received fields.
* uris: {domain: {zone: [codes]}} for what URLs lead to; senders: the same for HELO, MAIL FROM, From and ptr.
* client: the address that is meant, when it is not the envelope's: mail that a host of our own passed on
  (`trusted`, this machine, or by LMTP) has its client in the newest Received field that names a stranger.
* refused: {zone: code} of lists that won't answer us.
* missing: what had no answer in time, or none at all.

What is not configured is not asked; addresses that are private or `trusted` never are. All of a message's
questions are asked at once, and share one deadline. Only when no resolver is there is the stage
`Unavailable`: then mail passes unjudged, unless `when_unavailable: wait` is set.
"""

import asyncio
from collections.abc import Sequence

from stages.names.blocklists import TEST_ADDRESSES, TEST_DOMAINS, Address, Blocklist, Zone, zone_of
from stages.names.geo import NOBODY, Database, Origins, Sources
from stages.names.inquiry import Inquiry
from stages.names.lookup import Lookup
from stages.names.relays import Trusted, address_of, relays
from trap.archive.fields import indexed
from trap.archive.links import domain_of, host, host_of
from trap.archive.record import Record
from trap.backend import Finding
from trap.config import Duration
from trap.job import Job
from trap.stage import Pass, Verdict


class Dns:
    """Look things up.

    Args:
        servers: addresses of resolvers, the one to be asked first in front; those of /etc/resolv.conf when
            not given.
        timeout: for all questions about one message.
        probe: a name whose name servers (NS) every one of them knows.
        asn: who knows whose network an address is in: {zone, zone6, names, mmdb}; see stages/names/geo.py.
        dnsbl: lists of addresses, as zones or as maps {zone, codes, bits, ipv6, test}.
        uribl: lists of domains, as zones or as maps {zone, codes, bits, ask, senders, addresses, test}.
        trusted: networks of our own.
        max_asked: relays of one message that each list is asked about, and domains.
    """

    when_unavailable = "pass"

    def __init__(
        self,
        servers: str | list[str] = "",
        timeout: Duration = Duration("8s"),
        probe: str = ".",
        asn: Sources = NOBODY,
        dnsbl: Sequence[str | Zone] = (),
        uribl: Sequence[str | Zone] = (),
        trusted: Sequence[str] = (),
        max_asked: int = 10,
    ) -> None:
        self.timeout = timeout
        self.lookup = Lookup(servers, timeout, probe=probe)
        self.backends = self.lookup.backends
        self._origins = Origins(self.lookup, asn)
        self._databases = [Database(path) for path in asn.mmdb]
        self._dnsbl = [Blocklist(zone_of(zone), self.lookup) for zone in dnsbl]
        self._uribl = [Blocklist(zone_of(zone), self.lookup) for zone in uribl]
        self._trusted = Trusted(trusted)
        self._max_asked = max_asked

    async def process(self, job: Job) -> Verdict:
        """Look up what is to be known of one message.

        Raises:
            Unavailable: no resolver is there, and nothing was known already.
        """
        inquiry = Inquiry(self.lookup)
        notes = inquiry.notes
        said, passed_on = address_of(job.envelope.client_ip), relays(job.headers.get_all("received"))
        hosts = self._trusted.strangers([said] if said else [])
        others = [each for each in self._trusted.strangers(passed_on) if each not in hosts]
        told = said is None or self._trusted.vouches(said, job.envelope.protocol)
        if not hosts and others and told:
            hosts.append(others.pop(0))
            notes["client"] = str(hosts[0])
        for client in hosts:
            self._ask_about(client, inquiry)
        for relay in others[: self._max_asked]:
            for blocklist in self._dnsbl:
                inquiry.ask_about_address(blocklist, relay, "relays", str(relay))
        if self._uribl:
            self._ask_about_domains(job, inquiry)
        await inquiry.end(self.timeout)
        if refused := {each.name: each.refusal for each in (*self._dnsbl, *self._uribl) if each.refusal}:
            notes["refused"] = refused
        return Pass(notes)

    def tick(self) -> None:
        """Look whether a file has changed."""
        for database in self._databases:
            database.refresh()

    async def check(self) -> list[Finding]:
        """For `spamtrap doctor`: what all lists tell of themselves, and what files there are."""
        tests = [each.check(*TEST_ADDRESSES) for each in self._dnsbl]
        tests += [each.check(*TEST_DOMAINS) for each in self._uribl]
        files = [Finding(database.path, good=True, text=database.told) for database in self._databases]
        return [*await asyncio.gather(*tests), *files]

    def _ask_about(self, client: Address, inquiry: Inquiry) -> None:
        for database in self._databases:
            database.place(client, inquiry.notes)
        inquiry.ask("ptr", inquiry.reverse_name(client))
        if self._origins.lacks(client, inquiry.notes):
            inquiry.ask("asn", self._origins.place(client, inquiry.notes))
        for blocklist in self._dnsbl:
            inquiry.ask_about_address(blocklist, client, "listed")

    def _ask_about_domains(self, job: Job, inquiry: Inquiry) -> None:
        hosts, senders = _hosts(job), _senders(job)
        for blocklist in self._uribl:
            for note, names in (("uris", hosts), ("senders", senders if blocklist.zone.senders else [])):
                asked = dict.fromkeys(filter(None, map(blocklist.asked, names)))
                for name in list(asked)[: self._max_asked]:
                    inquiry.ask_about_host(blocklist, name, note, name)


def _senders(job: Job) -> list[str]:
    helo, sender = host(job.envelope.helo or ""), job.headers.get("from") or ""
    return [name for name in (helo, domain_of(job.envelope.mail_from), domain_of(sender.strip())) if name]


def _hosts(job: Job) -> list[str]:
    """Hosts that a message's URLs lead to: as `extract` found them, or what is plain to see."""
    known = job.notes.get("extract")
    if isinstance(known, dict) and "domains" in known:
        return [*map(host_of, known.get("urls", ())), *map(host, known["domains"])]
    return [*map(host_of, indexed(Record(job.id, b"", job.envelope, {}, job.message)).urls)]
