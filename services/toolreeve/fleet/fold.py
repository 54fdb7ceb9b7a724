"""Commits, one after another, make the state.

The fold trusts nobody: a commit that is out of place, does not continue the chain, or breaks a
promise (a manifest's sequence rises; a wanted revision was published) is not folded.
"""

from collections.abc import Iterable
from typing import assert_never

from msgspec.structs import replace

from toolreeve.audit.event import HoldPlaced, HoldReleased
from toolreeve.decision import Instant
from toolreeve.fleet import rollout_fold
from toolreeve.fleet.approvals import (
    ApprovalAnswer,
    ApprovalEvent,
    ApprovalExpired,
    ApprovalFold,
    ApprovalJoined,
    ApprovalRequested,
    ApprovalVoted,
    PermitClaimed,
)
from toolreeve.fleet.grants import (
    GrantAnswer,
    GrantCreated,
    GrantEvent,
    GrantFold,
    GrantRevoked,
    GrantRotated,
)
from toolreeve.fleet.history import (
    Commit,
    ControlEvent,
    EnforcerSeen,
    ManifestIssued,
    PolicyActivated,
    PolicyNacked,
    RevisionPublished,
)
from toolreeve.fleet.identity import (
    JoinTokenCreated,
    MemberDenied,
    MemberJoined,
    OperatorCreated,
    OperatorRevoked,
    fold_identity,
)
from toolreeve.fleet.rollout import EvidenceReported, RolloutChanged, RolloutStarted
from toolreeve.fleet.state import (
    ANSWERS_KEPT,
    HOLD_STEPS_KEPT,
    Answer,
    Enforcer,
    HoldAnswer,
    HoldStep,
    PublishAnswer,
    Refusal,
    ReleaseAnswer,
    Revision,
    RolloutAnswer,
    Running,
    State,
    WantedPolicy,
)
from toolreeve.policy import revision_of


class HistoryError(ValueError):
    """The log is not one that this code could have written."""

    def __init__(self, index: int, problem: str) -> None:
        super().__init__(f"commit {index}: {problem}")
        self.index = index
        self.problem = problem


def apply(state: State, commit: Commit, digest: bytes) -> State:
    """The state behind one more commit; `digest` is the sha256 of its serialised bytes.

    Raises HistoryError where the commit does not follow from `state`.
    """
    return replay(state, [(commit, digest)])


def replay(state: State, history: Iterable[tuple[Commit, bytes]]) -> State:
    """The state behind many commits, in one pass: equal to applying them one by one."""
    fold = _Fold(state)
    for commit, digest in history:
        fold.commit(commit, digest)
    return fold.state()


def answer_of(commit: Commit) -> Answer | None:
    """What whoever gave the command is told; None for what the fleet said about itself."""
    for event in reversed(commit.events):
        match event:
            case ManifestIssued():
                return PublishAnswer(
                    server=event.server,
                    policy=event.policy,
                    revision=event.revision,
                    manifest_sequence=event.manifest_sequence,
                )
            case HoldPlaced(hold=hold):
                return HoldAnswer(hold=hold)
            case HoldReleased(hold_id=hold_id):
                return ReleaseAnswer(hold_id=hold_id)
            case GrantCreated() | GrantRotated() | GrantRevoked():
                return GrantAnswer(event=event)
            case ApprovalVoted():
                return ApprovalAnswer(event=event)
            case RolloutStarted() | RolloutChanged():
                return RolloutAnswer(rollout_id=event.rollout_id)
            case _:
                continue
    return None


