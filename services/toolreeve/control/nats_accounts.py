"""A NATS that is run by JWTs: its operator and account, and who may say what.

Enforcers' users are signed by a scoped key, so that whatever a JWT of theirs says, they publish to
the subject of their own name and hear their own inbox, and nothing else: the names come from
`{{name()}}`, which the server fills in. Only that key is the control plane's; the operator's and
the account's are needed to make the configuration and then can be locked away.
"""

import json
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from toolreeve.bus import Subjects, token
from toolreeve.bus.login import Login, write_login
from toolreeve.decision import Instant
from toolreeve.decision.instant import SECOND
from toolreeve.fleet.identity import MemberKind
from toolreeve.runtime.nkeys import Nkey, NkeyError, NkeyKind
from toolreeve.runtime.private import PrivateFileError, read_private, replace_private
from toolreeve.runtime.settings import SettingsError

ENFORCERS = "enforcers.json"
CONFIGURATION = "accounts.conf"
_NO_LIMITS = {"subs": -1, "data": -1, "payload": -1}
OPERATOR = "operator.json"
_USERS = ("worker", "control")
FILES = {
    CONFIGURATION: "for nats-server, to include beside its jetstream block",
    "control.creds": "nats_credentials of the control plane",
    ENFORCERS: "nats_enforcers of the control plane: signs enforcers' logins",
    "worker.creds": "nats_credentials of the worker",
    OPERATOR: "for nobody that runs: lock it away",
}


class EnforcersKey(Struct, frozen=True):
    """What enforcers' logins are signed with: the account they are of, and the scoped key."""

    account: str
    seed: str


def make_accounts(folder: Path, *, prefix: str, issued_at: Instant) -> str:
    """Make a new operator with all that follows from it, as files in `folder`; returns the account.

    `accounts.conf` is for nats-server to include, `enforcers.json` and `control.creds` are for the
    control plane, `worker.creds` is for the worker. Raises OSError.
    """
    operator, account, system = (
        Nkey.generate(kind) for kind in (NkeyKind.OPERATOR, NkeyKind.ACCOUNT, NkeyKind.ACCOUNT)
    )
    scoped = Nkey.generate(NkeyKind.ACCOUNT)
    subjects = Subjects(prefix)
    at = issued_at // SECOND
    jwts = {
        account.public: operator.jwt(
            _account(account, "toolreeve", at, scope=_scope(scoped, subjects))
        ),
        system.public: operator.jwt(_account(system, "SYS", at, scope=None)),
    }
    preload = "\n".join(f"  {public}: {json.dumps(jwt)}" for public, jwt in jwts.items())
    signed = operator.jwt(
        _claims(
            operator.public, "toolreeve", at, {"type": "operator", "system_account": system.public}
        )
    )
    configuration = (
        f"operator: {json.dumps(signed)}\nsystem_account: {system.public}\n"
        f"resolver: MEMORY\nresolver_preload: {{\n{preload}\n}}\n"
    )
    for name in _USERS:
        login = _user(account, name, subjects, at)
        replace_private(folder / f"{name}.creds", write_login(login).encode())
    key = EnforcersKey(account.public, scoped.seed)
    replace_private(folder / ENFORCERS, msgspec.json.encode(key))
    seeds = {"operator": operator.seed, "account": account.seed, "system": system.seed}
    replace_private(folder / OPERATOR, json.dumps(seeds, indent=2).encode())
    # Last: where it stands, everything does.
    replace_private(folder / CONFIGURATION, configuration.encode())
    return account.public


class EnforcerLogins:
    """Signs the logins of enforcers."""

    def __init__(self, key: EnforcersKey) -> None:
        self._account = key.account
        self._key = Nkey.from_seed(key.seed)

    @classmethod
    def load(cls, path: Path) -> "EnforcerLogins":
        """Read `enforcers.json`. Raises SettingsError."""
        try:
            return cls(msgspec.json.decode(read_private(path), type=EnforcersKey))
        except PrivateFileError as error:
            raise SettingsError(str(error.path), error.problem, error.remedy) from error
        except (msgspec.MsgspecError, NkeyError) as error:
            problem = f"it is no key for enforcers' logins: {error}"
            raise SettingsError(str(path), problem, "make the accounts anew") from error

    def login(self, kind: MemberKind, name: str, public: str, until: Instant) -> str:
        """A JWT for an enforcer, until an instant; empty for members of other kinds."""
        if kind is not MemberKind.ENFORCER:
            return ""
        user = {"type": "user", "issuer_account": self._account}
        claims = _claims(public, token(name), 0, user)
        return self._key.jwt({**claims, "exp": until // SECOND})


def _scope(scoped: Nkey, subjects: Subjects) -> dict[str, Any]:
    """What every user that `scoped` signs may do."""
    mine = "{{name()}}"
    return {
        "kind": "user_scope",
        "key": scoped.public,
        "role": "enforcer",
        "template": {
            "pub": {"allow": [f"{subjects.prefix}.audit.v1.{mine}"]},
            "sub": {"allow": [f"{subjects.prefix}.inbox.{mine}.>"]},
            **_NO_LIMITS,
        },
    }


def _account(key: Nkey, name: str, at: int, *, scope: dict[str, Any] | None) -> dict[str, Any]:
    storage = {} if scope is None else {"mem_storage": -1, "disk_storage": -1}
    limits = {
        **_NO_LIMITS,
        "imports": -1,
        "exports": -1,
        "wildcards": True,
        "conn": -1,
        "leaf": -1,
        "streams": -1,
        "consumer": -1,
        **storage,
    }
    body: dict[str, Any] = {
        "type": "account",
        "limits": limits,
        "signing_keys": [] if scope is None else [scope],
        "default_permissions": {"pub": {}, "sub": {}},
    }
    return _claims(key.public, name, at, body)


def _user(account: Nkey, name: str, subjects: Subjects, at: int) -> Login:
    """The worker's or the control plane's login: its stream, without deleting and purging."""
    key = Nkey.generate(NkeyKind.USER)
    body = {
        "type": "user",
        "pub": {"allow": _publishes(name, subjects), "deny": _NEVER},
        "sub": {"allow": [f"{subjects.prefix}.inbox.>"]},
        **_NO_LIMITS,
    }
    return Login(account.jwt(_claims(key.public, name, at, body)), key.seed)


_NEVER = ["$JS.API.STREAM.DELETE.>", "$JS.API.STREAM.PURGE.>", "$JS.API.STREAM.MSG.DELETE.>"]


def _publishes(name: str, subjects: Subjects) -> list[str]:
    streams = [subjects.audit_stream]
    said = [subjects.audit_all]
    if name == "control":
        streams += [subjects.control_stream, subjects.lease_stream]
        said += [subjects.control, f"{subjects.control}.>", subjects.lease_all]
    api = [
        entry
        for stream in streams
        for entry in (
            f"$JS.API.STREAM.*.{stream}",
            f"$JS.API.STREAM.MSG.GET.{stream}",
            f"$JS.API.CONSUMER.*.{stream}",
            f"$JS.API.CONSUMER.*.{stream}.>",
            f"$JS.API.CONSUMER.DURABLE.CREATE.{stream}.*",
            f"$JS.API.CONSUMER.MSG.NEXT.{stream}.*",
            f"$JS.ACK.{stream}.>",
            f"$JS.FC.{stream}.>",
        )
    ]
    return [*said, "$JS.API.INFO", *api]


def _claims(subject: str, name: str, at: int, body: dict[str, Any]) -> dict[str, Any]:
    return {"sub": subject, "name": name, "iat": at, "nats": {**body, "version": 2}}
