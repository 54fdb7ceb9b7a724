"""Approvals over random histories: no permit is used twice, whoever asks, votes and claims."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace
from tests.unit.fleet.questions import SECOND, bound_to, claimed, step

from toolreeve.decision import Hold, Instant
from toolreeve.decision.approval import ApprovalState
from toolreeve.fleet import Command, CommandError, Commit, State, Unchanged
from toolreeve.fleet import approvals as book
from toolreeve.fleet.approval_commands import ask_approval, expire_approval, vote


class ApprovalHistories(RuleBasedStateMachine):
    """Two enforcers ask and claim, people vote, holds come and go, and time goes on.

    The model counts by itself what each permit was used for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.state = State()
        self.now = 1_000 * SECOND
        self.count = 0
        self.used: dict[str, list[tuple[str, str]]] = {}
        self.approved_at: dict[str, tuple[int, int]] = {}  # when, and how long it is good
        self.denied: set[str] = set()
        self.held = False

    def submit(self, outcome: Commit | Unchanged) -> bool:
        if isinstance(outcome, Unchanged):
            return False
        self.state = step(self.state, outcome)
        return True

    @rule(
        number=st.sampled_from([1, 2]),
        enforcer=st.sampled_from(["e1", "e2"]),
        needed=st.sampled_from([1, 2]),
    )
    def ask(self, number: int, enforcer: str, needed: int) -> None:
        self.count += 1
        question = bound_to(10 * number + needed, votes_needed=needed)
        self.submit(
            ask_approval(
                self.state,
                enforcer=enforcer,
                ask_id=str(self.count),
                question=question,
                at=Instant(self.now),
            )
        )

    @precondition(lambda self: self.state.approvals.by_id)
    @rule(data=st.data(), actor=st.sampled_from(["ann", "bob", "robot"]), approved=st.booleans())
    def decide(self, data: st.DataObject, actor: str, approved: bool) -> None:
        approval_id = data.draw(st.sampled_from(sorted(self.state.approvals.by_id)))
        self.count += 1
        command = Command(command_id=f"v{self.count}", actor=actor, reason="why")
        try:
            outcome = vote(
                self.state,
                command,
                approval_id=approval_id,
                approved=approved,
                at=Instant(self.now),
            )
        except CommandError:
            return
        self.submit(outcome)
        assert not (approved and actor == "robot")
        after = self.state.approvals.by_id[approval_id]
        if not approved:
            self.denied.add(approval_id)
        elif after.state is ApprovalState.APPROVED:
            assert len({one.actor for one in after.votes}) >= after.question.votes_needed
            self.approved_at[approval_id] = (self.now, after.question.timeout_ns)

    @precondition(lambda self: self.state.approvals.by_id)
    @rule(data=st.data(), enforcer=st.sampled_from(["e1", "e2"]), claim=st.sampled_from("abc"))
    def claim(self, data: st.DataObject, enforcer: str, claim: str) -> None:
        approval_id = data.draw(st.sampled_from(sorted(self.state.approvals.by_id)))
        approval = self.state.approvals.by_id[approval_id]
        try:
            outcome = claimed(self.state, approval, claim, enforcer=enforcer, at=self.now)
        except CommandError:
            return
        fresh = self.submit(outcome)
        uses = self.used.setdefault(approval_id, [])
        if fresh:
            assert not self.held
            assert approval_id not in self.denied
            given, lives = self.approved_at[approval_id]
            assert self.now < given + lives
            uses.append((enforcer, claim))
        else:
            assert uses == [(enforcer, claim)]

    @rule(held=st.booleans())
    def hold(self, held: bool) -> None:
        self.state = replace(
            self.state,
            holds={"h": Hold(hold_id="h", fleet=True, actor="", reason="")} if held else {},
        )
        self.held = held

    @rule(seconds=st.sampled_from([0, 1, 59, 60, 61]))
    def wait(self, seconds: int) -> None:
        self.now += seconds * SECOND

    @rule()
    def tick(self) -> None:
        for approval_id in tuple(self.state.approvals.under_way):
            self.submit(expire_approval(self.state, approval_id=approval_id, at=Instant(self.now)))

    @invariant()
    def no_permit_is_used_twice(self) -> None:
        assert all(len(uses) <= 1 for uses in self.used.values())

    @invariant()
    def what_is_under_way_is_what_is_not_over(self) -> None:
        approvals = self.state.approvals
        under_way = {key for key, one in approvals.by_id.items() if one.state not in book.OVER}
        assert under_way == set(approvals.under_way)
        assert set(approvals.closed) == set(approvals.by_id) - under_way

    @invariant()
    def of_each_question_one_approval_at_most_is_open(self) -> None:
        open_now = [
            one.question.binding
            for one in self.state.approvals.by_id.values()
            if one.state_at(Instant(self.now)) in {ApprovalState.PENDING, ApprovalState.APPROVED}
        ]
        assert len(open_now) == len(set(open_now))


ApprovalHistories.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None
)
TestApprovalHistories = ApprovalHistories.TestCase
