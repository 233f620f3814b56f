"""Commands that walk history: log and find-commit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

import click

from cli import options, wiring
from cli.graph import Lanes
from cli.output import Record, emit, field, human_time, print_json_array, time_of
from cli.records import commit_record

if TYPE_CHECKING:
    from pfs.model import CommitInfo
    from pfs.refs.read import RefsState

_number = click.option("-n", "--number", type=click.IntRange(min=0), help="At most so many; 0 is all.")


@click.command("log")
@options.address_argument(metavar="REPO[@BRANCH]")
@click.option("--graph", "drawn", is_flag=True, help="Draw the lines from commits to parents.")
@_number
@options.json_option
def log(address: str, drawn: bool, number: int | None, as_json: bool) -> None:
    """Show commits by all their parents, newest first; without a branch, those of all branches and tags."""
    from pfs.history.graph import Graph

    where = wiring.address(address)
    with wiring.open_store() as store:
        state = store.refs.read(store.repo(where.repo).name)
        graph = Graph(store, state)
        starts = graph.starts(where.ref)
        commits = islice(graph.sorted(starts) if drawn else graph.walk(starts), number or None)
        names = _names(state)
        if as_json:
            print_json_array({**commit_record(info), "refs": names.get(info.id, [])} for info in commits)
            return
        for line in _drawn(commits, names) if drawn else (_line(info, names) for info in commits):
            click.echo(line)


def _names(state: RefsState) -> dict[str, list[str]]:
    """Return the branches and tags on each commit, by name; an open commit has its branch."""
    found: dict[str, list[str]] = {}
    shown = {name: entry for name, entry in state.body.branches.items() if not name.startswith(".")}
    for name, entry in sorted({**shown, **state.body.tags}.items()):
        if entry.head is not None:
            found.setdefault(entry.head, []).append(name)
    return found


def _drawn(commits: Iterable[CommitInfo], names: dict[str, list[str]]) -> Iterator[str]:
    lanes = Lanes()
    for info in commits:
        row, links = lanes.draw(info.id, info.parents, mark="o" if info.open else "*")
        yield f"{row} {_line(info, names)}"
        yield from links


def _line(info: CommitInfo, names: dict[str, list[str]]) -> str:
    record = commit_record(info)
    when = f"open on {info.branch}" if info.open else human_time(record["finished"])
    refs = f" ({', '.join(names[info.id])})" if info.id in names else ""
    first, _, _ = info.message.partition("\n")
    return f"{info.id[:12]} {when}{refs}{' ' if first else ''}{first}"


@click.command("find-commit")
@options.address_argument(metavar="REPO@COMMIT:/PATH")
@_number
@options.json_option
def find_commit(address: str, number: int | None, as_json: bool) -> None:
    """List the commits that changed a file or directory, newest first, from a commit back."""
    from pfs.history.touched import touching
    from pfs.paths import to_key

    where = wiring.address(address, ref=True, path=True)
    assert where.ref is not None
    assert where.path is not None
    columns = [
        ("ID", field("id")),
        ("CHANGE", field("change")),
        ("BRANCH", field("branch")),
        ("FINISHED", time_of("finished")),
        ("MESSAGE", field("message", default="")),
    ]
    with wiring.open_store() as store:
        repo = store.repo(where.repo)
        start, key = repo.inspect(where.ref).id, to_key(where.path)
        found = touching(store, store.refs.read(repo.name), start, key)
        records: Iterator[Record] = ({**commit_record(info), "change": change} for info, change in found)
        emit(islice(records, number or None), columns, as_json=as_json)
