"""What is fuzzed: for each target its check, its seeds and the words that its inputs are made of.

`tests/fixtures/fuzz/<target>/` keeps what fuzzing has found worth keeping: one input for each
thing that the code does, and every input that was once a finding (its name says what of).
"""

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from tests.fuzz import policy_checks, proxy_checks
from tests.fuzz.messages import FIXTURES, PIECES, named_cases

from toolreeve.policy import keys

DOCUMENTS = FIXTURES.parent / "documents"

WORDS: list[str] = sorted(
    {
        *keys.POLICY_KEYS,
        *keys.RULE_KEYS,
        *keys.CLAUSE_KEYS,
        *keys.CONDITION_KEYS,
        *keys.LIMIT_KEYS,
        *keys.APPROVAL_KEYS,
        *keys.DISPATCH_KEYS,
        *keys.MODES,
        *keys.PINNINGS,
        *keys.ACTIONS,
        *keys.SCOPES,
        *keys.ALIGNS,
        *keys.REFUNDS,
        *keys.OPS,
        *keys.WINDOWS,
        *("class:read", "class:none", "args.a", "args.a[*].b", "/id", "/~1", "id", "10m", "99d"),
        *("1", "", "a\n", "\u00e9", "*", "vm_*", "vm_restart", "$ref", "#", "type", "string"),
        *("(a+)+$", "[", "5/hour", "rules", "rate_limit", "state", "counter", "increment_from"),
        *("on_deny", "evaluate", "state.a.c", "[*]", "args.a[0]", "properties", "integer", "~0"),
    }
)
ODD: list[Any] = [
    *(None, True, False, 0, 1, -1, 0.5, 60.0, 100_001, 2**53 + 1, 10**13, 1e300),
    *("7", "x" * 300, [], {}, [[]], [1], {"id": 1}),
]

