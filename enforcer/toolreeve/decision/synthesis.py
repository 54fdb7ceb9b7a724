"""Example arguments made up from what a rule looks at: each bound, and what lies on either side.

Nothing here has to be right: whoever uses an example decides it first. It has to be near the
places where two rules could part.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from toolreeve.decision.pattern_texts import texts_of
from toolreeve.decision.rule import CompiledRule
from toolreeve.policy import Clause, Condition, Each, Limit, Op, Step, canonical_json, parse_pointer

CANDIDATES_MAX = 400
DEPTH_MAX = 6
CHOICES_MAX = 20
_STRANGE: tuple[object, ...] = ("1/../../x", "", "x", "a b", 0, 1, -1, 1.5, True, None, [], {})
_MISSING = object()


def example_arguments(
    rules: Sequence[CompiledRule], schema: Mapping[str, object] | None = None
) -> list[dict[str, object]]:
    """Arguments worth trying against these rules, the plainest first; at most 400.

    `schema` is what the server itself says about them.
    """
    seen: set[bytes] = set()
    found: list[dict[str, object]] = []
    schemas = [*_schemas(rules), *([schema] if schema else [])]
    for arguments in _all(rules, schemas):
        key = canonical_json(arguments)
        if key not in seen:
            seen.add(key)
            found.append(arguments)
        if len(found) >= CANDIDATES_MAX:
            break
    return found


def _all(
    rules: Sequence[CompiledRule], schemas: Sequence[Mapping[str, object]]
) -> Iterator[dict[str, object]]:
    bases = [*_bases(rules, schemas)]
    yield from bases
    for base in bases:
        for clause in _clauses(rules):
            yield _with_clause(base, clause)
            for condition in clause.conditions:
                inner = _with_clause(base, clause)
                for value in _around(condition):
                    yield put(inner, condition.steps, value)
                    yield put(base, condition.steps, value)
                yield put(base, condition.steps, _MISSING)
        for schema in schemas:
            yield from _around_schema(base, schema)
        for limit in _limits(rules):
            yield from _around_amount(base, limit)


def _bases(
    rules: Sequence[CompiledRule], schemas: Sequence[Mapping[str, object]]
) -> Iterator[dict[str, object]]:
    """Arguments that the rules may well let pass, then none at all."""
    examples: list[dict[str, object]] = [{}]
    for schema in schemas:
        example = example_of(schema, schema)
        if isinstance(example, dict):
            examples.append(example)  # pyright: ignore[reportUnknownArgumentType]
    merged: dict[str, object] = {}
    for example in examples:
        merged = {**merged, **example}
    for limit in _limits(rules):
        for pointer in (*limit.by, *([limit.amount] if limit.amount else [])):
            if _at(merged, pointer) is _MISSING:
                merged = put(merged, parse_pointer(pointer), 1)
    for rule in rules:
        for compiled in rule.require:
            merged = _with_clause(merged, compiled.clause)
    yield merged
    yield from reversed(examples)


def _with_clause(base: Mapping[str, object], clause: Clause) -> dict[str, object]:
    """The arguments, with every condition of a clause made to hold as far as that is easy."""
    arguments = dict(base)
    for condition in clause.conditions:
        arguments = put(arguments, condition.steps, _holding(condition))
    return arguments


def _clauses(rules: Sequence[CompiledRule]) -> list[Clause]:
    return [one.clause for rule in rules for one in (*rule.require, *rule.deny_if)]


def _schemas(rules: Sequence[CompiledRule]) -> list[Mapping[str, object]]:
    return [
        rule.rule.arguments
        for rule in rules
        if rule.rule is not None and rule.rule.arguments is not None
    ]


def _limits(rules: Sequence[CompiledRule]) -> list[Limit]:
    return [prepared.limit for rule in rules for prepared in rule.limits]


def put(arguments: Mapping[str, object], steps: Sequence[Step], value: object) -> dict[str, object]:
    """A copy with `value` at a path, made where it is missing; `_MISSING` takes it away."""
    made = _put(dict(arguments), steps, value)
    return made if isinstance(made, dict) else dict(arguments)  # pyright: ignore[reportUnknownVariableType]


def _put(inside: object, steps: Sequence[Step], value: object) -> Any:
    if not steps:
        return value
    step, rest = steps[0], steps[1:]
    if isinstance(step, Each):
        return [_put(None, rest, value)] if value is not _MISSING else []
    if isinstance(step, int):
        elements: list[Any] = list(inside) if isinstance(inside, list) else []  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        if step > CHOICES_MAX:
            return elements
        elements += [None] * (step + 1 - len(elements))
        made = _put(elements[step], rest, value)
        return elements[:step] if made is _MISSING else [*elements[:step], made]
    members: dict[str, Any] = dict(inside) if isinstance(inside, dict) else {}  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    made = _put(members.get(step), rest, value)
    if made is _MISSING:
        members.pop(step, None)
    else:
        members[step] = made
    return members


def _at(arguments: Mapping[str, object], pointer: str) -> object:
    value: Any = arguments
    for key in parse_pointer(pointer):
        if not isinstance(value, dict) or key not in value:
            return _MISSING
        value = value[key]  # pyright: ignore[reportUnknownVariableType]
    return value  # pyright: ignore[reportUnknownVariableType]


def _holding(condition: Condition) -> object:
    """A value for which a condition holds, or nothing where that is what it wants."""
    value: Any = condition.value
    match condition.op:
        case Op.IN:
            return value[0]
        case Op.NOT_IN | Op.NEQ:
            return _another(value if condition.op is Op.NOT_IN else [value])
        case Op.LT:
            return value - 1
        case Op.GT:
            return value + 1
        case Op.REGEX:
            return texts_of(value)[0]
        case Op.CONTAINS:
            return value if isinstance(value, str) else [value]
        case Op.EXISTS:
            return 1 if value else _MISSING
        case _:
            return value


def _around(condition: Condition) -> list[object]:
    """Values on and beside a condition's bound, and of another type."""
    value: Any = condition.value
    match condition.op:
        case Op.EQ | Op.NEQ:
            return [value, *_beside(value)]
        case Op.IN | Op.NOT_IN:
            return [*value[:CHOICES_MAX], _another(value), *_beside(value[0])]
        case Op.LT | Op.LTE | Op.GT | Op.GTE:
            return [value, value - 1, value + 1, str(value)]
        case Op.REGEX:
            texts = texts_of(value)
            return [*texts, texts[0] + "\n", texts[0] + "x", texts[0][:-1], "", "../x", "a", "1", 1]
        case Op.CONTAINS:
            inside = [f"x{value}x", value] if isinstance(value, str) else []
            return [*inside, [value], [], "x", 1]
        case Op.EXISTS:
            return [1, None]


