"""How the demo tells its story: numbered scenes, one line a call, colours on a terminal only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.text import Text

from toolreeve.cli.output import build_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console

CALL_WIDTH = 38
ANSWER_CHARACTERS_MAX = 100
_STYLES = {"allowed": "green", "refused": "red"}


class Narrator:
    """Writes scenes to a console."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._scene = 0

    def scene(self, title: str, *says: str) -> None:
        """Begin a numbered scene with what it is about."""
        self._scene += 1
        self.console.print()
        self.console.print(Text(f"{self._scene}. {title}", style="bold"))
        for line in says:
            self.say(line)

    def say(self, line: str) -> None:
        """Write one line of the scene."""
        self.console.print(Text(f"   {line}"), soft_wrap=True)

    def command(self, line: str) -> None:
        """Write a command as a person would type it."""
        self.console.print(Text(f"   $ {line}", style="cyan"), soft_wrap=True)

    def call(self, call: str, verdict: str, answer: str) -> None:
        """Write one call, what became of it, and the first line of what the agent read."""
        line = Text(f"     {call:<{CALL_WIDTH}} ")
        line.append(f"{verdict:<8}", style=_STYLES.get(verdict, ""))
        line.append(f" {_first_line(answer)}")
        self.console.print(line, soft_wrap=True)

    def alert(self, rule: str, summary: str) -> None:
        """Write an alert with all that it says."""
        line = Text("     ")
        line.append("ALERT", style="bold yellow")
        line.append(f" {rule}: {summary}")
        self.console.print(line, soft_wrap=True)

    def table(
        self, columns: Sequence[str], rows: Iterable[Sequence[object]], numeric: Iterable[str]
    ) -> None:
        """Write a small table; columns named in `numeric` stand to the right."""
        table = build_table(columns, rows, numeric=numeric)
        self.console.print(Padding(table, (0, 0, 0, 3), expand=False))


def _first_line(answer: str) -> str:
    first = answer.splitlines()[0] if answer else ""
    return first if len(first) <= ANSWER_CHARACTERS_MAX else f"{first[:ANSWER_CHARACTERS_MAX]}..."
