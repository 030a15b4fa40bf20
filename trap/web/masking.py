"""What of a list is masked: recipients, and the names of our hosts, until somebody asks to see them."""

from collections.abc import Callable

from starlette.requests import Request

from trap.archive.library import Row
from trap.view.mask import mask_text
from trap.view.veil import hide_in, known
from trap.web.listing import Hide
from trap.web.site import site


def masks(request: Request) -> Callable[[Row], Hide]:
    """What masks the texts of a row: nothing where identities are shown."""
    here = site(request)
    return (
        (lambda row: _as_it_is) if here.revealed(request) else lambda row: hide_in(row.rcpt_tos, here.config)
    )


async def shared_mask(request: Request, *, shown: bool | None = None) -> Hide:
    """What masks texts that belong to no single message.

    Args:
        shown: whether identities are shown; as in the session when not given.

    Raises:
        NoArchive, Unreadable, TooSlow: nobody knows what is to be masked.
    """
    here = site(request)
    if here.revealed(request) if shown is None else shown:
        return _as_it_is
    names = known([], here.config) | await here.own_domains.get()
    return lambda text: mask_text(text, names)


def _as_it_is(text: str) -> str:
    return text
