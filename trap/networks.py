"""What is said of networks, found by address: the most precise network counts.

>>> known = Networks({"192.0.2.0/24": "slow", "192.0.2.7": "quick"})
>>> known.get("192.0.2.7"), known.get("192.0.2.8"), known.get("198.51.100.1")
('quick', 'slow', None)
"""

import socket
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Generic, TypeVar

from trap.config import Config

T = TypeVar("T")


class Networks(Generic[T]):
    """Values by network. A lookup costs a step for each length of prefix in use, however many there are.

    Args:
        values: by network, written like 192.0.2.0/24, 2001:db8::/32 or as one address.

    Raises:
        ValueError: something is no network.
    """

    def __init__(self, values: Mapping[str, T]) -> None:
        self._steps: dict[int, dict[int, dict[int, T]]] = {4: {}, 6: {}}
        for text, value in values.items():
            network = ip_network(text)
            shift = network.max_prefixlen - network.prefixlen
            prefix = int(network.network_address) >> shift
            self._steps[network.version].setdefault(shift, {})[prefix] = value
        self._steps = {version: dict(sorted(steps.items())) for version, steps in self._steps.items()}

    def get(self, ip: str) -> T | None:
        """The value for an address; None when no network holds it, or it is none."""
        family, version = (socket.AF_INET6, 6) if ":" in ip else (socket.AF_INET, 4)
        steps = self._steps[version]
        if not steps:
            return None
        try:
            number = int.from_bytes(socket.inet_pton(family, ip), "big")
        except (OSError, ValueError):  # the name of a UNIX socket, which may be anything
            return None
        for shift, prefixes in steps.items():
            if (value := prefixes.get(number >> shift)) is not None:
                return value
        return None


class Delay:
    """How long a client waits for the banner.

    Args:
        config: smtp.banner_delay and smtp.banner_delays are used.
    """

    def __init__(self, config: Config) -> None:
        self._default = float(config.smtp.banner_delay)
        delays = config.smtp.banner_delays
        self._networks = Networks({text: float(delay) for text, delay in delays.items()}) if delays else None

    def of(self, ip: str) -> float:
        """Seconds for a client at this address."""
        if self._networks is None:
            return self._default
        delay = self._networks.get(ip)
        return self._default if delay is None else delay
