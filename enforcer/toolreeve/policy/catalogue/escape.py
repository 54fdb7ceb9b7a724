"""Escape hatches: tools that reach around every rule about the others.

A rule for `vm_delete` is worth nothing beside a tool that sends any request to the same API, runs
any command or any statement. Each such tool gets a reason, which is what an agent reads when the
recommended policy refuses it.
"""

from toolreeve.policy.catalogue.naming import words_of
from toolreeve.policy.catalogue.tool import Tool, properties_of, types_of

_SHELLS = frozenset(
    "bash shell sh zsh powershell pwsh cmd terminal repl curl wget kubectl ssh".split()  # noqa: SIM905
)
_ADDRESSES = frozenset(("url", "uri", "path", "endpoint", "route", "address"))
_COMMANDS = frozenset(("command", "cmd", "commandline", "shell", "argv", "script"))
_CODES = frozenset(("code", "javascript", "js", "python", "expression", "source", "function"))
_RUNNING = frozenset("run exec execute eval evaluate repl interpreter sandbox".split())  # noqa: SIM905
_LANGUAGES = frozenset("python javascript js node ruby perl php lua code".split())  # noqa: SIM905
_DATABASES = frozenset(
    """sql database db postgres postgresql mysql sqlite mssql oracle bigquery snowflake duckdb
    clickhouse redshift cypher graphql""".split()  # noqa: SIM905
)
_STATEMENTS = frozenset(("sql", "statement", "query"))
_RESTING = frozenset(("get", "list", "describe", "create", "update", "delete", "save", "add"))

RAW_API = "The raw API goes around every other rule."
ANY_REQUEST = "It sends any request, which goes around every other rule."
ANY_COMMAND = "It runs any command, which goes around every other rule."
ANY_CODE = "It runs any code, which goes around every other rule."
ANY_STATEMENT = "It runs any statement, which goes around every other rule."


def escape_hatch(tool: Tool) -> str | None:
    """Why a tool goes around every rule about the others; None for one that does not."""
    words = words_of(tool.name)
    named = set(words)
    strings = _strings(tool)
    if {"raw", "api"} <= named or ("api" in named and named & {"call", "request", "invoke"}):
        return RAW_API
    if "method" in strings and strings & _ADDRESSES:
        return ANY_REQUEST
    if "graphql" in named and not named & _RESTING:
        return ANY_STATEMENT
    if named & {"http", "rest"} and "request" in named:
        return ANY_REQUEST
    if words and words[0] in _SHELLS and len(words) == 1:
        return ANY_COMMAND
    if strings & _COMMANDS and not named & _RESTING:
        return ANY_COMMAND
    if named & _RUNNING and strings & _CODES:
        return ANY_CODE
    if named & _RUNNING and named & (_LANGUAGES - {"js", "node"}):
        return ANY_CODE
    return _statement(named, strings)


def _statement(named: set[str], strings: set[str]) -> str | None:
    if named & {"explain", "describe"}:
        return None
    if "sql" in strings:
        return ANY_STATEMENT
    if strings & _STATEMENTS and named & _DATABASES and not named & _RESTING:
        return ANY_STATEMENT
    return None


def _strings(tool: Tool) -> set[str]:
    """Names of the properties that take free text or a list of it, in lower case."""
    found: set[str] = set()
    for name, schema in properties_of(tool.input_schema).items():
        if tool.mentions is not None and name not in tool.mentions:
            continue
        types = types_of(schema)
        if not types or types & {"string", "array"}:
            found.add(name.lower().replace("_", ""))
    return found
