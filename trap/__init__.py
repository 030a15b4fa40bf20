"""spamtrap: a trap MX, its directory queues, and the workers that empty them."""

__version__ = "0.1.0"
