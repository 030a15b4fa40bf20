"""Whether a domain lets an address send its mail: Sender Policy Framework, RFC 7208.

A check is a function of what is looked up, and of nothing else: it neither knows nor asks a resolver of
its own. What a hostile domain can make it do is bounded as the RFC says: ten terms that ask the DNS, ten
names for each of them, two that lead to nothing.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, Protocol

from stages.authentication import spfrecord
from stages.authentication.domainname import domain_of, is_below
from stages.authentication.spfrecord import BadRecord, Directive, Record
from trap.envelope import printable

MAX_TERMS, MAX_VOID, MAX_NAMES = 10, 2, 10
"""RFC 7208, section 4.6.4: terms that ask the DNS, those of them that find nothing, names of MX and PTR."""
MAX_LOCAL = 320
"""Characters of a local part that are used in macros: five times what RFC 5321 allows."""
MAX_WORDS = 200
"""Characters of what a record says that are noted."""

Address = IPv4Address | IPv6Address


class Asked(Protocol):
    """What stages/names/lookup.py answers."""

    @property
    def records(self) -> list[Any]:
        """What was found."""

    @property
    def status(self) -> str:
        """ok, nxdomain, nodata or servfail."""


Query = Callable[[str, str], Awaitable[Asked]]
"""Looks up a name and a type."""


class _Permanent(Exception):
    """permerror; as text, why."""


class _Temporary(Exception):
    """temperror; as text, why."""


@dataclass(frozen=True, slots=True)
class Client:
    """Who sends: the address, the sender it named and the name it greeted with."""

    ip: Address
    sender: str
    helo: str


def address_of(text: str) -> Address | None:
    """An IP address; one of IPv4 in IPv6 is one of IPv4. None when the text is none."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


async def check(client: Client, query: Query, at: float) -> dict[str, Any]:
    """Ask the domain of the sender, or of the greeting when the sender is null (RFC 7208, section 2.4).

    Args:
        client: who sent.
        query: looks names up.
        at: when, in seconds since the epoch.

    Returns:
        What is noted: result (RFC 7208, section 2.6), identity, domain, and where known mechanism (what
        matched), why (of errors) and explanation (the domain's own words).
    """
    if client.sender:
        local, _, said = client.sender.rpartition("@")
        identity = "mailfrom"
    else:
        local, said, identity = "", client.helo, "helo"
    domain = domain_of(said)
    notes: dict[str, Any] = {"result": "none", "identity": identity, "domain": domain}
    if not domain:
        return notes | {"why": "no domain name"}
    return notes | await _Check(client, local[-MAX_LOCAL:] or "postmaster", domain, query, at).run()


