"""How enforcers come in, and who does not."""

import asyncio
import random

import grpc
import pytest
from tests.integration.identity.scene import Place, enforcing, refusal, until, within

from toolreeve.runtime.nkeys import Nkey, NkeyKind
from toolreeve.sync.joining import JoinError, new_asking
from toolreeve.v1 import identity_pb2 as pb
from toolreeve.v1.identity_pb2_grpc import JoinServiceStub


def test_with_a_token_and_the_pin_an_enforcer_joins_and_is_connected(place: Place) -> None:
    async def story() -> None:
        async with place.control() as control, control.operator() as admin:
            credentials = await control.join(await admin.join_token("gw-1"))
            assert (credentials.kind, credentials.name) == ("enforcer", "gw-1")
            assert credentials.signing_keys == (place.key.public.text,)
            address = credentials.members_address
            assert address == control.served.members_address
            async with enforcing("gw-1", address, lambda: credentials) as enforcer:
                await enforcer.link.wait_connected()
                assert (await admin.members())["gw-1"].connected

    within(20, story)


def test_a_token_counts_once_also_after_a_restart(place: Place) -> None:
    async def story() -> None:
        async with place.control() as control, control.operator() as admin:
            token = await admin.join_token("gw-1")
            await control.join(token)
            with pytest.raises(JoinError, match="was used already"):
                await control.join(token)
        async with place.control() as control:
            with pytest.raises(JoinError, match="was used already"):
                await control.join(token)

    within(20, story)


def test_of_two_who_race_with_one_token_over_two_replicas_one_gets_in(place: Place) -> None:
    async def story() -> None:
        async with place.control() as first, place.control() as second, first.operator() as admin:
            for round_ in range(5):
                token = await admin.join_token(f"gw-{round_}")
                await asyncio.sleep(random.uniform(0, 0.02))
                outcomes = await asyncio.gather(
                    *(control.join(token) for control in (first, second, first, second)),
                    return_exceptions=True,
                )
                let_in = [one for one in outcomes if not isinstance(one, BaseException)]
                assert len(let_in) <= 1, "a token counted twice"
                assert all(
                    isinstance(one, JoinError) for one in outcomes if isinstance(one, BaseException)
                )
            assert {one.generation for one in (await admin.members()).values()} == {1}

    within(60, story)


def test_a_token_ends_at_its_time(place: Place) -> None:
    async def story() -> None:
        async with place.control() as control, control.operator() as admin:
            token = await admin.join_token("gw-1", life_ms=50)
            await asyncio.sleep(0.1)
            with pytest.raises(JoinError, match="has expired"):
                await control.join(token)

    within(20, story)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "guess",
        "toolreeve_join_0123456789abcdef_" + "A" * 43,
        "toolreeve_op_0123456789abcdef_" + "A" * 43,
        "toolreeve_join_" + "x" * 100_000,
        "toolreeve_join_0123456789abcdef_" + "A" * 42 + "\n",
    ],
    ids=["empty", "short", "unknown", "an operator's", "long", "with a line end"],
)
def test_what_is_no_token_of_ours_lets_nobody_in(place: Place, token: str) -> None:
    async def story() -> None:
        async with place.control() as control:
            with pytest.raises(JoinError, match=r"no join token|is not known"):
                await control.join(token)

    within(20, story)


def test_a_token_with_one_letter_changed_lets_nobody_in_and_leaves_the_token_good(
    place: Place,
) -> None:
    async def story() -> None:
        async with place.control() as control, control.operator() as admin:
            token = await admin.join_token("gw-1")
            wrong = token[:-1] + ("A" if token[-1] != "A" else "B")
            with pytest.raises(JoinError, match="is not known"):
                await control.join(wrong)
            assert (await control.join(token)).name == "gw-1"

    within(20, story)


def test_a_command_that_is_repeated_does_not_say_its_token_again(place: Place) -> None:
    async def story() -> None:
        async with place.control() as control, control.operator() as admin:
            await admin.join_token("gw-1", command_id="one")
            code, text = await refusal(admin.join_token("gw-1", command_id="one"))
            assert code is grpc.StatusCode.INVALID_ARGUMENT
            assert "said once only" in text

    within(20, story)


