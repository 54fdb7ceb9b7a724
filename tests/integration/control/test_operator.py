"""What operators are answered, over real gRPC and NATS."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

import grpc
import grpc.aio
import pytest

from toolreeve.control.operator_service import operator_service
from toolreeve.control.process import running
from toolreeve.control.settings import ControlSettings
from toolreeve.policy import parse
from toolreeve.policy.sign import SigningKey
from toolreeve.v1 import operator_pb2 as pb
from toolreeve.v1.audit_pb2 import Hold
from toolreeve.v1.operator_pb2_grpc import OperatorServiceStub
from toolreeve.v1.rollout_pb2 import RolloutPlan

if TYPE_CHECKING:
    from toolreeve.v1.operator_pb2_grpc import OperatorServiceAsyncStub

DENY_ALL = b'{"version": "1", "name": "lab", "default": "deny", "tools": {}}'
ALLOW_STATUS = b'{"version": "1", "name": "lab", "default": "deny", "tools": {"vm_status": {}}}'
BROKEN = b'{"version": "1",\n "default": "maybe",\n "tools": []}'


@asynccontextmanager
async def operator(nats_url: str, prefix: str) -> AsyncGenerator["OperatorServiceAsyncStub"]:
    settings = ControlSettings(
        plaintext=True, listen="127.0.0.1:0", nats_url=nats_url, prefix=prefix, stop_seconds_max=0.2
    )
    async with (
        running(settings, SigningKey.generate()) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        yield OperatorServiceStub(channel)


def command(command_id: str = "") -> pb.Command:
    return pb.Command(command_id=command_id or str(uuid4()), actor="ada", reason="a test")


def publication(text: bytes, command_id: str = "") -> pb.PublishPolicyRequest:
    return pb.PublishPolicyRequest(
        command=command(command_id), server="vm", text=text, source="lab.json"
    )


async def refusal(asked: Awaitable[object]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await asked
    return raised.value.code(), raised.value.details() or ""


def within(seconds: float, story: Callable[[], Awaitable[None]]) -> None:
    async def timed() -> None:
        async with asyncio.timeout(seconds):
            await story()

    asyncio.run(timed())


def test_a_broken_policy_is_refused_with_every_complaint_and_changes_nothing(
    nats_url: str, prefix: str
) -> None:
    async def story() -> None:
        async with operator(nats_url, prefix) as stub:
            code, details = await refusal(stub.PublishPolicy(publication(BROKEN)))
            assert code is grpc.StatusCode.INVALID_ARGUMENT
            places = [line.split(": ")[0] for line in details.splitlines()]
            assert places == ["lab.json:2:13", "lab.json:3:11"]
            listed = await stub.ListPolicies(pb.ListPoliciesRequest())
            assert not listed.policies

    within(20, story)


def test_more_complaints_than_a_status_can_carry_are_counted(nats_url: str, prefix: str) -> None:
    tools = ", ".join(f'"tool_{number}": {{"{chr(228)}": 1}}' for number in range(80))
    text = f'{{"version": "1", "default": "deny", "tools": {{{tools}}}}}'.encode()

    async def story() -> None:
        async with operator(nats_url, prefix) as stub:
            code, details = await refusal(stub.PublishPolicy(publication(text)))
            assert code is grpc.StatusCode.INVALID_ARGUMENT
            lines = details.splitlines()
            assert lines[0].startswith("lab.json:1:")
            assert lines[-1].startswith(f"({80 - len(lines) + 1} more;")

    within(20, story)


def test_a_policy_that_is_too_large_is_refused(nats_url: str, prefix: str) -> None:
    rule = f'{{"reason": "{"x" * 900}"}}'
    tools = ", ".join(f'"tool_{number}": {rule}' for number in range(900))
    text = f'{{"version": "1", "default": "deny", "tools": {{{tools}}}}}'.encode()

    async def story() -> None:
        async with operator(nats_url, prefix) as stub:
            code, details = await refusal(stub.PublishPolicy(publication(text)))
            assert code is grpc.StatusCode.INVALID_ARGUMENT
            assert "policy_bytes_max" in details

    within(30, story)


def test_what_was_published_is_listed_and_its_text_can_be_had(nats_url: str, prefix: str) -> None:
    async def story() -> None:
        async with operator(nats_url, prefix) as stub:
            published = await stub.PublishPolicy(publication(ALLOW_STATUS))
            listed = await stub.ListPolicies(pb.ListPoliciesRequest())
            (one,) = listed.policies
            assert (one.server, one.revision, one.actor) == ("vm", published.revision, "ada")
            assert one.published_unix_nano > 0
            body = await stub.GetRevision(pb.GetRevisionRequest(revision=published.revision))
            assert body.body == parse(ALLOW_STATUS, source="").canonical
            code, _ = await refusal(stub.GetRevision(pb.GetRevisionRequest(revision="sha256:0")))
            assert code is grpc.StatusCode.NOT_FOUND

    within(20, story)


def test_publishing_again_what_is_in_force_changes_nothing(nats_url: str, prefix: str) -> None:
    async def story() -> None:
        async with operator(nats_url, prefix) as stub:
            first = await stub.PublishPolicy(publication(ALLOW_STATUS))
            again = await stub.PublishPolicy(publication(ALLOW_STATUS))
            assert again.unchanged
            assert again.manifest_sequence == first.manifest_sequence

    within(20, story)


def test_a_repeated_command_answers_as_the_first_time_even_after_others(
    nats_url: str, prefix: str
) -> None:
    async def story() -> None:
        async with operator(nats_url, prefix) as stub:
            first = await stub.PublishPolicy(publication(ALLOW_STATUS, "one"))
            second = await stub.PublishPolicy(publication(DENY_ALL, "two"))
            repeated = await stub.PublishPolicy(publication(ALLOW_STATUS, "one"))
            assert repeated == first
            listed = await stub.ListPolicies(pb.ListPoliciesRequest())
            assert listed.policies[0].revision == second.revision
            code, _ = await refusal(stub.PublishPolicy(publication(DENY_ALL, "one")))
            assert code is grpc.StatusCode.ALREADY_EXISTS

    within(20, story)


@pytest.mark.parametrize(
    ("request_", "problem"),
    [
        (pb.PlaceHoldRequest(hold=Hold(tool="t")), "command id is missing"),
        (pb.PlaceHoldRequest(command=command()), "names a server"),
        (
            pb.PlaceHoldRequest(
                command=pb.Command(command_id="c", actor="ada"), hold=Hold(tool="t")
            ),
            "reason is missing",
        ),
    ],
)
def test_a_command_that_lacks_something_says_what(
    nats_url: str, prefix: str, request_: pb.PlaceHoldRequest, problem: str
) -> None:
    async def story() -> None:
        async with operator(nats_url, prefix) as stub:
            code, details = await refusal(stub.PlaceHold(request_))
            assert code is grpc.StatusCode.INVALID_ARGUMENT
            assert problem in details

    within(20, story)


async def anybody(_: str, __: object, ___: object) -> None:
    """Let everybody in."""


def test_what_a_later_version_brings_says_so() -> None:
    async def story() -> None:
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((operator_service([], {}, anybody),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                asked = OperatorServiceStub(channel).StartRollout(pb.StartRolloutRequest())
                code, details = await refusal(asked)
        finally:
            await server.stop(None)
        assert code is grpc.StatusCode.UNIMPLEMENTED
        assert "StartRollout" in details

    within(20, story)


@pytest.mark.parametrize(
    ("request_", "expected", "problem"),
    [
        (pb.StartRolloutRequest(), grpc.StatusCode.INVALID_ARGUMENT, "neither a policy"),
        (pb.StartRolloutRequest(revision="sha256:0"), grpc.StatusCode.NOT_FOUND, "never published"),
        (pb.StartRolloutRequest(text=b"{"), grpc.StatusCode.INVALID_ARGUMENT, "policy:1"),
        (
            pb.StartRolloutRequest(
                command=pb.Command(command_id="c", actor="ada"),
                server="vm",
                plan=RolloutPlan(stages=[10_000], alpha=0.5),
                text=b'{"version": "1", "default": "deny", "tools": {}}',
            ),
            grpc.StatusCode.FAILED_PRECONDITION,
            "nothing is published for 'vm'",
        ),
    ],
)
def test_a_rollout_that_cannot_begin_says_why(
    nats_url: str,
    prefix: str,
    request_: pb.StartRolloutRequest,
    expected: grpc.StatusCode,
    problem: str,
) -> None:
    async def story() -> None:
        async with operator(nats_url, prefix) as stub:
            code, details = await refusal(stub.StartRollout(request_))
            assert (code, problem in details) == (expected, True), details
            code, details = await refusal(stub.GetRollout(pb.GetRolloutRequest(rollout_id="r")))
            assert code is grpc.StatusCode.NOT_FOUND

    within(20, story)
