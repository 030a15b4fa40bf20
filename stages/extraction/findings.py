"""The list of what was found in a message: each thing once, so many of each kind, and where URLs lead.

>>> found = Findings(Budget(1, 1000, 10), most=2)
>>> found.url("HTTP://a.example/?u=http%3A%2F%2Fb.example", "link")
'http://a.example/?u=http%3A%2F%2Fb.example'
>>> found.urls["http://a.example/?u=http%3A%2F%2Fb.example"], found.urls["http://b.example/"]["from"]
({'host': 'a.example', 'from': 'link', 'to': 'http://b.example/'}, 'redirect')
>>> found.url("http://c.example", "text"), found.truncated
('', ['urls: more than 2'])
"""

import re
from collections.abc import Collection
from typing import Any

from stages.extraction import addresses, links, redirects
from stages.extraction.budget import Budget
from stages.shared.suffixes import registrable
from trap.envelope import printable

MAX_DEPTH = 5
"""Redirectors in redirectors."""
MAX_NOTED = 64 << 10
"""Characters of all URLs together: notes are written anew behind every stage."""
_SHOWN = 300

_AUTHORITY = re.compile(r"\s*(?:[a-z]+:)?[/\\]*([^/\\?#]*)", re.IGNORECASE)


class Findings:
    """What was found of what has a host, and what may be missing.

    Args:
        budget: what looking at URLs may cost.
        most: entries of each kind.
        own: addresses that are not to be noted.

    Attributes:
        urls: what is to say of each URL: host, from (where it was); `as` when it was disguised, `to` when it
            leads on.
        domains: what somebody registered of hosts, as keys.
        addresses: mail addresses, by themselves in lower case.
    """

    def __init__(self, budget: Budget, most: int, own: Collection[str] = ()) -> None:
        self.urls: dict[str, dict[str, str]] = {}
        self.domains: dict[str, None] = {}
        self.addresses: dict[str, str] = {}
        self._truncated: dict[str, None] = {}
        self._budget = budget
        self._most = most
        self._own = {address.lower() for address in own}
        self._room = MAX_NOTED

    @property
    def truncated(self) -> list[str]:
        """What there may be more of, and why."""
        return list(self._truncated)

    def cut(self, kind: str, why: str) -> None:
        """Note that there may be more of a kind."""
        self._truncated[f"{kind}: {why}"] = None

    def kept(self, kind: str, items: Collection[Any]) -> list[Any]:
        """As many of the items as are noted."""
        if len(items) > self._most:
            self.cut(kind, f"more than {self._most}")
        return list(items)[: self._most]

    def mails(self, text: str) -> None:
        """Add the mail addresses in a text."""
        for address in addresses.find(text):
            key = address.lower()
            if key not in self._own and len(self.addresses) <= self._most:
                self.addresses.setdefault(key, printable(address))

    def domain(self, host: str) -> None:
        """Add what somebody registered of a host, if it is a name."""
        name = registrable(host.lower())
        if name and len(self.domains) <= self._most:
            self.domains[name] = None

    def url(self, said: str, where: str, depth: int = 0) -> str:
        """Add a URL, and where it leads; how it is noted, or "" when it isn't.

        Raises:
            Exhausted: the budget is.
        """
        link = links.canonical(said)
        if not link:
            return ""
        url = printable(link.url)
        if url in self.urls:
            return url
        self.domain(link.host)
        if len(self.urls) >= self._most:
            self.cut("urls", f"more than {self._most}")
            return ""
        self._room -= len(url)
        if self._room < 0:
            self.cut("urls", f"more than {MAX_NOTED} characters")
            return ""
        self._budget.spend(len(said))
        noted = {"host": link.host, "from": where}
        if _disguised(said, link.host):
            noted["as"] = printable(said[:_SHOWN])[:_SHOWN]
        self.urls[url] = noted
        to = self._followed(link.url, depth)
        if to and to != url:
            noted["to"] = to
        return url

    def _followed(self, url: str, depth: int) -> str:
        """Add the URLs that a URL carries; the first."""
        carried = redirects.targets(url)
        if carried and depth >= MAX_DEPTH:
            self.cut("urls", f"deeper than {MAX_DEPTH}")
            return ""
        added = [self.url(target, "redirect", depth + 1) for target in carried]
        return next(filter(None, added), "")


def _disguised(said: str, host: str) -> bool:
    """Whether the host is not what one reads."""
    authority = _AUTHORITY.match(said[:1000])
    return authority is None or "@" in authority[1] or host not in authority[1].lower()
