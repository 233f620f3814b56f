"""Commands that change files in the store: delete-file, copy-file."""

from __future__ import annotations

import click

from cli import options, transactions, wiring


@click.command("delete-file")
@options.address_argument(metavar="REPO@BRANCH:/PATH")
@click.option("-r", "--recursive", is_flag=True, help="Delete a directory with all below; / deletes everything.")
@click.option("-m", "--message", default="", help="The message of the commit.")
def delete_file(address: str, recursive: bool, message: str) -> None:
    """Delete a file (or with -r a directory) in a new commit and print the commit's id.

    Where nothing is at PATH, it is taken as a glob pattern, and all that it matches is deleted; directories need -r.
    """
    where = wiring.address(address, ref=True, path=True)
    assert where.ref is not None
    assert where.path is not None
    with wiring.open_changes() as changes:
        with changes.repo(where.repo).commit(where.ref, message=message) as writer:
            writer.delete_match(where.path, recursive=recursive)
        click.echo(writer.id)


@click.command("copy-file")
@options.address_argument("source", metavar="REPO@COMMIT:/SRC")
@options.address_argument("target", metavar="REPO@BRANCH:/DST")
@click.option("-a", "--append", is_flag=True, help="Append to a file that exists.")
@click.option("-m", "--message", default="", help="The message of the commit.")
def copy_file(source: str, target: str, append: bool, message: str) -> None:
    """Copy a file or directory between paths, branches and repos; no bytes are moved. Prints the commit's id."""
    origin = wiring.address(source, ref=True, path=True)
    goal = wiring.address(target, ref=True, path=True)
    assert origin.path is not None
    assert goal.ref is not None
    assert goal.path is not None
    path = goal.path + origin.path.rstrip("/").rpartition("/")[2] if goal.path.endswith("/") else goal.path
    with wiring.open_store() as store, transactions.changing(store) as changes:
        view = wiring.view_of(store, origin)
        with changes.repo(goal.repo).commit(goal.ref, message=message) as writer:
            writer.copy(view, origin.path, path, append=append)
        click.echo(writer.id)
