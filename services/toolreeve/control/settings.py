"""What can be set about the control plane."""

from pathlib import Path
from typing import Annotated

import platformdirs
from msgspec import Meta, Struct

from toolreeve.runtime.log import Level


class ControlSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `toolreeve control`.

    `listen` may name port 0: a free one. `plaintext` must be set to listen beyond loopback, where
    nothing yet encrypts the stream. `prefix` names the subjects and streams of this installation;
    every replica of one control plane has the same. `log_replicas` and `log_bytes_max` are for the
    stream's making and do not touch one that is there. An enforcer hears at most every
    `durable_seconds` what of its events is in the warehouse.
    """

    listen: str = "127.0.0.1:8461"
    plaintext: bool = False
    nats_url: str = "nats://127.0.0.1:4222"
    prefix: str = "toolreeve"
    data: str = ""
    signing_key: str = ""
    reflection: bool = False
    log_level: Level = "info"
    ready_file: str = ""
    log_replicas: Annotated[int, Meta(ge=1, le=5)] = 1
    log_bytes_max: Annotated[int, Meta(gt=0)] = 1 << 30
    policy_bytes_max: Annotated[int, Meta(gt=0, le=900_000)] = 500_000
    command_seconds_max: Annotated[float, Meta(gt=0)] = 10.0
    hello_seconds_max: Annotated[float, Meta(gt=0)] = 10.0
    streams_max: Annotated[int, Meta(gt=0)] = 20_000
    connection_age_seconds_max: Annotated[int, Meta(gt=0)] = 1_800
    stop_seconds_max: Annotated[float, Meta(ge=0)] = 3.0
    durable_seconds: Annotated[float, Meta(ge=0)] = 10.0

    @property
    def data_folder(self) -> Path:
        """Where the signing key lies, unless `signing_key` names another file."""
        if self.data:
            return Path(self.data)
        return Path(platformdirs.user_data_dir("toolreeve")) / "control"

    @property
    def signing_key_file(self) -> Path:
        """The private half of what enforcers pin."""
        return Path(self.signing_key) if self.signing_key else self.data_folder / "signing-key.pem"
