"""Who may command, as what, and under whose name it is recorded."""

import asyncio

import grpc
import pytest
from tests.integration.identity.scene import Operator, Place, refusal, within

from toolreeve.control.gate import ROLES, may, roles_for
from toolreeve.fleet.identity import Role
from toolreeve.v1 import identity_pb2 as pb
from toolreeve.v1 import operator_pb2 as operator
from toolreeve.v1.audit_pb2 import Hold

POLICY = b'{"version": "1", "name": "lab", "default": "deny", "tools": {"vm_status": {}}}'


async def publish(who: Operator) -> operator.PublishPolicyResponse:
    request = operator.PublishPolicyRequest(command=who.command(), server="vm", text=POLICY)
    return await who.fleet.PublishPolicy(request, metadata=who.says)


async def hold(who: Operator) -> operator.PlaceHoldResponse:
    request = operator.PlaceHoldRequest(command=who.command(), hold=Hold(fleet=True))
    return await who.fleet.PlaceHold(request, metadata=who.says)


async def look(who: Operator) -> operator.ListPoliciesResponse:
    return await who.fleet.ListPolicies(operator.ListPoliciesRequest(), metadata=who.says)


async def watch(who: Operator) -> None:
    call = who.fleet.WatchFleet(operator.WatchFleetRequest(), metadata=who.says)
    async for _ in call:
        break


def test_the_first_admin_lets_others_in_and_what_they_do_stands_under_their_name(
    place: Place,
) -> None:
    async def story() -> None:
        async with place.control() as control, control.operator() as admin:
            token = await admin.another("ada", pb.ROLE_RELEASER)
            async with control.operator(token) as ada:
                await publish(ada)
                policies = await look(ada)
                assert [one.actor for one in policies.policies] == ["ada"], "not whom she claims"
                placed = await hold(ada)
                assert placed.hold.actor == "ada"

    within(20, story)


@pytest.mark.parametrize("token", ["", "guess", "toolreeve_op_0123456789abcdef_" + "A" * 43])
def test_without_a_token_of_ours_nothing_is_answered(place: Place, token: str) -> None:
    async def story() -> None:
        async with place.control() as control, control.operator(token) as nobody:
            for ask in (publish, hold, look, watch):
                code, text = await refusal(ask(nobody))
                assert code is grpc.StatusCode.UNAUTHENTICATED
                assert "token" in text
            code, _ = await refusal(nobody.members())
            assert code is grpc.StatusCode.UNAUTHENTICATED
            who = nobody.identity.WhoAmI(pb.WhoAmIRequest(), metadata=nobody.says)
            code, _ = await refusal(who)
            assert code is grpc.StatusCode.UNAUTHENTICATED

    within(20, story)


def test_roles_say_what_each_may_do(place: Place) -> None:
    async def story() -> None:
        async with place.control() as control, control.operator() as admin:
            for role, may_publish, may_hold in (
                (pb.ROLE_VIEWER, False, False),
                (pb.ROLE_AUTHOR, False, True),
                (pb.ROLE_APPROVER, False, True),
                (pb.ROLE_RELEASER, True, True),
                (pb.ROLE_ADMIN, True, True),
            ):
                token = await admin.another(f"one-{role}", role)
                async with control.operator(token) as who:
                    await look(who)
                    for may, ask in ((may_publish, publish), (may_hold, hold)):
                        if may:
                            await ask(who)
                        else:
                            code, text = await refusal(ask(who))
                            assert code is grpc.StatusCode.PERMISSION_DENIED
                            assert "it takes one of the roles" in text
                    if role != pb.ROLE_ADMIN:
                        code, _ = await refusal(who.join_token("gw-1"))
                        assert code is grpc.StatusCode.PERMISSION_DENIED
                        code, _ = await refusal(who.another("mallory", pb.ROLE_ADMIN))
                        assert code is grpc.StatusCode.PERMISSION_DENIED

    within(20, story)


