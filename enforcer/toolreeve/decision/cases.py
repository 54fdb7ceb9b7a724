"""Cases beside a policy: calls at given times, and what is expected of each.

A case begins with empty counters and tells a history: its first call, then those under `then`.
Time is simulated, by the engine that decides for real, so that a limit's edges can be tested to
the nanosecond and a test never waits.
"""

from collections.abc import Mapping
from enum import Enum

from msgspec import Struct
from msgspec.structs import replace

from toolreeve.decision.case_expected import Outcome, read_expected
from toolreeve.decision.case_holds import read_holds
from toolreeve.decision.case_times import MORNING, TimeError, read_length, read_time
from toolreeve.decision.hold import Holds
from toolreeve.decision.instant import Instant
from toolreeve.policy import Complaint, PolicyTextError, Refund, write_pointer
from toolreeve.policy import text as texts
from toolreeve.policy.reader import Reader
from toolreeve.policy.text import Path

FILE_KEYS = ("policy", "description", "server", "grant", "session", "cases")
CALL_KEYS = (
    "at", "after", "every", "repeat", "server", "grant", "session", "holds",
    "tool", "wire_tool", "method", "arguments", "definition", "ending", "took", "expect",
)  # fmt: skip
CASE_KEYS = ("name", "description", *CALL_KEYS, "then")
OF_TOOL_CALLS = ("arguments", "definition", "ending", "took")
APPROVED, UNAPPROVED = "approved", "unapproved"

CASES_MAX = 10_000
STEPS_MAX = 1_000
REPEAT_MAX = 10_000


class Target(Enum):
    """What a step asks for: a tool by its effective name or its wire name, or another method."""

    TOOL = "tool"
    WIRE_TOOL = "wire_tool"
    METHOD = "method"


class Step(Struct, frozen=True, kw_only=True):
    """One call or request, made `repeat` times, `every_ns` apart.

    `name` is the tool's or the method's. The call ends `took_ns` later, as `ending` says. `place`
    is the step's line and column.
    """

    at: Instant
    every_ns: int = 0
    repeat: int = 1
    server: str
    grant: str
    session: str
    holds: Holds
    target: Target
    name: str
    arguments: Mapping[str, object]
    is_approved: bool = True
    ending: Refund | None = None
    took_ns: int = 0
    expected: Outcome
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
    holds: Holds = Holds()
    target: Target = Target.TOOL
    name: str | None = None
    arguments: Mapping[str, object] = {}
    is_approved: bool = True


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
        took = self._length(members, path, "took") or 0
        if "took" in members and "ending" not in members:
            remedy = 'add "ending", or remove "took"'
            problem = "a call that succeeds gives nothing back, however long it took"
            self._reader.complain((*path, "took"), problem, remedy, at_key=True)
        expected = read_expected(self._reader, members, path)
        following = replace(context, at=Instant(at + every * (repeat - 1)))
        if context.name is None:
            remedy = 'add "tool" (the effective one), "wire_tool" or "method"'
            self._reader.missing(path, "tool", remedy)
            return None, following
        step = Step(
            at=at,
            every_ns=every,
            repeat=repeat,
            server=context.server,
            grant=context.grant,
            session=context.session,
            holds=context.holds,
            target=context.target,
            name=context.name,
            arguments=context.arguments,
            is_approved=context.is_approved,
            ending=None if ending is None else Refund(ending),
            took_ns=took,
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
        holds = before.holds
        if "holds" in members:
            holds = read_holds(self._reader, members["holds"], (*path, "holds"))
        return replace(before, holds=holds, **names)

    def _what(self, members: dict[str, object], path: Path, before: _Context) -> _Context:
        found = before
        given = [target for target in Target if target.value in members]
        for target in given:
            spot = (*path, target.value)
            name = self._reader.name(members[target.value], spot) or ""
            found = replace(found, target=target, name=name, arguments={}, is_approved=True)
        for target in given[1:]:
            problem = f'"{given[0].value}" and "{target.value}" exclude one another'
            self._reader.complain((*path, target.value), problem, "keep one of them", at_key=True)
        if found.target is Target.METHOD:
            for key in (key for key in OF_TOOL_CALLS if key in members):
                remedy = f'remove "{key}", or name a tool'
                problem = f'"{key}" is of tool calls alone'
                self._reader.complain((*path, key), problem, remedy, at_key=True)
            return found
        if "arguments" in members:
            arguments = self._reader.any_mapping(members["arguments"], (*path, "arguments"))
            found = replace(found, arguments=arguments)
        definition = self._choice(members, path, "definition", (APPROVED, UNAPPROVED))
        if definition is not None:
            found = replace(found, is_approved=definition == APPROVED)
        return found

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
