"""The pins of all servers, and what follows from them for listings and calls."""

from collections.abc import Sequence

from toolreeve.decision import CompiledPolicy, Instant
from toolreeve.enforcement.definition import definition_of, definitions_of
from toolreeve.enforcement.pins import Pins, Seen
from toolreeve.policy import Mode, Pinning

UNREADABLE = "The approved definitions of this server's tools cannot be read."


class PinBoard:
    """By server: its pins, or None where what was kept of them cannot be read.

    Then nothing is compared or pinned, and `pin: enforce` lets no tool of that server through.
    """

    def __init__(self) -> None:
        self._servers: dict[str, Pins | None] = {}

    def of(self, server: str) -> Pins | None:
        """What is pinned of a server."""
        return self._servers.get(server, Pins())

    def put(self, server: str, pins: Pins | None) -> bool:
        """Take what was read from disk; whether other tools may pass than before."""
        before, self._servers[server] = self.of(server), pins
        allowed = None if before is None else before.approvals()
        return allowed != (None if pins is None else pins.approvals())

    def see(
        self, server: str, tools: Sequence[object], pinning: Pinning, at: Instant, *, more: bool
    ) -> Seen | None:
        """Compare a page of a listing, and remember it; None where there is nothing new."""
        before = self.of(server)
        if pinning is Pinning.OFF or before is None:
            return None
        seen = before.see(server, definitions_of(tools), pinning, at, more=more)
        self._servers[server] = seen.pins
        return None if seen.pins is before and not seen.left_out else seen

    def why_not(self, policy: CompiledPolicy | None, server: str, wire_tool: str) -> str:
        """Why a called tool is not approved as it is; empty where it is, or need not be."""
        if policy is None or policy.policy.pin is not Pinning.ENFORCE:
            return ""
        pins = self.of(server)
        return UNREADABLE if pins is None else pins.why_not(wire_tool)

    def is_unheard_of(self, server: str, wire_tool: str) -> bool:
        """Whether nobody ever saw the server offer a tool of this name."""
        pins = self.of(server)
        return pins is not None and not pins.knows(wire_tool)

    def shown(
        self, policy: CompiledPolicy | None, server: str, tools: list[object]
    ) -> list[object]:
        """Those of a listing's tools whose definition does not keep them out."""
        if policy is None or policy.policy.pin is not Pinning.ENFORCE:
            return tools
        pins = self.of(server)
        return [tool for tool in tools if _shows(policy, pins, tool)]


def _shows(policy: CompiledPolicy, pins: Pins | None, tool: object) -> bool:
    definition = definition_of(tool)
    if definition is None:
        return False
    rule = policy.rule_for(definition.tool)
    mode = policy.mode if rule is None or policy.dispatch_of(definition.tool) else rule.mode
    return mode is not Mode.ENFORCE or (pins is not None and pins.shows(definition))