@pytest.mark.parametrize("name", ["", "a.b", "*", "gw 1", "gw>", "x" * 65, "../x", "gw\n"])
def test_a_name_that_would_speak_for_others_gets_no_token(place: Place, name: str) -> None:
    async def story() -> None:
        async with place.control() as control, control.operator() as admin:
            code, text = await refusal(admin.join_token(name))
            assert code is grpc.StatusCode.INVALID_ARGUMENT
            assert "cannot be the name" in text

    within(20, story)


def test_who_pins_another_authority_keeps_its_token(place: Place) -> None:
    async def story() -> None:
        async with place.control() as control, control.operator() as admin:
            token = await admin.join_token("gw-1")
            with pytest.raises(JoinError, match="does not have the authority with this pin"):
                await control.join(token, pin="sha256:" + "0" * 64)
            await control.join(token)

    within(20, story)


def test_requests_that_are_none_are_refused_and_cost_no_token(place: Place) -> None:
    async def story() -> None:
        async with place.control() as control, control.operator() as admin:
            token = await admin.join_token("gw-1")
            good = new_asking()
            wrong = {
                b"": "not PKCS #10",
                b"\x30\x03\x02\x01\x01": "not PKCS #10",
                good.request[:-1] + bytes([good.request[-1] ^ 1]): "not signed by its own key",
                b"\x00" * 100_000: "more than",
            }
            async with control.channel() as channel:
                stub = JoinServiceStub(channel)
                for request, words in wrong.items():
                    code, text = await refusal(
                        stub.Join(pb.JoinRequest(token=token, certificate_request=request))
                    )
                    assert code is grpc.StatusCode.INVALID_ARGUMENT
                    assert words in text
                for nkey in ("U", "*", Nkey.generate(NkeyKind.ACCOUNT).public):
                    code, text = await refusal(
                        stub.Join(
                            pb.JoinRequest(
                                token=token,
                                certificate_request=good.request,
                                nats_public_key=nkey,
                            )
                        )
                    )
                    assert code is grpc.StatusCode.INVALID_ARGUMENT
                    assert "nkey" in text
                code, _ = await refusal(stub.Join(pb.JoinRequest(token="x" * (5 << 20))))
                assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert (await control.join(token)).name == "gw-1"

    within(20, story)


def test_a_member_that_joins_again_ends_its_earlier_certificate(place: Place) -> None:
    async def story() -> None:
        async with place.control() as control:
            first = await control.joined("gw-1")
            address = control.served.members_address
            async with enforcing("gw-1", address, lambda: first) as enforcer:
                await enforcer.link.wait_connected()
                second = await control.joined("gw-1")
                await until(lambda: not enforcer.link.connected)
                async with enforcing("gw-1", address, lambda: second) as again:
                    await again.link.wait_connected()
                    await asyncio.sleep(0.3)
                    assert again.link.connected
                    assert not enforcer.link.connected

    within(20, story)


def test_who_is_denied_is_put_out_at_once_and_comes_back_with_a_new_token_only(
    place: Place,
) -> None:
    async def story() -> None:
        async with place.control() as control, control.operator() as admin:
            credentials = await control.joined("gw-1")
            early = await admin.join_token("gw-1")
            address = control.served.members_address
            async with enforcing("gw-1", address, lambda: credentials) as enforcer:
                await enforcer.link.wait_connected()
                await admin.deny("gw-1")
                await until(lambda: not enforcer.link.connected)
                await enforcer.turned_away()
            denied = (await admin.members())["gw-1"]
            assert (denied.denied, denied.denied_by, denied.connected) == (True, "admin", False)
            with pytest.raises(JoinError, match="is not known"):
                await control.join(early)
            fresh = await control.joined("gw-1")
            async with enforcing("gw-1", address, lambda: fresh) as enforcer:
                await enforcer.link.wait_connected()

    within(20, story)
