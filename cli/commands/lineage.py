"""`pps lineage`: where files come from and what they fed."""

from __future__ import annotations

import click

from cli import options, wiring
from cli.exits import usage_error
from cli.output import print_json


@click.command("lineage")
@options.address_argument(metavar="REPO@COMMIT[:/PATH]")
@click.option("--up", is_flag=True, help="What it was made from, to the raw commits: default.")
@click.option("--down", is_flag=True, help="What it went into.")
@click.option("--both", is_flag=True, help="Both, as --up --down.")
@click.option("--depth", type=click.IntRange(min=1), metavar="N", help="Through so many datums or commits at most.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    metavar="N",
    help="At most so many files of a directory, inputs of a datum and so on; how many more there are is said.",
)
@click.option("--dot", is_flag=True, help="Print Graphviz DOT: `pps lineage --dot … | dot -Tsvg`.")
@options.json_option
def lineage(
    address: str, up: bool, down: bool, both: bool, depth: int | None, limit: int, dot: bool, as_json: bool
) -> None:
    """Show which files and datums made a file, back to what users put; or with --down, what was made of it.

    A directory stands for the files below it. Without a path: the commits that a commit was made from.
    """
    from cli.lineage_text import lineage_dot, lineage_record, lineage_tree
    from pps.lineage.lineage import Options
    from pps.lineage.lineage import lineage as lineage_of

    if dot and as_json:
        raise usage_error("--dot and --json exclude each other")
    where = wiring.address(address, ref=True)
    assert where.ref is not None, "an address without a ref is refused"
    options = Options("both" if both or (up and down) else "down" if down else "up", depth, limit)
    with wiring.open_store() as store:
        found = lineage_of(store, where.repo, where.ref, where.path, options=options)
    if as_json:
        print_json(lineage_record(found))
        return
    for line in lineage_dot(found) if dot else lineage_tree(found):
        click.echo(line)
