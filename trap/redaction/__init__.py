"""Redaction: who the trap is, how that can be written, where it stands in a message, what stands there instead."""
