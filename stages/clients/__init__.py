"""Clients of scanners: one conversation each, without limits of time of their own."""
