"""Commands that change files: put-file, delete-file, copy-file."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from cli import wiring
from cli.exits import usage_error
from cli.progress import Bar
from pfs.errors import NotFoundError

if TYPE_CHECKING:
    from pfs.changes.writer import CommitWriter


class Source(NamedTuple):
    """One thing to put: a local file, a folder (its content goes below ``path``) or stdin (None)."""

    local: Path | None
    path: str


@click.command("put-file")
@wiring.address_argument(metavar="REPO@BRANCH[:/PATH]")
@click.option("-f", "--file", "files", multiple=True, required=True, help="A file, a folder with -r, or - for stdin.")
@click.option("-r", "--recursive", is_flag=True, help="Put the content of folders, with everything below.")
@click.option("-a", "--append", is_flag=True, help="Append to files that exist instead of replacing them.")
@click.option("--checksum", is_flag=True, help="Read all files, also those that show no change since the last put.")
@wiring.jobs_option
@click.option("-m", "--message", default="", help="The message of the commit.")
def put_file(
    address: str,
    files: tuple[str, ...],
    recursive: bool,
    append: bool,
    checksum: bool,
    jobs: int | None,
    message: str,
) -> None:
    """Put files into a branch and print the commit's id.

    Into the open commit of the branch when there is one; else the command makes and finishes a commit of its own,
    all or nothing. A file lands at PATH, under PATH/ when that ends in a slash or several files are given, and under
    its base name without a path; -r -f FOLDER puts the content of the folder under PATH.
    """
    where = wiring.address(address, ref=True)
    assert where.ref is not None
    sources = list(_sources(files, where.path, recursive=recursive))
    if append and any(source.local is not None and source.local.is_dir() for source in sources):
        raise usage_error("-a appends single files; it does not go with folders")
    with _rare_collections(), wiring.open_store() as store, Bar("putting") as bar:
        writer = store.repo(where.repo).commit(where.ref, message=message)
        with writer:
            _measure(sources, bar)
            for source in sources:
                _put(writer, source, append=append, checksum=checksum, jobs=jobs, bar=bar)
    click.echo(writer.id)


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Look for cyclic garbage rarely: a put makes values by the million and no cycles; looking costs it a fifth."""
    thresholds = gc.get_threshold()
    gc.set_threshold(100_000, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)


def _sources(files: tuple[str, ...], path: str | None, *, recursive: bool) -> Iterator[Source]:
    below = path is None or path.endswith("/") or len(files) > 1
    base = (path or "/").rstrip("/")
    if files.count("-") > 1:
        raise usage_error("stdin can be read once only: give -f - once")
    for file in files:
        if file == "-":
            if sys.stdin is None:
                raise usage_error("stdin is closed: there is nothing to read for -f -")
            if path is None or path.endswith("/"):
                raise usage_error("stdin has no name: give the path, as in repo@branch:/name")
            yield Source(None, path)
            continue
        local = Path(file)
        if not local.exists():
            raise NotFoundError(f"no file {file!r} to put")
        if local.is_dir():
            if not recursive:
                raise usage_error(f"{file!r} is a directory: use -r to put what is in it")
            yield Source(local, base or "/")
        else:
            yield Source(
                local,
                f"{base}/{local.resolve().name if not local.name else local.name}" if below else path or "",
            )


def _measure(sources: list[Source], bar: Bar) -> None:
    """Tell the bar the size of single files at once; folders grow it while they are walked."""
    sizes = [source.local.stat().st_size for source in sources if source.local is not None and source.local.is_file()]
    bar.total(len(sizes), sum(sizes))


def _put(writer: CommitWriter, source: Source, *, append: bool, checksum: bool, jobs: int | None, bar: Bar) -> None:
    if source.local is None:
        writer.put_file(source.path, sys.stdin.buffer, append=append, progress=bar)
    elif source.local.is_dir():
        writer.put_tree(source.path, source.local, checksum=checksum, jobs=jobs, progress=bar)
    else:
        writer.put_file(source.path, source.local, append=append, checksum=checksum, jobs=jobs, progress=bar)


@click.command("delete-file")
@wiring.address_argument(metavar="REPO@BRANCH:/PATH")
@click.option("-r", "--recursive", is_flag=True, help="Delete a directory with all below; / deletes everything.")
@click.option("-m", "--message", default="", help="The message of the commit.")
def delete_file(address: str, recursive: bool, message: str) -> None:
    """Delete a file (or with -r a directory) in a new commit and print the commit's id."""
    where = wiring.address(address, ref=True, path=True)
    assert where.ref is not None
    assert where.path is not None
    with wiring.open_store() as store:
        with store.repo(where.repo).commit(where.ref, message=message) as writer:
            writer.delete_file(where.path, recursive=recursive)
        click.echo(writer.id)


@click.command("copy-file")
@wiring.address_argument("source", metavar="REPO@COMMIT:/SRC")
@wiring.address_argument("target", metavar="REPO@BRANCH:/DST")
@click.option("-a", "--append", is_flag=True, help="Append to a file that exists.")
@click.option("-m", "--message", default="", help="The message of the commit.")
def copy_file(source: str, target: str, append: bool, message: str) -> None:
    """Copy a file or directory between paths, branches and repos; no bytes are moved. Prints the commit's id."""
    origin = wiring.address(source, ref=True, path=True)
    goal = wiring.address(target, ref=True, path=True)
    assert origin.path is not None
    assert goal.ref is not None
    assert goal.path is not None
    path = goal.path + origin.path.rstrip("/").rpartition("/")[2] if goal.path.endswith("/") else goal.path
    with wiring.open_store() as store:
        view = wiring.view_of(store, origin)
        with store.repo(goal.repo).commit(goal.ref, message=message) as writer:
            writer.copy(view, origin.path, path, append=append)
        click.echo(writer.id)
