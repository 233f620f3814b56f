"""Commands that look at files: list-file, glob-file, inspect-file."""

from __future__ import annotations

import click

from cli import wiring
from cli.output import Column, emit, emit_one, field, size_of
from cli.records import file_record


def _file_columns(*, raw: bool) -> list[Column]:
    return [("PATH", field("path")), ("TYPE", field("type")), ("SIZE", size_of(raw=raw))]


@click.command("list-file")
@wiring.address_argument(metavar="REPO@COMMIT[:/DIR]")
@click.option("-r", "--recursive", is_flag=True, help="Everything below, files and directories.")
@wiring.json_option
@wiring.raw_option
def list_file(address: str, recursive: bool, as_json: bool, raw: bool) -> None:
    """List a directory in byte order of names; a file lists itself."""
    where = wiring.address(address, ref=True)
    with wiring.open_store() as store:
        found = wiring.view_of(store, where).list(where.path or "/", recursive=recursive)
        emit(map(file_record, found), _file_columns(raw=raw), as_json=as_json)


@click.command("glob-file")
@wiring.address_argument(metavar="'REPO@COMMIT:/PATTERN'")
@wiring.json_option
@wiring.raw_option
def glob_file(address: str, as_json: bool, raw: bool) -> None:
    """List files and directories whose whole path matches a glob pattern."""
    where = wiring.address(address, ref=True, path=True)
    assert where.path is not None
    with wiring.open_store() as store:
        found = wiring.view_of(store, where).glob(where.path)
        emit(map(file_record, found), _file_columns(raw=raw), as_json=as_json)


@click.command("inspect-file")
@wiring.address_argument(metavar="REPO@COMMIT:/PATH")
@wiring.json_option
def inspect_file(address: str, as_json: bool) -> None:
    """Show one file or directory: size, hash, in which commit it last changed."""
    where = wiring.address(address, ref=True, path=True)
    assert where.path is not None
    with wiring.open_store() as store:
        emit_one(file_record(wiring.view_of(store, where).stat(where.path)), as_json=as_json)
