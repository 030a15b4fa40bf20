"""What the API is asked, and what it gives."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from trap.view.view import View

Text = Annotated[str, Meta(max_length=4000, description="A query, as on the page; empty for all messages.")]
Id = Annotated[str, Meta(pattern=r"^[0-9]{16}[0-9a-f]{8}$", description="Id of a message.")]
Limit = Annotated[int, Meta(ge=1, le=500, description="At most so many.")]
Shown = Annotated[bool, Meta(description="Show trap identities (recipients, our hosts). It is written down.")]


class Found(msgspec.Struct, kw_only=True):
    """A message as lists have it."""

    id: str
    received_at: float
    """Seconds since the epoch."""
    size: int
    sha256: str
    client_ip: str
    helo: str
    mail_from: str
    rcpt_tos: list[str]
    sender: str
    """From field."""
    subject: str
    campaign: str | None
    attachments: int
    defects: str
    facets: dict[str, list[str]]


class Page(msgspec.Struct):
    """Some messages, newest first."""

    messages: list[Found]
    before: str | None
    """Ask for the next page with this; null: this was the last."""


class Message(msgspec.Struct):
    """All that is known of one message but its bytes."""

    message: Found
    envelope: dict[str, Any]
    """The SMTP session."""
    notes: dict[str, Any]
    """What the stages noted."""
    view: View


class Value(msgspec.Struct):
    """A value of a facet."""

    value: str
    count: int


class Counted(msgspec.Struct):
    """How often the values of each facet were found."""

    counted: int
    """Over so many of the newest messages found."""
    complete: bool
    """Whether that is all of them."""
    values: dict[str, list[Value]]


class Bars(msgspec.Struct):
    """Messages found over time."""

    since: float
    until: float
    width: float
    """Seconds of one bar."""
    counts: list[int]
    found: int
    """At least so many there are; all of them when it is complete."""
    complete: bool
    """Whether all of the time was counted."""
    counted_since: float


class Hour(msgspec.Struct):
    """One hour of a campaign."""

    start: int
    """Seconds since the epoch."""
    count: int
    """Messages archived in it."""


class Campaign(msgspec.Struct):
    """Messages that are alike."""

    name: str
    archived: int
    copies: int
    """As dedup counted them, those it dropped included."""
    first: float
    last: float
    hours: list[Hour]
    """Those with some, the newest."""
    subjects: list[str]
    networks: list[str]
    domains: list[str]


class Campaigns(msgspec.Struct):
    """Some campaigns."""

    campaigns: list[Campaign]
    before: str | None
    """Ask for the next page with this; null: this was the last."""


class AskMessages(msgspec.Struct, forbid_unknown_fields=True):
    """A page of a search."""

    q: Text = ""
    before: Id | None = None
    limit: Limit = 50
    identities: Shown = False


class AskShown(msgspec.Struct, forbid_unknown_fields=True):
    """Whether identities are shown."""

    identities: Shown = False


class AskFacets(msgspec.Struct, forbid_unknown_fields=True):
    """A search, counted."""

    q: Text = ""
    identities: Shown = False


class AskBars(msgspec.Struct, forbid_unknown_fields=True):
    """A search, counted over time."""

    q: Text = ""
    buckets: Annotated[int, Meta(ge=1, le=500, description="Bars.")] = 60


class AskCampaigns(msgspec.Struct, forbid_unknown_fields=True):
    """A page of campaigns."""

    order: Literal["size", "last", "first"] = "last"
    before: Annotated[str, Meta(max_length=100)] | None = None
    limit: Limit = 50
    identities: Shown = False


class AskExport(msgspec.Struct, forbid_unknown_fields=True):
    """What to export."""

    q: Text = ""
    format: Literal["mbox", "zip", "jsonl"] = "mbox"
    limit: Annotated[int, Meta(ge=1, description="At most so many.")] | None = None
    identities: Shown = False


class AskNothing(msgspec.Struct, forbid_unknown_fields=True):
    """Nothing."""
