"""How data is printed: an aligned table for people, JSON or CSV for programs."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Literal

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.console import Console
    from rich.table import Table

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


def print_json(value: Any) -> None:
    """Print one JSON document, indented."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_json_line(value: Any) -> None:
    """Print one JSON document on one line and hand it on at once."""
    click.echo(json.dumps(value, ensure_ascii=False))
    sys.stdout.flush()


def print_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print RFC 4180 CSV with a header line. Nothing stands for NULL."""
    import csv

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow(["" if value is None else _plain(value) for value in row])


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], *, numeric: Iterable[str] = ()
) -> None:
    """Print an aligned table; columns named in `numeric` stand to the right.

    No blanks stand at the ends of lines that go into a file or a pipe.
    """
    console, table = stdout_console(), build_table(columns, rows, numeric=numeric)
    if console.is_terminal:
        console.print(table)
        return
    with console.capture() as printed:
        console.print(table)
    for line in printed.get().splitlines():
        click.echo(line.rstrip())


def build_table(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], *, numeric: Iterable[str] = ()
) -> Table:
    """Return a table for a console of rich's. A dash stands for NULL."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    right = set(numeric)
    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
        header_style="bold",
    )
    for name in columns:
        justify: Literal["left", "right"] = "right" if name in right else "left"
        table.add_column(Text(name), justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*(Text("-" if value is None else _plain(value)) for value in row))
    return table


def stdout_console() -> Console:
    """Return a console for stdout: colours on a terminal only, never a cut line in a pipe."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=10_000)
    return console


def print_rows(
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[str],
    *,
    empty: str,
    numeric: Iterable[str] = (),
) -> None:
    """Print mappings as a table, or `empty` where there are none."""
    if rows:
        print_table(columns, ([row[name] for name in columns] for row in rows), numeric=numeric)
    else:
        click.echo(empty)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