class _Check:
    """One call of check_host()."""

    def __init__(self, client: Client, local: str, domain: str, query: Query, at: float) -> None:
        self._ip = client.ip
        self._origin = domain
        self._look_up = query
        self._terms = self._void = 0
        self._matched = ""
        self._explains = ("", "")
        self._names: list[str] | None = None
        v4 = isinstance(client.ip, IPv4Address)
        self._type = "A" if v4 else "AAAA"
        nibbles = client.ip.exploded.replace(":", "")
        self._macros = {
            "s": f"{local}@{domain}",
            "l": local,
            "o": domain,
            "i": str(client.ip) if v4 else ".".join(nibbles),
            "h": domain_of(client.helo) or "unknown",
            "v": "in-addr" if v4 else "ip6",
            "c": str(client.ip),
            "r": "unknown",  # a trap tells nobody who it is
            "t": str(int(at)),
        }

    async def run(self) -> dict[str, Any]:
        try:
            result = await self._host(self._origin, first=True)
        except _Permanent as error:
            return {"result": "permerror", "why": _told(str(error))}
        except _Temporary as error:
            return {"result": "temperror", "why": _told(str(error))}
        notes = {"result": result}
        if self._matched:
            notes["mechanism"] = _told(self._matched)
        if result == "fail" and (text := await self._explanation()):
            notes["explanation"] = _told(text)
        return notes

    # -- the record of a domain -----------------------------------------------------------------

    async def _host(self, domain: str, *, first: bool = False) -> str:
        """What the record of a domain says: check_host() of RFC 7208, section 4."""
        record = await self._record(domain, first=first)
        if record is None:
            return "none"
        for directive in record.directives:
            if await self._matches(directive, domain):
                self._matched, self._explains = directive.text, (record.explanation, domain)
                return directive.result
        if not record.redirect:
            return "neutral"
        self._count()
        target = await self._expand(record.redirect, domain)
        result = await self._host(target)
        if result == "none":
            raise _Permanent(f"redirect to {target}, which has no record")
        return result

    async def _record(self, domain: str, *, first: bool) -> Record | None:
        if not domain_of(domain):
            return None
        texts = await self._ask(domain, "TXT", counts=not first)
        found = [text for text in texts if spfrecord.is_record(text)]
        if len(found) > 1:
            raise _Permanent(f"{domain} has {len(found)} records")
        try:
            return spfrecord.parse(found[0]) if found else None
        except BadRecord as error:
            raise _Permanent(f"{domain}: {error}") from error

    # -- its mechanisms ----------------------------------------------------------------------------

    async def _matches(self, directive: Directive, domain: str) -> bool:
        if directive.mechanism == "all":
            return True
        if directive.network is not None:
            return self._ip.version == directive.network.version and self._ip in directive.network
        self._count()
        target = await self._expand(directive.domain, domain) if directive.domain else domain
        match directive.mechanism:
            case "include":
                matched = await self._includes(target)
            case "exists":
                matched = bool(await self._ask(target, "A"))
            case "ptr":
                matched = any(is_below(name, target.lower()) for name in await self._validated())
            case "mx":
                matched = await self._mx(target, directive)
            case _:
                matched = self._within(await self._ask(target, self._type), directive)
        return matched

    async def _includes(self, target: str) -> bool:
        result = await self._host(target)
        if result == "none":
            raise _Permanent(f"include of {target}, which has no record")
        return result == "pass"

    async def _mx(self, target: str, directive: Directive) -> bool:
        hosts = await self._ask(target, "MX")
        if len(hosts) > MAX_NAMES:
            raise _Permanent(f"{target} has more than {MAX_NAMES} MX records")
        for _, host in sorted(hosts):
            if self._within(await self._ask(host, self._type, counts=False), directive):
                return True
        return False

    def _within(self, addresses: list[str], directive: Directive) -> bool:
        if isinstance(self._ip, IPv4Address):
            return any(self._ip in IPv4Network((each, directive.bits[0]), strict=False) for each in addresses)
        return any(self._ip in IPv6Network((each, directive.bits[1]), strict=False) for each in addresses)

    async def _validated(self) -> list[str]:
        """The names of the address that lead back to it, in lower case (RFC 7208, section 5.5)."""
        if self._names is None:
            self._names = []
            try:
                for name in (await self._ask(self._ip.reverse_pointer, "PTR"))[:MAX_NAMES]:
                    try:
                        addresses = await self._ask(name, self._type, counts=False)
                    except _Temporary:
                        continue
                    if self._ip in map(ip_address, addresses):
                        self._names.append(name.lower())
            except _Temporary:
                pass  # such an error is no match, and no error
        return self._names

    # -- macros ---------------------------------------------------------------------------------

    async def _expand(self, text: str, domain: str, *, explaining: bool = False) -> str:
        macros: Mapping[str, str] = {**self._macros, "d": domain}
        if "%{p" in text.lower():
            macros = {**macros, "p": await self._name(domain)}
        return spfrecord.expand(text, macros, explaining=explaining)

    async def _name(self, domain: str) -> str:
        """What the macro p stands for (RFC 7208, section 7.3)."""
        names = await self._validated()
        below = [name for name in names if is_below(name, domain)]
        return domain if domain in names else (below or names or ["unknown"])[0]

    async def _explanation(self) -> str:
        """The domain's own words; "" when it has none, or none that can be read."""
        spec, domain = self._explains
        if not spec:
            return ""
        try:
            texts = await self._ask(await self._expand(spec, domain), "TXT", counts=False)
        except _Temporary:
            return ""
        if len(texts) != 1 or not texts[0].isascii() or len(texts[0]) > spfrecord.MAX_RECORD:
            return ""
        text = texts[0].decode("ascii")
        if not spfrecord.is_macro_string(text, explaining=True):
            return ""
        return await self._expand(text, domain, explaining=True)

    # -- the DNS --------------------------------------------------------------------------------

    def _count(self) -> None:
        self._terms += 1
        if self._terms > MAX_TERMS:
            raise _Permanent(f"more than {MAX_TERMS} terms that ask the DNS")

    async def _ask(self, name: str, rdtype: str, *, counts: bool = True) -> list[Any]:
        """What is found under a name.

        Args:
            name: the name.
            rdtype: the type.
            counts: that nothing is found there counts against the limit.
        """
        answer = await self._look_up(name, rdtype)
        if answer.status == "servfail":
            raise _Temporary(f"no answer about {rdtype} of {name}")
        if not answer.records and counts:
            self._void += 1
            if self._void > MAX_VOID:
                raise _Permanent(f"more than {MAX_VOID} look-ups that found nothing")
        return list(answer.records)


def _told(text: str) -> str:
    return printable(text)[:MAX_WORDS]
