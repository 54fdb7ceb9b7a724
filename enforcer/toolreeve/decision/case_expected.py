"""What a case expects of a call or of another request, and how what came differs from it."""

from collections.abc import Iterator, Mapping

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import asdict

from toolreeve.decision.case_times import TimeError, read_length
from toolreeve.decision.verdict import Code, Effect
from toolreeve.policy import Mode
from toolreeve.policy.keys import CONDITIONS_MAX
from toolreeve.policy.reader import Reader, kind_of
from toolreeve.policy.text import Path

EXPECT_KEYS = (
    "effect", "would_be", "code", "rule", "message", "retry_after_ms", "counter", "mode",
    "approval", "tool", "group", "listed",
)  # fmt: skip
APPROVAL_KEYS = ("timeout", "approvers")
METHOD_DENIED = "method_denied"
CODES = (*(one.value for one in Code), METHOD_DENIED)
EFFECTS = tuple(one.value for one in Effect)
RETRY_MS_MAX = 366 * 86_400_000

Told = str | int | bool | tuple[str, ...] | None


class Outcome(Struct, frozen=True, kw_only=True):
    """What can be said of a decision; UNSET where nothing is.

    As what is expected, UNSET means that anything may come; as what came, that there is none.
    `approvers` and `timeout_ns` are the approval's that a call waits for. `tool` is the effective
    tool, `listed` whether `tools/list` shows the tool on the wire.
    """

    effect: str | UnsetType = UNSET
    would_be: str | UnsetType = UNSET
    code: str | UnsetType = UNSET
    rule: str | UnsetType = UNSET
    message: str | UnsetType = UNSET
    retry_after_ms: int | UnsetType | None = UNSET
    counter: str | UnsetType = UNSET
    mode: str | UnsetType = UNSET
    timeout_ns: int | UnsetType = UNSET
    approvers: tuple[str, ...] | UnsetType = UNSET
    tool: str | UnsetType = UNSET
    group: str | UnsetType = UNSET
    listed: bool | UnsetType = UNSET


class Difference(Struct, frozen=True):
    """One thing that was expected, and what came instead."""

    key: str
    expected: str
    came: str


def differences(expected: Outcome, came: Outcome) -> Iterator[Difference]:
    """Everything that was expected and did not come."""
    what: Mapping[str, object] = asdict(came)
    for key, wanted in asdict(expected).items():
        if wanted is UNSET or _same(key, wanted, what[key]):
            continue
        yield Difference(_NAMES.get(key, key), _shown(key, wanted), _shown(key, what[key]))


def read_expected(reader: Reader, members: Mapping[str, object], path: Path) -> Outcome:
    """`expect`: `allow`, `deny`, a code, or an object that says more."""
    if "expect" not in members:
        reader.missing(path, "expect", 'add "expect: allow", "expect: deny" or a code')
        return Outcome()
    value, path = members["expect"], (*path, "expect")
    if isinstance(value, str):
        word = reader.choice(value, path, (*EFFECTS, *CODES))
        if word is None:
            return Outcome()
        return Outcome(effect=word) if word in EFFECTS else Outcome(code=word)
    if not isinstance(value, dict):
        problem = f"expected a word or an object, found {kind_of(value)}"
        reader.complain(path, problem, 'write "allow", "deny", a code, or {...}')
        return Outcome()
    inner = reader.mapping(value, path, EXPECT_KEYS)  # pyright: ignore[reportUnknownArgumentType]
    if not inner:
        reader.complain(path, "nothing is expected", f"say {', '.join(EXPECT_KEYS)}")
    return _Told(reader, inner, path).outcome()


class _Told:
    """Reads the members of an object that says what is expected."""

    def __init__(self, reader: Reader, members: Mapping[str, object], path: Path) -> None:
        self._reader = reader
        self._members = members
        self._path = path

    def outcome(self) -> Outcome:
        approvers, timeout_ns = self._approval()
        return Outcome(
            effect=self._choice("effect", EFFECTS),
            would_be=self._choice("would_be", EFFECTS),
            code=self._choice("code", CODES),
            rule=self._text("rule"),
            message=self._text("message"),
            retry_after_ms=self._wait(),
            counter=self._text("counter"),
            mode=self._choice("mode", tuple(one.value for one in Mode)),
            approvers=approvers,
            timeout_ns=timeout_ns,
            tool=self._text("tool"),
            group=self._text("group"),
            listed=self._listed(),
        )

    def _choice(self, key: str, choices: tuple[str, ...]) -> str | UnsetType:
        if key not in self._members:
            return UNSET
        return self._reader.choice(self._members[key], (*self._path, key), choices) or UNSET

    def _text(self, key: str) -> str | UnsetType:
        """A text; `""` says that there is none."""
        if key not in self._members:
            return UNSET
        value = self._members[key]
        return "" if value == "" else self._reader.text(value, (*self._path, key)) or UNSET

    def _wait(self) -> int | UnsetType | None:
        """Milliseconds; null says that no wait helps."""
        if "retry_after_ms" not in self._members:
            return UNSET
        value = self._members["retry_after_ms"]
        spot = (*self._path, "retry_after_ms")
        return None if value is None else self._reader.integer(value, spot, 0, RETRY_MS_MAX)

    def _listed(self) -> bool | UnsetType:
        if "listed" not in self._members:
            return UNSET
        value = self._members["listed"]
        if isinstance(value, bool):
            return value
        problem = f"expected true or false, found {kind_of(value)}"
        self._reader.complain((*self._path, "listed"), problem, "write true or false")
        return UNSET

    def _approval(self) -> tuple[tuple[str, ...] | UnsetType, int | UnsetType]:
        """Whom the agent would wait for, and how long. No approvers: any operator."""
        if "approval" not in self._members:
            return UNSET, UNSET
        path = (*self._path, "approval")
        members = self._reader.mapping(self._members["approval"], path, APPROVAL_KEYS)
        if not members:
            self._reader.complain(path, "nothing is expected", "say timeout, approvers or both")
        approvers: tuple[str, ...] | UnsetType = UNSET
        timeout_ns: int | UnsetType = UNSET
        if "approvers" in members:
            listed = self._reader.items(
                members["approvers"], (*path, "approvers"), most=CONDITIONS_MAX
            )
            names = (self._reader.name(one, spot) for one, spot in listed)
            approvers = tuple(name for name in names if name is not None)
        if "timeout" in members:
            try:
                timeout_ns = read_length(members["timeout"])
            except TimeError as error:
                self._reader.complain((*path, "timeout"), str(error), error.remedy)
        return approvers, timeout_ns


_NAMES = {"timeout_ns": "approval.timeout", "approvers": "approval.approvers"}


def _same(key: str, wanted: object, came: object) -> bool:
    if key == "approvers" and isinstance(wanted, tuple) and isinstance(came, tuple):
        return set(wanted) == set(came)  # pyright: ignore[reportUnknownArgumentType]
    return wanted == came


def _shown(key: str, value: object) -> str:
    if value is UNSET or value is None:
        return "none"
    if isinstance(value, tuple):
        names: tuple[str, ...] = value  # pyright: ignore[reportUnknownVariableType]
        return ", ".join(names) or "any operator"
    if isinstance(value, bool):
        return str(value).lower()
    if key == "timeout_ns" and isinstance(value, int):
        return f"{value / 10**9:g} s"
    return str(value) or '""'
