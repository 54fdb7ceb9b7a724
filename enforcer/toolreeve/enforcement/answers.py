"""What an agent reads when its call is refused.

A refusal is a tool result, not a protocol error: models read results and mend their ways. Text
first, machine data in `_meta`; never in `structuredContent`, which would break the tool's output
schema.
"""

from msgspec import Struct

from toolreeve.decision import Verdict
from toolreeve.decision.approval import ApprovalState
from toolreeve.enforcement.actions import Answer

META_KEY = "io.toolreeve/decision"
STATELESS_SINCE = "2026-07-28"
NOT_RECORDED = "not_recorded"
ASK_AGAIN_MS = 2_000
"""A call that waits for a person is held when it comes; between two it need not be long."""


class Asking(Struct, frozen=True, kw_only=True):
    """How it stands with the approval that a call needs. `state` None: nobody could be asked.

    `reason` is what the person said, or why nobody was asked.
    """

    approval_id: str = ""
    state: ApprovalState | None = None
    reason: str = ""
    expires_in_ms: int = 0

    @property
    def helps_to_wait(self) -> bool:
        """Whether the same call may get through later."""
        return self.state is not ApprovalState.DENIED


def refusal(
    answer: Answer, *, decision_id: str, protocol_version: str, asking: Asking | None = None
) -> dict[str, object]:
    """The `tools/call` result that says no. A decision that was only counted has no id."""
    verdict = answer.verdict
    if verdict is None:
        return _result([_text(f"Unknown tool: {answer.tool}")], {}, protocol_version)
    data: dict[str, object] = {
        "code": verdict.code.value,
        "rule": verdict.rule,
        "revision": answer.policy_revision,
        "retryable": verdict.retry_after_ms is not None,
    }
    if decision_id:
        data["id"] = decision_id
    if verdict.retry_after_ms is not None:
        data["retry_after_ms"] = verdict.retry_after_ms
    text = _sentence(verdict)
    if asking is not None:
        data |= _asking_data(asking)
        text = _asking_sentence(verdict, asking)
    return _result([_text(text)], {META_KEY: data}, protocol_version)


def _asking_data(asking: Asking) -> dict[str, object]:
    state = "not_asked" if asking.state is None else asking.state.value
    approval: dict[str, object] = {"state": state}
    if asking.approval_id:
        approval["id"] = asking.approval_id
    if asking.expires_in_ms > 0:
        approval["expires_in_ms"] = asking.expires_in_ms
    data: dict[str, object] = {"approval": approval, "retryable": asking.helps_to_wait}
    if asking.helps_to_wait:
        data["retry_after_ms"] = ASK_AGAIN_MS
    return data


def _asking_sentence(verdict: Verdict, asking: Asking) -> str:
    again = "Call again with the same arguments to"
    why = f" {asking.reason}" if asking.reason else ""
    if why and not why.endswith((".", "!", "?")):
        why += "."
    match asking.state:
        case ApprovalState.PENDING:
            return (
                f"[APPROVAL PENDING] {verdict.reason} A person was asked"
                f" ({asking.approval_id}). {again} go on waiting."
            )
        case ApprovalState.APPROVED:
            return f"[APPROVAL PENDING] {asking.approval_id} is approved. {again} use it."
        case ApprovalState.DENIED:
            return f"[APPROVAL DENIED] A person has denied this call ({asking.approval_id}).{why}"
        case ApprovalState.EXPIRED:
            return f"[APPROVAL EXPIRED] Nobody decided in time ({asking.approval_id}). {again} ask."
        case ApprovalState.USED:
            return (
                f"[APPROVAL USED] {asking.approval_id} was good for one call, which was made."
                f" {again} ask for another."
            )
        case None:
            return f"[APPROVAL PENDING] {verdict.reason} Nobody was asked.{why} {again} ask."


def warning_text(verdict: Verdict) -> str:
    """What an agent reads beside its answer while a policy only warns."""
    return f"[POLICY WARNING] This call would be refused: {verdict.reason or verdict.code.value}"


def unrecorded_refusal(*, protocol_version: str) -> dict[str, object]:
    """The result when the decision could not be written down: without a record, no call."""
    reason = "[POLICY DENIED] The call could not be recorded, so it was not made. Try again later."
    data = {"code": NOT_RECORDED, "retryable": True}
    return _result([_text(reason)], {META_KEY: data}, protocol_version)


def _sentence(verdict: Verdict) -> str:
    text = f"[POLICY DENIED] {verdict.reason}"
    if verdict.retry_after_ms is None:
        return text
    if not text.endswith((".", "!", "?")):
        text += "."
    return f"{text} Try again in {-(-verdict.retry_after_ms // 1000)} s."


def _text(text: str) -> dict[str, object]:
    return {"type": "text", "text": text}


def _result(
    content: list[dict[str, object]], meta: dict[str, object], protocol_version: str
) -> dict[str, object]:
    result: dict[str, object] = {"content": content, "isError": True}
    if meta:
        result["_meta"] = meta
    if protocol_version >= STATELESS_SINCE:
        result["resultType"] = "complete"
    return result
