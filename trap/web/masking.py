"""What of a list is masked: recipients, and the names of our hosts, until somebody asks to see them."""

from collections.abc import Callable

from starlette.requests import Request

from trap.archive.library import Row
from trap.view.finder import mentions
from trap.view.mask import mask_text
from trap.view.veil import known
from trap.web.listing import Hide
from trap.web.site import site


def masks(request: Request) -> Callable[[Row], Hide]:
    """What masks the texts of a row: nothing where identities are shown."""
    here = site(request)
    if here.revealed(request):
        return lambda row: _as_it_is

    def of_row(row: Row) -> Hide:
        names = known(row.rcpt_tos, site(request).config)
        # Most texts name none of them, and that is known long before one could be found.
        return lambda text: mask_text(text, names) if mentions(text, names) else text

    return of_row


def shared_mask(request: Request) -> Hide:
    """What masks texts that belong to no single message: it knows what the configuration names."""
    if site(request).revealed(request):
        return _as_it_is
    names = known([], site(request).config)
    return lambda text: mask_text(text, names)


def _as_it_is(text: str) -> str:
    return text
