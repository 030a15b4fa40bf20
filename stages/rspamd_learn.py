"""rspamd_learn - have rspamd keep the fuzzy hashes of every message, and learn it as spam.

Both are told to the controller, which gets the original: it should be your own. What stays there are hashes
and the statistics of words.

* `fuzzy`: /fuzzyadd with `flag` and `weight`. Told twice, the weight counts twice: so it is told once.
* `bayes`: /learnspam. What is known already is said to be; that counts as told. Where only this is told, what
  may have got lost on the way is told again.

Each is a report of its own. A fuzzy hash can be taken back (/fuzzydel); what was learnt can't: to learn it as
ham would be another claim.
"""

from typing import Literal

from stages.clients.controller import UNAUTHORIZED, Answer, Controller
from stages.clients.rspamd import Fields
from stages.reporting.case import Letter
from stages.reporting.checksums import CheckSums
from stages.reporting.terms import Terms
from trap.address import Address
from trap.backend import Backends, Dialect
from trap.config import Duration, Size
from trap.job import Job
from trap.place import Place
from trap.reports import Later, Refused, Sending

PORT = 11334
MAX_FLAG, MAX_WEIGHT = 255, 1_000_000

What = Literal["fuzzy", "bayes"]


class RspamdLearn(CheckSums):
    """Tell rspamd's controller.

    Args:
        place: given by the worker.
        rspamd: address of the controller, or several in the order of preference: "host:port",
            "tls://host:port" or the path of its UNIX socket.
        password: of the controller; the one for commands, `enable_password`, where there are two.
        tell: fuzzy, bayes, or both.
        flag: number of the fuzzy list, as in the fuzzy_map of rspamd's rule.
        weight: what one report adds to a hash; the rule's max_score belongs to it.
        timeout: for one command, whatever happens.
        max_size: larger messages are left out.
        terms: what all reporters share.

    Raises:
        ValueError: a setting makes no sense.
    """

    def __init__(  # noqa: PLR0913 - all of them settings
        self,
        place: Place,
        *,
        rspamd: str | list[str] = "127.0.0.1:11334",
        password: str = "",
        tell: list[What] = ["fuzzy"],  # noqa: B006  # it is only read
        flag: int = 11,
        weight: int = 10,
        timeout: Duration = Duration("20s"),
        max_size: Size = Size("5MB"),
        terms: Terms = Terms(),
    ) -> None:
        if not tell:
            raise ValueError("tell: the list is empty; write fuzzy, bayes, or both")
        if not 0 < flag <= MAX_FLAG:
            raise ValueError(f"flag: {flag} is none; they are 1 to {MAX_FLAG}")
        if not 0 < weight <= MAX_WEIGHT:
            raise ValueError(f"weight: {weight} is none; they are 1 to {MAX_WEIGHT}")
        self._secret = [("Password", password)] if password else []
        self._flag, self._weight = ("Flag", str(flag)), ("Weight", str(weight))
        self.repeatable = "fuzzy" not in tell
        self._trusted: set[Address] = set()
        hint = "is it rspamd's controller (worker-controller.inc), and is `password` its enable_password?"
        dialect = Dialect("rspamd", self._open, self._probe, hint)
        self.backends: Backends[Controller] = Backends(dialect, rspamd, timeout, PORT)
        first = self.backends.states()[0].address
        super().__init__(
            place, terms, [f"{what} of rspamd at {first}" for what in dict.fromkeys(tell)], max_size
        )

    async def deliver(self, letter: Letter, sending: Sending) -> str:
        """Have rspamd learn a message.

        Raises:
            Later: it does not let us, or can't now.
            Refused: there is nothing in it, or nothing to learn it with.
            Unavailable: nobody there; after it was told: nobody answered.
        """
        message = self.message(letter)
        fuzzy = letter.to.startswith("fuzzy")
        command = "fuzzyadd" if fuzzy else "learnspam"
        fields = [self._flag, self._weight, *self._secret] if fuzzy else self._secret
        answer = await self.backends.ask(
            lambda session: session.tell(command, message, fields, sending.commit), letter.id
        )
        if answer.status == 208:
            return "known already"
        return self._outcome(answer, f"{answer.hashes} fuzzy hashes added" if fuzzy else "learnt as spam")

    async def retract(self, letter: Letter, sending: Sending) -> str:
        """Have rspamd forget the fuzzy hashes.

        Raises:
            Later, Refused, Unavailable: as above.
        """
        if not letter.to.startswith("fuzzy"):
            raise Refused("rspamd can't unlearn; rspamc learn_ham would say that it is good")
        message, fields = self.message(letter), [self._flag, *self._secret]
        answer = await self.backends.ask(lambda session: session.tell("fuzzydel", message, fields))
        return self._outcome(answer, f"{answer.hashes} fuzzy hashes deleted")

    async def summary(self, job: Job, to: str) -> str:
        """The command; the message goes with it as it is."""
        if not to.startswith("fuzzy"):
            return f"/learnspam, the original of {job.size} bytes\n"
        (_, flag), (_, weight) = self._flag, self._weight
        return f"/fuzzyadd, flag {flag}, weight {weight}, the original of {job.size} bytes\n"

    def _outcome(self, answer: Answer, done: str) -> str:
        told = f"{answer.status} {answer.words}"
        if answer.status == 200:
            return done
        if answer.status in UNAUTHORIZED:
            self._trusted.clear()  # it is looked at again before the next one
            raise Later(f"rspamd refuses the password: {told}")
        if answer.status >= 500:
            raise Later(f"rspamd can't now: {told}")
        raise Refused(f"rspamd did not learn it: {told}")

    async def _open(self, address: Address) -> Controller:
        """Connect to one that takes commands of us: what it would refuse should not be on its way first."""
        if address not in self._trusted:
            asking = await Controller.open(address)
            try:
                await self._probe(asking)
            finally:
                asking.close()
            self._trusted.add(address)
        return await Controller.open(address)

    async def _probe(self, session: Controller) -> str:
        fields: Fields = self._secret
        return await session.rights(fields)
