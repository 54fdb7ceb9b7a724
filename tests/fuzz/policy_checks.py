"""What must hold of any bytes that come as a policy, as another product's policy, or as calls.

Each check takes bytes, returns, and raises AssertionError where something is found; anything else
that it raises is a finding too.
"""

import importlib
import json
import zlib
from collections.abc import Mapping
from typing import Any

import msgspec
from tests.fuzz.judged import VALIDATOR, disagreement
from tests.fuzz.readers import same

from toolreeve.decision import (
    DAY,
    SECOND,
    Call,
    Code,
    Counters,
    Effect,
    Holds,
    Instant,
    NamelessCall,
    Verdict,
    compile_policy,
    decide,
    effective_tool,
)
from toolreeve.decision.compile import CompiledPolicy
from toolreeve.decision.explain import Asked, explain
from toolreeve.decision.open_counters import OpenCounters
from toolreeve.policy import Complaint, PolicyTextError, parse
from toolreeve.policy import text as texts
from toolreeve.policy.dialects import DIALECTS, import_policy
from toolreeve.policy.layout import LayoutError, tidy
from toolreeve.policy.pattern import Pattern, PatternError
from toolreeve.proxy.strictjson import Refused
from toolreeve.proxy.strictjson import parse as read_strictly

NOON = Instant(1_768_000_000 * SECOND)


def check_policy(data: bytes) -> None:
    """A policy's text is taken, alike by parser and schema, or every complaint has its place."""
    said = disagreement(data)
    assert not said, said
    try:
        policy = parse(data, source="p")
    except PolicyTextError as error:
        _placed(data, error.complaints)
        return
    assert parse(policy.canonical, source="p").revision == policy.revision
    compile_policy(policy)
    _same_as_yaml(data)
    try:
        written = tidy(data, source="p")
    except LayoutError:
        return
    assert parse(written, source="p").revision == policy.revision
    assert tidy(written, source="p") == written


def _placed(data: bytes, complaints: tuple[Complaint, ...]) -> None:
    """Every complaint points into the text, and says what is wrong and what to do."""
    assert complaints
    lines = data.decode("utf-8", "replace").count("\n") + data.count(b"\r") + 2
    lines += sum(data.count(sign.encode()) for sign in "\x85\u2028\u2029")
    for complaint in complaints:
        assert 1 <= complaint.line <= lines, complaint
        assert complaint.column >= 1, complaint
        assert complaint.pointer == "" or complaint.pointer.startswith("/"), complaint
        assert complaint.problem, complaint
        assert complaint.remedy, complaint
        assert "YAML" not in complaint.problem or not data.lstrip().startswith(b"{"), complaint


def _same_as_yaml(data: bytes) -> None:
    """JSON means the same when it is read as the YAML that it also is."""
    document = texts.read(data, "p")
    if not document.is_json:
        return
    try:
        again = texts.read(f"# YAML\n{document.text}", "p")
    except PolicyTextError:
        return  # YAML has no tabs between tokens, and keys end within 1,024 characters
    assert same(document.value, again.value), again.value


def check_dialect(data: bytes) -> None:
    """Another product's policy becomes a policy that both readers take, or is complained of."""
    for dialect in ("auto", DIALECTS[zlib.crc32(data) % len(DIALECTS)]):
        try:
            found = import_policy(data, "p", dialect)
        except PolicyTextError as error:
            _placed(data, error.complaints)
            continue
        compile_policy(parse(found.canonical_text, source="p"))
        assert VALIDATOR.is_valid(json.loads(found.canonical_text))
        for difference in found.differences:
            assert difference.line >= 1
            assert difference.what
            assert difference.why


class _Story(msgspec.Struct):
    """A policy and calls: tool, arguments, seconds after the one before, session."""

    policy: object
    calls: list[tuple[str, dict[str, object], int, str]]


_story = msgspec.json.Decoder(_Story)


def check_calls(data: bytes) -> None:
    """A story of calls: explained as decided, whatever the order of keys in the policy.

    The bytes are JSON: {"policy": {...}, "calls": [[tool, arguments, seconds, session], ...]}.
    """
    parsed = read_strictly(data)
    if isinstance(parsed, Refused):
        return
    try:
        story = _story.decode(parsed.raw)
        policy = compile_policy(parse(json.dumps(story.policy), source="p"))
    except (msgspec.ValidationError, PolicyTextError):
        return
    other = compile_policy(parse(json.dumps(_backwards(story.policy)), source="p"))
    asker = OpenCounters()
    sides = [(policy, Counters()), (other, Counters())]
    at = NOON
    for tool, arguments, seconds, session in story.calls[:50]:
        at = Instant(at + seconds * SECOND % (400 * DAY))
        asked = Asked(tool=tool, arguments=arguments, session=session)
        told = explain(policy, Holds(), asker, asked, at).verdict
        _sound(told)
        for compiled, counters in sides:
            verdict = _decided(compiled, counters, asked, at)
            assert verdict is None or verdict == told, (verdict, told)


def _decided(
    policy: CompiledPolicy, counters: Counters, asked: Asked, at: Instant
) -> Verdict | None:
    """What `decide` says; None where the call names no operation."""
    found = effective_tool(policy.dispatch_of(asked.tool), asked.tool, asked.arguments)
    if isinstance(found, NamelessCall):
        return None
    call = Call(
        server=asked.server,
        grant=asked.grant,
        session=asked.session,
        tool=found.name,
        arguments=found.arguments,
    )
    return decide(policy, Holds(), counters, call, at)


def _sound(verdict: Verdict) -> None:
    """A refusal says why and where; what is let through was allowed or is not enforced."""
    if verdict.code is Code.ALLOWED:
        assert verdict.effect is Effect.ALLOW
        return
    assert verdict.reason or verdict.code is Code.HIDDEN
    assert verdict.reservations == ()
    assert verdict.retry_after_ms is None or verdict.retry_after_ms > 0
    assert (verdict.code is Code.LIMITED) or verdict.retry_after_ms is None


def _backwards(value: Any) -> Any:
    """The same document, every object's keys in the other order."""
    if isinstance(value, Mapping):
        return {key: _backwards(value[key]) for key in reversed(list(value))}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, list):
        return [_backwards(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return value


# Short texts, for which many patterns differ.
_SIGNS = [chr(code) * times for code in range(128) for times in (1, 2)]


def check_pattern(data: bytes) -> None:
    """A pattern matches what RE2 says it matches, and is one where RE2 says so.

    The first line is the pattern, the rest is the text.
    """
    pattern, _, text = data.decode("utf-8", "replace").partition("\n")
    re2: Any = importlib.import_module("re2")
    options = re2.Options()
    options.log_errors = False
    try:
        expression = re2.compile(pattern, options)
    except re2.error:
        expression = None
    try:
        ours = Pattern(pattern)
    except PatternError:
        assert expression is None, "RE2 takes it"
        return
    assert expression is not None, "RE2 refuses it"
    for one in (text, f"{text}\n", text * 3, "", *_SIGNS, *(f"{text}{sign}" for sign in _SIGNS)):
        assert ours.matches(one) == (expression.fullmatch(one) is not None), one
