"""The completion script of a shell, for both programs."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell: put eval "$(pfs completion bash)" into its start file."""
    root = ctx.find_root()
    name = root.info_name or "pfs"
    engine = get_completion_class(shell)
    assert engine is not None
    click.echo(engine(root.command, {}, name, f"_{name.upper()}_COMPLETE").source())
