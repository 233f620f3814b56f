"""Commands that wait for commits: wait-commit and subscribe-commit."""

from __future__ import annotations

import json
import sys
from itertools import islice
from typing import TYPE_CHECKING

import click

from cli import options, stdio, wiring
from cli.records import commit_record

if TYPE_CHECKING:
    from pfs.model import CommitInfo


@click.command("wait-commit")
@options.address_argument(metavar="REPO@COMMIT|ID")
def wait_commit(address: str) -> None:
    """Wait until a commit is finished, and print REPO@ID; a branch means its open commit. An id alone: in all repos.

    Exit 1 if it was finished with an error, 3 if it was given up.
    """
    from pfs.changes.waiting import wait_commit as wait
    from pfs.changes.waiting import wait_set
    from pfs.errors import FailedError
    from pfs.history.commit_set import find_id

    with wiring.open_store() as store:
        if "@" in address:
            repo, ref = wiring.branch_address(address)
            found: tuple[CommitInfo, ...] = (wait(store, store.repo(repo).name, ref),)
        else:
            found = wait_set(store, find_id(store, address)).commits
    for info in found:
        click.echo(f"{info.repo}@{info.id}")
    failed = next((info for info in found if info.error is not None), None)
    if failed is not None:
        raise FailedError(f"commit {failed.repo}@{failed.id} ended with an error: {failed.error}")


@click.command("subscribe-commit")
@options.address_argument(metavar="REPO@BRANCH")
@click.option("--new", is_flag=True, help="Leave out the commits that are there already.")
@click.option("-n", "--number", type=click.IntRange(min=1), help="End after so many.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line instead of ids.")
def subscribe_commit(address: str, new: bool, number: int | None, as_json: bool) -> None:
    """Print the finished commits of a branch, oldest first, and then each new one, until nobody reads them any more."""
    from pfs.changes.waiting import subscribe

    repo, branch = wiring.branch_address(address)
    with stdio.watched(), wiring.open_store() as store:
        for info in islice(subscribe(store, store.repo(repo).name, branch, new=new), number):
            text = json.dumps(commit_record(info), ensure_ascii=False) if as_json else info.id
            sys.stdout.write(text + "\n")
            sys.stdout.flush()
