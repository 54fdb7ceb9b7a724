"""Cases beside a policy: calls at given times, and what is expected of each.

A case begins with empty counters and tells a history: its first call, then those under `then`.
Time is simulated, by the engine that decides for real, so that a limit's edges can be tested to
the nanosecond and a test never waits.
"""

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from toolreeve.decision.case_times import (
    MORNING,
    TimeError,
    read_length,
    read_time,
)
from toolreeve.decision.instant import Instant
from toolreeve.decision.verdict import Code, Effect
from toolreeve.policy import Complaint, Mode, PolicyTextError, Refund, write_pointer
from toolreeve.policy import text as texts
from toolreeve.policy.reader import Reader, kind_of
from toolreeve.policy.text import Path

FILE_KEYS = ("policy", "description", "server", "grant", "session", "cases")
CALL_KEYS = (
    "at", "after", "every", "repeat", "server", "grant", "session",
    "tool", "wire_tool", "arguments", "ending", "expect",
)  # fmt: skip
CASE_KEYS = ("name", "description", *CALL_KEYS, "then")
EXPECT_KEYS = ("effect", "code", "rule", "message", "retry_after_ms", "counter", "mode")

CASES_MAX = 10_000
STEPS_MAX = 1_000
REPEAT_MAX = 10_000
RETRY_MS_MAX = 366 * 86_400_000


class Expected(Struct, frozen=True, kw_only=True):
    """What is said about a verdict; None where nothing is said."""

    effect: Effect | None = None
    code: Code | None = None
    rule: str | None = None
    message: str | None = None
    retry_after_ms: int | None = None
    counter: str | None = None
    mode: Mode | None = None


class Step(Struct, frozen=True, kw_only=True):
    """One call, made `repeat` times, `every_ns` apart. `place` is its line and column."""

    at: Instant
    every_ns: int = 0
    repeat: int = 1
    server: str
    grant: str
    session: str
    tool: str
    on_the_wire: bool
    arguments: Mapping[str, object]
    ending: Refund | None = None
    expected: Expected
    pointer: str
    place: tuple[int, int]


class Case(Struct, frozen=True, kw_only=True):
    """A history of calls with a name."""

    name: str
    steps: tuple[Step, ...]
    place: tuple[int, int]


class CaseFile(Struct, frozen=True, kw_only=True):
    """A file of cases. `policy` is the path that stands in it, relative to the file."""

    source: str
    policy: str
    cases: tuple[Case, ...]


def read_cases(text: bytes | str, *, source: str) -> CaseFile:
    """Read a file of cases from YAML or JSON. Raises PolicyTextError with every complaint."""
    document = texts.read(text, source)
    place = texts.places(document)
    reader = Reader()
    found = _CaseReader(reader, place).file(document.value, source)
    if found is None or reader.found:
        raise PolicyTextError(
            [
                Complaint(
                    source=source,
                    line=place(one.path, one.at_key)[0],
                    column=place(one.path, one.at_key)[1],
                    pointer=write_pointer(one.path),
                    problem=one.problem,
                    remedy=one.remedy,
                )
                for one in reader.found
            ]
        )
    return found


class _Context(Struct, frozen=True, kw_only=True):
    """What a call takes from the one before it, or from the file, where it is silent."""

    at: Instant = MORNING
    server: str = "server"
    grant: str = "local"
    session: str = "session"
    tool: str | None = None
    on_the_wire: bool = True
    arguments: Mapping[str, object] = {}


