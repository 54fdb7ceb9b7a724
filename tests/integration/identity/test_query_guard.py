"""Who may ask the query service of a worker that has joined."""

import json
import signal
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.integration.identity.process import COMMAND, Site, site_of, wait_until

from toolreeve.cli.access import Access, open_channel
from toolreeve.v1 import query_pb2 as pb
from toolreeve.v1.query_pb2_grpc import QueryServiceStub

pytestmark = pytest.mark.timeout(180)


@contextmanager
def worker(site: Site, prefix: str, nats_url: str, more: str = "") -> Generator[str]:
    """A worker that has joined; gives where it is asked."""
    data, ready = site.folder / "worker", site.folder / "worker.ready.json"
    token = site.json("enforcer", "token", "worker", "--kind", "worker")["token"]
    pin = ("--pin", site.pin, "--data", str(data))
    done = site.run("enforcer", "join", site.address, *pin, says=token)
    assert done.returncode == 0, done.stderr
    assert f'control = "{site.members}"' in done.stdout
    config = site.folder / "worker.toml"
    config.write_text(
        f'listen = "127.0.0.1:0"\ndata = "{data}"\nnats_url = "{nats_url}"\nprefix = "{prefix}"\n'
        f'control = "{site.members}"\n{more}\n'
    )
    command = [COMMAND, "worker", "--config", str(config), "--ready-file", str(ready)]
    with (
        (site.folder / "worker.log").open("w") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as process,
    ):
        try:
            wait_until(lambda: ready.exists() or process.poll() is not None)
            assert process.poll() is None, (site.folder / "worker.log").read_text()
            yield json.loads(ready.read_text())["query"]
        finally:
            process.terminate()


def ask(site: Site, address: str, token: str, method: str, request: Any) -> None:
    access = Access(Path(site.authority).read_text(), token)
    with open_channel(address, "worker", access) as channel:
        answered = getattr(QueryServiceStub(channel), method)(request, timeout=10)
        if method == "RunQuery":
            list(answered)


def refusal(site: Site, address: str, token: str, method: str, request: Any) -> tuple[Any, str]:
    with pytest.raises(grpc.RpcError) as raised:
        ask(site, address, token, method, request)
    return raised.value.code(), str(raised.value.details())


def test_operators_ask_and_nobody_else(tmp_path: Path, nats_url: str, prefix: str) -> None:
    with site_of(tmp_path, nats_url, prefix) as site:
        site.log_in()
        viewer = site.json("operator", "create", "vi", "--role", "viewer")["token"]
        query = pb.RunQueryRequest(sql="SELECT 1 AS one")
        erase = pb.EraseDetailsRequest()
        with worker(site, prefix, nats_url) as address:
            done = site.run("audit", "query", "SELECT 1 AS one", "--query", address, "--json")
            assert (done.returncode, json.loads(done.stdout)) == (0, [{"one": 1}]), done.stderr
            ask(site, address, viewer, "RunQuery", query)
            code, text = refusal(site, address, viewer, "EraseDetails", erase)
            assert (code, "ask an admin" in text) == (grpc.StatusCode.PERMISSION_DENIED, True)
            for token in ("", "guess", "toolreeve_op_0123456789abcdef_" + "A" * 43):
                for method, request in (("RunQuery", query), ("EraseDetails", erase)):
                    code, text = refusal(site, address, token, method, request)
                    assert (code, "token" in text) == (grpc.StatusCode.UNAUTHENTICATED, True)
            in_the_clear = site.run("audit", "query", "SELECT 1", "--query", f"plaintext:{address}")
            assert in_the_clear.returncode == 1
            # Whoever was known goes on asking while no control plane answers; nobody new comes in.
            site.control.send_signal(signal.SIGKILL)
            site.control.wait()
            ask(site, address, viewer, "RunQuery", query)
            other = "toolreeve_op_0123456789abcdee_" + "A" * 43
            code, text = refusal(site, address, other, "RunQuery", query)
            assert (code, "no control plane" in text) == (grpc.StatusCode.UNAVAILABLE, True)


def test_a_worker_in_the_clear_is_called_by_that_name(
    tmp_path: Path, nats_url: str, prefix: str
) -> None:
    with site_of(tmp_path, nats_url, prefix) as site:
        site.log_in()
        with worker(site, prefix, nats_url, "plaintext = true") as address:
            asked = ("audit", "query", "SELECT 1 AS one", "--json", "--query")
            refused = site.run(*asked, address)
            assert (refused.returncode, f"--query plaintext:{address}" in refused.stderr) == (
                1,
                True,
            ), refused.stderr
            done = site.run(*asked, f"plaintext:{address}")
            assert json.loads(done.stdout) == [{"one": 1}]
