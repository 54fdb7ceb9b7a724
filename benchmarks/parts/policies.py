"""The policies that the gateway is measured with."""

ALLOW_ALL: dict[str, object] = {"version": "1", "default": "allow"}

CATEGORIES = (
    *("vm", "app", "pool", "dataset", "snapshot", "share_smb", "share_nfs", "iscsi", "user"),
    *("group", "network", "interface", "certificate", "cloud_sync", "replication", "rsync"),
    *("cron", "service", "disk", "alert", "boot", "update", "system", "acl"),
)
VERBS = (
    *("list", "get", "create", "update", "delete", "start", "stop", "restart"),
    *("clone", "query", "schedule", "run"),
)
CHANGING = {"create", "update", "start", "stop", "restart", "clone", "schedule", "run"}
NAME = {"type": "string", "maxLength": 200_000}


def truenas_policy(seconds_of_one: int = 60) -> dict[str, object]:
    """A policy for a server with one wire tool and 288 operations behind it.

    In the shape of the one TrueNAS servers get: every operation by name, its arguments under a
    schema, limits on whatever changes something and for each machine, a condition, a denial, and
    default deny. No limit is reached by the load; each call is counted under three of them, one of
    which is kept for each machine over `seconds_of_one`.
    """
    tools: dict[str, object] = {}
    for category in CATEGORIES:
        for verb in VERBS:
            name = f"{category}_{verb}"
            if verb == "delete":
                tools[name] = {"action": "deny", "reason": "Deleting is done by people."}
                continue
            rule: dict[str, object] = {"arguments": _arguments(verb)}
            if verb in CHANGING:
                rule["limits"] = _limits(name, seconds_of_one)
                rule["deny_if"] = [
                    {
                        "conditions": [
                            {
                                "path": "args.force",
                                "op": "eq",
                                "value": True,
                                "on_missing": "ignore",
                            }
                        ],
                        "on_deny": "Do it in order, without force.",
                    }
                ]
            tools[name] = rule
    return {
        "version": "1",
        "name": "truenas-bench",
        "default": "deny",
        "dispatch": {"truenas": {"name": "/action", "arguments": "/params", "group": "/category"}},
        "all_tools": {
            "limits": [{"counter": "all", "window": 2, "max": 100_000, "scope": "grant"}]
        },
        "tools": tools,
    }


def _arguments(verb: str) -> dict[str, object]:
    properties: dict[str, object] = {
        "id": {"type": "integer", "minimum": 0},
        "note": NAME,
        "force": {"type": "boolean"},
        "wait_ms": {"type": "integer"},
    }
    required = [] if verb in ("list", "query", "create") else ["id"]
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _limits(name: str, seconds_of_one: int) -> list[dict[str, object]]:
    calls = {"max": 100_000, "scope": "grant"}
    return [
        {"counter": f"{name}_rate", "window": 2, **calls},
        {"counter": f"{name}_of_one", "window": seconds_of_one, "by": ["/id"], **calls},
    ]
