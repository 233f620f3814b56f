"""Commands on repos."""

from __future__ import annotations

import click

from cli import options, wiring
from cli.output import Record, emit, emit_one, field, size_of, time_of
from cli.records import repo_record


@click.command("create-repo")
@options.address_argument("repo", metavar="REPO")
@click.option("-d", "--description", default="", help="What the repo is for.")
def create_repo(repo: str, description: str) -> None:
    """Make an empty repo."""
    with wiring.open_changes() as changes:
        changes.create_repo(wiring.repo_name(repo), description=description)


@click.command("update-repo")
@options.address_argument("repo", metavar="REPO")
@click.option("-d", "--description", required=True, help="What the repo is for.")
def update_repo(repo: str, description: str) -> None:
    """Change the description of a repo."""
    with wiring.open_store(alone="update-repo") as store:
        store.repo(wiring.repo_name(repo)).describe(description)


@click.command("list-repo")
@options.json_option
@options.raw_option
def list_repo(as_json: bool, raw: bool) -> None:
    """List the repos with the size of the head of master."""
    columns = [
        ("NAME", field("name")),
        ("CREATED", time_of("created")),
        ("SIZE (MASTER)", size_of(raw=raw)),
        ("DESCRIPTION", _described),
    ]
    with wiring.open_store() as store:
        emit(map(repo_record, store.list_repos()), columns, as_json=as_json)


def _described(record: Record) -> str:
    """Return the description, and of a repo that cannot be read the reason."""
    return str(record.get("error") or record["description"])


@click.command("inspect-repo")
@options.address_argument("repo", metavar="REPO")
@options.json_option
def inspect_repo(repo: str, as_json: bool) -> None:
    """Show one repo."""
    with wiring.open_store() as store:
        emit_one(repo_record(store.repo(wiring.repo_name(repo)).info()), as_json=as_json)


@click.command("delete-repo")
@options.address_argument("repo", metavar="REPO")
@click.option(
    "-f", "--force", is_flag=True, help="Even when branches of other repos depend on it, or a pipeline writes to it."
)
def delete_repo(repo: str, force: bool) -> None:
    """Take a repo away; its data stays in trash for 30 days."""
    with wiring.open_changes() as changes:
        changes.delete_repo(wiring.repo_name(repo), force=force)
