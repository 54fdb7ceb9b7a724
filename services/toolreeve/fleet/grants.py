"""Grants: the credentials of agents, as the control plane gives them out and takes them back.

A token is made by whoever asks for the grant and is never sent here; what stands in the log is its
sha256. A name is used once: a grant that was revoked stays known, and stays revoked.
"""

import re
from collections.abc import Mapping
from typing import assert_never

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from toolreeve.decision import Instant
from toolreeve.decision.grant import Grant, Token

GRANT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
STEPS_KEPT = 64
"""How many changes a stream may be behind before it is sent all grants instead."""


class GrantCreated(Struct, frozen=True, kw_only=True, tag=True):
    """An agent may come in. `servers` empty: everywhere."""

    grant: str
    agent: str
    servers: tuple[str, ...]
    expires_at: Instant | None
    token_sha256: str


class GrantRotated(Struct, frozen=True, kw_only=True, tag=True):
    """A grant has one more token; those of before end at `overlap_until`."""

    grant: str
    token_sha256: str
    overlap_until: Instant


class GrantRevoked(Struct, frozen=True, kw_only=True, tag=True):
    """A grant opens nothing any more, for ever."""

    grant: str


GrantEvent = GrantCreated | GrantRotated | GrantRevoked


class GrantAnswer(Struct, frozen=True, kw_only=True, tag="grant"):
    """What came of a command about a grant: the event that it made."""

    event: GrantEvent


class Issued(Struct, frozen=True, kw_only=True):
    """A grant as enforcers know it, and from when on."""

    grant: Grant
    created_at: Instant

    def over(self, at: Instant) -> bool:
        """Whether it opens nothing at `at` any more."""
        expires_at = self.grant.expires_at
        return self.grant.revoked or (expires_at is not None and at >= expires_at)


class GrantBook(Struct, frozen=True, kw_only=True):
    """All grants there ever were, by name. `steps` are the names of the last changes, in order;
    the newest of them is the one with `sequence`."""

    by_name: Mapping[str, Issued] = msgspec.field(default_factory=dict[str, Issued])
    sequence: int = 0
    steps: tuple[str, ...] = ()

    def since(self, sequence: int | None) -> tuple[Grant, ...] | None:
        """Those that have changed behind `sequence`; None: too long ago to say."""
        if sequence is None or not 0 <= self.sequence - sequence <= len(self.steps):
            return None
        changed = dict.fromkeys(self.steps[len(self.steps) - (self.sequence - sequence) :])
        return tuple(self.by_name[name].grant for name in changed)

    def for_servers(self, servers: tuple[str, ...]) -> tuple[Grant, ...]:
        """Those that are for one of `servers`, by name."""
        return tuple(
            issued.grant
            for _, issued in sorted(self.by_name.items())
            if issued.grant.serves(servers)
        )


class GrantFold:
    """A book under way, changed in place so that a long replay stays linear."""

    def __init__(self, book: GrantBook) -> None:
        self._by_name = dict(book.by_name)
        self._sequence = book.sequence
        self._steps = list(book.steps)

    def book(self) -> GrantBook:
        """The book as it stands now."""
        steps = tuple(self._steps[-STEPS_KEPT:])
        return GrantBook(by_name=self._by_name, sequence=self._sequence, steps=steps)

    def event(self, event: GrantEvent, *, actor: str, reason: str, at: Instant) -> str:
        """Take one more event; returns what is wrong with it, empty where nothing is."""
        before = self._by_name.get(event.grant)
        if isinstance(event, GrantCreated) == (before is not None):
            return f"grant {event.grant!r} {'exists' if before else 'does not exist'}"
        match event:
            case GrantCreated():
                grant = Grant(
                    grant=event.grant,
                    agent=event.agent,
                    servers=event.servers,
                    tokens=(Token(event.token_sha256),),
                    expires_at=event.expires_at,
                )
            case GrantRotated():
                assert before is not None
                grant = replace(before.grant, tokens=_rotated(before.grant, event, at))
            case GrantRevoked():
                assert before is not None
                grant = replace(before.grant, revoked=True)
            case _:
                assert_never(event)
        self._by_name[event.grant] = Issued(
            grant=replace(grant, actor=actor, reason=reason),
            created_at=at if before is None else before.created_at,
        )
        self._sequence += 1
        self._steps.append(event.grant)
        if len(self._steps) > 2 * STEPS_KEPT:
            del self._steps[:-STEPS_KEPT]
        return ""


def _rotated(grant: Grant, event: GrantRotated, at: Instant) -> tuple[Token, ...]:
    """The tokens behind a rotation. One that has ended already is forgotten."""
    until = event.overlap_until
    kept = [
        Token(token.sha256, until if token.expires_at is None else min(token.expires_at, until))
        for token in grant.tokens
        if token.expires_at is None or at < token.expires_at
    ]
    return (*(token for token in kept if at < until), Token(event.token_sha256))
