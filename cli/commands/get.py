"""Commands that read: get-file, list-file, glob-file, inspect-file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli import wiring
from cli.exits import usage_error
from cli.output import Column, emit, emit_one, field, size_of
from cli.progress import Bar
from cli.records import file_record

if TYPE_CHECKING:
    from pfs.view import View

_PIECE = 4 << 20


@click.command("get-file")
@wiring.address_argument(metavar="REPO@COMMIT:/PATH")
@click.option("-o", "--output", help="Write to this file or folder instead of stdout.")
@click.option("-r", "--recursive", is_flag=True, help="Put the content of a directory into the folder of -o.")
@click.option("--offset", type=click.IntRange(min=0), default=0, help="Start at this byte.")
@click.option("--length", type=click.IntRange(min=0), help="So many bytes at most.")
@wiring.jobs_option
def get_file(
    address: str, output: str | None, recursive: bool, offset: int, length: int | None, jobs: int | None
) -> None:
    """Write a file to stdout or to -o; with -r, a whole directory into the folder -o."""
    from pfs.files.restore_file import write_pieces

    where = wiring.address(address, ref=True, path=True)
    assert where.path is not None
    with wiring.open_store() as store:
        view = wiring.view_of(store, where)
        info = view.stat(where.path)
        partial = offset > 0 or length is not None
        if info.type == "directory":
            if not recursive:
                raise usage_error(f"{where} is a directory: use -r -o FOLDER")
            if output is None or output == "-" or partial:
                raise usage_error("a directory needs -o FOLDER, and goes without --offset and --length")
            with Bar("getting") as bar:
                bar.total(info.file_count, info.size_bytes)
                view.restore(where.path, Path(output), jobs=jobs, progress=bar)
        elif output is None or output == "-":
            _to_stdout(view, where.path, offset=offset, length=length)
        elif partial:
            write_pieces(view.iter(where.path, offset=offset, length=length), _target(output, info.path))
        else:
            with Bar("getting") as bar:
                bar.total(1, info.size_bytes)
                view.restore(where.path, _target(output, info.path), jobs=jobs, progress=bar)


def _target(output: str, path: str) -> Path:
    """Return the file that -o means: inside it when it is a folder."""
    target = Path(output)
    return target / path.rpartition("/")[2] if target.is_dir() or output.endswith("/") else target


def _to_stdout(view: View, path: str, *, offset: int, length: int | None) -> None:
    for piece in view.iter(path, offset=offset, length=length):
        sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()


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
