"""An MCP server that remembers every call it got, in a process of its own.

    python -m tests.nemesis.upstream PORT FILE

Each call's `name` argument is a line of FILE, written before it is answered.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock

DONE: dict[str, object] = {"content": [{"type": "text", "text": "done"}], "resultType": "complete"}
DISCOVERED: dict[str, object] = {
    "supportedVersions": ["2026-07-28"],
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "oracle", "version": "1"},
    "resultType": "complete",
}


def serve(port: int, seen: Path) -> None:
    """Answer until killed."""
    lock = Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if asked.get("method") == "tools/call":
                with lock:
                    file.write(asked["params"]["arguments"]["name"] + "\n")
                    file.flush()
            result = DISCOVERED if asked.get("method") == "server/discover" else DONE
            body = json.dumps({"jsonrpc": "2.0", "id": asked.get("id"), "result": result}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 128
        daemon_threads = True
        allow_reuse_address = True

    with seen.open("a", encoding="utf-8") as file:
        Server(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    serve(int(sys.argv[1]), Path(sys.argv[2]))
