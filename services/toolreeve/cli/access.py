"""What a command shows to a control plane, and whom it believes to be one.

A token stands in the environment, in a file, or where `toolreeve operator login` has left it. It
goes to a control plane of a known authority and nowhere else, so never in the clear.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from toolreeve.cli.failure import BAD_INPUT, CommandError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import grpc

AUTHORITY_VARIABLE = "TOOLREEVE_AUTHORITY"
TOKEN_VARIABLE = "TOOLREEVE_TOKEN"  # noqa: S105  (a name)
TOKEN_FILE_VARIABLE = "TOOLREEVE_TOKEN_FILE"  # noqa: S105


class Access(Struct, frozen=True):
    """The authority of a control plane (PEM), and the token to show; empty: none."""

    authority: str
    token: str


class Login(Struct, frozen=True):
    """What `toolreeve operator login` has left."""

    address: str
    authority: str
    token: str


def login_file() -> Path:
    """Return where a login is kept."""
    import platformdirs

    return platformdirs.user_config_path("toolreeve", appauthor=False) / "login.json"


def read_login() -> Login | None:
    """Return the login of this user, None where there is none."""
    from toolreeve.runtime.private import PrivateFileError, read_private

    path = login_file()
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(read_private(path), type=Login)
    except PrivateFileError as error:
        raise CommandError(f"{path}: {error.problem}", error.remedy, exit_code=BAD_INPUT) from error
    except msgspec.MsgspecError as error:
        raise CommandError(
            f"{path} cannot be read: {error}",
            "log in again with 'toolreeve operator login'",
            exit_code=BAD_INPUT,
        ) from error


def access_to(address: str, service: str, record: Mapping[str, Any]) -> Access | None:
    """Return what to show to `service` at `address`; None: it is spoken to in the clear.

    `record` is that of the `toolreeve up` meant. The environment wins over it and over the login,
    for each of authority and token by itself. A login is good for the query service of its
    control plane too, wherever that listens.
    """
    authority, token = "", ""
    if record.get("authority") and record.get(service) == address:
        own = access_of(record["authority"], record["token_file"])
        authority, token = own.authority, own.token
    else:
        login = read_login()
        if login is not None and (login.address == address or service != "control"):
            authority, token = login.authority, login.token
    if os.environ.get(AUTHORITY_VARIABLE):
        authority = _read(Path(os.environ[AUTHORITY_VARIABLE]))
    said = token_said()
    if not authority:
        if said:
            raise CommandError(
                f"a token is there for {address}, and nothing by which to know who listens there",
                f"name its authority in {AUTHORITY_VARIABLE}, or log in with"
                " 'toolreeve operator login'",
                exit_code=BAD_INPUT,
            )
        return None
    return Access(authority, said or token)


def access_of(authority_file: str, token_file: str) -> Access:
    """Return what these files hold, whatever stands in the environment."""
    return Access(_read(Path(authority_file)), _read(Path(token_file)).strip())


def token_said() -> str:
    """Return the token that stands in the environment, or in the file named there."""
    if os.environ.get(TOKEN_VARIABLE):
        return os.environ[TOKEN_VARIABLE].strip()
    if os.environ.get(TOKEN_FILE_VARIABLE):
        return _read(Path(os.environ[TOKEN_FILE_VARIABLE])).strip()
    return ""


def open_channel(address: str, role: str, access: Access | None) -> grpc.Channel:
    """Open a channel to who is `role` in its certificate; the token goes with every call."""
    import grpc

    if access is None:
        return grpc.insecure_channel(address)
    from toolreeve.sync.joining import JoinError, trust_domain

    authority = access.authority.encode()
    credentials = grpc.ssl_channel_credentials(authority)
    if access.token:
        credentials = grpc.composite_channel_credentials(
            credentials, grpc.access_token_call_credentials(access.token)
        )
    try:
        name = f"{role}.{trust_domain(authority)}"
    except (JoinError, ValueError) as error:
        raise CommandError(
            "the authority given is not that of a control plane",
            "give the authority.pem from its data folder",
            exit_code=BAD_INPUT,
        ) from error
    options = [("grpc.ssl_target_name_override", name)]
    return grpc.secure_channel(address, credentials, options=options)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(
            f"{path} cannot be read: {getattr(error, 'strerror', None) or error}",
            "name a file that you may read",
            exit_code=BAD_INPUT,
        ) from error
