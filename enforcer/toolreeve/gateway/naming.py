"""What an enforcer is called, where nobody has said."""

import re
import socket
from pathlib import Path

from toolreeve.runtime.settings import SettingsError

CHARACTERS_MAX = 64
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def name_of(folder: Path, wanted: str | None, *suffixes: str) -> str:
    """The name of the enforcer whose state lies in `folder`.

    `wanted` where it is given; else the name it had before, so that its history goes on when the
    host is renamed; else one made from the host's name. `suffixes` are joined to it with hyphens.
    Raises SettingsError where the name of before cannot be read.
    """
    if wanted is not None:
        return _joined(wanted, *suffixes)
    path = folder / "name"
    try:
        name = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        name = _joined("gateway", socket.gethostname() or "local", *suffixes)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_text(name + "\n", encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(str(path), f"cannot be read: {error}", "restore the file") from error
    if NAME.fullmatch(name) is None:
        problem = f"{name!r} is no name of an enforcer"
        raise SettingsError(str(path), problem, "restore the file, or set `enforcer`")
    return name


def _joined(*parts: str) -> str:
    """The parts with hyphens between them; the first gives way where it gets too long."""
    plain = [re.sub(r"[^A-Za-z0-9_-]", "-", part) for part in parts]
    end = "".join(f"-{part}" for part in plain[1:])
    return (plain[0][: max(1, CHARACTERS_MAX - len(end))] + end)[-CHARACTERS_MAX:]
