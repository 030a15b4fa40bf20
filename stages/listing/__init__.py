"""What the stage dnsbl is made of: evidence, what must not be listed, and lists as others read them."""
