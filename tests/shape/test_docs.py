"""Whatever a user can set, call or receive has its entry in docs/."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import get_args, get_origin

import click
import msgspec

from toolreeve.bus.subjects import Subjects
from toolreeve.cli.__main__ import cli
from toolreeve.worker import checkpoints, reconcile, stream_watch
from toolreeve.worker.settings import WorkerSettings

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = {path: path.read_text() for path in sorted((REPOSITORY / "docs").rglob("*.md"))}


def missing(wanted: Iterator[tuple[str, ...]]) -> list[str]:
    """Of groups of words, those that no single page holds together."""
    return [
        " with ".join(words)
        for words in wanted
        if not any(all(word in text for word in words) for text in PAGES.values())
    ]


def commands(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The words of every command one can type, `toolreeve policy publish` for instance."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from commands(inner, (*path, name))
    else:
        yield path


def keys(kind: type[msgspec.Struct]) -> Iterator[str]:
    """The keys of a settings file: `listen`, `bus.url`; NAME where the user chooses one."""
    for field in msgspec.structs.fields(kind):
        for path in inner_keys(field.type):
            yield f"{field.encode_name}{path}"


def inner_keys(kind: object) -> set[str]:
    """What follows a key of this type: nothing, or the keys of its table."""
    found = {path for choice in get_args(kind) for path in inner_keys(choice) if path}
    if get_origin(kind) is dict:
        found = {f".NAME{path}" for path in found}
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        found = {f".{key}" for key in keys(kind)}
    return found or {""}


def processes() -> Iterator[tuple[str, type[msgspec.Struct]]]:
    """Each command that reads a settings file, with the type of its settings."""
    for name in cli.list_commands(click.Context(cli)):
        try:
            module = importlib.import_module(f"toolreeve.{name}.settings")
        except ModuleNotFoundError:
            continue
        yield name, getattr(module, f"{name.title()}Settings")


def test_every_command_has_its_entry() -> None:
    found = missing((" ".join(words),) for words in commands(cli, ("toolreeve",)))
    assert not found, f"not in docs/: {found}"


def test_every_setting_stands_on_the_page_of_its_process() -> None:
    assert {"gateway", "control", "worker"} <= {name for name, _ in processes()}
    found = missing(
        (f"toolreeve {name}", f"`{key}`") for name, kind in processes() for key in keys(kind)
    )
    assert not found, f"not in docs/: {found}"


def test_every_subject_and_stream_has_its_entry() -> None:
    subjects = Subjects()
    names = [value for key, value in vars(subjects).items() if key != "prefix"]
    names += [subjects.audit("ENFORCER"), subjects.inbox("NAME")]
    found = missing((f"`{name}`",) for name in names)
    assert not found, f"not in docs/: {found}"


def test_every_alert_has_its_entry() -> None:
    settings = WorkerSettings()
    assert settings.rules
    alerts = [(rule.name, rule.severity) for rule in settings.rules]
    of_tools = settings.definitions
    alerts += [(name, of_tools.severity) for name in (of_tools.changed, of_tools.looks_alike)]
    of_the_audit = (*reconcile.RULES, *stream_watch.RULES, checkpoints.RULE)
    alerts += [(name, "critical") for name in of_the_audit]
    found = missing((f"`{name}`", f"`{severity}`") for name, severity in alerts)
    assert not found, f"not in docs/: {found}"
