"""A server on stdio, without sessions, whose one tool asks back before it does anything."""

import json
import sys
from typing import Any

STATE = "c3RhdGU="


def result(message: dict[str, Any]) -> dict[str, Any]:
    params = message.get("params", {})
    match message["method"]:
        case "server/discover":
            return {
                "supportedVersions": ["2026-07-28"],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "asking", "version": "1"},
                "ttlMs": 0,
                "cacheScope": "private",
            }
        case "tools/list":
            tool = {"name": "vm_restart", "inputSchema": {"type": "object"}}
            return {"tools": [tool], "ttlMs": 0, "cacheScope": "private"}
        case _:
            if params.get("requestState") == STATE:
                said = params["inputResponses"]["sure"]["action"]
                return {"content": [{"type": "text", "text": said}]}
            schema: dict[str, Any] = {"type": "object", "properties": {}}
            asked: dict[str, Any] = {"message": "Sure?", "requestedSchema": schema, "mode": "form"}
            return {
                "resultType": "input_required",
                "inputRequests": {"sure": {"method": "elicitation/create", "params": asked}},
                "requestState": STATE,
            }


for line in sys.stdin:
    heard = json.loads(line)
    if "id" in heard and "method" in heard:
        answer = {"resultType": "complete", **result(heard)}
        print(json.dumps({"jsonrpc": "2.0", "id": heard["id"], "result": answer}), flush=True)
