"""Regular expressions that take no longer than a text is long, whatever their author wrote (RE2).

Python's own backtrack: "(a+)+$" on forty letters of hostile mail takes hours. RE2 has neither look-around
nor references back to groups, and needs neither here. https://github.com/google/re2/wiki/Syntax
"""

from typing import Any

import re2

from trap.envelope import printable

MAX_MEMORY = 8 << 20
"""Bytes that one expression may take; "((a{100}){100}){100}" is refused."""


def expression(text: str) -> Any:
    """Compile an expression; upper and lower case are the same to it.

    Raises:
        ValueError: it is none; as text, why.
    """
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = False
    options.max_mem = MAX_MEMORY
    try:
        return re2.compile(text, options)
    except re2.error as error:
        cause = error.args[0]
        why = cause.decode("utf-8", "replace") if isinstance(cause, bytes) else str(cause)
        raise ValueError(f"{text!r} is no regular expression: {printable(why)}") from None
