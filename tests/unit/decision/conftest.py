"""Policies, calls and holds to draw: small, and near one another, so that they meet."""

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import strategies as st

from toolreeve.decision import SECOND, Hold, Holds, Instant

NOON = Instant(1_768_000_000 * SECOND)
Drawn = st.SearchStrategy[Any]

VALUES: Drawn = st.sampled_from(
    [0, 1, 7, 7.0, 100, -1, True, False, None, "7", "", "ab\n", [1, 7], {}]
)
ARGUMENTS: Drawn = st.dictionaries(st.sampled_from(["id", "force", "n"]), VALUES, max_size=3)
PATHS: Drawn = st.sampled_from(["args.id", "args.force", "args.id[*]", "/n", "args.id[0]"])
COMPARISONS: Drawn = st.sampled_from(
    [
        {"op": "eq", "value": 7},
        {"op": "neq", "value": "7"},
        {"op": "in", "value": [7, "7"]},
        {"op": "not_in", "value": [1, True]},
        {"op": "lt", "value": 7},
        {"op": "gte", "value": 1},
        {"op": "regex", "value": "[0-9]"},
        {"op": "contains", "value": 7},
        {"op": "exists", "value": True},
        {"op": "exists", "value": False},
    ]
)


def condition(path: str, compared: dict[str, Any], missing: str) -> dict[str, Any]:
    return {"path": path, **compared, "on_missing": missing}


CONDITIONS: Drawn = st.builds(
    condition,
    PATHS,
    COMPARISONS,
    st.sampled_from(["deny", "ignore"]),
)
CLAUSES: Drawn = st.lists(
    st.fixed_dictionaries({"conditions": st.lists(CONDITIONS, min_size=1, max_size=2)}),
    max_size=2,
)
LIMITS: Drawn = st.lists(
    st.sampled_from(
        [
            {"counter": "a", "window": 60, "max": 1},
            {"counter": "b", "window": 60, "max": 2, "by": ["/id"]},
            {"counter": "c", "window": 60, "max": 10, "amount": "/n"},
            {"counter": "d", "window": 60, "max": 2, "align": "calendar", "scope": "session"},
            {"counter": "e", "window": 60, "max": 0},
        ]
    ),
    max_size=3,
)
ACTIONS: Drawn = st.sampled_from([{}, {}, {}, {"action": "deny"}, {"action": "require_approval"}])
SCHEMAS: Drawn = st.sampled_from([{"type": "object", "properties": {"id": {"type": "integer"}}}])
RULES: Drawn = st.one_of(
    ACTIONS,
    st.fixed_dictionaries(
        {"require": CLAUSES, "deny_if": CLAUSES, "limits": LIMITS},
        optional={
            "arguments": SCHEMAS,
            "mode": st.sampled_from(["warn", "enforce"]),
            "action": st.sampled_from(["require_approval"]),
        },
    ),
)
POLICIES: Drawn = st.fixed_dictionaries(
    {
        "default": st.sampled_from(["allow", "deny"]),
        "tools": st.dictionaries(
            st.sampled_from(["vm_restart", "vm_*", "vm_?????*", "*", "class:execute", "meta"]),
            RULES,
            max_size=4,
        ),
    },
    optional={
        "hide": st.sampled_from([[], ["vm_stop"], ["vm_s*"]]),
        "mode": st.sampled_from(["shadow", "enforce"]),
        "pin": st.sampled_from(["off", "observe", "enforce"]),
        "dispatch": st.just({"meta": {"name": "/id", "arguments": "/force"}}),
        "all_tools": st.fixed_dictionaries({"limits": LIMITS, "deny_if": CLAUSES}),
    },
)
CALLS: Drawn = st.tuples(
    st.sampled_from(["vm_restart", "vm_stop", "meta", "other"]),
    ARGUMENTS,
    st.sampled_from([0, 1, 59, 60]),
    st.sampled_from(["s1", "s2"]),
)
HOLDS: Drawn = st.sampled_from(
    [
        Holds(),
        Holds(),
        Holds().place(Hold(hold_id="h", tool="vm_stop", actor="a", reason="r")),
        Holds().place(
            Hold(
                hold_id="h",
                argument_pointer="/id",
                argument_value_json="7",
                actor="a",
                reason="r",
                expires_at=Instant(NOON + 60 * SECOND),
            )
        ),
    ]
)


@pytest.fixture(scope="session")
def drawn() -> SimpleNamespace:
    """Strategies: `policies` (documents), `holds`, and `calls` (tool, arguments, wait, session)."""
    return SimpleNamespace(policies=POLICIES, holds=HOLDS, calls=st.lists(CALLS, max_size=8))
