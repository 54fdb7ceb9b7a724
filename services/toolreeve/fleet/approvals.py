"""Approvals: what calls wait for, who said what of it, and which permit is spent.

An approval goes from pending to approved to used, and nothing ever goes back: whoever wants a call
a second time asks a second time. A "no" ends it, also behind the last "yes" that was needed, as
long as the permit is not used. Times are those of the log.
"""

from collections.abc import Mapping
from typing import assert_never

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from toolreeve.decision import Instant
from toolreeve.decision.approval import ApprovalQuestion, ApprovalState

CLOSED_KEPT = 2_000
"""How many that are over can still be looked at; the log keeps all."""
OVER = frozenset({ApprovalState.DENIED, ApprovalState.EXPIRED, ApprovalState.USED})


class ApprovalRequested(Struct, frozen=True, kw_only=True, tag=True):
    """A call waits for a person, at `enforcer`."""

    approval_id: str
    question: ApprovalQuestion
    enforcer: str
    expires_at: Instant


class ApprovalJoined(Struct, frozen=True, kw_only=True, tag=True):
    """The same call waits at another enforcer too."""

    approval_id: str
    enforcer: str


class ApprovalVoted(Struct, frozen=True, kw_only=True, tag=True):
    """The commit's actor said yes or no. `permit_until` is set by the last yes that was needed."""

    approval_id: str
    approved: bool
    permit_until: Instant | None = None


class ApprovalExpired(Struct, frozen=True, kw_only=True, tag=True):
    """Nobody decided in time, or nobody used the permit in time."""

    approval_id: str


class PermitClaimed(Struct, frozen=True, kw_only=True, tag=True):
    """A permit is spent: `enforcer` may make the call of this claim, once."""

    approval_id: str
    enforcer: str
    claim_id: str


ApprovalEvent = ApprovalRequested | ApprovalJoined | ApprovalVoted | ApprovalExpired | PermitClaimed


class ApprovalAnswer(Struct, frozen=True, kw_only=True, tag="approval"):
    """What came of somebody's vote: the event that it made."""

    event: ApprovalVoted


class Vote(Struct, frozen=True, kw_only=True):
    """What one person said."""

    actor: str
    approved: bool
    reason: str
    at: Instant


class Approval(Struct, frozen=True, kw_only=True):
    """One question and all that became of it. `enforcers` are where calls wait for it."""

    approval_id: str
    question: ApprovalQuestion
    asked_at: Instant
    expires_at: Instant
    enforcers: tuple[str, ...]
    votes: tuple[Vote, ...] = ()
    state: ApprovalState = ApprovalState.PENDING
    permit_until: Instant | None = None
    claim: PermitClaimed | None = None
    claimed_at: Instant | None = None

    def state_at(self, at: Instant) -> ApprovalState:
        """How it stands at `at`, whether or not anybody has written down that its time is over."""
        if self.state not in OVER and at >= self.until:
            return ApprovalState.EXPIRED
        return self.state

    @property
    def until(self) -> Instant:
        """Until when it may be decided, or its permit used."""
        return self.expires_at if self.permit_until is None else self.permit_until

    @property
    def yeses(self) -> int:
        """How many have said yes."""
        return sum(vote.approved for vote in self.votes)


class ApprovalBook(Struct, frozen=True, kw_only=True):
    """Approvals by id, in the order in which they were asked for; `latest` is by binding.

    `under_way` are those that are not over, `closed` the ids of the others, oldest first.
    """

    by_id: Mapping[str, Approval] = msgspec.field(default_factory=dict[str, Approval])
    latest: Mapping[bytes, str] = msgspec.field(default_factory=dict[bytes, str])
    under_way: Mapping[str, None] = msgspec.field(default_factory=dict[str, None])
    closed: tuple[str, ...] = ()

    def answering(self, binding: bytes, at: Instant) -> Approval | None:
        """The approval that a call with this binding waits for, has, or was refused.

        A "no" stands for as long as the question would have, so that asking again and again is no
        way to a "yes"; None where there is nothing of the kind.
        """
        approval_id = self.latest.get(binding)
        approval = None if approval_id is None else self.by_id.get(approval_id)
        if approval is None:
            return None
        match approval.state_at(at):
            case ApprovalState.PENDING | ApprovalState.APPROVED:
                return approval
            case ApprovalState.DENIED:
                return approval if at < approval.expires_at else None
            case ApprovalState.EXPIRED | ApprovalState.USED:
                return None


