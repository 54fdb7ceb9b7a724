"""`audit export` and `audit verify` over a worker: an honest one, and one that is not."""

import json
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from click.testing import CliRunner

from toolreeve.audit import CheckpointMade, Draft, Position, fold
from toolreeve.audit.merkle import Frontier, leaf_hash
from toolreeve.audit.note import Checkpoint, NamedKey, sign_note
from toolreeve.audit.seal import logged_text
from toolreeve.cli.__main__ import cli
from toolreeve.cli.trail.bundle import Writer
from toolreeve.decision import Instant
from toolreeve.policy.sign import PublicKey, SigningKey
from toolreeve.v1 import query_pb2 as pb
from toolreeve.v1.query_pb2_grpc import QueryServiceStub
from toolreeve.wire import pack, read_event, unpack

Start = Callable[..., Any]
Payloads = list[bytes]


def run(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(cli, [str(one) for one in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


def verified(address: str, *more: object) -> dict[str, Any]:
    code, output = run("audit", "verify", "--json", "--query", address, *more)
    found: dict[str, Any] = json.loads(output)
    assert code == (0 if found["whole"] else 1)
    return found


@pytest.fixture
def worker(start_worker: Start, fleet: Any, now: Instant) -> Any:
    """A worker with two histories, parts of which are in its archive, and checkpoints over them."""
    started = start_worker(archive={"seconds_max": 0.3}, checkpoints={"seconds": 0.5})
    fleet.publish("edge-1", fleet.calls("edge-1", 30, at=now))
    started.wait_for("SELECT count(*) > 0 FROM checkpoints", [[True]])
    fleet.publish("edge-2", fleet.calls("edge-2", 20, at=now))
    fleet.publish("edge-1", fleet.calls("edge-1", 10, at=now))
    started.wait_for("SELECT count(*) FROM decisions", [[60]])
    started.wait_for("SELECT count(*) FROM audit_log WHERE enforcer LIKE 'edge-%'", [[60]])
    return started


def test_everybodys_history_is_checked_with_seals_and_checkpoints(worker: Any) -> None:
    found = verified(worker.address)
    assert found["findings"] == []
    assert [run["enforcer"] for run in found["runs"]] == ["edge-1", "edge-2", "worker"]
    assert [run["last_sequence"] for run in found["runs"][:2]] == [80, 40]
    (log,) = found["logs"]
    assert log["origin"] == "worker"
    assert log["checked"] == log["checkpoints"] >= 2
    assert log["groups"] >= 60
    (seals,) = [one for one in found["seals"] if one["enforcer"] == "worker"]
    assert seals["seals"] >= 1
    code, output = run("audit", "verify", "--query", worker.address)
    assert code == 0
    assert "whole and unchanged" in output


@pytest.mark.parametrize("form", ["jsonl", "ocsf", "parquet"])
def test_an_export_of_the_worker_is_whole(form: str, worker: Any, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    code, output = run(
        "audit", "export", "--query", worker.address, "--output", folder, "--format", form
    )
    assert code == 0, output
    done, said = run("audit", "verify", "--json", "--export", folder)
    found = json.loads(said)
    assert (done, found["whole"], found["findings"]) == (0, True, [])
    assert [(run["enforcer"], run["last_sequence"]) for run in found["runs"][:2]] == [
        ("edge-1", 80),
        ("edge-2", 40),
    ]


def test_one_enforcer_and_a_span_of_time_can_be_asked_for(
    worker: Any, now: Instant, tmp_path: Path
) -> None:
    base = ["audit", "export", "--query", worker.address, "--output"]
    run(*base, tmp_path / "one", "--enforcer", "edge-2")
    found = json.loads(run("audit", "verify", "--json", "--export", tmp_path / "one")[1])
    assert [run["enforcer"] for run in found["runs"]] == ["edge-2"]
    assert verified(worker.address, "--enforcer", "edge-2")["events"] == 40
    run(*base, tmp_path / "none", "--enforcer", "edge-9")
    assert json.loads(run("audit", "verify", "--json", "--export", tmp_path / "none")[1]) == {
        "whole": True,
        "events": 0,
        "runs": [],
        "seals": [],
        "logs": [],
        "details": {"kept": 0, "erased": 0, "unexplained": 0},
        "findings": [],
    }


@contextmanager
def lying(payloads: Payloads) -> Generator[str]:
    """The address of a worker that hands out what it is told to."""

    def export(_: object, __: object) -> Iterator[pb.ExportGroupsResponse]:
        for payload in payloads:
            yield pb.ExportGroupsResponse(groups=[payload])

    handler = grpc.unary_stream_rpc_method_handler(
        export,
        request_deserializer=pb.ExportGroupsRequest.FromString,
        response_serializer=pb.ExportGroupsResponse.SerializeToString,
    )
    service = pb.DESCRIPTOR.services_by_name["QueryService"].full_name
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service, {"ExportGroups": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


@pytest.fixture
def honest(worker: Any) -> Payloads:
    with grpc.insecure_channel(worker.address) as channel:
        answers = QueryServiceStub(channel).ExportGroups(pb.ExportGroupsRequest())
        return [group for answer in answers for group in answer.groups]


def test_whatever_a_worker_changes_is_named(honest: Payloads) -> None:
    def first(payloads: Payloads) -> tuple[str, str]:
        with lying(payloads) as address:
            finding = verified(address)["findings"][0]
        return finding["event"], finding["fault"]

    with lying(honest) as address:
        assert verified(address)["whole"]
    forged = unpack(honest[3])
    other = forged.raws[0].replace(b"agent-a", b"agent-b")
    changed = _packed(forged.enforcer, forged.first_sequence, forged.previous_hash, [other])
    assert first([*honest[:3], changed, *honest[4:]])[1] in ("edited", "deleted")
    assert first([*honest[:5], *honest[6:]]) == ("edge-1:1:11", "deleted")
    assert first([*honest[:5], honest[6], honest[5], *honest[7:]])[1] == "deleted"
    assert first(honest[1:]) == ("edge-1:1:1", "deleted")
    assert first([b"rubbish", *honest])[1] == "edited"


def test_a_history_that_is_chained_anew_is_not_the_one_that_was_checkpointed(
    honest: Payloads,
) -> None:
    """All of edge-1 is written again from its fourth group on, without a seal to break."""
    payloads: Payloads = []
    head = b""
    for payload in honest:
        group = unpack(payload)
        if group.enforcer == "edge-1" and group.first_sequence >= 7:
            raws = [raw.replace(b"agent-a", b"agent-b") for raw in group.raws]
            payloads.append(_packed("edge-1", group.first_sequence, head, raws))
            head = fold(head, raws)
        else:
            payloads.append(payload)
            head = fold(group.previous_hash, group.raws)
    with lying(payloads) as address:
        findings = verified(address)["findings"]
    assert findings[0]["fault"] == "edited"
    assert findings[0]["event"].startswith("worker:")
    assert "do not lead to the root" in findings[0]["detail"]


def test_an_older_copy_of_a_history_ends_before_what_was_checkpointed(honest: Payloads) -> None:
    last = [payload for payload in honest if unpack(payload).enforcer == "edge-1"][-3:]
    with lying([payload for payload in honest if payload not in last]) as address:
        (finding,) = verified(address)["findings"]
    assert (finding["event"], finding["fault"]) == ("edge-1:1:75", "rolled back")
    assert "has events up to 80" in finding["detail"]


def test_an_enforcers_own_history_is_compared_with_what_the_worker_has(
    worker: Any, honest: Payloads, tmp_path: Path
) -> None:
    own = [payload for payload in honest if unpack(payload).enforcer == "edge-1"]

    def compared(name: str, payloads: Payloads) -> tuple[int, list[tuple[str, str]]]:
        with Writer(tmp_path / name) as writer:
            for payload in payloads:
                writer.take(payload)
            writer.finish("2026-11-21T00:00:00Z", None, None)
        arguments = ["--export", tmp_path / name, "--against", "worker", "--query", worker.address]
        code, output = run("audit", "verify", "--json", *arguments)
        found = json.loads(output)["findings"]
        return code, [(one["event"], one["fault"]) for one in found]

    assert compared("all", own) == (0, [])
    assert compared("older", own[:30]) == (1, [("edge-1:1:61", "rolled back")])
    group = unpack(own[-1])
    other = [raw.replace(b"agent-a", b"agent-b") for raw in group.raws]
    forged = _packed("edge-1", group.first_sequence, group.previous_hash, other)
    assert compared("forged", [*own[:-1], forged]) == (1, [("edge-1:1:80", "forked")])


def test_a_checkpoint_by_another_key_does_not_count(honest: Payloads) -> None:
    thief = SigningKey.generate()
    key = NamedKey("worker", thief.public.raw, PublicKey.from_raw(thief.public.raw).verifies)
    group = unpack(honest[0])
    head = fold(group.previous_hash, group.raws)
    leaf = leaf_hash(logged_text("edge-1", Position(1, 1), len(group.raws), head))
    note = sign_note(Checkpoint("worker", 1, Frontier().append([leaf]).root).text, key, thief.sign)
    last = unpack(honest[-1])
    end = fold(last.previous_hash, last.raws)
    at = Position(last.epoch, last.first_sequence + len(last.raws))
    made = Draft(read_event(last.raws[0]).at, CheckpointMade(note=note, added=()))
    payload, _ = pack("worker")(at, end, [made])
    with lying([*honest, payload]) as address:
        finding = verified(address)["findings"][0]
    assert (finding["event"], finding["fault"]) == (f"worker:{at.epoch}:{at.sequence}", "foreign")


def _packed(enforcer: str, first: int, head: bytes, raws: list[bytes]) -> bytes:
    from toolreeve.v1.audit_pb2 import EventBatch

    batch = EventBatch(
        enforcer_id=enforcer, epoch=1, first_sequence=first, previous_hash=head, events=raws
    )
    return batch.SerializeToString()
