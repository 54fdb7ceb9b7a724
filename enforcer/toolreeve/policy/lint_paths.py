"""Arguments that reach a path of a request or of a file system, and that nothing holds back.

Nothing is guessed from how a schema is written: the value that an attacker would send is put to
it. Neither the policy nor, where the server checks it, the server's own schema may let it pass.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from toolreeve.policy.catalogue.schemas import all_types
from toolreeve.policy.catalogue.tighten import is_file_path, reaches_path
from toolreeve.policy.catalogue.tool import Tool, properties_of
from toolreeve.policy.model import Clause, Op, Policy, Step, ToolRule
from toolreeve.policy.pattern import Pattern
from toolreeve.policy.schema_check import SchemaError, compile_schema

ID_PROBE = "1/../../x"
PATH_PROBE = "../../x"
_ARGUMENTS = re.compile(
    r"(?i)\b(params?|parameters?|args|arguments?|requires?|required|optional)\b"
)
_ARGUMENT = re.compile(r"\b[a-z]\w*")
_HOLDING = frozenset((Op.EQ, Op.IN, Op.LT, Op.LTE, Op.GT, Op.GTE))


def open_arguments(policy: Policy, rule: ToolRule | None, tool: Tool) -> Iterator[tuple[str, str]]:
    """Each argument through which a path can be left, with the value that shows it."""
    schema = None if rule is None else rule.arguments
    clauses = () if policy.all_tools is None else policy.all_tools.require
    clauses = clauses if rule is None else (*clauses, *rule.require)
    for name in _names(tool):
        probe = ID_PROBE if reaches_path(name) else PATH_PROBE
        value: object = probe
        if "array" in all_types(properties_of(tool.input_schema).get(name), tool.input_schema):
            value = [probe]
        if tool.arguments_checked and not _accepts(tool.input_schema, name, value):
            continue
        if schema is not None and not _accepts(schema, name, value):
            continue
        if any(_holds_back(clause, name, probe) for clause in clauses):
            continue
        yield name, probe


def _names(tool: Tool) -> list[str]:
    """Arguments of a tool that reach a path: by its schema, or by what its help says of it."""
    properties = properties_of(tool.input_schema)
    if properties:
        named = [name for name in properties if tool.mentions is None or name in tool.mentions]
    elif not tool.arguments_checked and not tool.input_schema:
        named = _ARGUMENT.findall(tool.description[_told_from(tool.description) :])
    else:
        named = []
    return [name for name in dict.fromkeys(named) if reaches_path(name) or is_file_path(name)]


def _told_from(description: str) -> int:
    """Where a description begins to speak of arguments; its end where it never does."""
    found = _ARGUMENTS.search(description)
    return len(description) if found is None else found.end()


def _accepts(schema: Mapping[str, object], name: str, value: object) -> bool:
    """Whether a schema has nothing against `value` as the member `name`."""
    plain = {key: member for key, member in schema.items() if key not in {"$schema", "$id"}}
    try:
        validator: Any = compile_schema(plain)
    except SchemaError:
        return True
    for error in validator.iter_errors({name: value}):
        place = list(error.instance_path)
        if place[:1] == [name]:
            return False
        if not place and _last(error.schema_path) in {"additionalProperties", "propertyNames"}:
            return False
    return True


def _last(steps: Any) -> str:
    return next((step for step in reversed(list(steps)) if isinstance(step, str)), "")


def _holds_back(clause: Clause, name: str, probe: str) -> bool:
    """Whether a `require` clause fails where `probe` stands at `name`."""
    steps: tuple[Step, ...] = (name,)
    for condition in clause.conditions:
        if condition.steps[:1] != steps:
            continue
        if condition.op in _HOLDING:
            return True
        if condition.op is Op.REGEX and not Pattern(str(condition.value)).matches(probe):
            return True
    return False
