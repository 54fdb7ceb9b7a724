"""What enforcers ask and claim, and what they are told, on its way."""

import pytest
from msgspec.structs import replace

from toolreeve.decision import Instant
from toolreeve.decision.approval import (
    ApprovalAsk,
    ApprovalNews,
    ApprovalQuestion,
    ApprovalState,
    PermitAnswer,
    PermitClaim,
)
from toolreeve.v1 import approval_pb2, fleet_pb2
from toolreeve.wire import WireError
from toolreeve.wire.fleet import read_down, read_up, write_down, write_up

QUESTION = ApprovalQuestion(
    binding=bytes(range(32)),
    server="vm",
    grant="night",
    agent="robot",
    tool="vm_delete",
    wire_tool="vm",
    policy_revision="sha256:1",
    rule="/tools/vm_delete",
    reason="Gone is gone.",
    argument_names=("id", "name"),
    kept=(("/id", "7"),),
    approvers=("ann",),
    votes_needed=2,
    timeout_ns=90 * 10**9,
)


@pytest.mark.parametrize(
    "message",
    [
        ApprovalAsk(ask_id="1", question=QUESTION),
        ApprovalAsk(ask_id="1", question=QUESTION, approval_id="appr-1"),
        PermitClaim(claim_id="1", approval_id="appr-1", binding=bytes(32)),
    ],
)
def test_what_an_enforcer_asks_is_read_as_it_was_meant(message: ApprovalAsk | PermitClaim) -> None:
    assert read_up(write_up(message)) == message


@pytest.mark.parametrize(
    "message",
    [
        *(ApprovalNews(approval_id="appr-1", state=state) for state in ApprovalState),
        ApprovalNews(
            approval_id="appr-1",
            state=ApprovalState.DENIED,
            actor="ann",
            reason="no",
            until=Instant(7),
            ask_id="1",
            refused="too many",
        ),
        PermitAnswer(claim_id="1", granted=True),
        PermitAnswer(claim_id="1", granted=False, reason="used"),
    ],
)
def test_what_an_enforcer_is_told_is_read_as_it_was_meant(
    message: ApprovalNews | PermitAnswer,
) -> None:
    assert read_down(write_down(message)) == message


@pytest.mark.parametrize(
    "bad",
    [
        replace(QUESTION, binding=b"short"),
        replace(QUESTION, argument_names=("x",) * 65),
        replace(QUESTION, kept=(("/x", "1"),) * 65),
        replace(QUESTION, approvers=("x",) * 101),
        replace(QUESTION, tool="x" * 1_025),
    ],
)
def test_a_question_that_is_no_question_is_refused(bad: ApprovalQuestion) -> None:
    with pytest.raises(WireError):
        read_up(write_up(ApprovalAsk(ask_id="1", question=bad)))


@pytest.mark.parametrize("bad", ["", "x" * 129, "a\nb"])
def test_an_id_that_is_none_is_refused(bad: str) -> None:
    with pytest.raises(WireError, match="an id that"):
        read_up(write_up(PermitClaim(claim_id=bad, approval_id="a", binding=b"")))


def test_news_of_a_state_that_is_not_known_are_refused_and_one_vote_is_the_least() -> None:
    with pytest.raises(WireError, match="state 0"):
        read_down(
            fleet_pb2.SubscribeResponse(approval=fleet_pb2.ApprovalNews()).SerializeToString()
        )
    ask = fleet_pb2.ApprovalAsk(
        ask_id="1", question=approval_pb2.ApprovalQuestion(binding=bytes(32))
    )
    read = read_up(fleet_pb2.SubscribeRequest(approval_ask=ask).SerializeToString())
    assert isinstance(read, ApprovalAsk)
    assert read.question.votes_needed == 1
