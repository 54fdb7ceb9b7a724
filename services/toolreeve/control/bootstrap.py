"""The first admin: whoever can read a file of the control plane's data folder.

The token is written down before the log learns its hash, so a crash between the two loses nothing:
the next start finds the file and goes on. Of several replicas that start at once the log takes one
token; the others take theirs back.
"""

import secrets

import structlog

from toolreeve.control.desk import Submitting
from toolreeve.control.settings import ControlSettings
from toolreeve.control.store import Store
from toolreeve.control.tokens import OPERATOR, new_token, proof_of
from toolreeve.fleet import Command
from toolreeve.fleet.identity_commands import first_operator
from toolreeve.runtime.private import PrivateFileError, create_private, read_private

log = structlog.get_logger()

FIRST_ADMIN = "admin"


async def make_first_admin(settings: ControlSettings, store: Store, submitting: Submitting) -> None:
    """See that there is an admin, where nobody ever was one.

    Raises PrivateFileError where the token's file cannot be used.
    """
    if store.state.identities.operators:
        return
    path = settings.admin_token_file
    if not path.exists():
        try:
            create_private(path, f"{new_token(OPERATOR, secrets.token_hex(16)).text}\n".encode())
        except FileExistsError:
            pass
        except OSError as error:
            raise PrivateFileError(
                path, f"it cannot be written: {error.strerror}", "make its folder writable"
            ) from error
    text = read_private(path).decode("ascii", "replace").strip()
    proof = proof_of(text, OPERATOR)
    if proof is None:
        raise PrivateFileError(path, "it holds no token", "delete it")
    command = Command(
        command_id=f"first-admin-{proof.token_id}", actor="toolreeve control", reason="first start"
    )
    await submitting.submit(
        lambda state, at: first_operator(state, command, name=FIRST_ADMIN, token=proof, at=at)
    )
    if store.state.identities.operator_of(proof.token_id) is None:
        path.unlink(missing_ok=True)  # another replica was first
    else:
        log.warning("operator.first_admin", operator=FIRST_ADMIN, token_file=str(path))
