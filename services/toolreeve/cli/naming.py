"""Finds a name for a server in the command that starts it."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# Words that start a server without naming it.
_LAUNCHERS = re.compile(
    r"npx|npm|pnpm|yarn|bunx?|node|deno|dlx|exec|run|uvx?|tool|pipx|python[0-9.]*|docker|podman|env"
)
_NAME_CHARACTERS_MAX = 64


def server_name(command: Sequence[str]) -> str:
    """Return a name for policies and reports: that of the package, module or program.

    `npx -y @scope/server-files@1.2 /srv` is `server-files`, `python -m weather.server` is
    `weather.server`, `/opt/bin/my-server` is `my-server`.
    """
    words = [word for word in command if not word.startswith("-")]
    telling = [word for word in words if not _LAUNCHERS.fullmatch(PurePath(word).name)]
    word = (telling or words or ["server"])[0]
    name = PurePath(word).name.partition("@")[0].removesuffix(".py").removesuffix(".js")
    plain = re.sub(r"[^A-Za-z0-9_.-]", "-", name).lstrip("_.-")
    return plain[:_NAME_CHARACTERS_MAX] or "server"
