"""What of an offer is believed, and what is refused with a reason.

An offer is a signed manifest; the stream it came through is trusted with nothing. Checks, in this
order: a pinned key signed it; it is for a server that stands behind this enforcer; it does not go
back behind what was taken before; it has not expired; this enforcer belongs to its cohort; its body
has the promised hash and size; and the body is a policy.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping

import msgspec
from msgspec import Struct

from toolreeve.decision import Instant
from toolreeve.policy import Policy, PolicyTextError, parse, revision_of
from toolreeve.policy.cohort import Cohort, CohortTextError
from toolreeve.policy.sign import Envelope, Manifest, ManifestRefused, PublicKey, verify_manifest
from toolreeve.sync.shelf import Shelf, ShelfError, Shelved


class Accepted(Struct, frozen=True, kw_only=True):
    """A policy that may be applied, and the manifest that wants it.

    `before` is what a manifest of a rollout wants it compared with; None where that is not here.
    """

    policy: Policy
    manifest: Manifest
    before: Policy | None = None


class Rejected(Struct, frozen=True, kw_only=True):
    """An offer that is not taken; what ran before still runs.

    `code` is one of "signature", "manifest", "server", "rollback", "expired", "cohort", "fetch",
    "hash", "invalid", "disk". The other members are what the offer claims, for the control plane to
    tell offers apart: with code "signature" nothing vouches for them.
    """

    server: str
    policy: str
    revision: str
    manifest_sequence: int
    code: str
    reason: str


class FetchError(Exception):
    """The body of a revision could not be had."""


class _Claim(Struct, frozen=True, kw_only=True):
    server: str = ""
    policy: str = ""
    revision: str = ""
    sequence: int = 0


async def receive(
    envelope: Envelope,
    *,
    keys: Collection[PublicKey],
    servers: Collection[str],
    enforcer: str,
    labels: Mapping[str, str],
    shelf: Shelf,
    fetch: Callable[[str], Awaitable[bytes]],
    at: Instant,
) -> Accepted | Rejected:
    """Weigh an offer to the enforcer of this name. What is accepted lies on the shelf already.

    `fetch` is asked for a body that is not on the shelf, and raises FetchError. A sequence equal
    to the highest is weighed like a new one: after a crash the same manifest comes again. Parsing
    and the disk are waited for in a thread, so that calls go on.
    """
    claim = _claimed(envelope)
    try:
        manifest = _addressed(verify_manifest(envelope, keys), servers)
        highest = await asyncio.to_thread(shelf.highest, manifest.server)
        _check_time(manifest, highest=highest, at=at)
        _check_cohort(manifest, enforcer, labels)
        body = await asyncio.to_thread(shelf.body, manifest.revision)
        if body is None:
            body = await fetch(manifest.revision)
        policy = await asyncio.to_thread(read_body, manifest, body)
        await asyncio.to_thread(shelf.put, manifest.server, envelope, body)
        before = await asyncio.to_thread(policy_before, manifest, shelf)
    except ManifestRefused as refused:
        return _rejected(claim, refused.code, refused.reason)
    except FetchError as error:
        return _rejected(claim, "fetch", str(error))
    except ShelfError as error:
        return _rejected(claim, "disk", str(error))
    return Accepted(policy=policy, manifest=manifest, before=before)


def recover(
    shelved: Shelved, *, keys: Collection[PublicKey], servers: Collection[str], shelf: Shelf
) -> Accepted | Rejected:
    """Take up again what lies on the shelf. It may have expired, and labels may have changed since:
    it is still the last known good.

    A signature that no pinned key made is refused here as anywhere: the disk is trusted no more
    than the stream.
    """
    try:
        manifest = _addressed(verify_manifest(shelved.envelope, keys), servers)
        policy = read_body(manifest, shelved.body)
        return Accepted(policy=policy, manifest=manifest, before=policy_before(manifest, shelf))
    except ManifestRefused as refused:
        return _rejected(_claimed(shelved.envelope), refused.code, refused.reason)


def read_body(manifest: Manifest, body: bytes) -> Policy:
    """The policy in a body that a manifest names. Raises ManifestRefused: "hash", "invalid"."""
    if len(body) != manifest.size or revision_of(body) != manifest.revision:
        raise ManifestRefused("hash", f"the body is not that of {manifest.revision}")
    try:
        policy = parse(body, source=manifest.policy)
    except PolicyTextError as error:
        raise ManifestRefused("invalid", str(error)) from error
    if policy.canonical != body:
        raise ManifestRefused("invalid", "the body is not in canonical form")
    return policy


def policy_before(manifest: Manifest, shelf: Shelf) -> Policy | None:
    """What a manifest wants its policy compared with, if it lies on the shelf.

    Nobody obeys it, so that it has its hash is enough.
    """
    body = shelf.body(manifest.previous) if manifest.previous else None
    if body is None:
        return None
    try:
        return parse(body, source=manifest.policy)
    except PolicyTextError:
        return None


def claimed_server(envelope: Envelope) -> str:
    """The server an envelope says it is for, before anybody has looked at its signature."""
    return _claimed(envelope).server


def _addressed(manifest: Manifest, servers: Collection[str]) -> Manifest:
    """The manifest itself, if it is for one of `servers`."""
    if manifest.server not in servers:
        raise ManifestRefused("server", f"no server {manifest.server!r} stands behind here")
    return manifest


def _check_time(manifest: Manifest, *, highest: int, at: Instant) -> None:
    """Refuse what is older than what was taken before, and what is over."""
    if manifest.sequence < highest:
        raise ManifestRefused(
            "rollback", f"manifest {manifest.sequence} is older than {highest}, taken before"
        )
    if manifest.expires_ns and at >= manifest.expires_ns:
        raise ManifestRefused("expired", "the manifest has expired")


def _check_cohort(manifest: Manifest, enforcer: str, labels: Mapping[str, str]) -> None:
    """Refuse a stage that is not for us, and one that cannot be read: it may be."""
    if not manifest.cohort:
        return
    try:
        cohort = Cohort.parse(manifest.cohort)
    except CohortTextError as error:
        raise ManifestRefused("cohort", str(error)) from error
    if not cohort.includes(enforcer, labels):
        raise ManifestRefused("cohort", f"{enforcer} does not belong to {manifest.cohort!r}")


def _claimed(envelope: Envelope) -> _Claim:
    """What an envelope says of itself, believed or not."""
    try:
        return msgspec.json.decode(envelope.payload, type=_Claim)
    except msgspec.MsgspecError:
        return _Claim()


def _rejected(claim: _Claim, code: str, reason: str) -> Rejected:
    return Rejected(
        server=claim.server,
        policy=claim.policy,
        revision=claim.revision,
        manifest_sequence=claim.sequence,
        code=code,
        reason=reason,
    )
