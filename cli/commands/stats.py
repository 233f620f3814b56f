"""What a store takes up: `pfs stats`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli import options, wiring
from cli.output import Column, Json, Record, field, human_size, print_json, print_table, size_of
from cli.progress import Bar

if TYPE_CHECKING:
    from pfs.gc.stats import Stored, StoreUse


@click.command("stats")
@click.option("--exact", is_flag=True, help="Also what is deduplicated and compressed, by a walk over all trees.")
@options.json_option
@options.raw_option
def stats(exact: bool, as_json: bool, raw: bool) -> None:
    """Show what repos take up: their heads, all commits counted whole, and with --exact what of it is stored.

    What repos share counts in each of them, and once in the last line.
    """
    from pfs.gc.stats import stats as measure

    with wiring.open_store() as store, Bar("measuring") as bar:
        use = measure(store, exact=exact, progress=bar)
    if as_json:
        print_json(stats_record(use))
        return
    columns: list[Column] = [
        ("REPO", field("name")),
        ("COMMITS", field("commits")),
        ("HEADS", size_of("head_bytes", raw=raw)),
        ("ALL COMMITS", size_of("logical_bytes", raw=raw)),
    ]
    if exact:
        names = ("deduplicated", "compressed", "metadata")
        columns += [(name.upper(), size_of(f"{name}_bytes", raw=raw)) for name in names]
    print_table([*_repo_records(use), _total(use)], columns)
    packs, other, index = (human_size(n, raw=raw) for n in (use.packs_bytes, use.other_bytes, use.index_bytes))
    click.echo(f"on disk: {packs} in {use.packs} packs, {other} in other objects, {index} in the index")


def stats_record(use: StoreUse) -> Record:
    """Return it all as JSON; what only a walk finds is null without one."""
    repos: list[Json] = list(_repo_records(use))
    return {
        **_total(use),
        "name": "stats",
        "packs": use.packs,
        "packs_bytes": use.packs_bytes,
        "other_bytes": use.other_bytes,
        "index_bytes": use.index_bytes,
        "repos": repos,
    }


def _repo_records(use: StoreUse) -> list[Record]:
    return [
        {
            "name": repo.repo,
            "commits": repo.commits,
            "head_bytes": repo.head_bytes,
            "logical_bytes": repo.logical_bytes,
            **_stored(repo.stored),
        }
        for repo in use.repos
    ]


def _total(use: StoreUse) -> Record:
    return {
        "name": "all together",
        "commits": sum(repo.commits for repo in use.repos),
        "head_bytes": sum(repo.head_bytes for repo in use.repos),
        "logical_bytes": sum(repo.logical_bytes for repo in use.repos),
        **_stored(use.stored),
    }


def _stored(stored: Stored | None) -> Record:
    return {
        "deduplicated_bytes": None if stored is None else stored.unique_bytes,
        "compressed_bytes": None if stored is None else stored.compressed_bytes,
        "metadata_bytes": None if stored is None else stored.meta_bytes,
    }
