"""Every subject and stream name there is, derived from one prefix.

Names that become part of a subject are checked here: a dot, a star or a blank in one would let its
bearer speak for others.
"""

import re
from secrets import token_hex

DEFAULT_PREFIX = "toolreeve"
_PREFIX = re.compile(r"[a-z][a-z0-9_]{0,31}")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Subjects:
    """The names under one prefix. Raises ValueError for a prefix or name that cannot be one."""

    def __init__(self, prefix: str = DEFAULT_PREFIX) -> None:
        if _PREFIX.fullmatch(prefix) is None:
            raise ValueError(
                f"{prefix!r} cannot be a subject prefix: use up to 32 of a-z, 0-9 and _"
            )
        self.prefix = prefix
        self.audit_stream = f"{prefix.upper()}_AUDIT"
        """The stream that takes the groups of all enforcers' outboxes."""
        self.audit_all = f"{prefix}.audit.v1.*"
        """Everything in `audit_stream`."""
        self.control_stream = f"{prefix.upper()}_CONTROL"
        """The stream that is the control plane's history."""
        self.control = f"{prefix}.control.v1"
        """The one subject in `control_stream`."""
        self.lease_stream = f"{prefix.upper()}_LEASES"
        """The stream that keeps what a fleet's shared limits have given, one message each."""
        self.lease_all = f"{prefix}.lease.v1.*"
        """Everything in `lease_stream`."""

    def audit(self, enforcer: str) -> str:
        """Where one enforcer, and nobody else, publishes its groups."""
        return f"{self.prefix}.audit.v1.{token(enforcer)}"

    def lease(self, account: str) -> str:
        """Where the latest version of one account stands."""
        return f"{self.prefix}.lease.v1.{token(account)}"

    def inbox(self, name: str) -> str:
        """What the reply subjects of one client begin with; grant it `inbox(name) + ".>"`."""
        return f"{self.prefix}.inbox.{token(name)}"


def token(name: str) -> str:
    """The name, if it can stand in a subject. Raises ValueError."""
    if _TOKEN.fullmatch(name) is None:
        raise ValueError(f"{name!r} cannot be a name: use 1 to 64 of A-Z, a-z, 0-9, _ and -")
    return name


def message_id(enforcer: str, epoch: int, first_sequence: int) -> str:
    """The Nats-Msg-Id of a group.

    JetStream compares ids over a whole stream, so the enforcer stands in each.
    """
    return f"{token(enforcer)}:{epoch}:{first_sequence}"


def again_id(enforcer: str, epoch: int, first_sequence: int) -> str:
    """The Nats-Msg-Id of a group that is published once more; nobody can have used it before."""
    return f"{message_id(enforcer, epoch, first_sequence)}:again:{token_hex(8)}"


def speaks_for(message_id: str, enforcer: str) -> bool:
    """Whether this enforcer may use that id; a message without one may come from anybody."""
    return not message_id or message_id.startswith(f"{enforcer}:")
