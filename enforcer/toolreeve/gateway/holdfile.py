"""Holds on the enforcer's own disk."""

from pathlib import Path

from msgspec import Struct

from toolreeve.audit import Hold
from toolreeve.gateway.keptfile import KeptFile
from toolreeve.outbox import HERE, Host


class HeldState(Struct, frozen=True, kw_only=True):
    """All holds in force, as of the order with this sequence."""

    sequence: int = 0
    holds: tuple[Hold, ...] = ()


class HoldFile(KeptFile[HeldState]):
    """The file in which they lie."""

    def __init__(self, path: Path, host: Host = HERE) -> None:
        remedy = "restore the file; delete it only where nothing is held"
        super().__init__(path, HeldState, HeldState(), remedy, host)
