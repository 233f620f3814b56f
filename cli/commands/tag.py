"""Commands on tags."""

from __future__ import annotations

import click

from cli import options, wiring
from cli.commands.commit import own_ref
from cli.output import emit, field, time_of
from cli.records import tag_record


@click.command("create-tag")
@options.address_argument(metavar="REPO@TAG")
@click.argument("commit", metavar="COMMIT")
def create_tag(address: str, commit: str) -> None:
    """Name a finished commit; a tag never moves, and cannot have the name of a branch."""
    repo, tag = wiring.branch_address(address)
    with wiring.open_changes() as changes:
        changes.repo(repo).create_tag(tag, own_ref(repo, commit) or "")


@click.command("list-tag")
@options.address_argument("repo", metavar="REPO")
@options.json_option
def list_tag(repo: str, as_json: bool) -> None:
    """List the tags of a repo."""
    columns = [("NAME", field("name")), ("COMMIT", field("commit")), ("CREATED", time_of("created"))]
    with wiring.open_store() as store:
        emit(map(tag_record, store.repo(wiring.repo_name(repo)).tags()), columns, as_json=as_json)


@click.command("delete-tag")
@options.address_argument(metavar="REPO@TAG")
def delete_tag(address: str) -> None:
    """Take a tag away; it stays in trash for 30 days."""
    repo, tag = wiring.branch_address(address)
    with wiring.open_changes() as changes:
        changes.repo(repo).delete_tag(tag)
