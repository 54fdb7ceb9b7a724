"""What an agent reads when its call is refused.

A refusal is a tool result, not a protocol error: models read results and mend their ways. Text
first, machine data in `_meta`; never in `structuredContent`, which would break the tool's output
schema.
"""

from toolreeve.decision import Verdict
from toolreeve.enforcement.actions import Answer

META_KEY = "io.toolreeve/decision"
STATELESS_SINCE = "2026-07-28"
NOT_RECORDED = "not_recorded"


def refusal(answer: Answer, *, decision_id: str, protocol_version: str) -> dict[str, object]:
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
    return _result([_text(_sentence(verdict))], {META_KEY: data}, protocol_version)


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
