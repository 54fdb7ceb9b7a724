"""What a query may be, judged on the tree that DuckDB's own parser makes of it.

A query is one SELECT over the published views, its own common table expressions and a few table
functions. Everything is allow-listed by name, each kind of node, each relation and each function:
a WITH that deletes or copies parses as a SELECT and is refused for its node, not for its word. No
part of this looks at the text itself.

Runs in the query's process. Imports nothing of the product, so that the process starts quickly.
"""

from typing import Any, NamedTuple

NODES = frozenset(
    {
        "SELECT_NODE",
        "SET_OPERATION_NODE",
        "RECURSIVE_CTE_NODE",
        "CTE_NODE",
        "BASE_TABLE",
        "SUBQUERY",
        "JOIN",
        "TABLE_FUNCTION",
        "EXPRESSION_LIST",
        "EMPTY",
        "PIVOT",
        "SHOW_REF",
        "ORDER_MODIFIER",
        "LIMIT_MODIFIER",
        "LIMIT_PERCENT_MODIFIER",
        "DISTINCT_MODIFIER",
        "ORDER_DEFAULT",
        "ASCENDING",
        "DESCENDING",
    }
)
EXPRESSIONS = frozenset(
    {
        "BETWEEN",
        "CASE",
        "CAST",
        "COLLATE",
        "COLUMN_REF",
        "COMPARISON",
        "CONJUNCTION",
        "CONSTANT",
        "FUNCTION",
        "LAMBDA",
        "LAMBDA_REF",
        "OPERATOR",
        "POSITIONAL_REFERENCE",
        "STAR",
        "SUBQUERY",
        "TYPE",
        "WINDOW",
    }
)
TABLE_FUNCTIONS = frozenset({"range", "generate_series", "unnest", "json_each", "json_tree"})
SHOWS = frozenset({"DESCRIBE", "SUMMARY"})
NOWHERE = 2**64 - 1


class Refusal(NamedTuple):
    """Why a query may not run, and where in its text; None where no one place is at fault.

    `code` is "refused", or "invalid" for what is no SQL.
    """

    problem: str
    offset: int | None = None
    code: str = "refused"


def judge(
    tree: dict[str, Any], relations: frozenset[str], functions: frozenset[str]
) -> Refusal | None:
    """What is wrong with a query, given as `json_serialize_sql` says it; None: it may run.

    `relations` and `functions` are in lower case.
    """
    if tree["error"]:
        problem = tree["error_message"]
        if tree["error_type"] == "not implemented":
            return Refusal("only SELECT may be run")
        position = tree.get("position")
        return Refusal(problem, int(position) if position else None, "invalid")
    statements = tree["statements"]
    if len(statements) != 1:
        return Refusal(f"one SELECT at a time, not {len(statements)} statements")
    return _Judge(relations, functions).look(statements[0]["node"], frozenset())


class _Judge:
    def __init__(self, relations: frozenset[str], functions: frozenset[str]) -> None:
        self._relations = relations
        self._functions = functions

    def look(self, item: object, names: frozenset[str]) -> Refusal | None:
        """Look at a part of the tree; `names` are the common table expressions seen from here."""
        if isinstance(item, list):
            return self._first(_as_list(item), names)
        if not isinstance(item, dict):
            return None
        return self._look_at(_as_dict(item), names)

    def _look_at(self, item: dict[str, Any], names: frozenset[str]) -> Refusal | None:
        refusal = self._expression(item) if "class" in item else self._node(item, names)
        if refusal:
            return refusal
        own = item.get("cte_map")
        if own:
            names |= {str(entry["key"]).lower() for entry in own["map"]}
        if item.get("type") == "RECURSIVE_CTE_NODE":
            names |= {str(item.get("cte_name", "")).lower()}
        return self._first(list(item.values()), names)

    def _first(self, items: list[Any], names: frozenset[str]) -> Refusal | None:
        for item in items:
            refusal = self.look(item, names)
            if refusal:
                return refusal
        return None

    def _expression(self, item: dict[str, Any]) -> Refusal | None:
        kind = item["class"]
        if kind not in EXPRESSIONS:
            return Refusal(f"{_words(kind)} may not be used here", _offset(item))
        if kind in {"FUNCTION", "WINDOW"}:
            name = str(item.get("function_name", "")).lower()
            if item.get("schema") or item.get("catalog"):
                return Refusal("function names are written without a schema", _offset(item))
            if name not in self._functions and name not in TABLE_FUNCTIONS:
                return Refusal(f"the function {name} may not be used here", _offset(item))
        return None

    def _node(self, item: dict[str, Any], names: frozenset[str]) -> Refusal | None:
        kind = item.get("type")
        if not isinstance(kind, str):
            return None
        if kind not in NODES:
            return Refusal(f"{_words(kind)} may not be run; only SELECT may", _offset(item))
        match kind:
            case "BASE_TABLE":
                return self._relation(item, names)
            case "TABLE_FUNCTION":
                return _table_function(item)
            case "SHOW_REF" if item.get("show_type") not in SHOWS or item.get("query") is None:
                return Refusal("of SHOW, only DESCRIBE and SUMMARIZE may be used", _offset(item))
            case _:
                return None

    def _relation(self, item: dict[str, Any], names: frozenset[str]) -> Refusal | None:
        name = str(item.get("table_name", ""))
        if item.get("schema_name") or item.get("catalog_name"):
            return Refusal("names of views are written without a schema", _offset(item))
        if name.lower() in self._relations or name.lower() in names:
            return None
        known = ", ".join(sorted(self._relations))
        return Refusal(f"there is no view {name[:80]!r}; there are: {known}", _offset(item))


def _table_function(item: dict[str, Any]) -> Refusal | None:
    function = item.get("function", {})
    name = str(function.get("function_name", "")).lower()
    if function.get("class") != "FUNCTION" or name not in TABLE_FUNCTIONS:
        return Refusal(f"the table function {name} may not be used here", _offset(item))
    return None


def _as_list(item: Any) -> list[Any]:
    return list(item)


def _as_dict(item: Any) -> dict[str, Any]:
    return dict(item)


def _offset(item: dict[str, Any]) -> int | None:
    offset = item.get("query_location")
    return offset if isinstance(offset, int) and offset != NOWHERE else None


def _words(kind: str) -> str:
    return kind.removesuffix("_NODE").removesuffix("_QUERY").replace("_", " ")


def place_of(sql: str, offset: int) -> tuple[int, int]:
    """Line and column, both from 1, of a byte of the UTF-8 text."""
    before = sql.encode()[:offset].decode(errors="replace")
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
