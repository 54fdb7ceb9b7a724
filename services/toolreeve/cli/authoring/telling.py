"""How an explanation is shown: a table for people, plain values for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from toolreeve.cli.output import print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from toolreeve.decision import Verdict
    from toolreeve.decision.look import Look

LOOK_COLUMNS = ("", "looked at", "stands at", "found")


def print_looks(looks: Sequence[Look], *, redacted: bool = False) -> None:
    """Print what was looked at, one line each. `redacted`: without values of arguments."""
    rows = ((_mark(look), look.stage.value, look.pointer, _found(look, redacted)) for look in looks)
    print_table(LOOK_COLUMNS, rows)


def print_verdict(verdict: Verdict) -> None:
    """Print the verdict and its grounds."""
    parts = [verdict.effect.value, verdict.code.value, verdict.rule]
    click.echo("  ".join(part for part in parts if part))
    if verdict.reason:
        click.echo(f"  {verdict.reason}")
    if verdict.retry_after_ms is not None:
        click.echo(f"  One more call is admitted in {verdict.retry_after_ms} ms.")


def plain_looks(looks: Sequence[Look], *, redacted: bool = False) -> list[dict[str, Any]]:
    """Return what was looked at, for JSON."""
    return [
        {
            "looked_at": look.stage.value,
            "pointer": look.pointer,
            "found": look.finding,
            "values": None if redacted else list(look.values),
            "holds": look.holds,
            "speaks_against": look.speaks_against,
            "code": None if look.code is None else look.code.value,
            "known": look.known,
        }
        for look in looks
    ]


def plain_verdict(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict, for JSON."""
    return {
        "effect": verdict.effect.value,
        "code": verdict.code.value,
        "rule": verdict.rule,
        "reason": verdict.reason,
        "retry_after_ms": verdict.retry_after_ms,
        "counter": verdict.counter,
        "mode": verdict.mode.value,
    }


def _mark(look: Look) -> str:
    if not look.known:
        return "?"
    if look.code is not None or (look.stage.value == "method" and look.speaks_against):
        return "✗"
    if look.stage.value == "rule" and not look.holds:
        return ""
    return "·" if look.speaks_against else "✓"


def _found(look: Look, redacted: bool) -> str:
    if redacted or not look.values:
        return look.finding
    return f"{look.finding} ({', '.join(look.values)})"
