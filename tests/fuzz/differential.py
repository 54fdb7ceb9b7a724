"""The same bytes to our strict parser and to everybody else's: what we take has one meaning.

    python -m tests.fuzz.differential --messages 1000000 --seed 1

For every input that our parser takes, each other reader must make the same value of the input and
of the bytes that are sent on; and every program in `envelopes` must see the same method, tool,
arguments and id as the enforcer that decided. Prints each finding and the counts; exits with 1
where there was a finding.
"""

import argparse
import contextlib
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import msgspec
from tests.fuzz.envelopes import TOOLS_CALL, VIEWS, View
from tests.fuzz.messages import Messages, named_cases
from tests.fuzz.readers import EXACT_IN_A_DOUBLE, Node, Reader, find_node, in_process, same

from toolreeve.proxy.message import Message, NotAMessage, read
from toolreeve.proxy.strictjson import Parsed, Refused, parse

BATCH = 2_000
FINDINGS_SHOWN_MAX = 50

_encode = msgspec.json.Encoder().encode


class Finding(msgspec.Struct, frozen=True):
    """An input with a second meaning, and who reads it so."""

    reader: str
    raw: bytes
    detail: str


class Tally(msgspec.Struct):
    """What was seen. `refused` counts codes; `rounded` are texts that Node reads rounded."""

    texts: int = 0
    taken: int = 0
    rewritten: int = 0
    messages: int = 0
    calls: int = 0
    rounded: int = 0
    refused: Counter[str] = msgspec.field(default_factory=Counter[str])
    findings: list[Finding] = msgspec.field(default_factory=list[Finding])


class Differential:
    """Holds inputs against every reader there is. `node` may be missing."""

    def __init__(self, node: Node | None, readers: Mapping[str, Reader] | None = None) -> None:
        self.tally = Tally()
        self._node = node
        self._readers = in_process() if readers is None else readers

    @property
    def names(self) -> list[str]:
        """Who reads besides us."""
        return [*self._readers, *(["node"] if self._node is not None else [])]

    def compare(self, texts: Sequence[bytes]) -> None:
        """Read each text with everybody; what differs is among the tally's findings."""
        tally = self.tally
        tally.texts += len(texts)
        taken: list[tuple[bytes, Parsed]] = []
        for raw in texts:
            try:
                parsed = parse(raw)
                self._compare_envelopes(raw)
            except Exception as problem:  # noqa: BLE001 - whatever it is, it is a finding
                self._found("ours", raw, f"fails: {problem!r}")
                continue
            if isinstance(parsed, Refused):
                tally.refused[parsed.code] += 1
                continue
            taken.append((raw, parsed))
            tally.taken += 1
            tally.rewritten += parsed.raw != raw
            if parsed.raw != raw and parse(parsed.raw) != parsed:
                self._found("ours", raw, "what is sent on is not what was read")
            self._compare_here(raw, parsed)
        if self._node is not None:
            self._compare_node(self._node, taken)

    def _compare_here(self, raw: bytes, parsed: Parsed) -> None:
        for name, reader in self._readers.items():
            for text in (raw, parsed.raw) if parsed.raw != raw else (raw,):
                try:
                    value = reader(text)
                    if _encode(value) == parsed.raw or same(parsed.value, value):
                        continue
                    self._found(name, raw, f"reads {text!r} as {value!r}")
                except (ValueError, RecursionError) as problem:
                    self._found(name, raw, f"cannot read {text!r}: {problem}")

    def _compare_node(self, node: Node, taken: Sequence[tuple[bytes, Parsed]]) -> None:
        asked = [(raw, parsed, raw) for raw, parsed in taken]
        asked += [(raw, parsed, parsed.raw) for raw, parsed in taken if parsed.raw != raw]
        answers = node.json_texts([text for _, _, text in asked])
        for (raw, parsed, text), answer in zip(asked, answers, strict=True):
            if answer == parsed.raw:
                continue
            value = None if answer is None else json.loads(answer, parse_int=float)
            if answer is None or not same(parsed.value, value, doubles=True):
                self._found("node", raw, f"reads {text!r} as {answer!r}")
            elif text is parsed.raw and not same(parsed.value, value):
                self.tally.rounded += 1

    def _compare_envelopes(self, raw: bytes) -> None:
        message = read(raw)
        if isinstance(message, NotAMessage):
            return
        self.tally.messages += 1
        self.tally.calls += message.is_call
        for name, view in VIEWS.items():
            said = _second_view(message, view(message.raw))
            if said:
                self._found(name, raw, said)

    def _found(self, reader: str, raw: bytes, detail: str) -> None:
        self.tally.findings.append(Finding(reader, raw, detail))


