"""How much is told: the setting `tell:` of the reporters that tell data."""

from stages.reporting.record import Sample
from trap.config import Duration
from trap.units import Base


class Tell(Base, frozen=True):
    """How much of a campaign is told."""

    sample: Sample = "header"
    """Of the redacted mail: none, header, or message."""
    grain: Duration = Duration("1h")
    """What times are cut to: who sent it could tell by the second which copy arrived here."""
