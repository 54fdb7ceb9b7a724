"""The worker and the gateway join, by themselves, with what lies in the control plane's folder."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from toolreeve.cli.access import access_of
from toolreeve.cli.failure import CommandError
from toolreeve.cli.launch.parts import ENFORCER, WORKER
from toolreeve.cli.reach import ANSWER_SECONDS_MAX, Place, Service, channel

if TYPE_CHECKING:
    from toolreeve.cli.launch.folder import Folder
    from toolreeve.cli.launch.tree import Facts


def join_all(folder: Folder, control: Facts) -> None:
    """Let both join anew: whatever they have may be of a life too long ago. Raises CommandError."""
    from toolreeve.runtime.credentials import write_credentials
    from toolreeve.sync.joining import JoinError, join
    from toolreeve.v1 import identity_pb2 as pb
    from toolreeve.v1 import operator_pb2 as operator
    from toolreeve.v1.identity_pb2_grpc import IdentityServiceStub

    address = str(control["address"])
    access = access_of(str(control["authority"]), str(control["token_file"]))
    place = Place(Service.CONTROL, address, "of this tree", access)
    members: tuple[tuple[pb.MemberKind.ValueType, str, Path], ...] = (
        (pb.MEMBER_KIND_WORKER, WORKER, folder.worker),
        (pb.MEMBER_KIND_ENFORCER, ENFORCER, folder.gateway),
    )
    for kind, name, data in members:
        command = operator.Command(command_id=str(uuid.uuid4()), actor="up", reason="a start")
        request = pb.CreateJoinTokenRequest(command=command, kind=kind, name=name, life_ms=60_000)
        with channel(place) as opened:
            made = IdentityServiceStub(opened).CreateJoinToken(request, timeout=ANSWER_SECONDS_MAX)
        try:
            write_credentials(data, join(address, token=made.token, pin=made.authority_sha256))
        except JoinError as error:
            raise CommandError(f"{name} could not join: {error.problem}", error.remedy) from error