_PATTERN_WORDS = [
    *("^", "$", r"\A", r"\z", r"\Z", "(", ")", "(?:", "(?i)", "(?s:", "|", "[", "[^", "]"),
    *("(?P<a>", "*", "+", "?", "*?", "{2}", "{0,3}", "{3,}", "{2,1}", "{1001}", "{,2}", ".", "-"),
    *(r"\d", r"\D", r"\w", r"\s", r"\S", r"\b", r"\n", r"\x41", r"\pL", r"\Q", r"\E", r"\\", r"\."),
    *(r"\-", r"\]", "[[:alpha:]]", "[z-a]", "\n", "a", "ab", "A", "é", "0", "_", " ", "/", "\x7f"),
]
_YAML_WORDS = ["- ", ": ", "? ", "|\n", ">-\n", "&a ", "*a", "<<: ", "!!str ", "---\n", "#", "\t"]
_HEADER_WORDS = ["=?base64?", "?=", "YQ==", "YR==", "4oKs", "=?BASE64?", "\x7f", "\u20ac"]
_EVENT_WORDS = ["data", "data:", "data: {}", "id:", "event: message", "retry: 1", "\ufeff", ": c"]
_LINE_ENDS = ["\n\n", "\r\n\r\n", "\r\r", "\n\r", "\r\n", "\n", "\r", "\u2028", "\u2029", "\x85"]


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is fuzzed.

    Where it is `structured`, inputs that are JSON are damaged as values too, with `odd` ones.
    """

    name: str
    check: Callable[[bytes], None]
    words: Sequence[str]
    seeds: Callable[[], Iterator[bytes]]
    structured: bool = False
    odd: Sequence[Any] = ()

    @property
    def kept(self) -> Path:
        """The folder of its corpus."""
        return FIXTURES / self.name


def _documents() -> Iterator[Any]:
    for name in ("good", "bad"):
        for line in (DOCUMENTS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines():
            case = json.loads(line)
            if len(line) < 2_000 and "document" in case:
                yield case["document"]


def _policies() -> Iterator[bytes]:
    for document in _documents():
        yield json.dumps(document).encode()


def _stories() -> Iterator[bytes]:
    calls: list[Any] = [
        ["vm_restart", {"id": 7}, 0, "s"],
        ["vm_restart", {"id": "7", "force": True, "n": 2**53 + 1}, 1, "s"],
        ["meta", {"id": "vm_stop", "force": {}}, 59, "t"],
        ["other", {}, 1, "s"],
    ]
    for document in _documents():
        yield json.dumps({"policy": document, "calls": calls}).encode()


def _dialects() -> Iterator[bytes]:
    yield b"version: '1'\ntools:\n  a:\n    rules:\n    - rate_limit: 5/hour\n      on_deny: n\n"
    rule = {"name": "n", "conditions": [{"path": "args.a", "op": "lte", "value": 5}]}
    state = {"counter": "c", "window": "day", "increment_from": "args.n"}
    bound = {"path": "state.a.c", "op": "lte", "value": 9}
    both = {"conditions": [bound], "state": state}
    yield json.dumps({"version": "1", "tools": {"a": {"rules": [rule, both]}}}).encode()
    faq = {"tool": "a", "action": "deny", "rate_limit": {"max": 1, "window": 60}, "reason": "r"}
    yield json.dumps({"rules": [faq]}).encode()
    yield json.dumps(
        {"rules": {"a": [faq | {"rate_limit": "5/hour"}]}, "default": "allow"}
    ).encode()
    yield from itertools.islice(_policies(), 20)


def _messages() -> Iterator[bytes]:
    for case in named_cases():
        if len(case["raw"]) < 2_000:
            yield case["raw"]


def _events() -> Iterator[bytes]:
    yield b": hello\r\n\r\nid: 1\r\ndata:\r\n\r\nevent: message\r\nid: 2\r\ndata: {}\r\n\r\n"
    yield b'data:{"b":\ndata: 2}\n\nretry: 500\r\rdata: last\n\r\n'
    yield b"\xef\xbb\xbfdata: {}\n\n"


def _patterns() -> Iterator[bytes]:
    yield from (b"[a-z][a-z0-9-]{0,30}\nvm-1", b"/srv/data/.*\n/srv/data/a", b"(a|b)?c+$\nacc")
    yield from (b"^\\d{3}-\\w+\\.[^/]*\n123-a.b", b"(?i)prod\nPROD", b"a{2,}b?\naaab", b"[]a]\n]")


def _headers() -> Iterator[bytes]:
    yield from (b"vm_restart", b"=?base64?dm1fcmVzdGFydA==?=", b"=?base64?YR==?=", b"=?base64??=")


_JSON_WORDS: list[str] = [
    word for kind in ("keys", "odd_keys", "methods", "numbers", "strings") for word in PIECES[kind]
]

TARGETS = {
    target.name: target
    for target in (
        Target(
            name="policy",
            check=policy_checks.check_policy,
            words=[*WORDS, *_YAML_WORDS],
            seeds=_policies,
            structured=True,
            odd=ODD,
        ),
        Target(
            name="dialect",
            check=policy_checks.check_dialect,
            words=[*WORDS, *_YAML_WORDS],
            seeds=_dialects,
            structured=True,
            odd=ODD,
        ),
        Target(
            name="calls",
            check=policy_checks.check_calls,
            words=WORDS,
            seeds=_stories,
            structured=True,
            odd=ODD,
        ),
        Target(
            name="pattern",
            check=policy_checks.check_pattern,
            words=_PATTERN_WORDS,
            seeds=_patterns,
        ),
        Target(
            name="message",
            check=proxy_checks.check_message,
            words=_JSON_WORDS,
            seeds=_messages,
            structured=True,
            odd=ODD,
        ),
        Target(
            name="events",
            check=proxy_checks.check_events,
            words=[*_EVENT_WORDS, *_LINE_ENDS],
            seeds=_events,
        ),
        Target(
            name="lines",
            check=proxy_checks.check_lines,
            words=[*_JSON_WORDS, *_LINE_ENDS],
            seeds=_messages,
        ),
        Target(
            name="header",
            check=proxy_checks.check_header,
            words=_HEADER_WORDS,
            seeds=_headers,
        ),
    )
}
