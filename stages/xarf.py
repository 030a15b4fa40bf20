"""xarf - report mail to whom its source belongs to, in the Extended Abuse Reporting Format (XARF 4).

As arf does, to the same contacts and on the same terms, for those who read JSON: a mail with a report of the
category messaging, type spam, with the redacted message as its evidence. XARF asks for the client's port
and for a sender: bounces, and mail that came by another server, are left out.

See stages/reporting/reporter.py for what all reporters do: what is reported when, the gate, and the book.
"""

from stages.clients.manner import Manner
from stages.reporting.case import Case
from stages.reporting.contacts import Sources
from stages.reporting.mailed import SMTP, ToContacts
from stages.reporting.terms import Terms
from stages.reporting.xarfreport import is_tellable, xarf_mail
from trap.config import Duration, Size
from trap.job import Job
from trap.place import Place


class Xarf(ToContacts):
    """The stage.

    Args:
        place: given by the worker.
        reporter: who writes, "Name <address>"; the address must not be at a domain of the trap's.
        contacts: who is told: a map {map, rdap, default, only, never}, or the path of a file.
        smtp: the mail server, "host:port", "tls://host:port", or several in the order of preference.
        sender: whom mail that can't be delivered returns to; the reporter when not set, "" for nobody.
        session: how the server is spoken to: {helo, starttls, verify, ca_file, password_file}.
        timeout: for one mail, whatever happens.
        max_size: of larger messages only the header goes, 5MB at most.
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
        self._max_size = max_size
        self._precision = precision

    async def recipients(self, job: Job) -> list[str]:
        """Who answers for the host that sent it; nobody when XARF can't tell of it."""
        if not is_tellable(job.envelope.mail_from, job.envelope.client_port):
            return []
        return await super().recipients(job)

    def compose(self, case: Case, to: str) -> bytes:
        """The report.

        Raises:
            Refused: XARF can't tell of it.
        """
        return xarf_mail(case, to, self.writer, max_size=self._max_size, precision=self._precision)
