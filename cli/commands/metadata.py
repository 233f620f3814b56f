"""The command that shows and changes user metadata of repos, branches and commits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli import options, wiring
from cli.exits import usage_error
from cli.output import emit_one
from cli.pairs import pairs
from pfs.shorten import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pfs.changes.metadata import MetadataEdit
    from pfs.repo import Repo


@click.command("edit-metadata")
@options.address_argument(metavar="REPO[@BRANCH|@COMMIT]")
@click.option("--set", "sets", multiple=True, metavar="NAME=VALUE", help="Set a value; repeatable.")
@click.option("--unset", multiple=True, metavar="NAME", help="Take a name away; repeatable.")
@click.option("--clear", is_flag=True, help="Take all away first.")
@options.json_option
def edit_metadata(address: str, sets: tuple[str, ...], unset: tuple[str, ...], clear: bool, as_json: bool) -> None:
    """Change what is said of a repo, a branch or a commit by names and values, and print it; print it without options.

    A branch goes before a commit of the same name. Commits stay as they are: the metadata is kept beside them.
    """
    from pfs.changes.metadata import MetadataEdit

    where = wiring.address(address)
    if where.path is not None:
        raise usage_error(f"a path is not wanted in {quoted(address)}: files get metadata by put-file --metadata")
    edit = MetadataEdit(set=pairs("--set", sets), unset=unset, clear=clear)
    with wiring.open_store(alone="edit-metadata") as store:
        found = _edited(store.repo(where.repo), where.ref, edit)
        if as_json:
            emit_one({"name": str(where), "metadata": dict(found)}, as_json=True)
        for name, value in () if as_json else sorted(found.items()):
            click.echo(f"{name}={value}")


def _edited(repo: Repo, ref: str | None, edit: MetadataEdit) -> Mapping[str, str]:
    if ref is None:
        return repo.edit_metadata(edit)
    if any(branch.name == ref for branch in repo.branches()):
        return repo.edit_metadata(edit, branch=ref)
    return repo.edit_metadata(edit, commit=ref)
