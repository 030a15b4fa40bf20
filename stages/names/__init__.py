"""What the DNS knows: look-ups, block lists, networks and countries."""
