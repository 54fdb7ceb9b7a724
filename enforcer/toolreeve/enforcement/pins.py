"""What a server's tools are, as they were approved: definitions pinned by their digests.

A model does what a tool's description tells it, so a description is as good as code, and a server
can change it behind the back of whoever read it. Each tool is therefore pinned when it is first
seen, or when somebody approves it; what is offered from then on is compared with that.

What is seen first is approved by that, while the policy observes, and under `pin: enforce` as long
as the server's first listing lasts; a tool that comes later waits for a person. So does one whose
name can be taken for another's. A listing may come in pages, and may show one caller less than
another: a tool that is not in it says nothing.

A tool that keeps changing is told of CHANGES_MAX times. Then it counts as changed until somebody
approves it, whatever it says.
"""

from collections.abc import Mapping, Sequence
from enum import Enum

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from toolreeve.audit import ToolApproved, ToolChanged, ToolPinned
from toolreeve.decision import Instant
from toolreeve.decision.instant import MINUTE
from toolreeve.enforcement.definition import Definition, members_changed
from toolreeve.policy import Pinning
from toolreeve.policy.skeleton import skeletons

TOOLS_MAX = 5_000
CHANGES_MAX = 20
KEPT_BYTES_MAX = 8 << 20
FIRST_LISTING_NS = 10 * MINUTE

News = ToolPinned | ToolChanged | ToolApproved


class State(Enum):
    """How what is offered stands to what is approved."""

    APPROVED = "approved"
    CHANGED = "changed"
    NEW = "new"


class Pin(Struct, frozen=True, kw_only=True):
    """What is known of one tool. Digests are empty where there is nothing.

    `offered_json` is empty where it is what is approved, and both where they are too long to be
    kept. `approved_by` is empty for what was approved by being seen first. `changes` counts since
    the last approval.
    """

    tool: str
    approved: str = ""
    approved_json: str = ""
    approved_at: Instant = Instant(0)
    approved_by: str = ""
    reason: str = ""
    offered: str = ""
    offered_json: str = ""
    offered_at: Instant = Instant(0)
    first_seen_at: Instant = Instant(0)
    looks_like: str = ""
    changes: int = 0

    @property
    def state(self) -> State:
        if not self.approved:
            return State.NEW
        if self.offered not in {"", self.approved} or self.changes >= CHANGES_MAX:
            return State.CHANGED
        return State.APPROVED

    @property
    def definition_offered(self) -> Definition:
        """What the server offered last; with an empty digest where it never did."""
        json = self.approved_json if self.offered == self.approved else self.offered_json
        return Definition(self.tool, self.offered, json)


class Seen(Struct, frozen=True):
    """What came of a page: the pins behind it, and what is to be recorded."""

    pins: "Pins"
    news: tuple[ToolPinned | ToolChanged, ...] = ()
    left_out: int = 0  # tools beyond TOOLS_MAX


class Pins(Struct, frozen=True, kw_only=True):
    """All tools of one server, by their names on the wire.

    `listing_since` is when its first listing began, 0 before; `listed` is set once that is over.
    """

    tools: Mapping[str, Pin] = msgspec.field(default_factory=dict[str, Pin])
    listing_since: Instant = Instant(0)
    listed: bool = False

    def see(
        self,
        server: str,
        page: Sequence[Definition],
        pinning: Pinning,
        at: Instant,
        *,
        more: bool = False,
    ) -> Seen:
        """Compare a page of `tools/list` with what is pinned. `more`: it is not the last one."""
        since = self.listing_since or at
        over = self.listed or at > since + FIRST_LISTING_NS
        sight = _Sight(server, self, at, trusts=pinning is Pinning.OBSERVE or not over)
        if any(map(sight.is_news, page)):
            for definition in page:
                sight.look(definition)
        listed = over or (not more and bool(sight.tools))
        if not sight.news and (listed, since) == (self.listed, self.listing_since):
            return Seen(self, (), sight.left_out)
        pins = Pins(tools=sight.tools, listing_since=since, listed=listed)
        return Seen(pins, sight.told(), sight.left_out)

    def approve(
        self, server: str, definition: Definition, *, actor: str, reason: str, at: Instant
    ) -> "tuple[Pins, ToolApproved]":
        """Approve a definition, be it offered now or not yet. A person has looked at it."""
        pin = self.tools.get(definition.tool) or Pin(tool=definition.tool)
        approved = replace(
            pin,
            approved=definition.digest,
            approved_json=definition.json,
            approved_at=at,
            approved_by=actor,
            reason=reason,
            offered_json="" if pin.offered == definition.digest else pin.definition_offered.json,
            changes=0,
        )
        event = ToolApproved(
            server=server,
            tool=definition.tool,
            digest=definition.digest,
            previous_digest=pin.approved,
            actor=actor,
            reason=reason,
        )
        return replace(self, tools={**self.tools, definition.tool: approved}), event

    def knows(self, tool: str) -> bool:
        """Whether the server was ever seen to offer a tool of this name, or one was approved."""
        return tool in self.tools

    def shows(self, definition: Definition) -> bool:
        """Whether a tool, as it stands in a listing, is the approved one."""
        pin = self.tools.get(definition.tool)
        approved = pin is not None and pin.state is State.APPROVED
        return approved and pin is not None and pin.approved == definition.digest

    def why_not(self, tool: str) -> str:
        """Why calls of a tool are not to pass; empty where its definition is approved."""
        pin = self.tools.get(tool)
        if pin is None:
            return f"The definition of {tool} is not known here yet: list the tools first."
        if pin.state is State.NEW:
            return f"The tool {tool} is new here, and nobody has approved it yet."
        if pin.state is State.CHANGED:
            return f"The definition of {tool} has changed since it was approved."
        return ""

    def approvals(self) -> dict[str, str]:
        """The tools that may pass, each with the digest of what may."""
        return {
            name: pin.approved for name, pin in self.tools.items() if pin.state is State.APPROVED
        }


