"""`require` and `deny_if`: clauses of conditions, read from a document."""

import math
import re

from toolreeve.policy import keys
from toolreeve.policy.model import Clause, Condition, Each, Op, Step
from toolreeve.policy.pattern import Pattern, PatternError
from toolreeve.policy.pointer import parse_pointer, write_pointer
from toolreeve.policy.reader import Reader, kind_of
from toolreeve.policy.text import Path

_STEP = re.compile(r"\.([A-Za-z0-9_$-]+)|\[(\*|[0-9]+)\]")
_PATH = re.compile(keys.PATH_PATTERN)
_ORDERED = frozenset({Op.LT, Op.LTE, Op.GT, Op.GTE})
_LISTED = frozenset({Op.IN, Op.NOT_IN})


def read_clauses(reader: Reader, value: object, path: Path) -> tuple[Clause, ...]:
    """All clauses of a list; what is wrong is complained of and left out."""
    found: list[Clause] = []
    for item, place in reader.items(value, path, most=keys.CONDITIONS_MAX):
        members = reader.mapping(item, place, keys.CLAUSE_KEYS)
        if not isinstance(item, dict):
            continue
        if "conditions" not in members:
            remedy = 'add "conditions": [{"path": "args.force", "op": "eq", "value": true}]'
            reader.missing(place, "conditions", remedy)
            continue
        conditions = tuple(
            condition
            for one, spot in reader.items(
                members["conditions"], (*place, "conditions"), most=keys.CONDITIONS_MAX, least=1
            )
            if (condition := _read_condition(reader, one, spot)) is not None
        )
        on_deny = ""
        if "on_deny" in members:
            spot = (*place, "on_deny")
            on_deny = reader.text(members["on_deny"], spot) or ""
        found.append(Clause(conditions=conditions, on_deny=on_deny, pointer=write_pointer(place)))
    return tuple(found)


def _read_condition(reader: Reader, value: object, path: Path) -> Condition | None:
    members = reader.mapping(value, path, keys.CONDITION_KEYS)
    if not isinstance(value, dict):
        return None
    for key, remedy in (
        ("path", 'add "path": "args.name", or a JSON Pointer such as "/name"'),
        ("op", 'add "op": "eq"'),
        ("value", 'add "value": what to compare with'),
    ):
        if key not in members:
            reader.missing(path, key, remedy)
    steps = op = None
    if "path" in members:
        steps = read_path(reader, members["path"], (*path, "path"))
    if "op" in members:
        op = reader.choice(members["op"], (*path, "op"), keys.OPS)
    ignore = False
    if "on_missing" in members:
        choice = reader.choice(members["on_missing"], (*path, "on_missing"), keys.ON_MISSING)
        ignore = choice == "ignore"
    if steps is None or op is None or "value" not in members:
        return None
    wanted = Op(op)
    if not _fits(reader, wanted, members["value"], (*path, "value")):
        return None
    return Condition(
        path=str(members["path"]),
        steps=steps,
        op=wanted,
        value=members["value"],
        ignore_missing=ignore,
        pointer=write_pointer(path),
    )


def read_path(reader: Reader, value: object, path: Path) -> tuple[Step, ...] | None:
    """`args.a.b[0][*]`, or a JSON Pointer where keys hold dots or brackets."""
    text = reader.string(value, path, characters_max=keys.POINTER_CHARACTERS_MAX)
    if text is None:
        return None
    if _PATH.fullmatch(text) is None:
        remedy = 'write "args.name", "args.list[*].price", or a JSON Pointer such as "/name"'
        reader.complain(path, f'"{text}" is not a path into arguments', remedy)
        return None
    if text.startswith("/"):
        return parse_pointer(text)
    steps: list[Step] = []
    for found in _STEP.finditer(text, len("args")):
        key, place = found.groups()
        if key is not None:
            steps.append(key)
        else:
            steps.append(Each.ELEMENT if place == "*" else int(place))
    return tuple(steps)


def _fits(reader: Reader, op: Op, value: object, path: Path) -> bool:
    """Whether `value` is something that `op` can compare with; complains where it is not."""
    if op in _ORDERED:
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return True
        problem = f"{op.value} compares numbers, found {kind_of(value)}"
        reader.complain(path, problem, "write a number without quotes")
        return False
    if op in _LISTED:
        if isinstance(value, list) and 0 < len(value) <= keys.CHOICES_MAX:  # pyright: ignore[reportUnknownArgumentType]
            return True
        found = kind_of(value)  # pyright: ignore[reportUnknownArgumentType]
        problem = f"{op.value} needs a list of values, found {found}"
        reader.complain(path, problem, f"write [...] with 1 to {keys.CHOICES_MAX} values")
        return False
    if op is Op.EXISTS:
        if isinstance(value, bool):
            return True
        problem = f"exists needs true or false, found {kind_of(value)}"
        reader.complain(path, problem, 'write "value": true')
        return False
    return op is not Op.REGEX or _is_pattern(reader, value, path)


def _is_pattern(reader: Reader, value: object, path: Path) -> bool:
    if not isinstance(value, str) or len(value) > keys.PATTERN_CHARACTERS_MAX:
        problem = f"regex needs a pattern, found {kind_of(value)}"
        remedy = f"write a string of at most {keys.PATTERN_CHARACTERS_MAX} characters"
        reader.complain(path, problem, remedy)
        return False
    try:
        Pattern(value)
    except PatternError as error:
        remedy = "write RE2 syntax, which has no look-around and no back-references"
        reader.complain(path, f"not a pattern: {error}", remedy)
        return False
    return True
