"""Commands that put changes of commits on a branch: merge, revert, cherry-pick, rebase."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import click

from cli import options, wiring
from cli.commands.commit import own_ref
from cli.exits import usage_error
from cli.output import field, print_json, print_table

if TYPE_CHECKING:
    from pfs.changes.landing import How
    from pfs.changes.merge import Side

F = TypeVar("F", bound=Callable[..., object])


def _choices(command: F) -> F:
    """Add the options that say which side wins, and what is printed."""
    options = [
        click.option("--ours", is_flag=True, help="Where both sides changed a path, keep the branch's."),
        click.option("--theirs", is_flag=True, help="Where both sides changed a path, take what is put on the branch."),
        click.option(
            "--resolve", multiple=True, metavar="PATH=ours|theirs", help="The same for one path, or all below."
        ),
        click.option("-m", "--message", help="The message of the commit."),
        click.option("--json", "as_json", is_flag=True, help="Print JSON: the commit, or the conflicts."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _how(ours: bool, theirs: bool, resolve: tuple[str, ...], message: str | None) -> How:
    from pfs.changes.landing import How
    from pfs.changes.merge import parse_resolutions

    if ours and theirs:
        raise usage_error("--ours and --theirs cannot be had both")
    default: Side | None = "ours" if ours else "theirs" if theirs else None
    return How(parse_resolutions(resolve, default=default), message)


@click.command("merge")
@options.address_argument("source", metavar="REPO@SOURCE")
@options.address_argument("target", metavar="REPO@TARGET")
@_choices
def merge(
    source: str, target: str, ours: bool, theirs: bool, resolve: tuple[str, ...], message: str | None, as_json: bool
) -> None:
    """Merge a commit into a branch and print the id of its head; conflicts are listed, change nothing, and exit 4."""
    from pfs.changes import replay

    repo, branch = wiring.branch_address(target)
    how = _how(ours, theirs, resolve, message)
    with wiring.open_store(alone="merge") as store, _reporting(as_json=as_json) as say:
        say(replay.merge(store, store.repo(repo).name, own_ref(repo, source) or "", branch, how=how).id)


@click.command("revert")
@options.address_argument(metavar="REPO@COMMIT")
@click.option("-b", "--branch", help="Where; default: the branch of the address, else the one it was made on.")
@_choices
def revert(
    address: str,
    branch: str | None,
    ours: bool,
    theirs: bool,
    resolve: tuple[str, ...],
    message: str | None,
    as_json: bool,
) -> None:
    """Undo what a commit did, by a new commit on its branch, and print the id of the head; conflicts as with merge."""
    from pfs.changes import replay

    repo, ref = wiring.branch_address(address)
    how = _how(ours, theirs, resolve, message)
    with wiring.open_store(alone="revert") as store, _reporting(as_json=as_json) as say:
        say(replay.revert(store, store.repo(repo).name, ref, branch=branch, how=how).id)


@click.command("cherry-pick")
@options.address_argument("commit", metavar="REPO@COMMIT")
@options.address_argument("target", metavar="REPO@BRANCH")
@_choices
def cherry_pick(
    commit: str, target: str, ours: bool, theirs: bool, resolve: tuple[str, ...], message: str | None, as_json: bool
) -> None:
    """Do on a branch what a commit did elsewhere, and print the id of the head; conflicts as with merge."""
    from pfs.changes import replay

    repo, branch = wiring.branch_address(target)
    how = _how(ours, theirs, resolve, message)
    with wiring.open_store(alone="cherry-pick") as store, _reporting(as_json=as_json) as say:
        say(replay.cherry_pick(store, store.repo(repo).name, own_ref(repo, commit) or "", branch, how=how).id)


@click.command("rebase")
@options.address_argument(metavar="REPO@BRANCH")
@click.argument("onto", metavar="ONTO")
@_choices
def rebase(
    address: str, onto: str, ours: bool, theirs: bool, resolve: tuple[str, ...], message: str | None, as_json: bool
) -> None:
    """Put the commits of a branch on top of another commit, and print the id of the new head; conflicts as with merge.

    Here --ours keeps what ONTO has. The old head comes back with `pfs undelete REPO@BRANCH`.
    """
    from pfs.changes import replay

    repo, branch = wiring.branch_address(address)
    how = _how(ours, theirs, resolve, message)
    with wiring.open_store(alone="rebase") as store, _reporting(as_json=as_json) as say:
        say(replay.rebase(store, store.repo(repo).name, branch, own_ref(repo, onto) or "", how=how).id)


@contextmanager
def _reporting(*, as_json: bool) -> Iterator[Callable[[str], None]]:
    """Print the outcome, or the conflicts before the error goes its way."""
    from pfs.errors import MergeConflictError

    def say(commit: str) -> None:
        if as_json:
            print_json({"id": commit, "conflicts": [], "conflict_count": 0})
        else:
            click.echo(commit)

    try:
        yield say
    except MergeConflictError as error:
        conflicts = [{"path": path, "name": path.rpartition("/")[2], "reason": why} for path, why in error.conflicts]
        if as_json:
            print_json({"id": None, "conflicts": conflicts, "conflict_count": error.count})
        else:
            print_table(conflicts, [("PATH", field("path")), ("CONFLICT", field("reason"))])
        raise
