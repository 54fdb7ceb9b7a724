"""Operators with tokens of an identity provider, which is a small one and real."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from tests.integration.identity.scene import Control, Place, refusal, within

from toolreeve.control.settings import OidcSettings
from toolreeve.runtime.settings import SettingsError
from toolreeve.v1 import identity_pb2 as pb

AUDIENCE = "toolreeve"
WEB_KEYS: dict[str, Any] = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm}


class Issuer:
    """An identity provider: its pages, its keys, and how often it was asked."""

    def __init__(self) -> None:
        self.keys: dict[str, tuple[str, Any]] = {}
        self.asked = 0
        self.pages: dict[str, tuple[int, bytes]] = {}
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked += 1
                status, body = issuer.page(self.path)
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", f"{issuer.url}/elsewhere")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        self.new_key("one", "RS256")

    def new_key(self, kid: str, algorithm: str) -> None:
        key: Any
        if algorithm == "RS256":
            key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
        else:
            key = ec.generate_private_key(ec.SECP256R1())
        self.keys[kid] = (algorithm, key)

    def page(self, path: str) -> tuple[int, bytes]:
        if path in self.pages:
            return self.pages[path]
        if path == "/.well-known/openid-configuration":
            return 200, json.dumps({"issuer": self.url, "jwks_uri": f"{self.url}/keys"}).encode()
        if path == "/keys":
            keys = [
                {**json.loads(WEB_KEYS[algorithm].to_jwk(key.public_key())), "kid": kid}
                for kid, (algorithm, key) in self.keys.items()
            ]
            return 200, json.dumps({"keys": keys}).encode()
        return 404, b""

    def token(self, kid: str = "one", **claims: Any) -> str:
        algorithm, key = self.keys[kid]
        now = int(time.time())
        said = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "ada",
            "iat": now,
            "exp": now + 60,
            "roles": ["releaser"],
        }
        body = {name: value for name, value in (said | claims).items() if value is not None}
        return jwt.encode(body, key, algorithm=algorithm, headers={"kid": kid})

    @property
    def settings(self) -> OidcSettings:
        return OidcSettings(issuer=self.url, audience=AUDIENCE)


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    one = Issuer()
    yield one
    one.server.shutdown()
    one.server.server_close()
    one.thread.join()


async def who(control: Control, token: str) -> tuple[str, set[str]]:
    async with control.operator(token) as somebody:
        answer = await somebody.identity.WhoAmI(pb.WhoAmIRequest(), metadata=somebody.says)
    return answer.name, {pb.Role.Name(role).removeprefix("ROLE_").lower() for role in answer.roles}


async def refused(control: Control, token: str) -> tuple[grpc.StatusCode, str]:
    return await refusal(who(control, token))


def test_a_token_of_the_provider_is_an_operator_with_its_roles(
    place: Place, issuer: Issuer
) -> None:
    async def story() -> None:
        issuer.new_key("two", "ES256")
        async with place.control(oidc=issuer.settings) as control:
            assert await who(control, issuer.token()) == ("oidc:ada", {"releaser"})
            asked = issuer.asked
            assert await who(control, issuer.token("two", roles="viewer author unheard-of")) == (
                "oidc:ada",
                {"viewer", "author"},
            )
            assert issuer.asked == asked, "its keys are known"
            assert (await who(control, control.admin_token))[0] == "admin"
            async with control.operator(issuer.token(roles=[])) as nobody:
                code, _ = await refusal(nobody.members())
                assert code is grpc.StatusCode.PERMISSION_DENIED

    within(20, story)


def test_words_of_the_provider_give_the_roles_that_the_settings_say(
    place: Place, issuer: Issuer
) -> None:
    async def story() -> None:
        settings = OidcSettings(
            issuer=issuer.url,
            audience=AUDIENCE,
            name_claim="email",
            roles_claim="groups",
            roles={"platform": ("author", "releaser")},
        )
        async with place.control(oidc=settings) as control:
            token = issuer.token(email="ada@example.org", groups=["platform", "admin"])
            assert await who(control, token) == ("oidc:ada@example.org", {"author", "releaser"})
            code, text = await refused(control, issuer.token(groups=["platform"]))
            assert (code, "names nobody in 'email'" in text) == (
                grpc.StatusCode.UNAUTHENTICATED,
                True,
            )

    within(20, story)


def test_tokens_that_are_not_good_are_refused_with_a_reason(place: Place, issuer: Issuer) -> None:
    async def story() -> None:
        other = Issuer()
        try:
            public = json.dumps({"iss": issuer.url}).encode()
            unsigned = ".".join(
                base64.urlsafe_b64encode(part).rstrip(b"=").decode()
                for part in (b'{"alg":"none","kid":"one"}', public, b"")
            )
            shared = jwt.encode(
                {"iss": issuer.url, "aud": AUDIENCE}, "x" * 64, "HS256", headers={"kid": "one"}
            )
            stranger = other.token().replace(other.url, issuer.url)
            now = int(time.time())
            good = issuer.token()
            bad = {
                issuer.token(aud="another"): "udience",
                issuer.token(iss="http://elsewhere"): "ssuer",
                issuer.token(exp=now - 60): "expired",
                issuer.token(nbf=now + 600): "not yet valid",
                issuer.token(exp=None): "exp",
                issuer.token(sub=None): "sub",
                stranger: "ignature",
                good[:-6] + ("AAAAAA" if good[-6:] != "AAAAAA" else "BBBBBB"): "ignature",
                unsigned: "'none' is not taken",
                shared: "'HS256' is not taken",
            }
            async with place.control(oidc=issuer.settings) as control:
                for token, words in bad.items():
                    code, text = await refused(control, token)
                    assert code is grpc.StatusCode.UNAUTHENTICATED
                    assert words in text
                assert (await who(control, good))[0] == "oidc:ada"
        finally:
            other.server.shutdown()
            other.server.server_close()

    within(30, story)


def test_without_the_setting_a_providers_token_is_none(place: Place, issuer: Issuer) -> None:
    async def story() -> None:
        async with place.control() as control:
            code, text = await refused(control, issuer.token())
            assert (code, "no token of ours" in text) == (grpc.StatusCode.UNAUTHENTICATED, True)

    within(20, story)


@pytest.mark.parametrize(
    ("path", "page", "words"),
    [
        ("/keys", (500, b""), "answers 500"),
        ("/keys", (302, b""), "answers 302"),
        ("/keys", (200, b"<html>"), "not answer with JSON"),
        ("/keys", (200, b"[]"), "not answer with an object"),
        ("/keys", (200, b"{}"), "has no keys"),
        ("/keys", (200, b" " * (1 << 21)), "more than"),
        ("/.well-known/openid-configuration", (200, b'{"issuer": "x"}'), "calls itself"),
    ],
    ids=["error", "redirect", "no JSON", "no object", "no keys", "endless", "another"],
)
def test_a_provider_that_talks_nonsense_is_said_to_and_is_asked_again(
    place: Place, issuer: Issuer, path: str, page: tuple[int, bytes], words: str
) -> None:
    async def story() -> None:
        issuer.pages[path] = page
        async with place.control(oidc=issuer.settings) as control:
            code, text = await refused(control, issuer.token())
            assert (code, words in text) == (grpc.StatusCode.UNAVAILABLE, True), text
            assert (await who(control, control.admin_token))[0] == "admin"
            del issuer.pages[path]
            assert (await who(control, issuer.token()))[0] == "oidc:ada"

    within(20, story)


def test_keys_that_nobody_knows_do_not_make_us_ask_at_every_token(
    place: Place, issuer: Issuer
) -> None:
    async def story() -> None:
        async with place.control(oidc=issuer.settings) as control:
            await who(control, issuer.token())
            asked = issuer.asked
            other = Issuer()
            other.new_key("unknown", "ES256")
            try:
                for _ in range(5):
                    code, text = await refused(control, other.token("unknown"))
                    assert (code, "has no key" in text) == (
                        grpc.StatusCode.UNAUTHENTICATED,
                        True,
                    )
            finally:
                other.server.shutdown()
                other.server.server_close()
            assert issuer.asked == asked

    within(20, story)


def test_a_provider_in_the_clear_beyond_loopback_is_no_setting(place: Place) -> None:
    async def story() -> None:
        settings = OidcSettings(issuer="http://idp.example.org", audience=AUDIENCE)
        with pytest.raises(SettingsError, match="no https:// URL"):
            async with place.control(oidc=settings):
                pass

    within(20, story)
