"""Commands on branches."""

from __future__ import annotations

import click

from cli import wiring
from cli.output import emit, emit_one, field, time_of
from cli.records import branch_record


@click.command("create-branch")
@wiring.address_argument(metavar="REPO@BRANCH")
@click.option("--head", metavar="COMMIT", help="The commit it points to; default: none yet.")
def create_branch(address: str, head: str | None) -> None:
    """Make a branch, or move an existing one with --head."""
    repo, branch = wiring.branch_address(address)
    if head is not None and "@" in head:
        head = wiring.branch_address(head)[1]
    with wiring.open_changes() as changes:
        changes.repo(repo).create_branch(branch, head=head)


@click.command("list-branch")
@wiring.address_argument("repo", metavar="REPO")
@wiring.json_option
def list_branch(repo: str, as_json: bool) -> None:
    """List the branches of a repo."""
    columns = [("NAME", field("name")), ("HEAD", field("head")), ("CREATED", time_of("created"))]
    with wiring.open_store() as store:
        branches = store.repo(wiring.repo_name(repo)).branches()
        emit(map(branch_record, branches), columns, as_json=as_json)


@click.command("inspect-branch")
@wiring.address_argument(metavar="REPO@BRANCH")
@wiring.json_option
def inspect_branch(address: str, as_json: bool) -> None:
    """Show one branch: its head and what it is derived from."""
    repo, branch = wiring.branch_address(address)
    with wiring.open_store() as store:
        emit_one(branch_record(store.repo(repo).branch(branch)), as_json=as_json)


@click.command("delete-branch")
@wiring.address_argument(metavar="REPO@BRANCH")
def delete_branch(address: str) -> None:
    """Take a branch away; its commits stay in trash for 30 days."""
    repo, branch = wiring.branch_address(address)
    with wiring.open_changes() as changes:
        changes.repo(repo).delete_branch(branch)
