"""Commands that change or show history: squash-commit, drop-commit, undelete, commit sets."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from cli import options, wiring
from cli.exits import usage_error
from cli.output import Record, emit, emit_with_table, field, size_of, time_of
from cli.records import commit_set_record

if TYPE_CHECKING:
    from pfs.model import CommitInfo


@click.command("squash-commit")
@options.address_argument(metavar="REPO@COMMIT|ID")
def squash_commit(address: str) -> None:
    """Take a commit out of the history; its changes count as its children's. An id alone: in all repos.

    Heads, tagged commits and what other repos were made from are refused. Prints REPO@ID of what was squashed.
    """
    from pfs.changes.squash import squash, squash_set

    _each("squash-commit", address, squash, squash_set)


@click.command("drop-commit")
@options.address_argument(metavar="REPO@COMMIT|ID")
def drop_commit(address: str) -> None:
    """Take a commit without children away: its branch moves back to the parent. An id alone: in all repos.

    It stays in trash for 30 days; an open commit is given up for good. Tagged commits and what other repos were made
    from are refused. Prints REPO@ID of what was dropped.
    """
    from pfs.changes.squash import drop, drop_set

    _each("drop-commit", address, drop, drop_set)


def _each(command: str, address: str, one: Callable[..., CommitInfo], whole: Callable[..., list[CommitInfo]]) -> None:
    """Do ``one`` to a commit, or ``whole`` to a commit set, and say to which commits."""
    from pfs.history.commit_set import find_id

    with wiring.open_store(alone=command) as store:
        if "@" in address:
            repo, ref = wiring.branch_address(address)
            found = [one(store, store.repo(repo).name, ref)]
        else:
            found = whole(store, find_id(store, address))
        for info in found:
            click.echo(f"{info.repo}@{info.id}")


@click.command("undelete")
@options.address_argument(metavar="REPO[@BRANCH]")
@click.option(
    "--before",
    type=click.IntRange(min=1),
    metavar="N",
    help="Of a repo: not what was deleted last under that name, but N deletions before that.",
)
def undelete(address: str, before: int | None) -> None:
    """Get back a repo, or the last branch, tag or head that was taken away under a name; a dropped commit by its id."""
    from pfs.changes.trash import undelete_repo

    where = wiring.address(address)
    with wiring.open_store(alone="undelete") as store:
        if where.ref is None:
            undelete_repo(store, wiring.repo_name(address), before=before or 0)
            return
        if before is not None:
            raise usage_error("--before is for repos: `undelete REPO@NAME` again goes on to what was taken away before")
        repo, name = wiring.branch_address(address)
        store.repo(repo).undelete(name)


@click.command("list-commit-set")
@options.json_option
def list_commit_set(as_json: bool) -> None:
    """List the commits of all repos by id, newest first: a commit, and what it caused under the same id."""
    from pfs.history.commit_set import commit_sets
    from pfs.provenance.pull import settle_all

    columns = [
        ("ID", field("id")),
        ("REPOS", _repos),
        ("CREATED", time_of("created")),
        ("FINISHED", time_of("finished")),
    ]
    with wiring.open_store() as store:
        settle_all(store)
        emit(map(commit_set_record, commit_sets(store)), columns, as_json=as_json)


@click.command("inspect-commit-set")
@click.argument("commit", metavar="ID")
@options.json_option
def inspect_commit_set(commit: str, as_json: bool) -> None:
    """Show the commits of all repos with one id."""
    from pfs.history.commit_set import commit_set
    from pfs.provenance.pull import settle_all

    columns = [
        ("REPO", field("repo")),
        ("BRANCH", field("branch")),
        ("COMMIT", field("id")),
        ("STATE", _commit_state),
        ("FILES", field("file_count")),
        ("SIZE", size_of("size_bytes")),
    ]
    with wiring.open_store() as store:
        settle_all(store)
        found = commit_set_record(commit_set(store, commit))
        shown = found if as_json else {**found, "repos": _repos(found)}
        emit_with_table(shown, "commits", columns, as_json=as_json)


def _commit_state(record: Record) -> str:
    if record["error"] is not None:
        return "failed"
    return "open" if record["finished"] is None else "finished"


def _repos(record: Record) -> str:
    repos = record["repos"]
    return ",".join(map(str, repos)) if isinstance(repos, list) else ""