def _second_view(message: Message, view: View) -> str:
    """How a program's view of a message differs from ours; empty where it does not."""
    if view.method is None:
        return ""  # it takes the message for no request at all
    if view.method != message.method and TOOLS_CALL in (view.method, message.method):
        return f"takes {view.method!r} for the method, not {message.method!r}"
    if not same(message.id, view.id) or _beside_another(message.id):
        return f"takes {view.id!r} for the id, not {message.id!r}"
    if view.method != TOOLS_CALL:
        return ""
    if view.name != message.name:
        return f"takes {view.name!r} for the tool, not {message.name!r}"
    if not same(message.arguments, {} if view.arguments is None else view.arguments):
        return f"takes {view.arguments!r} for the arguments"
    return ""


def _beside_another(number: object) -> bool:
    """Whether a reader of doubles could take this id for another integer's."""
    return isinstance(number, int) and abs(number) >= EXACT_IN_A_DOUBLE


def drawn(seed: int, count: int) -> Iterator[list[bytes]]:
    """Generated inputs in batches, the same for the same seed."""
    source = Messages(seed, [case["raw"] for case in named_cases()])
    while count > 0:
        size = min(count, BATCH)
        yield [source.next() for _ in range(size)]
        count -= size


def run(seed: int, count: int, seconds: float, *, shown: bool) -> tuple[Tally, list[str]]:
    """Compare `count` generated inputs, or as many as `seconds` allow; with the readers' names."""
    program = find_node()
    begun = said = time.monotonic()
    with Node(program) if program is not None else contextlib.nullcontext() as node:
        differential = Differential(node)
        tally = differential.tally
        for texts in drawn(seed, count):
            differential.compare(texts)
            now = time.monotonic()
            if shown and now - said > 30:
                said = now
                print(f"{tally.texts:,} inputs, {tally.texts / (now - begun):,.0f} a second")
                sys.stdout.flush()
            if now - begun > seconds or len(tally.findings) > FINDINGS_SHOWN_MAX:
                break
        return tally, differential.names


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare our strict parser with others.")
    parser.add_argument("--messages", type=int, default=1_000_000, help="how many inputs")
    parser.add_argument("--seconds", type=float, default=1e9, help="and for how long at most")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    begun = time.monotonic()
    tally, names = run(given.seed, given.messages, given.seconds, shown=True)
    spent = time.monotonic() - begun
    for finding in tally.findings[:FINDINGS_SHOWN_MAX]:
        print(f"FINDING {finding.reader}: {finding.raw!r}\n    {finding.detail}")
    print(
        f"seed {given.seed}: {tally.texts:,} inputs in {spent:,.0f} s, beside {', '.join(names)}\n"
        f"taken {tally.taken:,} ({tally.rewritten:,} written out anew, {tally.rounded:,} with "
        f"integers that a double rounds), of them messages {tally.messages:,}, tool calls "
        f"{tally.calls:,}\n"
        f"refused: {', '.join(f'{code} {n:,}' for code, n in tally.refused.most_common())}\n"
        f"findings: {len(tally.findings)}"
    )
    return 1 if tally.findings else 0


if __name__ == "__main__":
    sys.exit(main())