def _beside(value: object) -> list[object]:
    match value:
        case bool():
            return [not value, int(value), str(value).lower()]
        case int() | float():
            return [value + 1, value - 1, str(value), value == 1]
        case str():
            return [value + "x", value.upper(), value.lower(), "", 1, None]
        case _:
            return [1, "x"]


def _another(values: Sequence[object]) -> object:
    """A value of the same kind that is none of these."""
    first = values[0] if values else 1
    if isinstance(first, bool):
        return not first
    if isinstance(first, int | float):
        numbers = [one for one in values if isinstance(one, int | float)]
        return max(numbers) + 1
    texts = {one for one in values if isinstance(one, str)}
    return next(
        one for one in (f"other{'x' * count}" for count in range(2_000)) if one not in texts
    )


def _around_amount(base: Mapping[str, object], limit: Limit) -> Iterator[dict[str, object]]:
    if limit.amount is None:
        return
    keys = parse_pointer(limit.amount)
    most = int(limit.maximum) if limit.maximum == int(limit.maximum) else float(limit.maximum)
    for value in (most, most + 1, 0, -1, "1", True, _MISSING):
        yield put(base, keys, value)


def _around_schema(
    base: Mapping[str, object], schema: Mapping[str, object]
) -> Iterator[dict[str, object]]:
    """The base with each property at and beside its bounds, missing, and one too many."""
    properties: Any = schema.get("properties")
    if isinstance(properties, dict):
        for name, inner in properties.items():  # pyright: ignore[reportUnknownVariableType]
            for value in _around_inner(inner, schema):  # pyright: ignore[reportUnknownArgumentType]
                yield put(base, [str(name)], value)  # pyright: ignore[reportUnknownArgumentType]
            yield put(base, [str(name)], _MISSING)  # pyright: ignore[reportUnknownArgumentType]
    for key in ("unexpected", "x"):
        yield {**base, key: 1}