class _Fold:
    """A state under way: its own copies, changed in place, so that a long replay stays linear."""

    def __init__(self, state: State) -> None:
        self._index = state.index
        self._head = state.head
        self._at = state.at
        self._revisions = dict(state.revisions)
        self._wanted = dict(state.wanted)
        self._roster = dict(state.roster)
        self._holds = dict(state.holds)
        self._hold_sequence = state.hold_sequence
        self._hold_steps = list(state.hold_steps)
        self._answers = dict(state.answers)
        self._rollouts = state.rollouts
        self._identities = state.identities
        self._grants = GrantFold(state.grants)
        self._approvals = ApprovalFold(state.approvals)

    def state(self) -> State:
        return State(
            index=self._index,
            head=self._head,
            at=self._at,
            revisions=self._revisions,
            wanted=self._wanted,
            roster=self._roster,
            holds=self._holds,
            hold_sequence=self._hold_sequence,
            hold_steps=tuple(self._hold_steps[-HOLD_STEPS_KEPT:]),
            answers=self._answers,
            rollouts=self._rollouts,
            identities=self._identities,
            grants=self._grants.book(),
            approvals=self._approvals.book(),
        )

    def commit(self, commit: Commit, digest: bytes) -> None:
        if commit.index != self._index + 1:
            raise HistoryError(commit.index, f"expected commit {self._index + 1}")
        if commit.previous_hash != self._head:
            raise HistoryError(commit.index, "does not continue the hash chain")
        self._at = max(self._at, commit.at)
        for event in commit.events:
            self._event(event, commit)
        self._index, self._head = commit.index, digest
        answer = answer_of(commit)
        if answer is not None:
            self._answers[commit.command_id] = answer
            while len(self._answers) > ANSWERS_KEPT:
                del self._answers[next(iter(self._answers))]

    def _event(self, event: ControlEvent, commit: Commit) -> None:
        match event:
            case RevisionPublished():
                self._publish(event, commit)
            case ManifestIssued():
                self._want(event, commit)
            case EnforcerSeen():
                self._see(event, commit.at)
            case PolicyActivated():
                self._activate(event, commit.at)
            case PolicyNacked():
                self._refuse(event, commit.at)
                self._rollouts = rollout_fold.refuse(self._rollouts, event)
            case RolloutStarted() | RolloutChanged() | EvidenceReported():
                self._roll(event, commit)
            case HoldPlaced(hold=hold):
                self._holds[hold.hold_id] = hold
                self._step(HoldStep(sequence=0, placed=hold, actor=hold.actor, reason=hold.reason))
            case HoldReleased():
                self._holds.pop(event.hold_id, None)
                self._step(
                    HoldStep(
                        sequence=0,
                        released_id=event.hold_id,
                        actor=event.actor,
                        reason=event.reason,
                    )
                )
            case (
                GrantCreated()
                | GrantRotated()
                | GrantRevoked()
                | ApprovalRequested()
                | ApprovalJoined()
                | ApprovalVoted()
                | ApprovalExpired()
                | PermitClaimed()
            ):
                self._allow(event, commit)
            case (
                JoinTokenCreated()
                | MemberJoined()
                | MemberDenied()
                | OperatorCreated()
                | OperatorRevoked()
            ):
                self._identities = fold_identity(
                    self._identities,
                    event,
                    actor=commit.actor,
                    reason=commit.reason,
                    at=commit.at,
                )
            case _:
                assert_never(event)

    def _allow(self, event: GrantEvent | ApprovalEvent, commit: Commit) -> None:
        actor, reason, at = commit.actor, commit.reason, commit.at
        match event:
            case GrantCreated() | GrantRotated() | GrantRevoked():
                wrong = self._grants.event(event, actor=actor, reason=reason, at=at)
            case _:
                wrong = self._approvals.event(event, actor=actor, reason=reason, at=at)
        if wrong:
            raise HistoryError(commit.index, wrong)

    def _roll(
        self, event: RolloutStarted | RolloutChanged | EvidenceReported, commit: Commit
    ) -> None:
        if isinstance(event, RolloutStarted) and event.revision not in self._revisions:
            raise HistoryError(commit.index, f"{event.revision} was never published")
        try:
            self._rollouts = rollout_fold.fold(self._rollouts, event, commit, self._wanted)
        except rollout_fold.BrokenPromiseError as error:
            raise HistoryError(commit.index, str(error)) from error

    def _publish(self, event: RevisionPublished, commit: Commit) -> None:
        if revision_of(event.body) != event.revision:
            raise HistoryError(commit.index, f"the body is not that of {event.revision}")
        self._revisions[event.revision] = Revision(
            policy=event.policy,
            revision=event.revision,
            body=event.body,
            published_at=commit.at,
            actor=commit.actor,
        )

    def _want(self, event: ManifestIssued, commit: Commit) -> None:
        before = self._wanted.get(event.server)
        if before is not None and event.manifest_sequence <= before.manifest_sequence:
            raise HistoryError(
                commit.index,
                f"manifest {event.manifest_sequence} of {event.server} does not rise above"
                f" {before.manifest_sequence}",
            )
        if event.revision not in self._revisions:
            raise HistoryError(commit.index, f"{event.revision} was never published")
        self._wanted[event.server] = WantedPolicy(
            server=event.server,
            policy=event.policy,
            revision=event.revision,
            manifest_sequence=event.manifest_sequence,
            envelope=event.envelope,
            issued_at=commit.at,
            actor=commit.actor,
        )

    def _see(self, event: EnforcerSeen, at: Instant) -> None:
        before = self._enforcer(event.enforcer_id)
        self._roster[event.enforcer_id] = replace(
            before,
            host=event.host,
            software_version=event.software_version,
            servers=event.servers,
            labels=event.labels,
            running={name: one for name, one in before.running.items() if name in event.servers},
            refused={name: one for name, one in before.refused.items() if name in event.servers},
            seen_at=at,
        )

    def _activate(self, event: PolicyActivated, at: Instant) -> None:
        enforcer = self._enforcer(event.enforcer_id)
        running = Running(
            server=event.server, revision=event.revision, manifest_sequence=event.manifest_sequence
        )
        refused = {
            server: refusal
            for server, refusal in enforcer.refused.items()
            if server != event.server or refusal.manifest_sequence > event.manifest_sequence
        }
        self._roster[event.enforcer_id] = replace(
            enforcer,
            running={**enforcer.running, event.server: running},
            refused=refused,
            seen_at=at,
        )

    def _refuse(self, event: PolicyNacked, at: Instant) -> None:
        enforcer = self._enforcer(event.enforcer_id)
        refusal = Refusal(
            server=event.server,
            revision=event.revision,
            manifest_sequence=event.manifest_sequence,
            code=event.code,
            reason=event.reason,
        )
        self._roster[event.enforcer_id] = replace(
            enforcer, refused={**enforcer.refused, event.server: refusal}, seen_at=at
        )

    def _enforcer(self, enforcer_id: str) -> Enforcer:
        return self._roster.get(enforcer_id) or Enforcer(enforcer_id=enforcer_id)

    def _step(self, step: HoldStep) -> None:
        self._hold_sequence += 1
        self._hold_steps.append(replace(step, sequence=self._hold_sequence))
        if len(self._hold_steps) > 2 * HOLD_STEPS_KEPT:
            del self._hold_steps[:-HOLD_STEPS_KEPT]
