"""What all detectors have in common: what they are shown, and how they are asked.

A detector is shown attempts, how forwarded calls ended, and what was seen of tools' definitions,
in the order in which they were loaded. It knows no clock: time is the time of what it is shown.

Memory. What a detector holds of one key (an agent, a VM, a tool) is bounded, and so is the number
of keys. What it looks back on are whole days, `memory_ns` of them, so that one that was shown that
much says what one that saw everything says, as long as no more keys were seen than it may hold.

Lateness. What comes late is put into its place in the history, and counts in windows that have not
passed; windows that have are not judged again (the burst detector alone does that). What comes more
than an hour late raises nothing (see `episodes`).
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Generic, Protocol, TypeVar

from msgspec import Struct

from toolreeve.audit import Completed, Decided, Event, Outcome
from toolreeve.decision import Instant
from toolreeve.detect.attempt import MICROSECOND, Attempt
from toolreeve.detect.burst import Finding, Known
from toolreeve.detect.definitions import Sighting

FAILED = frozenset({Outcome.TOOL_ERROR, Outcome.RPC_ERROR, Outcome.TIMEOUT, Outcome.NOT_SENT})
KEY_POINTERS = ("/id", "/vm_id", "/vmid", "/vm_name", "/name", "/vm")

Name = TypeVar("Name")
State = TypeVar("State")


class Ending(Struct, frozen=True, kw_only=True):
    """A forwarded call has ended. `at` is cut to microseconds, as for attempts."""

    at: Instant
    server: str
    tool: str
    agent: str
    failed: bool


Seen = Attempt | Ending | Sighting


def ending_of(event: Event, decided: Decided) -> Ending | None:
    """The end that an event tells of, of the call that was decided so; None where it tells of
    something else, or of a call of which nobody knows how it ended."""
    body = event.body
    if not isinstance(body, Completed) or body.outcome is Outcome.UNKNOWN:
        return None
    return Ending(
        at=Instant(event.at // MICROSECOND * MICROSECOND),
        server=decided.server,
        tool=decided.tool,
        agent=decided.agent,
        failed=body.outcome in FAILED,
    )


class Detector(Protocol):
    """One rule over the history."""

    @property
    def name(self) -> str:
        """The rule's name, which its alerts carry."""
        ...

    @property
    def memory_ns(self) -> int:
        """How much history it must be shown to stand where one stands that saw it all."""
        ...

    def observe(self, seen: Seen) -> list[Finding]:
        """Take in what is next; say what it raises and what had ended before it."""
        ...

    def advance(self, at: Instant) -> list[Finding]:
        """Say what has ended by `at`. Nothing older than `at` is expected any more."""
        ...

    def restore(self, alerts: Iterable[Known]) -> None:
        """Stand where the alerts on record say, after the history behind them was shown."""
        ...

    def held(self) -> tuple[int, int]:
        """How many keys are in memory, and how many things of all of them."""
        ...


def target_of(attempt: Attempt, pointers: tuple[str, ...]) -> tuple[str, str] | None:
    """What a call is about: the first of the pointers whose value was kept, and that value."""
    if len(attempt.values) == 1:
        return attempt.values[0] if attempt.values[0][0] in pointers else None
    values = dict(attempt.values)
    return next(((pointer, values[pointer]) for pointer in pointers if pointer in values), None)


class Shelf(Generic[Name, State]):
    """States by key; the one that was quiet the longest goes where there are too many."""

    def __init__(self, make: Callable[[], State], *, keys_max: int) -> None:
        self._make = make
        self._keys_max = keys_max
        self._states: OrderedDict[Name, State] = OrderedDict()

    def __getitem__(self, key: Name) -> State:
        """The state of a key that has been active now, made where there is none."""
        state = self._states.get(key)
        if state is None:
            state = self._states[key] = self._make()
            if len(self._states) > self._keys_max:
                self._states.popitem(last=False)
        else:
            self._states.move_to_end(key)
        return state

    def find(self, key: Name) -> State | None:
        """The state of a key, where there is one."""
        return self._states.get(key)

    def all(self) -> list[tuple[Name, State]]:
        """Every key, from the one that was quiet the longest on."""
        return list(self._states.items())

    def __len__(self) -> int:
        return len(self._states)
