"""Whose network an address is in, and in which country: by DNS, or from files in the MMDB format.

By DNS, in the form that Team Cymru began with: TXT "64496 | 192.0.2.0/24 | DE | ripencc | 2001-01-01" for the
reversed address below one zone, "64496 | DE | ripencc | 2001-01-01 | EXAMPLE-AS Example Ltd, DE" for AS64496
below another.

From files: GeoLite2 and DB-IP (ASN, Country, City), and IPinfo, whose names of the same things differ.
Files are read into memory whole: one that is overwritten while it is mapped would end the process.
"""

import logging
import os
import re
from collections.abc import Mapping
from typing import Any

import maxminddb
import msgspec

from stages.names.blocklists import Address, NoAnswer, reverse
from stages.names.lookup import Lookup
from trap.envelope import printable

log = logging.getLogger("spamtrap.dns")

MAX_NAME = 100
"""Characters of a network's name."""
_MAX_TEXT = 1000
_COUNTRY = re.compile(r"[A-Z]{2}")

Place = dict[str, Any]
"""What is known, under the names it has in the notes: asn, as_name, country."""


class Sources(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who is asked, as it is configured; nobody when nothing is."""

    zone: str = ""
    """Knows addresses of IPv4, such as origin.asn.cymru.com."""
    zone6: str = ""
    """Knows those of IPv6, such as origin6.asn.cymru.com."""
    names: str = ""
    """Knows the names of networks, such as asn.cymru.com."""
    mmdb: list[str] = []
    """Files, which are asked before the zones."""


NOBODY = Sources()


class Origins:
    """What zones say about addresses.

    Args:
        lookup: who asks.
        sources: whom.
    """

    def __init__(self, lookup: Lookup, sources: Sources) -> None:
        self._lookup = lookup
        self._zones = {4: sources.zone, 6: sources.zone6}
        self._names = sources.names

    def lacks(self, address: Address, place: Place) -> bool:
        """Whether there is anything to ask."""
        zone = self._zones[address.version] and {"asn", "country"} - place.keys()
        return bool(zone or (self._names and "asn" in place and "as_name" not in place))

    async def place(self, address: Address, place: Place) -> None:
        """Look an address up, and write into `place` what is not in it yet, as it comes.

        Raises:
            NoAnswer, Unavailable: not all of it can be known now.
        """
        zone = self._zones[address.version]
        if zone and {"asn", "country"} - place.keys():
            for text in await self._texts(f"{reverse(address)}.{zone}"):
                words = [word.strip() for word in text.split("|")]
                _fill(place, asn=words[0].partition(" ")[0], country=words[2] if len(words) > 2 else "")
        if self._names and "asn" in place and "as_name" not in place:
            for text in await self._texts(f"AS{place['asn']}.{self._names}"):
                _fill(place, as_name=text.rpartition("|")[2])

    async def _texts(self, name: str) -> list[str]:
        answer = await self._lookup.query(name, "TXT")
        if answer.status == "servfail":
            raise NoAnswer
        texts = [record.decode("utf-8", "replace")[:_MAX_TEXT] for record in answer.records]
        # Of networks that are announced one within the other, the most precise counts.
        return sorted(texts, key=_precision, reverse=True)


def _precision(text: str) -> int:
    """Length of the prefix that a text speaks of."""
    match = re.search(r"/(\d{1,3}) ", text)
    return int(match[1]) if match else 0


class Database:
    """A file that is read again when it has changed.

    Args:
        path: of an MMDB file.

    Raises:
        OSError, ValueError: it can't be read, or is none.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._stamp = _stamp(path)
        self._reader = _open(path)

    @property
    def told(self) -> str:
        """What it calls itself, for people."""
        meta = self._reader.metadata()
        return f"{meta.database_type}, {meta.node_count} nodes"

    def refresh(self) -> None:
        """Read the file again if it is another one; what can't be read leaves what there was."""
        try:
            stamp = _stamp(self.path)
        except OSError as error:
            if self._stamp:
                log.warning("what was read before is used on: %s", error)
            self._stamp = ()
            return
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._reader = _open(self.path)
            log.info("%s was read again", self.path)
        except (OSError, ValueError) as error:
            log.warning("what was read before is used on: %s", error)

    def place(self, address: Address, place: Place) -> None:
        """Write what is known of an address into `place`, but for what is in it already."""
        try:
            found = self._reader.get(address)
        except Exception:  # none of IPv6 in a file of IPv4; of a damaged one, whatever its reader comes to
            return
        if isinstance(found, dict):
            _fill(place, **_known(found))


def _open(path: str) -> maxminddb.Reader:
    try:
        return maxminddb.open_database(path, maxminddb.MODE_MEMORY)
    except OSError as error:
        raise OSError(f"{path}: {os.strerror(error.errno or 0).lower()}") from None
    except Exception as error:  # of a damaged file, whatever its reader comes to
        raise ValueError(f"{path} is not an MMDB file: {error}") from None


def _stamp(path: str) -> tuple[int, ...]:
    try:
        stat = os.stat(path)
    except OSError as error:
        raise OSError(f"{path}: {os.strerror(error.errno or 0).lower()}") from None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _known(found: Mapping[str, Any]) -> dict[str, Any]:
    """ASN, name and country, under the names that makers of files have for them."""
    country = found.get("country") or found.get("registered_country")
    code = country.get("iso_code") if isinstance(country, dict) else country
    return {
        "asn": found.get("autonomous_system_number") or found.get("asn"),
        "as_name": found.get("autonomous_system_organization") or found.get("as_name") or found.get("name"),
        "country": found.get("country_code") or code,
    }


def _fill(place: Place, asn: Any = None, as_name: Any = None, country: Any = None) -> None:
    number = str(asn or "").upper().removeprefix("AS")
    if number.isascii() and number.isdecimal() and 0 < int(number[:11]) < 1 << 32:
        place.setdefault("asn", int(number[:11]))
    if isinstance(as_name, str) and as_name.strip():
        place.setdefault("as_name", printable(as_name.strip())[:MAX_NAME])
    if isinstance(country, str) and _COUNTRY.fullmatch(country.strip()):
        place.setdefault("country", country.strip())