def _around_inner(schema: Any, root: Mapping[str, object]) -> Iterator[object]:
    schema = _followed(schema, root)
    if not isinstance(schema, dict):
        return
    keys: dict[str, Any] = schema  # pyright: ignore[reportUnknownVariableType]
    if isinstance(keys.get("enum"), list):
        yield from keys["enum"][:CHOICES_MAX]
    for key in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
        if isinstance(keys.get(key), int | float):
            yield from (keys[key], keys[key] - 1, keys[key] + 1)
    for key in ("minLength", "maxLength"):
        length = keys.get(key)
        if isinstance(length, int) and length < 2_000:
            yield from ("a" * length, "a" * (length + 1), "a" * max(0, length - 1))
    if isinstance(keys.get("pattern"), str):
        yield from texts_of(keys["pattern"])
    yield example_of(keys, root)
    yield from _STRANGE


def example_of(schema: Any, root: Mapping[str, object], depth: int = 0) -> object:
    """A value that fits a schema, as far as that is easy to see."""
    schema = _followed(schema, root)
    if not isinstance(schema, dict) or depth > DEPTH_MAX:
        return {} if depth == 0 else "x"
    keys: dict[str, Any] = schema  # pyright: ignore[reportUnknownVariableType]
    if "const" in keys:
        return keys["const"]
    if isinstance(keys.get("enum"), list) and keys["enum"]:
        return keys["enum"][0]
    for key in ("anyOf", "oneOf", "allOf"):
        if isinstance(keys.get(key), list) and keys[key] and "type" not in keys:
            return example_of(keys[key][0], root, depth + 1)
    kind: Any = keys.get("type", "object" if "properties" in keys or depth == 0 else "string")
    if isinstance(kind, list):
        kinds: list[Any] = [*kind]  # pyright: ignore[reportUnknownVariableType]
        kind = kinds[0] if kinds else "string"
    match kind:
        case "object":
            return _example_object(keys, root, depth)
        case "array":
            count = keys.get("minItems", 1)
            inner = example_of(keys.get("items", {}), root, depth + 1)
            return [inner] * (count if isinstance(count, int) and count < CHOICES_MAX else 1)
        case "integer" | "number":
            return _example_number(keys)
        case "boolean":
            return True
        case "null":
            return None
        case _:
            text = texts_of(keys["pattern"])[0] if isinstance(keys.get("pattern"), str) else "x"
            least = keys.get("minLength", 0)
            return text.ljust(least, "x") if isinstance(least, int) and least < 2_000 else text


def _example_object(
    keys: Mapping[str, Any], root: Mapping[str, object], depth: int
) -> dict[str, object]:
    properties: dict[str, Any] = (
        keys["properties"] if isinstance(keys.get("properties"), dict) else {}
    )
    required: list[Any] = keys["required"] if isinstance(keys.get("required"), list) else []
    return {
        str(name): example_of(properties.get(name, {}), root, depth + 1)
        for name in [*required, *(one for one in properties if one not in required)]
    }


def _example_number(keys: Mapping[str, Any]) -> object:
    for key, step in (
        ("minimum", 0), ("exclusiveMinimum", 1), ("maximum", 0), ("exclusiveMaximum", -1)
    ):  # fmt: skip
        if isinstance(keys.get(key), int | float):
            return keys[key] + step
    return 1


def _followed(schema: Any, root: Mapping[str, object]) -> Any:
    """What a reference inside the schema leads to."""
    for _ in range(DEPTH_MAX):
        if not isinstance(schema, dict):
            return schema
        keys: dict[str, Any] = schema  # pyright: ignore[reportUnknownVariableType]
        reference = keys.get("$ref")
        if not isinstance(reference, str):
            return keys
        schema = root if reference == "#" else _at(root, reference.removeprefix("#"))
    return {}
