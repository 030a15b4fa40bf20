"""Zones for tests of what asks the DNS: records as data, and a look-up that knows these and nothing else."""

from collections import Counter

from stages.names.lookup import Answer

Zone = dict[str, list[str]]
"""Names, and for each its records: "A 192.0.2.1", "MX 10 mx.a.example", "TXT v=spf1 -all", "FAIL", …"""


class Names:
    """Looks names up in a zone.

    Args:
        zone: the names that there are. "FAIL" among their records: nobody can know anything about them.

    Attributes:
        asked: how often for which name and type.
    """

    def __init__(self, zone: Zone) -> None:
        self.zone = {name.lower(): records for name, records in zone.items()}
        self.asked: Counter[tuple[str, str]] = Counter()

    async def query(self, name: str, rdtype: str) -> Answer:
        """As stages/names/lookup.py does."""
        return self.answer(name, rdtype)

    def answer(self, name: str, rdtype: str) -> Answer:
        """What there is."""
        self.asked[name, rdtype] += 1
        records = self.zone.get(name.lower().rstrip("."))
        if records is None:
            below = any(known.endswith("." + name.lower()) for known in self.zone)
            return Answer(status="nodata" if below else "nxdomain")
        if "FAIL" in records or f"FAIL {rdtype}" in records:
            return Answer(status="servfail")
        found = [
            _read(rdtype, data) for kind, _, data in (r.partition(" ") for r in records) if kind == rdtype
        ]
        return Answer(found, "ok" if found else "nodata")


def _read(rdtype: str, data: str) -> str | bytes | tuple[int, str]:
    if rdtype == "TXT":
        return data.encode("utf-8", "surrogateescape")
    if rdtype == "MX":
        preference, _, name = data.partition(" ")
        return int(preference), name
    return data
