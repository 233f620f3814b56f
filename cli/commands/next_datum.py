"""The command that a batched command calls; the same as the program `next-datum`, which starts faster."""

from __future__ import annotations

import click

from cli.exits import FAILED, ExitCode


@click.command("next-datum")
@click.option("--error", default="", metavar="TEXT", help="The datum under way failed, for this reason.")
def next_datum(error: str) -> None:
    """End the datum under way and put the next one in place: for commands with datum_batching, while they run.

    Exit code 1 when there is no datum any more. Inside such a command the program `next-datum` does the same, and
    starts faster.
    """
    from pps.batching import next_datum as ask

    if not ask(error):
        raise ExitCode(FAILED)
