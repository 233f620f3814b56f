"""What `pfs put-file` does, without click: whatever comes in from outside."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import chain, groupby
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from cli import wiring
from cli.exits import usage_error
from cli.output import note, print_json
from cli.pairs import pairs
from cli.progress import Bar
from cli.put_sources import Rules, Source, listed, source_of
from cli.reach import origins

if TYPE_CHECKING:
    from pfs.intake import Intake, Intaken
    from pfs.paths import Address
    from pfs.sources.links import Symlinks
    from pfs.sources.remote import RemoteFile
    from pfs.sources.urls import Origins


def put_file(
    address: str,
    *,
    files: tuple[str, ...] = (),
    lists: tuple[str, ...] = (),
    endpoint_url: str | None = None,
    null: bool = False,
    recursive: bool = False,
    untar: bool = False,
    append: bool = False,
    delete_extra: bool = False,
    checksum: bool = False,
    symlinks: Symlinks = "follow",
    index: str | None = None,
    presorted: bool = False,
    external: bool = False,
    mime: str | None = None,
    metadata: tuple[str, ...] = (),
    jobs: int | None = None,
    message: str = "",
    as_json: bool = False,
) -> None:
    """Put files into a branch and print the commit's id.

    Into the open commit of the branch when there is one; else the command makes and finishes a commit of its own,
    all or nothing. A file lands at PATH, under PATH/ when that ends in a slash or several sources are given, and under
    its base name without a path; -r -f FOLDER puts the content of the folder under PATH.

    With --delete-extra what is below PATH is afterwards what the sources hold; where that is so already, no commit is
    made, and the id is that of the last one.

    With --index no bytes are read: FILE has a row for each file, with the id of content that the store has, as
    list-file shows it.
    """
    where = wiring.address(address, ref=True)
    assert where.ref is not None
    for option, named_by in (("-f", files), ("-i", lists), ("--index", (index,))):
        wiring.refuse_empty(option, "what is to be put", *named_by)
    if index is not None:
        if files or lists or recursive or untar or append or checksum or mime or metadata:
            raise usage_error(
                "--index is put by itself: without -f, -i, -r, -a, --untar, --checksum, --mime, --metadata"
            )
        listed_files = _put_index(where, index, message, replace=delete_extra, presorted=presorted, external=external)
        _report(*listed_files, as_json=as_json)
        return
    if presorted or external:
        raise usage_error("--presorted and --external are about the rows of --index")
    several = len(files) > 1 or bool(lists)
    rules = Rules(path=where.path, several=several, recursive=recursive, untar=untar, symlinks=symlinks)
    _check_sources(files, lists, null=null)
    named = [source_of(file, rules) for file in files]
    sources = chain(named, *(listed(one, rules, null=null) for one in lists))
    if delete_extra and not several:
        _check_mirror(named[0], rules)
    from pfs.intake import Intake, PutHow

    with wiring.open_changes() as changes, Bar("putting") as bar:
        how = PutHow(
            append=append,
            mirror=rules.folder if delete_extra else None,
            checksum=checksum,
            symlinks=symlinks,
            mime=mime,
            metadata=pairs("--metadata", metadata),
            jobs=jobs,
            progress=bar,
        )
        writer = changes.repo(where.repo).commit(where.ref, message=message)
        with writer:
            if not lists:
                _measure(named, bar)
            intake = Intake(writer, how, alone=not several and named[0].kind != "urls")  # objects may collide
            _take(intake, sources, cache(lambda: origins(endpoint_url)), untar=untar)
            done = intake.finish()
            commit = writer.finish().id if done.changed else writer.leave()
    _report(commit, done, as_json=as_json)


def _put_index(
    where: Address, index: str, message: str, *, replace: bool, presorted: bool, external: bool
) -> tuple[str, Intaken]:
    from pfs.changes.arrow_put import ArrowPut
    from pfs.files.arrow_source import stream_of
    from pfs.intake import Intaken

    how = ArrowPut(presorted=presorted, replace=replace, external=external)
    with wiring.open_changes() as changes, changes.repo(where.repo).commit(str(where.ref), message=message) as writer:
        source = stream_of(sys.stdin.buffer) if index == "-" else Path(index)
        done = writer.put_arrow(source, where.path or "/", how)
        changed = done.changed or not replace
        commit = writer.finish().id if changed else writer.leave()
    return commit, Intaken(files=done.files, size_bytes=done.size_bytes, deleted=done.deleted, changed=changed)


def _check_sources(files: tuple[str, ...], lists: tuple[str, ...], *, null: bool) -> None:
    if not files and not lists:
        raise usage_error("there is nothing to put: name it with -f, or with -i in a list")
    if [*files, *lists].count("-") > 1:
        raise usage_error("stdin can be read once only: give - once")
    if null and not lists:
        raise usage_error("-0 says how the names in a list end: give the list with -i")


def _measure(named: Sequence[Source], bar: Bar) -> None:
    """Tell the bar how much there is, where that is known: of files, but not of folders or streams."""
    if all(source.kind == "file" for source in named):
        bar.total(len(named), sum(os.stat(source.name, follow_symlinks=False).st_size for source in named))


def _check_mirror(source: Source, rules: Rules) -> None:
    single = source.kind in {"stdin", "file", "url"} and not rules.untar
    if single and rules.path is not None and not rules.path.endswith("/"):
        raise usage_error(
            f"--delete-extra makes a directory like its sources, and {rules.path} would be a file:"
            f" write {rules.path}/ for the directory"
        )


def _take(intake: Intake, sources: Iterable[Source], others: Callable[[], Origins], *, untar: bool) -> None:
    for kind, group in groupby(sources, key=lambda source: source.kind):
        if untar:
            for source in group:
                with source.named():
                    _unpack(intake, source, others)
        elif kind == "file":
            intake.files((source.path, Path(source.name)) for source in group)
        elif kind == "url":
            intake.remote((source.path, _remote(source, others)) for source in group)
        else:
            for source in group:
                with source.named():
                    _take_one(intake, source, others)


def _remote(source: Source, others: Callable[[], Origins]) -> RemoteFile:
    with source.named():
        return source.remote(others().of(source.name).file(source.name))


def _take_one(intake: Intake, source: Source, others: Callable[[], Origins]) -> None:
    if source.kind == "stdin":
        intake.stream(source.path, sys.stdin.buffer)
    elif source.kind == "urls":
        found = others().of(source.name).below(source.name)
        intake.remote((f"{source.path.rstrip('/')}/{file.name}", file) for file in found)
    else:
        intake.tree(source.path, Path(source.name))


def _unpack(intake: Intake, source: Source, others: Callable[[], Origins]) -> None:
    from pfs.sources.local import refuse_device

    if source.kind == "stdin":
        intake.archive(source.path, sys.stdin.buffer, name="stdin")
    elif source.kind == "url":
        file = others().of(source.name).file(source.name)
        with file.open(Event()) as fetched:
            intake.archive(source.path, fetched.stream, name=file.shown)
    else:
        refuse_device(source.name, os.stat(source.name))
        with Path(source.name).open("rb") as stream:
            intake.archive(source.path, stream, name=source.name)


def _report(commit: str, done: Intaken, *, as_json: bool) -> None:
    for line in done.notes:
        note(line)
    if not done.changed:
        note("nothing changed, so no commit was made")
    if as_json:
        print_json(
            {
                "id": commit,
                "changed": done.changed,
                "file_count": done.files,
                "size_bytes": done.size_bytes,
                "deleted_count": done.deleted,
            }
        )
    else:
        print(commit)
