"""What `pfs get-file` does, without click: a file, a directory, what a pattern matches, or an archive of any."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cli import stdio, wiring
from cli.exits import usage_error
from cli.progress import Bar
from pfs.errors import InvalidPathError
from pfs.paths import clean_path
from pfs.shorten import shorten

if TYPE_CHECKING:
    from pfs.archives.archive import ArchiveFormat
    from pfs.model import FileInfo
    from pfs.paths import Address
    from pfs.view import View


class _Wish(NamedTuple):
    """What the command line asks for; ``output`` is None for stdout."""

    output: str | None
    recursive: bool
    offset: int
    length: int | None
    jobs: int | None

    @property
    def partial(self) -> bool:
        return self.offset > 0 or self.length is not None


def get_file(
    address: str,
    *,
    output: str | None = None,
    recursive: bool = False,
    archive: ArchiveFormat | None = None,
    offset: int = 0,
    length: int | None = None,
    jobs: int | None = None,
) -> None:
    """Write a file to stdout or to -o; with -r, a whole directory into the folder -o.

    Where nothing is at PATH, it is taken as a glob pattern. That must match one file; with -r or --archive it may match
    several files and directories, which go out by their whole paths.
    """
    where = wiring.address(address, ref=True, path=True)
    wiring.refuse_empty("-o", "a file or folder, or - for stdout", output)
    wish = _Wish(None if output == "-" else output, recursive, offset, length, jobs)
    with wiring.open_store() as store:
        view = wiring.view_of(store, where)
        if archive is not None:
            _get_archive(view, where, archive, wish)
        elif recursive and _is_folder(view, where):
            _get_folder(view, where, wish)
        else:
            _get_one(view, where, wish)


def _path(where: Address) -> str:
    assert where.path is not None
    return where.path


def _is_folder(view: View, where: Address) -> bool:
    """Say whether -r is about a folder: a directory, or whatever a pattern matches."""
    found = view.find(_path(where))
    return found is None or found.type == "directory"


def _get_folder(view: View, where: Address, wish: _Wish) -> None:
    if wish.output is None or wish.partial:
        raise usage_error("-r needs -o FOLDER, and goes without --offset and --length")
    path, target = _path(where), Path(wish.output)
    with Bar("getting") as bar:
        if view.find(path) is None:
            view.restore_glob(path, target, jobs=wish.jobs, progress=bar)
        else:
            view.restore(path, target, jobs=wish.jobs, progress=bar)


def _get_one(view: View, where: Address, wish: _Wish) -> None:
    from pfs.files.restore_file import write_pieces

    info = _the_file(view, where)
    if wish.output is None:
        _to_stdout(view.iter(info.path, offset=wish.offset, length=wish.length))
        return
    target = _target(wish.output, info.path.rpartition("/")[2])
    if wish.partial:
        write_pieces(view.iter(info.path, offset=wish.offset, length=wish.length), target)
        return
    with Bar("getting") as bar:
        bar.total(1, info.size_bytes)
        view.restore(info.path, target, jobs=wish.jobs, progress=bar)


def _the_file(view: View, where: Address) -> FileInfo:
    """Return the one file that is meant."""
    found = list(islice(view.match(_path(where)), 2))
    if len(found) > 1:
        names = " and ".join(info.path for info in found)
        raise usage_error(f"{shorten(str(where))} matches several, as {names}: use -r -o FOLDER, or --archive")
    if found[0].type == "directory":
        raise usage_error(f"{shorten(str(where))} is a directory: use -r -o FOLDER, or --archive")
    if clean_path(found[0].path) != found[0].path:
        raise InvalidPathError(found[0].path, "only S3 can name it, so read it there")
    return found[0]


def _get_archive(view: View, where: Address, format: ArchiveFormat, wish: _Wish) -> None:
    from pfs.files.restore_file import write_pieces

    if wish.partial:
        raise usage_error("--archive goes without --offset and --length")
    if wish.output is None and sys.stdout.isatty():
        raise usage_error("an archive does not go to a terminal: use -o FILE, or a pipe")
    with Bar("getting") as bar:
        pieces = view.archive(_path(where), format, jobs=wish.jobs, progress=bar)
        if wish.output is None:
            _to_stdout(pieces)
            return
        exact = view.find(_path(where))
        name = "" if exact is None else exact.path.rstrip("/").rpartition("/")[2]
        write_pieces(pieces, _target(wish.output, f"{name or where.repo}.{format}"))


def _target(output: str, name: str) -> Path:
    """Return the file that -o means: one of that name inside it when it is a folder."""
    target = Path(output)
    return target / name if target.is_dir() or output.endswith("/") else target


def _to_stdout(pieces: Iterable[bytes | memoryview]) -> None:
    stream = stdio.content()
    for piece in pieces:
        stream.write(piece)
    stream.flush()
