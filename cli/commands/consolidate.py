"""Index segments: `pfs consolidate-index`."""

from __future__ import annotations

import click

from cli import options, wiring
from cli.exits import CONFLICT, ExitCode
from cli.output import counted, print_json
from cli.progress import Bar


@click.command("consolidate-index")
@click.option("--anew", is_flag=True, help="Make all segments again from the packs, instead of adding to them.")
@options.json_option
def consolidate_index(anew: bool, as_json: bool) -> None:
    """Put the tables of contents of packs together, so that another machine needs few requests for them.

    `pfs gc` does it by itself on stores in buckets, once there are 64 new packs. What is made is a cache: it may be
    removed at any time.
    """
    from pfs.upkeep.consolidate import consolidate

    with wiring.open_store() as store, Bar("consolidating") as bar:
        done = consolidate(store, anew=anew, progress=bar)
    if as_json:
        print_json(
            {
                "name": "consolidate-index",
                "segments": done.segments,
                "written": done.written,
                "replaced": done.replaced,
                "covered": done.covered,
                "packs": done.packs,
            }
        )
    elif not done.lost:
        what = f"wrote {done.written}, left {done.replaced}" if done.written or done.replaced else "nothing to do"
        click.echo(f"{what}: {counted(done.segments, 'segment')} for {done.covered} of {counted(done.packs, 'pack')}")
    if done.lost:
        click.echo("another machine did the same at this moment, and was first: nothing was changed", err=True)
        raise ExitCode(CONFLICT)
