"""Makes the digest of the message on its standard input: `python -m stages.clients.pyzor_child BYTES`.

It parses hostile MIME and HTML by what the Pyzor library has for it, as all of Pyzor's clients do: else the
digest would be another. So it does that apart, and may run out of the time and memory it is given.
"""

import email
import sys
import warnings

import pyzor.digest

from trap.confinement import confine

_FILES = 64
"""Descriptors: character sets are read from files when the first text needs them."""


def main() -> None:
    """Print 40 hexadecimal digits."""
    warnings.simplefilter("ignore")  # of mail that is odd
    confine(int(sys.argv[1]), _FILES)
    print(pyzor.digest.DataDigester(email.message_from_bytes(sys.stdin.buffer.read())).value)


if __name__ == "__main__":
    main()
