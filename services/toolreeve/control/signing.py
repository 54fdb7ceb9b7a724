"""Which key signs what an operator wants: the control plane's own, or one that lies elsewhere.

Whoever keeps the key elsewhere asks first what is to be signed, and then asks the same again with
the signatures. Between the two nothing may have changed: each manifest must be what it was.
"""

from collections.abc import Iterable

import grpc

from toolreeve.control.desk import RefusedError
from toolreeve.policy.sign import ManifestRefused, SigningKey
from toolreeve.policy.signer import Presigned, Signer
from toolreeve.v1 import fleet_pb2 as fleet
from toolreeve.wire.envelope import read_envelope


def signer_of(signed: Iterable[fleet.SignedManifest], key: SigningKey) -> Signer:
    """What came signed with a request, or else our own key. Raises RefusedError."""
    envelopes = [read_envelope(one) for one in signed]
    if not envelopes:
        return key
    try:
        return Presigned(envelopes)
    except ManifestRefused as error:
        raise RefusedError(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from error