def test_a_token_is_worth_nothing_once_revoked_or_over(place: Place) -> None:
    async def story() -> None:
        async with (
            place.control() as control,
            place.control() as replica,
            control.operator() as admin,
        ):
            token = await admin.another("ada", pb.ROLE_VIEWER)
            brief = await admin.another("bo", pb.ROLE_VIEWER, life_ms=50)
            async with control.operator(token) as ada:
                await look(ada)
                request = pb.RevokeOperatorRequest(command=admin.command(), name="ada")
                await admin.identity.RevokeOperator(request, metadata=admin.says)
                code, text = await refusal(look(ada))
                assert (code, "revoked" in text) == (grpc.StatusCode.UNAUTHENTICATED, True)
            await asyncio.sleep(0.1)
            async with replica.operator(brief) as bo:
                code, text = await refusal(look(bo))
                assert (code, "has expired" in text) == (grpc.StatusCode.UNAUTHENTICATED, True)

    within(20, story)


def test_the_last_admin_cannot_be_revoked(place: Place) -> None:
    async def story() -> None:
        async with place.control() as control, control.operator() as admin:
            await admin.another("brief", pb.ROLE_ADMIN, life_ms=3_600_000)
            request = pb.RevokeOperatorRequest(command=admin.command(), name="admin")
            code, text = await refusal(admin.identity.RevokeOperator(request, metadata=admin.says))
            assert (code, "last admin" in text) == (grpc.StatusCode.FAILED_PRECONDITION, True)
            await admin.another("ada", pb.ROLE_ADMIN)
            request = pb.RevokeOperatorRequest(command=admin.command(), name="admin")
            await admin.identity.RevokeOperator(request, metadata=admin.says)

    within(20, story)


def test_the_first_token_is_made_once_and_never_again(place: Place) -> None:
    async def story() -> None:
        async with place.control() as control:
            first = control.admin_token
        file = place.folder / "control" / "admin-token"
        assert file.stat().st_mode & 0o777 == 0o600
        async with place.control() as control, control.operator() as admin:
            assert control.admin_token == first
            await look(admin)
            await admin.another("ada", pb.ROLE_VIEWER)
        file.unlink()
        with pytest.raises(FileNotFoundError):  # nobody gets another by deleting the file
            async with place.control():
                file.read_text()

    within(20, story)


def test_a_replica_that_starts_beside_another_leaves_no_token_of_its_own(place: Place) -> None:
    async def story() -> None:
        other = str(place.folder / "other")
        async with place.control() as control, place.control(data=other):
            assert not (place.folder / "other" / "admin-token").exists()
            async with control.operator() as admin:
                await look(admin)

    within(20, story)


def test_with_four_eyes_nobody_releases_what_they_have_written(place: Place) -> None:
    async def story() -> None:
        async with place.control(four_eyes=True) as control, control.operator() as admin:
            both = (pb.ROLE_AUTHOR, pb.ROLE_RELEASER)
            tokens = {name: await admin.another(name, *both) for name in ("ada", "bo")}
            async with control.operator(tokens["ada"]) as ada, control.operator(tokens["bo"]) as bo:
                code, text = await refusal(publish(ada))
                assert (code, "that takes two" in text) == (
                    grpc.StatusCode.FAILED_PRECONDITION,
                    True,
                )
                request = operator.SubmitPolicyRequest(command=ada.command(), text=POLICY)
                await ada.fleet.SubmitPolicy(request, metadata=ada.says)
                again = operator.SubmitPolicyRequest(command=bo.command(), text=POLICY)
                known = await bo.fleet.SubmitPolicy(again, metadata=bo.says)
                assert known.unchanged, "it stays its first author's"
                code, text = await refusal(publish(ada))
                assert (code, "ada has written" in text) == (
                    grpc.StatusCode.FAILED_PRECONDITION,
                    True,
                )
                assert not (await look(ada)).policies
                await publish(bo)
                assert [one.actor for one in (await look(ada)).policies] == ["bo"]

    within(20, story)


def test_a_method_that_nobody_has_given_a_role_is_an_admins() -> None:
    assert roles_for("EraseEverything") == frozenset()
    assert may(frozenset({Role.ADMIN}), "EraseEverything")
    assert not may(frozenset({Role.RELEASER}), "EraseEverything")
    services = [
        pb.DESCRIPTOR.services_by_name["IdentityService"],
        operator.DESCRIPTOR.services_by_name["OperatorService"],
    ]
    methods = {method.name for service in services for method in service.methods}
    assert not set(ROLES) - methods, "a role for a method that there is not"
