"""The option --history: how many versions of a pipeline count beside the present one."""

from __future__ import annotations

import click

from cli.exits import usage_error
from pfs.shorten import quoted


def parse_history(ctx: click.Context, param: click.Parameter, text: str) -> int | None:
    """Return so many; None for all."""
    if text in {"all", "none"}:
        return None if text == "all" else 0
    if not text.isdecimal():
        raise usage_error(f"--history takes a number of versions, all or none, not {quoted(text)}")
    return int(text)
