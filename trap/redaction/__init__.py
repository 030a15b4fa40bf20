"""Redaction: who the trap is, how that is written, where it stands in a message, and what stands there then."""
