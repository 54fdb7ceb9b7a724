"""A server on stdio that appends every line it reads to the file SEEN_FILE, and answers calls."""

import json
import os
import sys
from pathlib import Path


def main() -> None:
    seen = Path(os.environ["SEEN_FILE"])
    for line in sys.stdin.buffer:
        with seen.open("ab") as file:
            file.write(line)
        message = json.loads(line)
        if message.get("method") == "tools/call":
            content = [{"type": "text", "text": "done"}]
            result = {"content": content, "isError": False}
            answer = {"jsonrpc": "2.0", "id": message["id"], "result": result}
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
