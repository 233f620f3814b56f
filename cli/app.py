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

from cli import exits, process, stdio, unlocking
from cli.entry import Entry
from pfs.shorten import quoted

_READ_VERBS = ("list-", "inspect-", "get-", "glob-", "diff-", "find-", "wait-", "subscribe-")
_READ_ONLY = frozenset(
    {
        "",
        "check-status",
        "completion",
        "doctor",
        "draw",
        "export-lineage",
        "fsck",
        "lineage",
        "locate",
        "log",
        "logs",
        "schema",
        "stats",
        "validate",
        "version",
    }
)
"""Commands that change nothing, whatever becomes of their output; none at all is help."""


class Settings:
    """What holds for a whole invocation; kept as click's context object."""

    def __init__(self, *, program: str, store: str | None = None) -> None:
        self.program, self.store = program, store


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
        name = singular(cmd_name, self.table)
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
        if not name.startswith("-") and singular(name, self.table) is None:
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


@click.pass_context
def _remember(ctx: click.Context, store: str | None) -> None:
    ctx.obj = Settings(program=ctx.info_name or "pfs", store=store)


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


def singular(name: str, table: Mapping[str, Entry]) -> str | None:
    """Return the command that ``name`` or its plural spelling means, or None."""
    for candidate in (name, name.removesuffix("s"), name.removesuffix("es")):
        if candidate in table:
            return candidate
    return None


def hoist_store(args: Sequence[str]) -> list[str]:
    """Move ``--store X`` to the front, wherever it stands before a ``--``, so that it may follow the command."""
    front: list[str] = []
    rest: list[str] = []
    words = iter(args)
    for word in words:
        if word == "--":
            rest.append(word)
            rest.extend(words)
        elif word == "--store":
            front.append(word)
            front.extend(value for value in [next(words, None)] if value is not None)
        elif word.startswith("--store="):
            front.append(word)
        else:
            rest.append(word)
    return front + rest


def joined(words: Sequence[str], table: Mapping[str, Entry]) -> list[str]:
    """Return words of which ``list repo`` is made ``list-repo``, as Pachyderm's users type it, where that is a command.

    A first word that is a command by itself stays one.
    """
    for at, word in enumerate(words[:-1]):
        if word.startswith("-") or (at and words[at - 1] == "--store"):
            continue
        both = f"{word}-{words[at + 1]}"
        if singular(word, table) is None and singular(both, table) is not None:
            return [*words[:at], both, *words[at + 2 :]]
        break
    return list(words)


def run(command: CommandTable, args: Sequence[str] | None = None) -> NoReturn:
    """Run a program and exit with the documented code; every error is one line on stderr."""
    stdio.prepare()
    name = command.name or "pfs"
    words = joined(hoist_store(sys.argv[1:] if args is None else args), command.table)
    called = next((word for word in words if singular(word, command.table) is not None), "")
    reads = called.startswith(_READ_VERBS) or called in _READ_ONLY

    def body() -> object:
        with unlocking.variables_taken():
            return command.main(words, prog_name=name, standalone_mode=False)

    sys.exit(exits.guard(name, body, reads=reads))
