"""Redaction: who the trap is, how that is spelt, where it stands, and what stands there instead."""
