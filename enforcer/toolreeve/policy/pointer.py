"""JSON Pointers (RFC 6901): how a policy names a place in a document or in arguments."""

from collections.abc import Sequence
from functools import lru_cache


class PointerError(ValueError):
    """The text is not a JSON Pointer."""


@lru_cache(maxsize=1024)
def parse_pointer(text: str) -> tuple[str, ...]:
    """Split a pointer into its keys, with `~1` and `~0` undone. `""` names the whole document."""
    if text == "":
        return ()
    if not text.startswith("/"):
        raise PointerError(f"{text!r} does not start with '/'")
    keys = text[1:].split("/")
    for key in keys:
        if "~" in key.replace("~0", "").replace("~1", ""):
            raise PointerError(f"{text!r} has a '~' that is neither '~0' nor '~1'")
    return tuple(key.replace("~1", "/").replace("~0", "~") for key in keys)


def write_pointer(keys: Sequence[str | int]) -> str:
    """Join keys into a pointer."""
    return "".join("/" + str(key).replace("~", "~0").replace("/", "~1") for key in keys)


def resolve(value: object, keys: Sequence[str]) -> tuple[bool, object]:
    """Walk `keys` into `value`: (found, what stands there).

    Objects by their own keys, lists by index without leading zeros. `(False, None)` where the
    path leads nowhere: a stored null is found.
    """
    for key in keys:
        if isinstance(value, dict):
            if key not in value:
                return False, None
            value = value[key]  # pyright: ignore[reportUnknownVariableType]
        elif isinstance(value, list):
            if not (key.isascii() and key.isdigit()) or (len(key) > 1 and key[0] == "0"):
                return False, None
            index = int(key)
            if index >= len(value):  # pyright: ignore[reportUnknownArgumentType]
                return False, None
            value = value[index]  # pyright: ignore[reportUnknownVariableType]
        else:
            return False, None
    return True, value  # pyright: ignore[reportUnknownVariableType]
