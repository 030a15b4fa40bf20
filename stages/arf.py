"""arf - report mail to whom its source belongs to, in the Abuse Reporting Format (RFC 5965, 6590, 6650).

One mail a campaign, contact and period goes through a mail server of yours to the contact of the network
that the client is in: as the map of contacts says, or registries do (`contacts:`), and to those of domains
that answer for the message by SPF or DKIM, where the map names them. It says where the message came from,
when, how often (Incidents), where its links lead, and has the redacted message with it, or its header.

Times are told to the minute (`precision`): with the second, a spammer could find the recipient in his log.

See stages/reporting/reporter.py for what all reporters do: what is reported when, the gate, and the book.
"""

from stages.clients.manner import Manner
from stages.reporting.case import Case
from stages.reporting.contacts import Sources
from stages.reporting.feedback import Attach, feedback_report
from stages.reporting.mailed import SMTP, ToContacts
from stages.reporting.terms import Terms
from trap.config import Duration, Size
from trap.place import Place


class Arf(ToContacts):
    """The stage.

    Args:
        place: given by the worker.
        reporter: who writes, "Name <address>"; the address must not be at a domain of the trap's.
        contacts: who is told: a map {map, rdap, default, only, never}, or the path of a file.
        smtp: the mail server, "host:port", "tls://host:port", or several in the order of preference.
        sender: whom mail that can't be delivered returns to; the reporter when not set, "" for nobody.
        session: how the server is spoken to: {helo, starttls, verify, ca_file, password_file}.
        timeout: for one mail, whatever happens.
        attach: the redacted message, or its header only.
        max_size: of larger messages only the header goes.
        precision: to which times are told.
        terms: see stages/reporting/terms.py.
    """

    def __init__(  # noqa: PLR0913 - all of them settings
        self,
        *,
        place: Place,
        reporter: str,
        contacts: str | Sources,
        smtp: str | list[str] = SMTP,
        sender: str | None = None,
        session: Manner = Manner(),
        timeout: Duration = Duration("50s"),
        attach: Attach = "message",
        max_size: Size = Size("100kB"),
        precision: Duration = Duration("1m"),
        terms: Terms = Terms(),
    ) -> None:
        super().__init__(
            place,
            terms,
            contacts,
            reporter=reporter,
            smtp=smtp,
            sender=sender,
            session=session,
            timeout=timeout,
        )
        self._attach: Attach = attach
        self._max_size = max_size
        self._precision = precision

    def compose(self, case: Case, to: str) -> bytes:
        """The report.

        Raises:
            Refused: its source is not known.
        """
        return feedback_report(
            case,
            to,
            self.writer,
            attach=self._attach,
            max_size=self._max_size,
            precision=self._precision,
        )
