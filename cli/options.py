"""Options and arguments that many commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, TypeVar

import click

from cli import unlocking

F = TypeVar("F", bound=Callable[..., object])
Body: TypeAlias = Callable[..., object]


def command(name: str, body: Callable[..., object], *params: Callable[[Body], Body]) -> click.Command:
    """Return the command of a body that knows nothing of click, with options in the order of its help."""
    for param in reversed(params):
        body = param(body)
    return click.command(name)(body)


def complete_address(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete ``repo`` and ``repo@branch`` from the store; silent where there is none."""
    from pfs.errors import PfsError
    from pfs.opening import open as open_at

    try:
        with open_at(ctx.find_root().params.get("store"), unlock=unlocking.unlock_unasked) as store:
            repos = [info.name for info in store.list_repos()]
            name, at, _ = incomplete.partition("@")
            if not at:
                return [repo for repo in repos if repo.startswith(incomplete)]
            return [f"{name}@{branch.name}" for branch in store.repo(name).branches()]
    except (PfsError, OSError):
        return []


def address_argument(name: str = "address", *, metavar: str, required: bool = True) -> Callable[[F], F]:
    """Return an argument that completes repos and branches."""
    return click.argument(name, metavar=metavar, required=required, shell_complete=complete_address)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
raw_option = click.option("--raw", is_flag=True, help="Print sizes as plain byte counts.")
gpus_option = click.option(
    "--gpus", metavar="IDS", default="", help="GPUs to hand out to commands, such as 0,1: as CUDA_VISIBLE_DEVICES."
)
jobs_option = click.option("-j", "--jobs", type=click.IntRange(1, 256), help="Threads. Default: one a core.")
