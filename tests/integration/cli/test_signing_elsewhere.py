"""A signing key that the control plane does not have: asked for, signed, delivered."""

import base64
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from toolreeve.policy.cohort import Cohort
from toolreeve.policy.sign import SigningKey, attach, signed_bytes, verify_manifest

COMMAND = str(Path(sys.executable).with_name("toolreeve"))
READY_SECONDS_MAX = 30.0
KEY = SigningKey.generate()
Toolreeve = Callable[..., subprocess.CompletedProcess[str]]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *arguments], capture_output=True, text=True, timeout=30, check=False
    )


@pytest.fixture
def toolreeve(tmp_path: Path, nats_url: str, prefix: str) -> Iterator[Toolreeve]:
    """Runs the installed command beside a control plane of the test's own."""
    ready, config = tmp_path / "ready.json", tmp_path / "control.toml"
    config.write_text(
        f'plaintext = true\nlisten = "127.0.0.1:0"\ndata = "{tmp_path}"\nnats_url = "{nats_url}"\n'
        f'prefix = "{prefix}"\nready_file = "{ready}"\nlog_level = "warning"\n'
    )
    with subprocess.Popen([COMMAND, "control", "--config", str(config)]) as control:
        try:
            deadline = time.monotonic() + READY_SECONDS_MAX
            while not ready.exists():
                assert control.poll() is None, "the control plane has ended"
                assert time.monotonic() < deadline, "the control plane is not ready"
                time.sleep(0.02)
            address = json.loads(ready.read_text())["address"]
            yield lambda *arguments: run(*arguments, "--control", address)
        finally:
            control.terminate()


@pytest.fixture
def pem(tmp_path: Path) -> str:
    """The key's file, where only its owner can read it."""
    file = tmp_path / "offline.pem"
    file.touch(mode=0o600)
    file.write_bytes(KEY.to_pem())
    return str(file)


def policy(folder: Path, name: str, **tools: object) -> str:
    file = folder / f"{name}.json"
    file.write_text(json.dumps({"version": "1", "default": "deny", "tools": tools}))
    return str(file)


def done(ran: subprocess.CompletedProcess[str]) -> str:
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_a_policy_and_a_rollout_are_signed_where_the_key_is_and_delivered(
    toolreeve: Toolreeve, tmp_path: Path, pem: str
) -> None:
    plan = str(tmp_path / "plan.json")
    first, second = policy(tmp_path, "first"), policy(tmp_path, "second", t={})
    asked = toolreeve("policy", "publish", first, "--server", "vm", "--to-sign", plan)
    assert "1 to be signed" in done(asked)
    assert json.loads(done(toolreeve("policy", "list", "--json"))) == [], "nothing has changed"
    refused = toolreeve("policy", "deliver", plan)
    assert (refused.returncode, "is not signed" in refused.stderr) == (2, True)
    signed = json.loads(done(run("policy", "sign", plan, "--key", pem, "--json")))
    assert signed["public_key"] == KEY.public.text
    assert [one["for"] for one in signed["signed"]] == ["everybody"]
    done(toolreeve("policy", "deliver", plan))
    (listed,) = json.loads(done(toolreeve("policy", "list", "--json")))
    assert listed["manifest"] == 1

    start = ("rollout", "start", second, "--server", "vm", "--stages", "5,100")
    assert "4 to be signed" in done(toolreeve(*start, "--to-sign", plan))
    assert json.loads(done(toolreeve("rollout", "list", "--json"))) == []
    done(run("policy", "sign", plan, "--key", pem))
    document = json.loads(Path(plan).read_text())
    manifests = [
        verify_manifest(
            attach(base64.b64decode(payload), KEY.public, base64.b64decode(signature)),
            [KEY.public],
        )
        for payload, signature in zip(document["payloads"], document["signatures"], strict=True)
    ]
    assert [manifest.sequence for manifest in manifests] == [2, 3, 4, 5]
    assert Cohort.parse(manifests[0].cohort).below < Cohort.parse(manifests[1].cohort).below
    assert manifests[3].revision == listed["revision"], "the way back"
    said = json.loads(done(toolreeve("policy", "deliver", plan, "--json")))
    found = json.loads(done(toolreeve("rollout", "status", "vm", "--json")))
    assert (found["rollout"], found["state"]) == (said["rollout"], "running")
    back = done(toolreeve("rollout", "rollback", "vm", "--reason", "a test", "--json"))
    assert json.loads(back)["state"] == "rolled_back", "and it needs no key"


def test_what_was_signed_for_another_moment_is_refused(
    toolreeve: Toolreeve, tmp_path: Path, pem: str
) -> None:
    plan = str(tmp_path / "plan.json")
    first, second = policy(tmp_path, "first"), policy(tmp_path, "second", t={})
    done(toolreeve("policy", "publish", first, "--server", "vm", "--to-sign", plan))
    done(run("policy", "sign", plan, "--key", pem))
    done(toolreeve("policy", "publish", second, "--server", "vm"))
    late = toolreeve("policy", "deliver", plan)
    assert late.returncode == 1
    assert "is not as it was signed" in late.stderr
    assert "ask again what is to be signed" in late.stderr


def test_a_command_signs_and_what_is_no_signature_is_not_taken(
    toolreeve: Toolreeve, tmp_path: Path, pem: str
) -> None:
    plan = str(tmp_path / "plan.json")
    file = policy(tmp_path, "first")
    done(toolreeve("policy", "publish", file, "--server", "vm", "--to-sign", plan))
    script = tmp_path / "signer.py"
    script.write_text(
        "import base64, sys\nfrom toolreeve.policy.sign import SigningKey\n"
        f"key = SigningKey.from_pem(open({pem!r}, 'rb').read())\n"
        "print(base64.b64encode(key.sign(sys.stdin.buffer.read())).decode())\n"
    )
    command = f"{sys.executable} {script}"
    foreign = SigningKey.generate().public.text
    wrong = run("policy", "sign", plan, "--command", command, "--public-key", foreign)
    assert (wrong.returncode, "is no signature of" in wrong.stderr) == (1, True)
    nobody = run("policy", "sign", plan)
    assert (nobody.returncode, "nobody is named who signs" in nobody.stderr) == (2, True)
    failing = run("policy", "sign", plan, "--command", "false", "--public-key", foreign)
    assert failing.returncode == 1
    own = KEY.public.text
    done(run("policy", "sign", plan, "--command", command, "--public-key", own))
    done(toolreeve("policy", "deliver", plan))
    document = json.loads(Path(plan).read_text())
    (payload,), (signature,) = document["payloads"], document["signatures"]
    message = signed_bytes(base64.b64decode(payload))
    assert KEY.public.verifies(base64.b64decode(signature), message)
    Path(pem).chmod(0o644)
    readable = run("policy", "sign", plan, "--key", pem)
    assert (readable.returncode, "others can read" in readable.stderr) == (2, True)