class ApprovalFold:
    """A book under way, changed in place so that a long replay stays linear."""

    def __init__(self, book: ApprovalBook) -> None:
        self._book = book
        self._changed = False
        self._by_id: dict[str, Approval] = {}
        self._latest: dict[bytes, str] = {}
        self._under_way: dict[str, None] = {}
        self._closed: list[str] = []

    def book(self) -> ApprovalBook:
        """The book as it stands now."""
        if self._changed:
            self._book = ApprovalBook(
                by_id=self._by_id,
                latest=self._latest,
                under_way=self._under_way,
                closed=tuple(self._closed),
            )
            self._changed = False
        return self._book

    def event(self, event: ApprovalEvent, *, actor: str, reason: str, at: Instant) -> str:
        """Take one more event; returns what is wrong with it, empty where nothing is."""
        self._open()
        approval = self._by_id.get(event.approval_id)
        if isinstance(event, ApprovalRequested) == (approval is not None):
            return f"approval {event.approval_id!r} {'exists' if approval else 'does not exist'}"
        if isinstance(event, ApprovalRequested):
            self._request(event, at)
            return ""
        assert approval is not None
        changed = _changed(approval, event, Vote(actor=actor, approved=False, reason=reason, at=at))
        if isinstance(changed, str):
            return changed
        self._by_id[event.approval_id] = changed
        if changed.state in OVER:
            self._close(event.approval_id)
        return ""

    def _open(self) -> None:
        if not self._changed:
            self._by_id = dict(self._book.by_id)
            self._latest = dict(self._book.latest)
            self._under_way = dict(self._book.under_way)
            self._closed = list(self._book.closed)
            self._changed = True

    def _request(self, event: ApprovalRequested, at: Instant) -> None:
        self._by_id[event.approval_id] = Approval(
            approval_id=event.approval_id,
            question=event.question,
            asked_at=at,
            expires_at=event.expires_at,
            enforcers=(event.enforcer,),
        )
        self._latest[event.question.binding] = event.approval_id
        self._under_way[event.approval_id] = None

    def _close(self, approval_id: str) -> None:
        del self._under_way[approval_id]
        self._closed.append(approval_id)
        while len(self._closed) > CLOSED_KEPT:
            gone = self._by_id.pop(self._closed.pop(0))
            if self._latest.get(gone.question.binding) == gone.approval_id:
                del self._latest[gone.question.binding]


def _changed(
    approval: Approval,
    event: ApprovalJoined | ApprovalVoted | ApprovalExpired | PermitClaimed,
    vote: Vote,
) -> Approval | str:
    """The approval behind one more event, or what is wrong with the event."""
    if approval.state in OVER:
        return f"approval {approval.approval_id!r} is {approval.state.value} already"
    match event:
        case ApprovalJoined():
            return replace(approval, enforcers=(*approval.enforcers, event.enforcer))
        case ApprovalVoted(approved=False):
            votes = (*approval.votes, vote)
            return replace(approval, votes=votes, state=ApprovalState.DENIED)
        case ApprovalVoted():
            if approval.state is not ApprovalState.PENDING:
                return f"approval {approval.approval_id!r} has its permit already"
            voted = replace(approval, votes=(*approval.votes, replace(vote, approved=True)))
            enough = voted.yeses >= voted.question.votes_needed
            if enough != (event.permit_until is not None):
                return f"approval {approval.approval_id!r} has {voted.yeses} votes"
            if not enough:
                return voted
            return replace(voted, state=ApprovalState.APPROVED, permit_until=event.permit_until)
        case ApprovalExpired():
            return replace(approval, state=ApprovalState.EXPIRED)
        case PermitClaimed():
            if approval.state is not ApprovalState.APPROVED or vote.at >= approval.until:
                return f"approval {approval.approval_id!r} has no permit"
            return replace(approval, state=ApprovalState.USED, claim=event, claimed_at=vote.at)
        case _:
            assert_never(event)
