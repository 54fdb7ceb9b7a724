"""Approvals, step by step: who may say what, and what a permit is good for."""

from hashlib import sha256

import pytest
from msgspec.structs import replace
from tests.unit.fleet.questions import PLAIN, SECOND, asked, bound_to, claimed, said, step

from toolreeve.decision import Hold, Instant
from toolreeve.decision.approval import ApprovalState, binding_of
from toolreeve.fleet import (
    Command,
    CommandError,
    CommandReusedError,
    Commit,
    HistoryError,
    NotFoundError,
    State,
    Unchanged,
    WrongStateError,
    apply,
    place_hold,
)
from toolreeve.fleet import approvals as book
from toolreeve.fleet.approval_commands import (
    PENDING_PER_GRANT_MAX,
    ask_approval,
    asked_for,
    expire_approval,
    vote,
)
from toolreeve.fleet.approvals import ApprovalEvent, PermitClaimed
from toolreeve.fleet.commands import next_commit


def test_a_binding_differs_with_everything_that_it_binds() -> None:
    bound = {
        "server": "vm",
        "grant": "night",
        "tool": "vm_delete",
        "wire_tool": "vm",
        "arguments": {"id": 7},
        "revision": "sha256:1",
    }
    others: dict[str, object] = {**dict.fromkeys(bound, "other"), "arguments": {"id": "7"}}
    one = binding_of(**bound)  # type: ignore[arg-type]
    assert len(one) == 32
    assert one == binding_of(**bound)  # type: ignore[arg-type]
    for key, other in others.items():
        assert binding_of(**{**bound, key: other}) != one, key  # type: ignore[arg-type]


def test_equal_questions_that_are_pending_are_one_at_all_enforcers() -> None:
    state, approval = asked()
    again = ask_approval(state, enforcer="e1", ask_id="2", question=PLAIN, at=Instant(6 * SECOND))
    assert isinstance(again, Unchanged)
    state = step(
        state,
        ask_approval(state, enforcer="e2", ask_id="1", question=PLAIN, at=Instant(6 * SECOND)),
    )
    (joined,) = state.approvals.by_id.values()
    assert joined == replace(approval, enforcers=("e1", "e2"))
    found = asked_for(
        state, enforcer="e2", ask_id="1", binding=PLAIN.binding, at=Instant(6 * SECOND)
    )
    assert found == joined


def test_an_approved_call_may_be_made_once_and_by_one_enforcer() -> None:
    state, approval = asked()
    with pytest.raises(WrongStateError, match="is pending"):
        claimed(state, approval)
    state = step(state, said(state, approval))
    state = step(state, claimed(state, approval))
    assert isinstance(claimed(state, approval), Unchanged)  # the same claim has it already
    for claim_id, enforcer in (("c2", "e1"), ("c1", "e2")):
        with pytest.raises(WrongStateError, match="is used"):
            claimed(state, approval, claim_id, enforcer=enforcer)
    once_more = ask_approval(
        state, enforcer="e1", ask_id="2", question=PLAIN, at=Instant(8 * SECOND)
    )
    assert len(step(state, once_more).approvals.by_id) == 2


def test_a_permit_is_good_for_what_it_is_bound_to_and_for_nothing_else() -> None:
    state, approval = asked()
    state = step(state, said(state, approval))
    with pytest.raises(NotFoundError):
        claimed(state, approval, binding=sha256(b"other arguments").digest())


def test_nobody_approves_what_they_have_asked_for_themselves() -> None:
    state, approval = asked()
    for requester in ("night", "robot"):
        with pytest.raises(CommandError, match="let somebody else approve it"):
            said(state, approval, actor=requester)
    assert isinstance(said(state, approval, actor="robot", approved=False), Commit)


def test_only_those_whom_the_policy_names_approve_and_everybody_may_deny() -> None:
    state, approval = asked(bound_to(1, approvers=("ann", "bob")))
    with pytest.raises(CommandError, match="none of those who may approve it: ann, bob"):
        said(state, approval, actor="eve")
    assert isinstance(said(state, approval, actor="bob"), Commit)
    assert isinstance(said(state, approval, actor="eve", approved=False), Commit)


def test_as_many_persons_as_are_needed_must_approve_and_one_denial_is_enough() -> None:
    state, approval = asked(bound_to(1, votes_needed=2))
    state = step(state, said(state, approval))
    assert state.approvals.by_id[approval.approval_id].state is ApprovalState.PENDING
    with pytest.raises(WrongStateError, match="has approved it already"):
        vote(
            state,
            Command(command_id="another", actor="ann"),
            approval_id=approval.approval_id,
            approved=True,
            at=Instant(6 * SECOND),
        )
    denied = step(state, said(state, approval, actor="bob", approved=False))
    assert denied.approvals.by_id[approval.approval_id].state is ApprovalState.DENIED
    state = step(state, said(state, approval, actor="bob"))
    assert state.approvals.by_id[approval.approval_id].state is ApprovalState.APPROVED


def test_a_denial_stands_as_long_as_the_question_would_have() -> None:
    state, approval = asked()
    state = step(state, said(state, approval, approved=False))
    for at, expected in ((64, Unchanged), (65, Commit)):
        again = ask_approval(
            state, enforcer="e1", ask_id="2", question=PLAIN, at=Instant(at * SECOND)
        )
        assert isinstance(again, expected), at


def test_a_denial_takes_back_a_permit_that_is_not_used() -> None:
    state, approval = asked()
    state = step(state, said(state, approval))
    state = step(state, said(state, approval, actor="bob", approved=False))
    with pytest.raises(WrongStateError, match="is denied"):
        claimed(state, approval)


