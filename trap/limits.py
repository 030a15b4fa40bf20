"""Who may come in: limits on connections and on how often they come, of one sink process.

The gate is asked for every connection, most of all when there are too many, so it costs about a
microsecond and keeps nothing of those it turns away. What it counts is gone when the last client is.
"""

import resource
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable

from trap.configlimits import Limits

WINDOW = 60.0
"""Seconds that rates are given for."""
REMEMBERED = 32_768
"""Addresses whose rate is remembered at least; twice as many at most."""
MOST_RESERVED = 1_000
_MAPPED = b"\0" * 10 + b"\xff\xff"

Key = str | bytes


class Rate:
    """How often each address does something: a token bucket that holds one minute's allowance.

    A bucket is one number, the time at which it is full again, and is forgotten some time after
    that. Under a flood of more addresses than can be remembered the oldest are forgotten early:
    some then may come more often, and memory stays bounded.

    Args:
        per_minute: allowance; 1 or more.
        clock: seconds, of any origin.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._step = WINDOW / per_minute
        self._clock = clock
        self._young: dict[Key, float] = {}
        self._old: dict[Key, float] = {}
        self._turned = clock()

    def take(self, key: Key) -> bool:
        """Take one token from the bucket of `key`; False when it is empty, which changes nothing."""
        now = self._clock()
        if now - self._turned >= WINDOW or len(self._young) >= REMEMBERED:
            # What is left in the old ones was last touched a whole window ago: those buckets are full.
            self._old, self._young, self._turned = self._young, {}, now
        full_at = max(self._young.get(key) or self._old.get(key, now), now)
        if full_at - now > WINDOW - self._step / 2:  # the half step is for rounding
            return False
        self._young[key] = full_at + self._step
        return True

    def __len__(self) -> int:
        return len(self._young) + len(self._old)


class Gate:
    """Counts who is inside, and says who may come in.

    Args:
        limits: of the configuration.
        clock: seconds, of any origin.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = capacity(limits)
        """Most connections open at once."""
        self.open = 0
        self.peak = 0
        """Most connections that were open at once since the start."""
        self.total = 0
        """Connections let in since the start."""
        self.refused: Counter[str] = Counter()
        """What was refused since the start, by cause."""
        self._per_address = limits.per_address or sys.maxsize
        self._per_network = limits.per_network or sys.maxsize
        self._inside: dict[Key, int] = {}
        self._connections = Rate(limits.connection_rate, clock) if limits.connection_rate else None
        self._messages = Rate(limits.message_rate, clock) if limits.message_rate else None

    @property
    def share(self) -> float:
        """Share of the connections in use, 0 to 1."""
        return self.open / self.limit

    def admit(self, ip: str) -> str | None:
        """Count a connection in, or say why not.

        Args:
            ip: the client's address; empty when it has none (a UNIX socket): it counts for the total only.

        Returns:
            None: it is inside, and `leave` is to be called in the end. Else the cause: "connections",
            "address", "network" or "connection_rate"; then nothing of it is kept.
        """
        if self.open >= self.limit:
            return self.refuse("connections")
        if ip:
            inside = self._inside
            address, network = keys(ip)
            here, there = inside.get(address, 0), inside.get(network, 0)
            if here >= self._per_address:
                return self.refuse("address")
            if there >= self._per_network:
                return self.refuse("network")
            if self._connections is not None and not self._connections.take(address):
                return self.refuse("connection_rate")
            inside[address] = here + 1
            inside[network] = there + 1
        self.open += 1
        self.total += 1
        self.peak = max(self.peak, self.open)
        return None

    def leave(self, ip: str) -> None:
        """Count a connection out that was admitted with this address."""
        self.open -= 1
        inside = self._inside
        for key in keys(ip) if ip else ():
            left = inside[key] - 1
            if left:
                inside[key] = left
            else:
                del inside[key]
        if not inside:
            inside.clear()  # gives back what the table has grown to

    def message(self, ip: str) -> str | None:
        """Ask for one more message from this address: None, or the cause "message_rate"."""
        if self._messages is not None and ip and not self._messages.take(keys(ip)[0]):
            return self.refuse("message_rate")
        return None

    def refuse(self, cause: str) -> str:
        """Count something refused, or a client hung up on, and return the cause."""
        self.refused[cause] += 1
        return cause


def keys(ip: str) -> tuple[Key, Key]:
    """What an address and its network are counted under: /32 and /24, of IPv6 /64 and /48.

    A host of IPv6 has a whole /64 to come from, so that is what stands for it.
    """
    if ":" not in ip:
        return ip, ip.rpartition(".")[0]
    try:
        packed = socket.inet_pton(socket.AF_INET6, ip.partition("%")[0])
    except OSError:  # no address at all: counted as what it is
        return ip, ip + "/"
    if packed.startswith(_MAPPED):
        return keys(socket.inet_ntop(socket.AF_INET, packed[12:]))
    return packed[:8], packed[:6]


def capacity(limits: Limits) -> int:
    """Connections that one process can have open: as configured, and as its files allow.

    Some files are kept for what is not a connection: the spool, the mail log, large messages on
    their way in (1 in 8, at most 1,000).
    """
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if files == resource.RLIM_INFINITY:
        files = sys.maxsize
    most = max(1, files - min(files // 8, MOST_RESERVED))
    return min(limits.connections or most, most)
