"""Conditions of Intercept: eleven operators on `args.<field>`, and bounds on `state.<counter>`.

There values of different types are compared as text: 5 equals "5". Here they are not equal. Where
that would let a call through that was refused there, the values it could also have been are
written out; where it refuses more, it is a difference.
"""

import re
from decimal import Decimal
from typing import cast

from msgspec import Struct

from toolreeve.policy import keys
from toolreeve.policy.dialects.outcome import Draft
from toolreeve.policy.dialects.search_pattern import whole
from toolreeve.policy.model import Op
from toolreeve.policy.pointer import write_pointer
from toolreeve.policy.text import Path

CONDITION_KEYS = ("path", "op", "value")
NIL = "<nil>"  # how Go writes null

_PLAIN = re.compile(r"[A-Za-z0-9_$-]+")
_NUMBER = re.compile(r"-?[0-9]{1,6}(\.[0-9]{1,24})?(e[+-][0-9]{2})?")

STRICT = (
    'a value of another type is not equal, such as "5" and 5',
    "values of different types were compared as text there; write both if both may come",
)
NULL_EXISTS = (
    "an argument that is null counts as present, so the call is refused",
    "null counted as absent there",
)
PLACES = (
    "a number in a path also names a place in a list",
    "paths led through objects only there",
)
LISTED_TEXT = (
    "a text that shows a list or an object is never equal to one",
    "there every value was compared by how it is printed",
)


class Bound(Struct, frozen=True):
    """How much a rule's own counter may hold."""

    most: int
    path: Path


class ConditionReader:
    """Reads the conditions of one rule: into ours, and into bounds of the rule's own counter.

    `own` is the path of that counter, None for a rule without one.
    """

    def __init__(self, draft: Draft, own: str | None) -> None:
        self.found: list[dict[str, object]] = []
        self.bounds: list[Bound] = []
        self._draft = draft
        self._own = own

    def add(self, value: object, path: Path) -> None:
        """Add what one condition says; several of ours where one does not say it."""
        draft, reader = self._draft, self._draft.reader
        members = reader.mapping(value, path, CONDITION_KEYS)
        if not isinstance(value, dict):
            return
        for key in ("path", "op"):
            if key not in members:
                reader.missing(path, key, f"add {key}")
        op = reader.choice(members["op"], (*path, "op"), keys.OPS) if "op" in members else None
        if op is None or "path" not in members:
            return
        wanted, place = members.get("value"), members["path"]
        if isinstance(place, str) and place.startswith("state."):
            self._add_bound(place, Op(op), wanted, path)
            return
        parts = self._parts(place, (*path, "path"))
        if parts is None or not _fits(draft, Op(op), wanted, (*path, "value")):
            return
        plain = all(_PLAIN.fullmatch(part) for part in parts)
        where = str(place) if plain else write_pointer(parts)
        self.found += [{"path": where, **one} for one in _comparisons(draft, Op(op), wanted, path)]

    def pointer(self, value: object, path: Path) -> str | None:
        """`args.metadata.price` as a JSON Pointer."""
        parts = self._parts(value, path)
        return None if parts is None else write_pointer(parts)

    def _parts(self, value: object, path: Path) -> list[str] | None:
        reader = self._draft.reader
        text = reader.string(value, path, characters_max=keys.POINTER_CHARACTERS_MAX)
        if text is None:
            return None
        if not text.startswith("args."):
            reader.complain(path, f'"{text}" is not a path into arguments', 'write "args.name"')
            return None
        parts = text.split(".")[1:]
        if any(part.isdigit() for part in parts):
            self._draft.note(path, PLACES)
        return parts

    def _add_bound(self, place: str, op: Op, wanted: object, path: Path) -> None:
        """`state.create_issue.hourly_count lte 5`."""
        reader = self._draft.reader
        if place != self._own:
            remedy = "write the bound in the rule whose state block counts it"
            problem = f'"{place}" is not the counter of this rule, and conditions read no counters'
            reader.complain((*path, "path"), problem, remedy)
        elif op not in {Op.LT, Op.LTE}:
            remedy = "write lte and the highest count"
            reader.complain((*path, "op"), f"{op.value} is no bound of a counter", remedy)
        elif not isinstance(wanted, int | float) or isinstance(wanted, bool):
            reader.complain((*path, "value"), "a bound is a number", "write a number")
        else:
            most = int(wanted) - (1 if op is Op.LT else 0)
            self.bounds.append(Bound(most, (*path, "value")))


