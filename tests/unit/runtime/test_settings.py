"""Settings: file, environment, command line, and what is wrong with them."""

from pathlib import Path
from typing import Annotated

import msgspec
import pytest

from toolreeve.runtime.settings import SettingsError, load_settings


class Bus(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    url: str = "nats://127.0.0.1:4222"


class Example(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    listen: str = "127.0.0.1:8460"
    seconds: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    bus: Bus | None = None


def test_the_environment_beats_the_file_and_the_command_line_beats_both(tmp_path: Path) -> None:
    path = tmp_path / "example.toml"
    path.write_text('listen = "file"\nseconds = 2\n[bus]\nurl = "file"\n')
    environment = {"TOOLREEVE_LISTEN": "environment", "TOOLREEVE_BUS_URL": "nats://x"}
    read = load_settings(Example, path, environment=environment)
    assert read == Example(listen="environment", seconds=2.0, bus=Bus("nats://x"))
    overrides = {"listen": "command line", "seconds": None}
    read = load_settings(Example, path, overrides=overrides, environment=environment)
    assert (read.listen, read.seconds) == ("command line", 2.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("listne = 1", "listne"),
        ("seconds = 0", "seconds"),
        ('seconds = "fast"', "seconds"),
        ("[bus]\nurll = 1", "urll"),
        ("listen = ", "not TOML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "example.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=said):
        load_settings(Example, path, environment={})


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such file"):
        load_settings(Example, tmp_path / "none.toml", environment={})


def test_a_variable_that_has_a_tables_name_is_somebody_elses() -> None:
    assert load_settings(Example, None, environment={"TOOLREEVE_BUS": "127.0.0.1:1"}).bus is None
