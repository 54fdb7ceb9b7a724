"""Who should run what, and who does: the roster as an operator reads it."""

from collections.abc import Mapping

from msgspec import Struct

from toolreeve.fleet.state import Enforcer, Running, State


class Served(Struct, frozen=True, kw_only=True):
    """One server at one enforcer. Empty revisions: nothing is wanted, or nothing runs.

    `refusal` stands where what is wanted was refused: its code, a colon, the reason.
    """

    server: str
    revision_wanted: str
    revision_running: str
    refusal: str

    @property
    def settled(self) -> bool:
        """Whether what is wanted runs."""
        return self.revision_wanted == self.revision_running


def served(
    state: State, enforcer: Enforcer, live: Mapping[str, Running] | None = None
) -> tuple[Served, ...]:
    """What one enforcer should run and does run, by server.

    `live` is what its open stream says it runs, and is believed before the log.
    """
    running = enforcer.running if live is None else live
    return tuple(
        _served(state, enforcer, server, running.get(server)) for server in sorted(enforcer.servers)
    )


def _served(state: State, enforcer: Enforcer, server: str, running: Running | None) -> Served:
    wanted = state.wanted_by(enforcer.enforcer_id, server)
    refused = enforcer.refused.get(server)
    refusal = ""
    if wanted is not None and refused is not None and refused.revision in {wanted.revision, ""}:
        refusal = f"{refused.code}: {refused.reason}"
    return Served(
        server=server,
        revision_wanted="" if wanted is None else wanted.revision,
        revision_running="" if running is None else running.revision,
        refusal=refusal,
    )
