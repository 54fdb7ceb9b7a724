"""Operators who come with a token of their own identity provider (OpenID Connect).

The provider is asked for its keys and for nothing else; what it says of somebody stands in the
signed token. Keys are fetched when one is met that is not known, at most so often, without
following redirects, within bounds of time and size.
"""

import asyncio
import http.client
import json
import ssl
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import grpc
import structlog

from toolreeve.control.desk import RefusedError
from toolreeve.control.gate import Caller
from toolreeve.control.settings import OidcSettings
from toolreeve.fleet.identity import Role
from toolreeve.runtime.settings import SettingsError

log = structlog.get_logger()

ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
"""Signatures with a private key only: a shared secret would let whoever checks also sign."""
ANSWER_BYTES_MAX = 1 << 20
ANSWER_SECONDS_MAX = 5.0
FETCH_PAUSE_SECONDS = 10.0
LEEWAY_SECONDS = 30
NAME_MAX = 128
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class IssuerError(Exception):
    """The identity provider does not say what it should."""


class Oidc:
    """One identity provider. Raises SettingsError where its settings cannot be right."""

    def __init__(self, settings: OidcSettings) -> None:
        try:
            import jwt  # noqa: PLC0415  (an extra)
        except ImportError as error:
            raise SettingsError(
                "oidc", "PyJWT is not installed", "install toolreeve[oidc]"
            ) from error
        self._jwt: Any = jwt
        self._settings = settings
        self._keys: dict[str, Any] = {}
        self._fetched_at = -FETCH_PAUSE_SECONDS
        self._lock = asyncio.Lock()
        _check_url(settings.issuer)

    async def caller(self, token: str) -> Caller | None:
        """Whose token this is; None where it is no JWT. Raises RefusedError."""
        if token.count(".") != 2:
            return None
        try:
            header = self._jwt.get_unverified_header(token)
        except self._jwt.PyJWTError:
            return None
        if header.get("alg") not in ALGORITHMS:
            raise _refused(f"a token signed with {header.get('alg')!r} is not taken")
        key = await self._key(str(header.get("kid", "")))
        try:
            claims: dict[str, Any] = self._jwt.decode(
                token,
                key=key,
                algorithms=list(ALGORITHMS),
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "sub", "aud", "iss"]},
            )
        except (self._jwt.PyJWTError, ValueError, TypeError) as error:
            raise _refused(f"the token of {self._settings.issuer} is not good: {error}") from error
        return Caller(name=self._name(claims), roles=self._roles(claims))

    def _name(self, claims: Mapping[str, Any]) -> str:
        name = claims.get(self._settings.name_claim)
        if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= NAME_MAX:
            raise _refused(f"the token names nobody in {self._settings.name_claim!r}")
        return f"oidc:{name}"

    def _roles(self, claims: Mapping[str, Any]) -> frozenset[Role]:
        said: Any = claims.get(self._settings.roles_claim, ())
        words = said.split() if isinstance(said, str) else said
        if not isinstance(words, list | tuple):
            return frozenset()
        return frozenset(
            Role(role)
            for word in words  # pyright: ignore[reportUnknownVariableType]
            if isinstance(word, str)
            for role in self._settings.roles.get(word, ())
        )

    async def _key(self, kid: str) -> Any:
        async with self._lock:
            if kid not in self._keys:
                await self._fetch()
        try:
            return self._keys[kid]
        except KeyError:
            raise _refused(f"{self._settings.issuer} has no key {kid!r}") from None

    async def _fetch(self) -> None:
        """Get the keys, unless they were asked for just now."""
        now = time.monotonic()
        if now - self._fetched_at < FETCH_PAUSE_SECONDS:
            return
        self._fetched_at = now
        try:
            found = await asyncio.to_thread(_keys_of, self._settings.issuer)
            self._keys = {
                str(one.get("kid", "")): self._jwt.PyJWK(one).key
                for one in found
                if one.get("use", "sig") == "sig" and one.get("kty") in {"RSA", "EC", "OKP"}
            }
        except (OSError, http.client.HTTPException, IssuerError, self._jwt.PyJWTError) as error:
            self._fetched_at = -FETCH_PAUSE_SECONDS
            log.warning("oidc.keys_not_fetched", issuer=self._settings.issuer, error=str(error))
            raise RefusedError(
                grpc.StatusCode.UNAVAILABLE,
                f"the keys of {self._settings.issuer} cannot be had: {error}; try again",
            ) from error
        log.info("oidc.keys_fetched", issuer=self._settings.issuer, keys=sorted(self._keys))


def _keys_of(issuer: str) -> list[dict[str, Any]]:
    about = _get(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
    if about.get("issuer") != issuer:
        raise IssuerError(f"it calls itself {about.get('issuer')!r}")
    uri = about.get("jwks_uri")
    if not isinstance(uri, str):
        raise IssuerError("it does not say where its keys are")
    _check_url(uri)
    keys: Any = _get(uri).get("keys")
    if not isinstance(keys, list):
        raise IssuerError("it has no keys")
    return [one for one in keys if isinstance(one, dict)]  # pyright: ignore[reportUnknownVariableType]


def _get(url: str) -> dict[str, Any]:
    """One JSON object, from exactly there: a redirect is an answer like any other wrong one."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(
            host, parts.port, timeout=ANSWER_SECONDS_MAX, context=context
        )
    else:
        connection = http.client.HTTPConnection(host, parts.port, timeout=ANSWER_SECONDS_MAX)
    try:
        connection.request("GET", parts.path + (f"?{parts.query}" if parts.query else ""))
        with connection.getresponse() as answer:  # else its socket outlives an answer half read
            if answer.status != http.client.OK:
                raise IssuerError(f"{url} answers {answer.status}")
            raw = answer.read(ANSWER_BYTES_MAX + 1)
    finally:
        connection.close()
    if len(raw) > ANSWER_BYTES_MAX:
        raise IssuerError(f"{url} answers with more than {ANSWER_BYTES_MAX} bytes")
    try:
        found = json.loads(raw)
    except ValueError as error:
        raise IssuerError(f"{url} does not answer with JSON") from error
    if not isinstance(found, dict):
        raise IssuerError(f"{url} does not answer with an object")
    return found  # pyright: ignore[reportUnknownVariableType]


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and parts.hostname in LOOPBACK:
        return
    raise SettingsError(
        "oidc", f"{url!r} is no https:// URL", "only on loopback may an issuer speak in the clear"
    )


def _refused(text: str) -> RefusedError:
    return RefusedError(grpc.StatusCode.UNAUTHENTICATED, f"{text}; log in anew at your provider")