class _CaseReader:
    """Reads the parts of a file of cases; what is wrong is complained of to the reader."""

    def __init__(self, reader: Reader, place: texts.Place) -> None:
        self._reader = reader
        self._place = place

    def file(self, value: object, source: str) -> CaseFile | None:
        members = self._reader.mapping(value, (), FILE_KEYS)
        if not isinstance(value, dict):
            return None
        policy = None
        if "policy" not in members:
            self._reader.missing((), "policy", 'add "policy: FILE", relative to this file')
        else:
            policy = self._reader.text(members["policy"], ("policy",))
        if "description" in members:
            self._reader.text(members["description"], ("description",))
        before = self._who(members, (), _Context())
        cases: list[Case] = []
        names: set[str] = set()
        if "cases" not in members:
            self._reader.missing((), "cases", 'add "cases", a list')
        entries = self._reader.items(members.get("cases", []), ("cases",), most=CASES_MAX)
        for item, path in entries:
            case = self._case(item, path, before)
            if case is None:
                continue
            if case.name in names:
                remedy = "give each case a name of its own"
                self._reader.complain((*path, "name"), "another case has this name", remedy)
            names.add(case.name)
            cases.append(case)
        return None if policy is None else CaseFile(source=source, policy=policy, cases=(*cases,))

    def _case(self, value: object, path: Path, before: _Context) -> Case | None:
        members = self._reader.mapping(value, path, CASE_KEYS)
        if not isinstance(value, dict):
            return None
        name = None
        if "name" not in members:
            self._reader.missing(path, "name", 'add "name", a sentence that says what is expected')
        else:
            name = self._reader.text(members["name"], (*path, "name"))
        if "description" in members:
            self._reader.text(members["description"], (*path, "description"))
        if "after" in members:
            remedy = 'write "at": the first call comes after nothing'
            self._reader.complain((*path, "after"), "nothing came before", remedy, at_key=True)
        step, context = self._step(members, path, before)
        steps = [step]
        entries = self._reader.items(members.get("then", []), (*path, "then"), most=STEPS_MAX)
        for item, spot in entries:
            inner = self._reader.mapping(item, spot, CALL_KEYS)
            if isinstance(item, dict):
                step, context = self._step(inner, spot, context)
                steps.append(step)
        whole = tuple(step for step in steps if step is not None)
        return (
            None if name is None else Case(name=name, steps=whole, place=self._place(path, False))
        )

    def _step(
        self, members: dict[str, object], path: Path, before: _Context
    ) -> tuple[Step | None, _Context]:
        context = self._who(members, path, before)
        context = self._what(members, path, context)
        at = self._at(members, path, before.at, first=path[-2] == "cases")
        repeat = self._repeat(members, path)
        every = self._length(members, path, "every") or 0
        ending = self._choice(members, path, "ending", tuple(one.value for one in Refund))
        expected = self._expected(members, path)
        following = replace(context, at=Instant(at + every * (repeat - 1)))
        if context.tool is None:
            self._reader.missing(path, "tool", 'add "tool" (the effective one) or "wire_tool"')
            return None, following
        step = Step(
            at=at,
            every_ns=every,
            repeat=repeat,
            server=context.server,
            grant=context.grant,
            session=context.session,
            tool=context.tool,
            on_the_wire=context.on_the_wire,
            arguments=context.arguments,
            ending=None if ending is None else Refund(ending),
            expected=expected,
            pointer=write_pointer(path),
            place=self._place(path, False),
        )
        return step, following

    def _who(self, members: dict[str, object], path: Path, before: _Context) -> _Context:
        names = {
            key: self._reader.name(members[key], (*path, key)) or ""
            for key in ("server", "grant", "session")
            if key in members
        }
        return replace(before, **names)

    def _what(self, members: dict[str, object], path: Path, before: _Context) -> _Context:
        tool, on_the_wire, arguments = before.tool, before.on_the_wire, before.arguments
        if "tool" in members and "wire_tool" in members:
            problem = '"tool" and "wire_tool" exclude one another'
            self._reader.complain((*path, "wire_tool"), problem, "keep one of them", at_key=True)
        for key in ("tool", "wire_tool"):
            if key in members:
                tool = self._reader.name(members[key], (*path, key)) or ""
                on_the_wire = key == "wire_tool"
                arguments = {}
        if "arguments" in members:
            arguments = self._reader.any_mapping(members["arguments"], (*path, "arguments"))
        return replace(before, tool=tool, on_the_wire=on_the_wire, arguments=arguments)

    def _at(
        self, members: dict[str, object], path: Path, before: Instant, *, first: bool
    ) -> Instant:
        if "at" in members and "after" in members:
            problem = '"at" and "after" exclude one another'
            self._reader.complain((*path, "after"), problem, "keep one of them", at_key=True)
        if "after" in members:
            return Instant(before + (self._length(members, path, "after") or 0))
        if "at" not in members:
            return before
        try:
            at = read_time(members["at"])
        except TimeError as error:
            self._reader.complain((*path, "at"), str(error), error.remedy)
            return before
        if at < before and not first:
            remedy = "write the calls in the order of time"
            self._reader.complain((*path, "at"), "time does not go back", remedy)
        return at

    def _length(self, members: dict[str, object], path: Path, key: str) -> int | None:
        if key not in members:
            return None
        try:
            return read_length(members[key])
        except TimeError as error:
            self._reader.complain((*path, key), str(error), error.remedy)
            return None

    def _repeat(self, members: dict[str, object], path: Path) -> int:
        if "repeat" not in members:
            return 1
        return self._reader.integer(members["repeat"], (*path, "repeat"), 1, REPEAT_MAX) or 1

    def _choice(
        self, members: dict[str, object], path: Path, key: str, choices: tuple[str, ...]
    ) -> str | None:
        if key not in members:
            return None
        return self._reader.choice(members[key], (*path, key), choices)

    def _expected(self, members: dict[str, object], path: Path) -> Expected:
        """`allow`, `deny`, a code, or an object that says more."""
        if "expect" not in members:
            self._reader.missing(path, "expect", 'add "expect: allow", "expect: deny" or a code')
            return Expected()
        value, path = members["expect"], (*path, "expect")
        if isinstance(value, str):
            words = tuple(one.value for one in Effect) + tuple(one.value for one in Code)
            word = self._reader.choice(value, path, words)
            if word in {one.value for one in Effect}:
                return Expected(effect=Effect(word))
            return Expected(code=None if word is None else Code(word))
        if not isinstance(value, dict):
            problem = f"expected a word or an object, found {kind_of(value)}"
            self._reader.complain(path, problem, 'write "allow", "deny", a code, or {...}')
            return Expected()
        inner = self._reader.mapping(value, path, EXPECT_KEYS)  # pyright: ignore[reportUnknownArgumentType]
        if not inner:
            self._reader.complain(path, "nothing is expected", f"say {', '.join(EXPECT_KEYS)}")
        effect = self._choice(inner, path, "effect", tuple(one.value for one in Effect))
        code = self._choice(inner, path, "code", tuple(one.value for one in Code))
        mode = self._choice(inner, path, "mode", tuple(one.value for one in Mode))
        wait = None
        if "retry_after_ms" in inner:
            spot = (*path, "retry_after_ms")
            wait = self._reader.integer(inner["retry_after_ms"], spot, 0, RETRY_MS_MAX)
        texts_found = {
            key: self._reader.text(inner[key], (*path, key))
            for key in ("rule", "message", "counter")
            if key in inner
        }
        return Expected(
            effect=None if effect is None else Effect(effect),
            code=None if code is None else Code(code),
            rule=texts_found.get("rule"),
            message=texts_found.get("message"),
            counter=texts_found.get("counter"),
            mode=None if mode is None else Mode(mode),
            retry_after_ms=wait,
        )
