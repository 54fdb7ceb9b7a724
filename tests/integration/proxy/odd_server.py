"""A server on stdio that does what a tool's name says, however odd, without any SDK.

It answers `echo` with the very line it read. Every line that reaches it is appended to SEEN_FILE.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def result(number: object, text: str) -> str:
    content = [{"type": "text", "text": text}]
    answer = {"jsonrpc": "2.0", "id": number, "result": {"content": content, "isError": False}}
    return json.dumps(answer, separators=(",", ":"))


def act(line: str, number: object, tool: str) -> None:  # noqa: C901, PLR0912  # one line for each oddity
    if tool == "echo":
        say(result(number, line))
    elif tool == "twice":
        say(result(number, "first"))
        say(result(number, "second"))
    elif tool == "stray":
        say(result("nobody", "stray"))
        say(result(number, "mine"))
    elif tool == "rubbish":
        say("Server ready!")
        say(json.dumps({"jsonrpc": "2.0", "id": number, "result": float("nan")}))
        say(result(number, "after rubbish"))
    elif tool == "cr":
        say('{"jsonrpc":"2.0","method":"notifications/x"}\r{"jsonrpc":"2.0"}')
        say(result(number, "after cr"))
    elif tool == "noise":
        for _ in range(20_000):
            sys.stderr.write("noise " * 20 + "\n")
        say(result(number, "after noise"))
    elif tool == "exit":
        sys.exit(7)
    elif tool == "last_words":
        say(result(number, "last words"))
        os._exit(3)
    elif tool == "long":
        say("x" * 3_000_000)
    elif tool == "pid":
        say(result(number, str(os.getpid())))
    elif tool == "grandchild":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        say(result(number, str(child.pid)))
    elif tool == "deaf":
        time.sleep(600)
    elif tool == "environ":
        say(result(number, json.dumps(dict(os.environ))))


def main() -> None:
    seen = Path(os.environ["SEEN_FILE"])
    for line in sys.stdin:
        with seen.open("a", encoding="utf-8") as file:
            file.write(line)
        message = json.loads(line)
        method, number = message.get("method"), message.get("id")
        if method == "tools/call":
            act(line.rstrip("\n"), number, message["params"]["name"])
        elif method == "tools/list":
            tools = [{"name": "echo"}, {"name": "fails_by_raising"}]
            say(json.dumps({"jsonrpc": "2.0", "id": number, "result": {"tools": tools}}))
        elif number is not None:
            say(json.dumps({"jsonrpc": "2.0", "id": number, "result": {}}))


if __name__ == "__main__":
    main()
