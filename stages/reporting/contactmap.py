"""A file that says who is told of mail from where, in the manner of abuse.net's.

A line is a network, an autonomous system or a domain, and addresses; "-" stands for nobody:

    192.0.2.0/24      abuse@isp.example          # what follows # is for people
    2001:db8::/32     abuse@isp.example, noc@isp.example
    AS64496           abuse@transit.example
    hoster.example:   abuse@hoster.example       # and all hosts below it
    198.51.100.7      -

Of networks the most precise counts, of domains the longest.
"""

import re
from collections.abc import Callable, Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path

from stages.names.blocklists import Address
from stages.names.relays import Network
from stages.reporting.mail import mailbox

MAX_FILE = 32 << 20
"""Bytes of the file."""
MAX_ADDRESSES = 10
"""Addresses in one line."""
NOBODY = "-"

_ASN = re.compile(r"AS(\d{1,10})", re.IGNORECASE)
_DOMAIN = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")

Refusal = Callable[[str], str]
"""Why an address gets no report; "" when it may."""


class ContactMap:
    """What such a file says.

    Args:
        path: of the file; without one nothing is known.
        refusal: why an address must not get reports.

    Raises:
        ValueError: the file can't be read, or a line is wrong; as text, which and why.
    """

    def __init__(self, path: Path | None, refusal: Refusal) -> None:
        self._networks: dict[Network, list[str]] = {}
        self._systems: dict[int, list[str]] = {}
        self._domains: dict[str, list[str]] = {}
        self._steps: dict[int, list[int]] = {4: [], 6: []}
        for number, line in enumerate(lines(path) if path else (), 1):
            try:
                self._read(line, refusal)
            except ValueError as error:
                raise ValueError(f"{path}:{number}: {error}") from None
        for version, steps in self._steps.items():
            lengths = {each.prefixlen for each in self._networks if each.version == version}
            steps.extend(sorted(lengths, reverse=True))

    @property
    def told(self) -> str:
        """How much it says, for people."""
        return (
            f"{len(self._networks)} networks, {len(self._systems)} systems and {len(self._domains)} domains"
        )

    def of_address(self, address: Address) -> list[str] | None:
        """Whom the most precise network names; None when there is none."""
        for length in self._steps[address.version]:
            network = ip_network((address, length), strict=False)
            if network in self._networks:
                return self._networks[network]
        return None

    def of_system(self, number: object) -> list[str] | None:
        """Whom an autonomous system names; None when it does not stand there."""
        return self._systems.get(number) if isinstance(number, int) else None

    def of_domain(self, name: str) -> list[str] | None:
        """Whom a domain, or the longest that it lies below, names; None when there is none."""
        while name:
            if name in self._domains:
                return self._domains[name]
            name = name.partition(".")[2]
        return None

    def _read(self, line: str, refusal: Refusal) -> None:
        key, *said = line.partition("#")[0].replace(",", " ").split() or [""]
        if not key:
            return
        if not said:
            raise ValueError(f"{key}: nobody is named; write an address behind it, or - for nobody")
        if NOBODY in said and len(said) > 1:
            raise ValueError(f"{key}: nobody (-) and somebody at once")
        if len(said) > MAX_ADDRESSES:
            raise ValueError(f"{key}: more than {MAX_ADDRESSES} addresses")
        self._enter(key, [] if said == [NOBODY] else [_checked(each, refusal) for each in said])

    def _enter(self, key: str, addresses: list[str]) -> None:
        name = key.removesuffix(":").lower().strip(".") if key.count(":") == 1 else key.lower().strip(".")
        if system := _ASN.fullmatch(name):
            known = self._systems.setdefault(int(system[1]), addresses)
        elif (network := _network(key)) is not None:
            known = self._networks.setdefault(network, addresses)
        elif _DOMAIN.fullmatch(name) and not name.replace(".", "").isdecimal():
            known = self._domains.setdefault(name, addresses)
        else:
            raise ValueError(f"{key!r} is no network, AS number or domain in ASCII letters")
        if known is not addresses:
            raise ValueError(f"{key} stands here twice")


def _network(text: str) -> Network | None:
    try:
        return ip_network(text)
    except ValueError:
        pass
    try:
        ip_address(text.partition("/")[0])
    except ValueError:
        return None
    raise ValueError(f"{text} is no network: write it like 192.0.2.0/24, with zeros behind the prefix")


def _checked(text: str, refusal: Refusal) -> str:
    address = mailbox(text)
    if not address:
        raise ValueError(f"{text!r} is no address that mail can be sent to")
    if why := refusal(address):
        raise ValueError(why)
    return address


def lines(path: Path) -> Iterator[str]:
    """The lines of a file.

    Raises:
        ValueError: it can't be read, is too large, or not UTF-8.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise ValueError(f"{path}: {(error.strerror or str(error)).lower()}") from None
    if len(data) > MAX_FILE:
        raise ValueError(f"{path}: larger than {MAX_FILE} bytes: no map of contacts")
    try:
        yield from data.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not UTF-8") from None
