"""diff-file: which paths differ between two commits, and with --rows which rows of their tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import click

from cli import options, wiring
from cli.exits import usage_error
from cli.output import Column, Record, emit, field, human_size
from cli.records import change_record

if TYPE_CHECKING:
    from pfs.paths import Address
    from pfs.rows.compare import TableDiff
    from pfs.rows.select import OnError
    from pfs.store import Store
    from pfs.view import View

_MARKS = {"added": "+", "deleted": "-", "modified": "~"}


def _mark(record: Record) -> str:
    return _MARKS[str(record["change"])]


def _columns(*, shallow: bool, raw: bool) -> list[Column]:
    """Return the columns of a listing; with ``shallow`` also how many files a directory has."""

    def size(value: int) -> str:
        return human_size(value, raw=raw)

    files = [("FILES", _before_and_after("file_count", str))] if shallow else []
    sizes = ("SIZE", _before_and_after("size_bytes", size))
    return [("", _mark), ("PATH", field("path")), ("CHANGE", field("change")), *files, sizes]


def _before_and_after(name: str, text: Callable[[int], str]) -> Callable[[Record], str]:
    """Return a cell that shows a number of both sides, once where it is the same."""

    def cell(record: Record) -> str:
        found = [side[name] for side in (record["old"], record["new"]) if isinstance(side, Mapping)]
        return " -> ".join(dict.fromkeys(text(value) for value in found if isinstance(value, int)))

    return cell


@click.command("diff-file")
@options.address_argument("new", metavar="REPO@COMMIT[:/PATH]")
@options.address_argument("old", metavar="[REPO@COMMIT[:/PATH]]", required=False)
@click.option("--name-only", is_flag=True, help="Print the paths only.")
@click.option("--shallow", is_flag=True, help="Only what stands right in the directory; a directory is one line.")
@click.option("--rows", is_flag=True, help="Compare the rows of tables: CSV, JSON Lines, Parquet.")
@click.option("--key", "keys", metavar="COLUMN", multiple=True, help="With --rows: what identifies a row; repeatable.")
@options.json_option
@options.raw_option
def diff_file(
    new: str,
    old: str | None,
    name_only: bool,
    shallow: bool,
    rows: bool,
    keys: tuple[str, ...],
    as_json: bool,
    raw: bool,
) -> None:
    """List the paths that differ between two commits; without OLD, between a commit and its parent.

    OLD may name another path than NEW: then the two files, or the two directories by relative path, are compared.
    A path that OLD names must be there.

    With --rows, list the rows and columns of tables that differ: rows with the same --key, or else at the same
    position. Below a directory, a table that cannot be read is a line of its own, and the exit code is 2 at the end.
    """
    if keys and not rows:
        raise usage_error("--key is for --rows")
    if rows and (name_only or shallow):
        raise usage_error("--rows goes without --name-only and --shallow")
    from cli.row_records import row_columns
    from cli.row_report import RowReport

    where = wiring.address(new, ref=True)
    with wiring.open_store() as store:
        newer = wiring.view_of(store, where)
        before = None if old is None else _old_address(old, where)
        older = None if before is None else _old_view(store, before)
        if rows:
            report = RowReport()
            tables = _tables(newer, older, (where, before), keys=keys, on_error=report.failed)
            emit(report.records(tables), row_columns(), as_json=as_json)
            report.check()
            return
        old_path = None if before is None else before.path
        changes = map(change_record, newer.diff(older, where.path or "/", old_path=old_path, shallow=shallow))
        if name_only and not as_json:
            for record in changes:
                click.echo(str(record["path"]))
            return
        emit(changes, _columns(shallow=shallow, raw=raw), as_json=as_json)


def _old_address(old: str, where: Address) -> Address:
    """Parse OLD, which may leave out the repo."""
    return wiring.address(old if "@" in old else f"{where.repo}@{old}", ref=True)


def _old_view(store: Store, before: Address) -> View:
    """Return the commit to compare with; raises PathNotFoundError for a path that it does not have."""
    view = wiring.view_of(store, before)
    if before.path is not None:
        view.row(before.path)
    return view


def _tables(
    newer: View, older: View | None, places: tuple[Address, Address | None], *, keys: tuple[str, ...], on_error: OnError
) -> Iterator[TableDiff]:
    """Return the comparisons to run: of the tables below a path, or of two files."""
    where, before = places
    path = where.path or "/"
    old_path = path if before is None or before.path is None else before.path
    if old_path.strip("/") == path.strip("/"):
        return newer.diff_tables(older, path, key=keys, on_error=on_error)
    return iter([newer.diff_rows(older, path, old_path=old_path, key=keys)])