def test_time_ends_what_is_not_decided_and_what_is_not_used() -> None:
    state, approval = asked()
    with pytest.raises(WrongStateError, match="is expired"):
        said(state, approval, at=65 * SECOND)
    assert isinstance(said(state, approval, at=65 * SECOND - 1), Commit)
    state = step(state, said(state, approval, at=64 * SECOND))  # the permit lives 60 s from there
    with pytest.raises(WrongStateError, match="is expired"):
        claimed(state, approval, at=124 * SECOND)
    early = expire_approval(state, approval_id=approval.approval_id, at=Instant(124 * SECOND - 1))
    assert isinstance(early, Unchanged)
    over = step(
        state, expire_approval(state, approval_id=approval.approval_id, at=Instant(124 * SECOND))
    )
    assert over.approvals.by_id[approval.approval_id].state is ApprovalState.EXPIRED
    again = expire_approval(over, approval_id=approval.approval_id, at=Instant(200 * SECOND))
    assert isinstance(again, Unchanged)


@pytest.mark.parametrize(
    ("hold", "stops"),
    [
        (Hold(hold_id="h", fleet=True, actor="", reason=""), True),
        (Hold(hold_id="h", tool="vm_delete", actor="", reason=""), True),
        (Hold(hold_id="h", tool="vm_start", actor="", reason=""), False),
        (
            Hold(
                hold_id="h",
                argument_pointer="/id",
                argument_value_json="7",
                actor="",
                reason="",
            ),
            True,
        ),
    ],
)
def test_a_hold_that_stands_in_the_log_first_keeps_the_permit_from_being_used(
    hold: Hold, stops: bool
) -> None:
    state, approval = asked()
    state = step(state, said(state, approval))
    placed = place_hold(
        state,
        Command(command_id="hold", actor="ann", reason="why"),
        hold=hold,
        at=Instant(6 * SECOND),
    )
    state = step(state, placed)
    if stops:
        with pytest.raises(WrongStateError, match="stops the call"):
            claimed(state, approval)
    else:
        assert isinstance(claimed(state, approval), Commit)


def test_the_same_command_again_changes_nothing_and_another_under_its_id_is_refused() -> None:
    state, approval = asked()
    state = step(state, said(state, approval))
    again = said(state, approval)
    assert isinstance(again, Unchanged)
    assert again.repeated
    with pytest.raises(CommandReusedError):
        vote(
            state,
            Command(command_id="vote ann True", actor="ann", reason="why"),
            approval_id=approval.approval_id,
            approved=False,
            at=Instant(7 * SECOND),
        )


def test_who_asks_and_asks_does_not_bury_the_questions_of_others() -> None:
    state = State()
    for number in range(PENDING_PER_GRANT_MAX):
        question = bound_to(number)
        state = step(
            state,
            ask_approval(
                state, enforcer="e1", ask_id=str(number), question=question, at=Instant(5)
            ),
        )
    with pytest.raises(WrongStateError, match="too many approvals"):
        ask_approval(state, enforcer="e1", ask_id="x", question=bound_to(-1), at=Instant(6))
    other = bound_to(-1, grant="day")
    assert isinstance(
        ask_approval(state, enforcer="e1", ask_id="x", question=other, at=Instant(6)), Commit
    )


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ({"binding": b"short"}, "bound to nothing"),
        ({"timeout_ns": 0}, "nobody could answer"),
        ({"votes_needed": 0}, "votes cannot be asked for"),
        ({"votes_needed": 17}, "votes cannot be asked for"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_a_reason(
    members: dict[str, object], problem: str
) -> None:
    with pytest.raises(CommandError, match=problem):
        asked(replace(PLAIN, **members))


def test_a_denial_needs_a_reason_and_what_nobody_asked_is_not_decided() -> None:
    state, approval = asked()
    with pytest.raises(CommandError, match="the reason is missing"):
        vote(
            state,
            Command(command_id="c", actor="ann"),
            approval_id=approval.approval_id,
            approved=False,
            at=Instant(6),
        )
    with pytest.raises(NotFoundError):
        vote(
            state,
            Command(command_id="c", actor="ann"),
            approval_id="appr-0",
            approved=True,
            at=Instant(6),
        )


@pytest.mark.parametrize(
    "event",
    [
        PermitClaimed(approval_id="appr-0", enforcer="e1", claim_id="c"),
        book.ApprovalVoted(approval_id="", approved=True),
        PermitClaimed(approval_id="", enforcer="e1", claim_id="c"),
        book.ApprovalVoted(approval_id="", approved=True, permit_until=None),
    ],
)
def test_a_log_that_gives_permits_away_is_not_folded(event: ApprovalEvent) -> None:
    state, approval = asked()
    if not event.approval_id:
        event = replace(event, approval_id=approval.approval_id)
    commit = next_commit(state, Command(command_id="x", actor="x"), (event,), Instant(6 * SECOND))
    with pytest.raises(HistoryError):
        apply(state, commit, bytes(32))


def test_what_is_over_is_forgotten_but_for_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book, "CLOSED_KEPT", 2)
    state = State()
    for number in range(5):
        at = Instant((number + 1) * 100 * SECOND)
        question = bound_to(number)
        asks = ask_approval(state, enforcer="e", ask_id=str(number), question=question, at=at)
        state = step(state, asks)
        (approval_id,) = state.approvals.under_way
        state = step(
            state,
            expire_approval(state, approval_id=approval_id, at=Instant(at + 61 * SECOND)),
        )
    assert len(state.approvals.by_id) == len(state.approvals.latest) == 2
