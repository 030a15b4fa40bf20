"""What all pages share: the configuration, the readers, and how a template becomes an answer."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse

from trap import __version__, acts, live
from trap.archive.owndomains import OwnDomains
from trap.archive.reading import Reading
from trap.config import Config
from trap.queue import Spool
from trap.units import age, size
from trap.view.viewer import Viewer
from trap.web import forms
from trap.web.guard import LOCAL
from trap.web.landing import Landings
from trap.web.pulse import Pulse
from trap.web.tries import Tries

HERE = Path(__file__).parent
STATIC = HERE / "static"
_CSRF = Markup('<input type="hidden" name="{}" value="{}">')
_REVEAL = "reveal_until"
_ENDED = 10_000
_LAST = 253402300799.0
"""The last second that can be written with four digits for the year."""
REVEALED_FOR = 1800.0
"""Seconds that identities are shown once somebody asked for it."""


class Site:
    """One trap's web interface.

    Args:
        config: of the trap.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.reading = Reading(config.paths.archive)
        self.for_programs = Reading(config.paths.archive, threads=2)  # people never wait behind programs
        self.tries = Tries()
        self.templates = _environment()
        self.templates.globals["mail_address"] = self.mail_address
        self.ended: OrderedDict[str, None] = OrderedDict()
        """Sessions that were logged out, the last of them."""

    @cached_property
    def spool(self) -> Spool:
        """The spool, opened when the first page wants it.

        Raises:
            OSError: it is not there, or not ours.
        """
        return Spool.open(self.config)

    @cached_property
    def pulse(self) -> Pulse:
        """What the trap is doing, looked at once for all who watch."""
        return Pulse(self.config, self.spool)

    @cached_property
    def viewer(self) -> Viewer:
        """Who reads hostile messages for us."""
        return Viewer()

    @cached_property
    def landings(self) -> Landings:
        """Where campaigns lead to, as far as that is known."""
        return Landings(self.reading, lambda: self.viewer)

    @cached_property
    def own_domains(self) -> OwnDomains:
        """The domains that mail to us is for."""
        return OwnDomains(self.reading)

    def mail_address(self) -> str:
        """Where mail is to be sent to, for who has none yet.

        Raises:
            OSError: the state directory can't be read.
        """
        known = live.addresses(self.config, live.read(self.config))
        return next((each for each in known if not each.startswith("/")), known[0])

    def close(self) -> None:
        """End the children and close the files."""
        if "landings" in self.__dict__:
            self.landings.close()
        if "spool" in self.__dict__:
            self.spool.close()
            self.spool.log.close()
        if "viewer" in self.__dict__:
            self.viewer.close()
        self.reading.close()
        self.for_programs.close()

    def end(self, session: str) -> None:
        """Remember that a session was logged out."""
        self.ended[session] = None
        if len(self.ended) > _ENDED:
            self.ended.popitem(last=False)

    def revealed(self, request: Request) -> bool:
        """Whether trap identities (recipients, receiving hosts) are shown to who asks; first they are not."""
        return bool(request.session.get(_REVEAL, 0) > time.time())

    def reveal(self, request: Request, shown: bool) -> None:
        """Show identities in this session for half an hour, or mask them again. Showing is remembered.

        Raises:
            OSError: it can't be written down, so nothing is shown.
        """
        if shown:
            acts.record(self.config.paths.state, user(request), "identities shown", client=client(request))
        request.session[_REVEAL] = time.time() + REVEALED_FOR if shown else 0

    def render(
        self,
        request: Request,
        template: str,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **values: Any,
    ) -> HTMLResponse:
        """A page made of a template; `values` are what it uses besides what every page has."""
        text = self.templates.get_template(template).render(
            request=request,
            user=user(request),
            may_log_out=user(request) not in {LOCAL, ""},
            revealed=self.revealed(request),
            csrf=_CSRF.format(forms.FIELD, forms.token(request)),
            hostname=self.config.hostname if self.revealed(request) else "",
            **values,
        )
        # Hostile mail holds surrogates, which UTF-8 has no bytes for.
        return HTMLResponse(text.encode("utf-8", "backslashreplace"), status, headers)


def site(request: Request) -> Site:
    """The site that a request is to."""
    return cast(Site, request.app.state.site)


def user(request: Request) -> str:
    """Who asks; "" for somebody who did not log in."""
    return request.scope.get("user") or ""


def client(request: Request) -> str:
    """The address of who asks."""
    return request.client.host if request.client else ""


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        auto_reload=False,  # they come with the code, and change with it
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(static=static, version=__version__, link=link)
    made.filters.update(size=size, age=age, ago=ago, when=when, number="{:,}".format)
    return made


def when(seconds: float, form: str = "%Y-%m-%d %H:%M:%S") -> Markup:
    """A time, in UTC, as a <time> element."""
    moment = time.gmtime(max(0.0, min(seconds, _LAST)))
    machine = time.strftime("%Y-%m-%dT%H:%M:%SZ", moment)
    return Markup('<time datetime="{}">{}</time>').format(machine, time.strftime(form, moment))


def ago(seconds: float) -> Markup:
    """How long ago a time was, as a <time> element that tells the time itself when pointed at."""
    moment = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(max(0.0, min(seconds, _LAST))))
    said = age(max(0.0, time.time() - seconds))
    return Markup('<time datetime="{}" title="{}">{} ago</time>').format(
        moment.replace(" ", "T"), moment, said
    )


@cache
def static(name: str) -> str:
    """The address of a file of ours; it changes with the file, so that browsers may keep it."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={digest}"


def link(path: str, **parameters: object) -> str:
    """An address with a query; what is None, "" or False is left out."""
    kept = {key: value for key, value in parameters.items() if value not in (None, "", False)}
    return path + ("?" + urlencode(kept) if kept else "")