def _fits(draft: Draft, op: Op, wanted: object, path: Path) -> bool:
    """Whether the value is one that Intercept takes with this operator."""
    reader = draft.reader
    number = isinstance(wanted, int | float) and not isinstance(wanted, bool)
    if op in {Op.LT, Op.LTE, Op.GT, Op.GTE} and not number:
        reader.complain(path, f"{op.value} compares numbers", "write a number without quotes")
    elif op in {Op.IN, Op.NOT_IN} and not isinstance(wanted, list):
        reader.complain(path, f"{op.value} needs a list", "write [...]")
    elif op is Op.EXISTS and not isinstance(wanted, bool):
        reader.complain(path, "exists needs true or false", "write true")
    elif op is Op.REGEX and not isinstance(wanted, str):
        reader.complain(path, "regex needs a pattern", 'write "..."')
    else:
        return True
    return False


def _comparisons(draft: Draft, op: Op, wanted: object, path: Path) -> list[dict[str, object]]:
    """The operator and value that mean here what `op` and `wanted` meant there."""
    place = (*path, "value")
    match op:
        case Op.LT | Op.LTE | Op.GT | Op.GTE:
            return [{"op": op.value, "value": wanted}]
        case Op.REGEX:
            return [{"op": "regex", "value": whole(str(wanted))}]
        case Op.EXISTS if wanted:
            # Null was absent there.
            return [{"op": "exists", "value": True}, {"op": "neq", "value": None}]
        case Op.EXISTS:
            draft.note(path, NULL_EXISTS)
            return [{"op": "exists", "value": False}]
        case Op.IN | Op.NOT_IN:
            choices = cast("list[object]", wanted)
            if not choices:
                return _never() if op is Op.IN else _present()
            if op is Op.IN:
                _note_equality(draft, choices, place)
                return [{"op": "in", "value": choices}]
            return _none_of(draft, choices, place)
        case Op.NEQ:
            return _none_of(draft, [wanted], place)
        case Op.EQ | Op.CONTAINS:
            _note_equality(draft, [wanted], place)
            return [{"op": op.value, "value": wanted}]


def _note_equality(draft: Draft, choices: list[object], path: Path) -> None:
    """Say what else was equal to one of these there, and that lists were compared as printed."""
    if any(map(twins, choices)) or any(map(_printed, choices)):
        draft.note(path, STRICT)
    if any(map(_printed, choices)):
        draft.note(path, LISTED_TEXT)


def _none_of(draft: Draft, choices: list[object], path: Path) -> list[dict[str, object]]:
    """Equal to none of these, whichever type it comes in."""
    if any(map(_printed, choices)):
        draft.note(path, LISTED_TEXT)
    every = [*choices, *(twin for choice in choices for twin in twins(choice))]
    if len(every) == 1:
        return [{"op": "neq", "value": every[0]}]
    return [{"op": "not_in", "value": every}]


def _present() -> list[dict[str, object]]:
    return [{"op": "exists", "value": True}]


def _never() -> list[dict[str, object]]:
    return [{"op": "exists", "value": True}, {"op": "exists", "value": False}]


def twins(value: object) -> list[object]:
    """Values of other types that are printed like `value`, and so were equal to it there."""
    match value:
        case None:
            return [NIL]
        case bool():
            return ["true" if value else "false"]
        case int():
            return [str(value)]
        case float():
            return [printed_number(value)]
        case "true" | "false":
            return [value == "true"]
        case str() if value == NIL:
            return [None]
        case str() if _NUMBER.fullmatch(value) and printed_number(float(value)) == value:
            number = float(value)
            return [int(number) if abs(number) < 1e15 and number.is_integer() else number]
        case _:
            return []


def printed_number(number: float) -> str:
    """A number as Go prints it by default: the shortest digits, with an exponent from 1e6 on.

    Numbers in arguments were read as floats there.
    """
    sign, digits, exponent = Decimal(repr(number)).normalize().as_tuple()
    assert isinstance(exponent, int)
    shown = "".join(map(str, digits))
    power = len(shown) + exponent - 1
    start = "-" if sign else ""
    if -4 <= power < 6:
        return f"{start}{Decimal(repr(number)).normalize().copy_abs():f}"
    fraction = f".{shown[1:]}" if len(shown) > 1 else ""
    return f"{start}{shown[0]}{fraction}e{'-' if power < 0 else '+'}{abs(power):02d}"


def _printed(value: object) -> bool:
    """Whether a list or an object is compared, or a text that looks like one printed by Go."""
    if isinstance(value, str):
        return value.endswith("]") and value.startswith(("[", "map["))
    return isinstance(value, list | dict)
