"""A value that somebody knows, in every way that the audit trail may hold it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec
from msgspec import Struct

from toolreeve.cli.failure import BAD_INPUT, CommandError

if TYPE_CHECKING:
    from collections.abc import Sequence

key_file_option = click.option(
    "--key-file",
    "key_files",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The hash.keys of an enforcer, to find values of which it kept only hashes; may be "
    "repeated.",
)
pointer_option = click.option(
    "--pointer", default="", metavar="POINTER", help="Only where the value stood here: /id."
)


class Known(Struct, frozen=True):
    """A value as text, as it is compared with kept ones, and as it looks under each key.

    `hashes` are (id of the key, hash).
    """

    text: str
    hashes: tuple[tuple[bytes, bytes], ...]


def known(value: str, key_files: Sequence[Path]) -> Known:
    """Read a value: JSON, and a string where it is none.

    What is no string in JSON also finds the string that looks the same: 7 finds 7 and "7". Raises
    CommandError where a key file cannot be used.
    """
    from toolreeve.audit.redact import key_id, value_hash
    from toolreeve.policy import canonical_json

    try:
        read = msgspec.json.decode(value)
    except msgspec.DecodeError:
        read = value
    text = read if isinstance(read, str) else canonical_json(read).decode()
    if not text:
        raise CommandError("the value is empty", "name one", exit_code=BAD_INPUT)
    forms = {canonical_json(read), canonical_json(text)}
    hashes = tuple(
        (key_id(key), value_hash(form, key)) for key in _keys(key_files) for form in sorted(forms)
    )
    return Known(text, hashes)


def check_pointer(pointer: str) -> None:
    """Raise CommandError for what is no JSON Pointer."""
    from toolreeve.policy import parse_pointer
    from toolreeve.policy.pointer import PointerError

    try:
        parse_pointer(pointer)
    except PointerError as error:
        raise CommandError(f"{error}", "write /id", exit_code=BAD_INPUT) from error


def _keys(files: Sequence[Path]) -> list[bytes]:
    from toolreeve.runtime.hashkeys import read_keys
    from toolreeve.runtime.settings import SettingsError

    keys: list[bytes] = []
    for file in files:
        try:
            keys += [one.key for one in read_keys(file)]
        except FileNotFoundError as error:
            raise CommandError(
                f"{file} is not there", "name the hash.keys of an enforcer", exit_code=BAD_INPUT
            ) from error
        except SettingsError as error:
            what = f"{error.source}: {error.problem}"
            raise CommandError(what, error.remedy, exit_code=BAD_INPUT) from error
    return keys
