"""Commands on the defaults of pipelines."""

from __future__ import annotations

from typing import Literal

import click

from cli import wiring
from cli.exits import usage_error
from cli.output import print_json
from cli.spec_files import Given
from pfs.shorten import quoted

_project = click.option("--project", metavar="default", help="Those of the project; there is only one, 'default'.")


def _level(project: str | None) -> Literal["store", "project"]:
    if project not in {None, "default"}:
        raise usage_error(f"there is no project {quoted(project or '')}: 'default' is the only one")
    return "store" if project is None else "project"


@click.command("set-defaults")
@_project
@click.option("-f", "--file", "source", required=True, metavar="FILE|URL|-", help="Fields of a spec: JSON or YAML.")
@click.option("--regenerate", is_flag=True, help="Make new versions of the pipelines whose spec is another by it.")
@click.option("--reprocess", is_flag=True, help="In these versions every datum runs again; implies --regenerate.")
@click.option("--dry-run", is_flag=True, help="Change nothing, but print what would change.")
def set_defaults(project: str | None, source: str, regenerate: bool, reprocess: bool, dry_run: bool) -> None:
    """Replace what specs of pipelines are laid over; prints the pipelines whose spec is another by it."""
    from pps.pipelines.defaults import parse_defaults
    from pps.pipelines.pipelines import Pipelines

    level, found = _level(project), Given(source, None, ()).read()
    text = parse_defaults(found.text, name=found.name)
    with wiring.open_store(alone=None if dry_run else "set-defaults") as store:
        for name in Pipelines(store).set_defaults(
            level, text, regenerate=regenerate or reprocess, reprocess=reprocess, dry_run=dry_run
        ):
            click.echo(name)


@click.command("get-defaults")
@_project
@click.option("--effective", is_flag=True, help="Those of all levels together, with the built-in ones.")
def get_defaults(project: str | None, effective: bool) -> None:
    """Print the defaults of the store, or of the project, as set-defaults takes them."""
    from pps.pipelines.pipelines import Pipelines

    level = _level(project)
    with wiring.open_store() as store:
        print_json(Pipelines(store).defaults(None if effective else level))
