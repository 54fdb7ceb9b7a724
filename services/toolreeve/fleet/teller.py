"""One replica's dealings with one account: what it knows of it, proposes, and may say.

Nobody hears an answer before the account that it follows from is the ledger's latest: `propose`
says what would be written and behind which version, and the answers are let out by whoever has
seen it `stored`. After a write that nobody answered, the account is read again: what was stored
all the same is found in it, and a write that lands later than that is refused by the ledger.
"""

from collections.abc import Sequence
from hashlib import sha256

from msgspec import Struct

from toolreeve.decision.instant import MILLISECOND
from toolreeve.decision.lease import LeaseAsk, LeaseGiven
from toolreeve.fleet.lease import Account, Terms, draw, merge, read_account, write_account

FRESH_NS = 50 * MILLISECOND
"""So old may what is known be for a refusal to rest on it: others may have given back."""


class Proposal(Struct, frozen=True, kw_only=True):
    """Write `raw` as the version behind `after`, then let the answers out.

    `raw` is None where nothing changes and the answers follow from what is known.
    """

    after: int
    raw: bytes | None
    answers: tuple[LeaseGiven, ...]
    account: Account


class Teller:
    """One account at one replica. `boot` names the clock that `now` is read from."""

    def __init__(self, boot: str) -> None:
        self._boot = boot
        self._clock = sha256(boot.encode()).hexdigest()[:8]
        self._sequence = 0
        self._account = Account()
        self._known = False
        self._looked_at = 0

    @property
    def must_read(self) -> bool:
        """Whether the ledger's latest version is to be `read` before anything is proposed."""
        return not self._known

    def read(self, sequence: int, raw: bytes | None, *, now: int) -> None:
        """The ledger's latest version; None: there is none, or no more. Raises AccountError."""
        account = Account() if raw is None else read_account(raw, now=now, boot=self._boot)
        self._account = merge(self._account, account, newer=sequence >= self._sequence)
        self._sequence, self._known, self._looked_at = sequence, True, now

    def propose(
        self, asks: Sequence[tuple[str, LeaseAsk]], terms: Terms, *, now: int, wall: int
    ) -> Proposal | None:
        """What the asks come to; None where the latest version has to be read first."""
        if not self._known:
            return None
        account, answers = draw(self._account, asks, terms, now=now, wall=wall, clock=self._clock)
        short = any(given.amount < ask.need for given, (_, ask) in zip(answers, asks, strict=True))
        if short and now - self._looked_at > FRESH_NS:
            self._known = False
            return None
        gives_or_takes = any(given.amount or given.share for given in answers) or any(
            ask.settled for _, ask in asks
        )
        raw = write_account(account, now=now, boot=self._boot) if gives_or_takes else None
        return Proposal(after=self._sequence, raw=raw, answers=tuple(answers), account=account)

    def stored(self, proposal: Proposal, sequence: int, *, now: int) -> None:
        """The proposal is the ledger's latest version, and its answers may be let out."""
        self._account, self._sequence, self._looked_at = proposal.account, sequence, now

    def doubt(self) -> None:
        """Somebody else may have written, or we may have: look again."""
        self._known = False
