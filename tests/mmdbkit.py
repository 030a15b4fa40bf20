"""MMDB files for tests, as their makers lay them out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmdb_writer import MMDBWriter
from netaddr import IPSet

GEOLITE_ASN = {"autonomous_system_number": 64496, "autonomous_system_organization": "Example Ltd"}
GEOLITE_COUNTRY = {"country": {"iso_code": "DE", "names": {"en": "Germany"}}, "continent": {"code": "EU"}}
IPINFO = {"asn": "AS64497", "as_name": "Other Ltd", "country_code": "FR", "country": "France"}
IPINFO_OLD = {"asn": "AS64498", "name": "Old Ltd", "country": "NL", "country_name": "Netherlands"}


def mmdb(path: Path, networks: Mapping[str, Any], version: int = 6) -> Path:
    """Write a file with an entry for each network; one of version 4 knows IPv4 only."""
    writer = MMDBWriter(version, ipv4_compatible=version == 6, database_type="Test")
    for network, entry in networks.items():
        writer.insert_network(IPSet([network]), entry)
    writer.to_db_file(str(path))
    return path
