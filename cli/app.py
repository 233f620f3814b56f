"""How both programs start: a table of commands, loaded only when called, and one place where errors become exit codes.

``pfs --help`` must answer at once, so the help of the whole program comes from the table and a command's module is
imported when that command runs. ``--store`` may stand before or after the command. click and not typer: typer carries a
private copy of click and pydantic since 0.2x, and a lazy group is a documented use of click alone.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

import click

from cli import exits, process, words
from cli.entry import Entry
from cli.invoke import invoke
from pfs.shorten import quoted


class CommandTable(click.Group):
    """A click group whose commands are imported when they are asked for."""

    def __init__(self, table: Mapping[str, Entry], *, name: str, help: str, params: list[click.Parameter]) -> None:
        super().__init__(name=name, help=help, params=params, callback=_remember, no_args_is_help=True)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command; plurals (``list-repos``) are aliases of the singular."""
        name = words.singular(cmd_name, self.table)
        if name is None:
            return None
        entry = self.table[name]
        process.load_msgspec()
        command = getattr(importlib.import_module(entry.module), entry.function)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Like click's, but says which command was probably meant."""
        name = args[0]
        if not name.startswith("-") and words.singular(name, self.table) is None:
            import difflib

            near = difflib.get_close_matches(name, self.table, n=1, cutoff=0.6)
            hint = f"did you mean {near[0]!r}?" if near else f"`{ctx.info_name} --help` lists the commands"
            raise exits.usage_error(f"no such command {quoted(name)}: {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands by panel, from the table alone: nothing is imported."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for name, entry in self.table.items():
            panels.setdefault(entry.panel, []).append((name, entry.help))
        for panel, rows in panels.items():
            with formatter.section(panel):
                formatter.write_dl(rows)


def _remember(store: str | None) -> None:
    from cli.wiring import choose_store

    choose_store(store)


def program(name: str, table: Mapping[str, Entry], *, help: str) -> CommandTable:
    """Return the top-level command of a program."""
    from pfs import __version__

    def show_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
        if value and not ctx.resilient_parsing:
            click.echo(f"{name} {__version__}")
            ctx.exit()

    options: list[click.Parameter] = [
        click.Option(
            ["--store"],
            metavar="PATH|URL",
            help="The store; before or after the command. Default: PFS_STORE, else the nearest .pfs/ upwards.",
        ),
        click.Option(
            ["--version"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=show_version,
            help="Say which.",
        ),
    ]
    return CommandTable(table, name=name, help=help, params=options)


def run(command: CommandTable, args: Sequence[str] | None = None) -> NoReturn:
    """Run a program and exit with the documented code; every error is one line on stderr."""
    name = command.name or "pfs"
    typed = words.joined(words.hoist_store(sys.argv[1:] if args is None else args), command.table)
    reads = words.is_reading(words.called(typed, command.table))
    invoke(name, lambda: _called(command, typed, name), reads=reads)


def _called(command: CommandTable, typed: list[str], name: str) -> object:
    """Run the command that the words name, and let errors of click be ours."""
    try:
        return command.main(typed, prog_name=name, standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return exits.DONE
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        path = context.command_path if isinstance(context, click.Context) else name
        raise exits.WrongWords(path, error.format_message()) from error
    except click.Abort as error:
        raise KeyboardInterrupt from error