class _Sight:
    """One page being looked at, tool by tool: the same name may stand in it twice."""

    def __init__(self, server: str, pins: Pins, at: Instant, *, trusts: bool) -> None:
        self._server = server
        self._at = at
        self._trusts = trusts
        self._kept_bytes: int | None = None
        self._looks: dict[str, str] = {}
        self.tools = dict(pins.tools)
        self.news: list[ToolPinned | ToolChanged] = []
        self.left_out = 0

    def is_news(self, definition: Definition) -> bool:
        """Whether it is not what the server offered before."""
        pin = self.tools.get(definition.tool)
        return pin is None or (pin.offered != definition.digest and pin.changes < CHANGES_MAX)

    def look(self, definition: Definition) -> None:
        """Pin it, or see what has become of it."""
        if not self.is_news(definition):
            return
        pin = self.tools.get(definition.tool)
        if pin is None and len(self.tools) >= TOOLS_MAX:
            self.left_out += 1
            return
        if self._kept_bytes is None:
            self._begin()
        definition = self._bounded(definition)
        if pin is None:
            like = self._alike(definition.tool)
            approved = self._trusts and not like
            pinned = _pinned(definition, self._at, like, approved=approved)
            self.news.append(_first(self._server, definition, like, approved=approved))
        else:
            pinned = _offered(pin, definition, self._at)
            if pin.offered or pin.approved != definition.digest:
                self.news.append(_changed(self._server, pin, definition))
            else:  # somebody approved it before it was ever seen
                first = _first(self._server, definition, pin.looks_like, approved=True)
                self.news.append(first)
        self.tools[definition.tool] = pinned

    def told(self) -> tuple[ToolPinned | ToolChanged, ...]:
        """What is to be recorded, each change with the number of all of them."""
        together = sum(isinstance(one, ToolChanged) for one in self.news)
        return tuple(
            replace(one, together=together) if isinstance(one, ToolChanged) else one
            for one in self.news
        )

    def _begin(self) -> None:
        pins = self.tools.values()
        self._kept_bytes = sum(len(pin.approved_json) + len(pin.offered_json) for pin in pins)
        self._looks = {look: name for name in self.tools for look in skeletons(name)}

    def _bounded(self, definition: Definition) -> Definition:
        assert self._kept_bytes is not None
        self._kept_bytes += len(definition.json)
        if self._kept_bytes <= KEPT_BYTES_MAX:
            return definition
        return Definition(definition.tool, definition.digest, "")

    def _alike(self, tool: str) -> str:
        """The tool that this one can be taken for; empty where there is none."""
        mine = skeletons(tool)
        like = next((self._looks[look] for look in mine if look in self._looks), "")
        for look in mine:
            self._looks.setdefault(look, tool)
        return like


def _pinned(definition: Definition, at: Instant, like: str, *, approved: bool) -> Pin:
    return Pin(
        tool=definition.tool,
        approved=definition.digest if approved else "",
        approved_json=definition.json if approved else "",
        approved_at=at if approved else Instant(0),
        offered=definition.digest,
        offered_json="" if approved else definition.json,
        offered_at=at,
        first_seen_at=at,
        looks_like=like,
    )


def _offered(pin: Pin, definition: Definition, at: Instant) -> Pin:
    """The pin of a tool that is offered otherwise than before, or for the first time."""
    first = not pin.offered
    back = definition.digest == pin.approved
    return replace(
        pin,
        offered=definition.digest,
        offered_json="" if back else definition.json,
        offered_at=at,
        first_seen_at=at if first else pin.first_seen_at,
        changes=pin.changes if first and back else pin.changes + 1,
    )


def _first(server: str, definition: Definition, like: str, *, approved: bool) -> ToolPinned:
    return ToolPinned(
        server=server,
        tool=definition.tool,
        digest=definition.digest,
        definition_json=definition.json,
        approved=approved,
        looks_like=like,
    )


def _changed(server: str, pin: Pin, definition: Definition) -> ToolChanged:
    before = pin.definition_offered
    if not before.digest:
        before = Definition(pin.tool, pin.approved, pin.approved_json)
    return ToolChanged(
        server=server,
        tool=definition.tool,
        digest=definition.digest,
        previous_digest=before.digest,
        approved_digest=pin.approved,
        members=members_changed(before, definition),
        definition_json=definition.json,
    )
