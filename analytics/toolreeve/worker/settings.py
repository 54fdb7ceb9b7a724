"""What may be set about the worker."""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from platformdirs import user_data_path

from toolreeve.bus import ConsumeSettings, ShipSettings, StreamSettings
from toolreeve.detect import BurstRule, DefinitionRule
from toolreeve.outbox import OutboxSettings
from toolreeve.runtime.log import Level
from toolreeve.warehouse.executor import QuerySettings


class WebhookSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A receiver of alerts in the shape Alertmanager sends to its webhook receivers."""

    name: str = "webhook"
    url: Annotated[str, Meta(pattern=r"^https?://[!-~]+$")]
    bearer_token: Annotated[str, Meta(pattern=r"^[!-~]*$")] = ""
    timeout_seconds: Annotated[float, Meta(gt=0)] = 10.0
    attempts_max: Annotated[int, Meta(gt=0)] = 8
    waiting_max: Annotated[int, Meta(gt=0)] = 1_000
    """Messages that wait; above this the oldest is given up."""


class CheckpointSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often the log of all histories is signed, and who else remembers it."""

    seconds: Annotated[float, Meta(gt=0)] = 10.0
    witness_file: str = ""
    """A file on another disk or host that every checkpoint is appended to; empty: nobody."""


class ArchiveSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where raw groups are kept, and for how long."""

    folder: str = ""
    """Empty: `archive` in the data folder."""
    file_bytes: Annotated[int, Meta(ge=1 << 20, le=1 << 30)] = 32 << 20
    """So many bytes of groups make a file."""
    seconds_max: Annotated[float, Meta(gt=0)] = 3_600.0
    """After so long there is a file also of fewer."""
    keep_days: Annotated[int, Meta(ge=0)] = 0
    """Files of older days are deleted; 0: never."""


class ReconcileSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often enforcers' accounts are compared with the warehouse."""

    seconds: Annotated[float, Meta(gt=0)] = 2.0
    behind_seconds: Annotated[float, Meta(gt=0)] = 30.0
    """What an enforcer has recorded so long ago and is not loaded raises an alert."""


class WorkerSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything about one worker."""

    name: str = "worker"
    """Owner of its outbox and name of its consumer: one worker a name."""
    data: str = ""
    """Folder of the warehouse, its copies and the outbox; empty: the user's data folder."""
    nats_url: str = "nats://127.0.0.1:4222"
    nats_credentials: str = ""
    """A file to log in to NATS with, where it is run by JWTs."""
    prefix: str = "toolreeve"
    control: str = ""
    """Addresses of the control planes, between commas, who know how enforcers' outboxes stand;
    empty: only this worker's own is looked at."""
    control_plaintext: bool = False
    """Must be set where this worker has not joined: nothing then says who speaks to whom."""
    listen: str = "127.0.0.1:8462"
    """Where the query service is offered; port 0: any that is free."""
    plaintext: bool = False
    """Must be set to listen beyond loopback, where nothing encrypts what is asked and answered."""
    log_level: Level = "info"
    rules: tuple[BurstRule, ...] = (BurstRule(),)
    definitions: DefinitionRule = DefinitionRule()
    webhooks: tuple[WebhookSettings, ...] = ()
    resend_seconds: Annotated[int, Meta(ge=0)] = 3_600
    """After a restart receivers are told what they were not told of the last so many seconds."""
    duckdb_threads: Annotated[int, Meta(gt=0)] = 2
    query: QuerySettings = msgspec.field(default_factory=QuerySettings)
    consume: ConsumeSettings = msgspec.field(
        default_factory=lambda: ConsumeSettings(ack_seconds=5.0)
    )
    """What a killed worker had not acknowledged comes again after `ack_seconds`. A load that takes
    longer only means that its messages come twice, which the cursors know."""
    stream: StreamSettings = msgspec.field(default_factory=StreamSettings)
    ship: ShipSettings = msgspec.field(default_factory=ShipSettings)
    outbox: OutboxSettings = msgspec.field(default_factory=OutboxSettings)
    checkpoints: CheckpointSettings = msgspec.field(default_factory=CheckpointSettings)
    reconcile: ReconcileSettings = msgspec.field(default_factory=ReconcileSettings)
    archive: ArchiveSettings = msgspec.field(default_factory=ArchiveSettings)
    look_over_bytes_max: Annotated[int, Meta(ge=0)] = 1 << 30
    """A warehouse up to this size is read through at the start, to see that no bit has changed; a
    larger one while it is at work."""

    @property
    def control_addresses(self) -> list[str]:
        """The addresses in `control`."""
        return [one.strip() for one in self.control.split(",") if one.strip()]

    @property
    def folder(self) -> Path:
        """Where everything of this worker lies."""
        return Path(self.data) if self.data else user_data_path("toolreeve") / self.name

    @property
    def warehouse_path(self) -> Path:
        """The DuckDB file."""
        return self.folder / "warehouse.duckdb"

    @property
    def archive_path(self) -> Path:
        """Where raw groups are kept."""
        return Path(self.archive.folder) if self.archive.folder else self.folder / "archive"

    @property
    def witness_path(self) -> Path | None:
        """Where checkpoints are witnessed."""
        return Path(self.checkpoints.witness_file) if self.checkpoints.witness_file else None
