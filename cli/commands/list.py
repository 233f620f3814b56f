"""Commands that look at files: list-file, glob-file, inspect-file."""

from __future__ import annotations

from itertools import islice

import click

from cli import options, wiring
from cli.exits import usage_error
from cli.output import Column, emit, emit_one, field, size_of
from cli.records import file_record


def _file_columns(*, raw: bool) -> list[Column]:
    return [("PATH", field("path")), ("TYPE", field("type")), ("SIZE", size_of(raw=raw))]


@click.command("list-file")
@options.address_argument(metavar="REPO@COMMIT[:/DIR]")
@click.option("-r", "--recursive", is_flag=True, help="Everything below, files and directories.")
@click.option("-n", "--number", type=click.IntRange(min=1), help="So many lines at most.")
@click.option("--from", "after", metavar="PATH", help="Go on behind this path of an earlier listing.")
@click.option("--reverse", is_flag=True, help="The last first; --from then means what comes before it.")
@options.json_option
@options.raw_option
def list_file(
    address: str, recursive: bool, number: int | None, after: str | None, reverse: bool, as_json: bool, raw: bool
) -> None:
    """List a directory in byte order of names; a file lists itself.

    Where nothing is at DIR, it is taken as a glob pattern, and what it matches is listed.
    """
    where = wiring.address(address, ref=True)
    if recursive and reverse:
        raise usage_error("--reverse lists one directory: it goes without -r")
    with wiring.open_store() as store:
        view, path = wiring.view_of(store, where), where.path or "/"
        if view.find(path) is not None:
            found = view.list(path, recursive=recursive, after=after, reverse=reverse)
        else:
            view.match(path)
            if after is not None or reverse:
                raise usage_error(f"--from and --reverse list a directory, and none is at {where}")
            found = view.glob(path, recursive=recursive)
        emit(map(file_record, islice(found, number)), _file_columns(raw=raw), as_json=as_json)


@click.command("glob-file")
@options.address_argument(metavar="'REPO@COMMIT:/PATTERN'")
@options.json_option
@options.raw_option
def glob_file(address: str, as_json: bool, raw: bool) -> None:
    """List files and directories whose whole path matches a glob pattern."""
    where = wiring.address(address, ref=True, path=True)
    assert where.path is not None
    with wiring.open_store() as store:
        found = wiring.view_of(store, where).glob(where.path)
        emit(map(file_record, found), _file_columns(raw=raw), as_json=as_json)


@click.command("inspect-file")
@options.address_argument(metavar="REPO@COMMIT:/PATH")
@options.json_option
def inspect_file(address: str, as_json: bool) -> None:
    """Show one file or directory: size, hash, in which commit it last changed."""
    where = wiring.address(address, ref=True, path=True)
    assert where.path is not None
    with wiring.open_store() as store:
        emit_one(file_record(wiring.view_of(store, where).stat(where.path)), as_json=as_json)
