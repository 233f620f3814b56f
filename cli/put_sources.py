"""What `pfs put-file` is to put: the words of -f and the lines of -i, each with the path where it lands."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from cli.exits import told_with, usage_error
from pfs.errors import NotFoundError, StorageError
from pfs.paths import clean_path
from pfs.shorten import quoted
from pfs.sources.names import name_of, scheme_of

if TYPE_CHECKING:
    from threading import Event

    from pfs.sources.links import Symlinks
    from pfs.sources.remote import Fetched, RemoteFile

SourceKind = Literal["stdin", "file", "folder", "url", "urls"]
_LONGEST_LINE: Final = 1 << 16


class Source(Struct, frozen=True):
    """One thing to put: what it is, its name as the user gave it, and the path of the file or folder it becomes.

    ``urls`` stands for all that is below a URL. A ``file://`` URL is a file or folder, and ``name`` its path.
    ``line`` says where it stands in a list, empty for what -f names.
    """

    kind: SourceKind
    name: str
    path: str
    line: str = ""

    @contextmanager
    def named(self) -> Iterator[None]:
        """Let errors of the body tell the place in the list."""
        with told_with(self.line):
            yield

    def remote(self, file: RemoteFile) -> RemoteFile:
        """Return the file, whose errors tell the place in the list."""

        @contextmanager
        def opened(stop: Event) -> Iterator[Fetched]:
            with self.named(), file.open(stop) as fetched:
                yield fetched

        return replace(file, open=opened) if self.line else file


class Rules(Struct, frozen=True, kw_only=True):
    """How words are read, and where sources land: at ``path`` as typed, or below it.

    Below it when it ends in a slash, is None, or there are ``several``.
    """

    path: str | None
    several: bool
    recursive: bool
    untar: bool
    symlinks: Symlinks

    @property
    def folder(self) -> str:
        """The path as that of a directory."""
        return (self.path or "/").rstrip("/") or "/"

    def landing(self, name: str) -> str:
        """Return the path of a file whose own name is ``name``, or of what it holds; raises InvalidPathError."""
        if self.untar:
            return clean_path(self.folder)
        if self.path is None or self.path.endswith("/") or self.several:
            return clean_path(f"{self.folder}/{name}")
        return clean_path(self.path)


def source_of(word: str, rules: Rules) -> Source:
    """Return what a word of -f or a line of -i means.

    Raises:
        InvalidInputError: it is a folder, and it should not be; stdin cannot be had or has no name; a name that paths
            do not take.
        NotFoundError: there is no such file. StorageError: it cannot be looked at.
    """
    if word == "-":
        return _stdin(rules)
    scheme = scheme_of(word)
    if scheme is not None and scheme != "file":
        if rules.recursive and not rules.untar:
            return Source("urls", word, rules.folder)
        return Source("url", word, rules.folder if rules.untar else rules.landing(name_of(word)))
    word = word if scheme is None else _path_of(word)
    try:
        return _local(word, rules)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise NotFoundError(f"{quoted(word)} is longer than names of files are: there is nothing to put") from error
        raise StorageError(f"read {quoted(word)}", error.strerror or str(error)) from error


def _local(word: str, rules: Rules) -> Source:
    local = Path(word)
    if local.is_dir():
        if rules.untar:
            raise usage_error(f"{quoted(word)} is a directory: --untar takes archives")
        if not rules.recursive:
            raise usage_error(f"{quoted(word)} is a directory: use -r to put what is in it")
        return Source("folder", word, rules.folder)
    if not local.exists() and not (rules.symlinks != "follow" and local.is_symlink()):
        missing = "is a link to a file that does not exist" if local.is_symlink() else "does not exist"
        raise NotFoundError(f"{quoted(word)} {missing}: there is nothing to put")
    return Source("file", word, rules.landing(local.name or local.resolve().name))


def _path_of(url: str) -> str:
    from urllib.parse import unquote

    host, slash, path = url.partition("://")[2].partition("/")
    if host not in {"", "localhost"} or not slash:
        raise usage_error(f"{quoted(url)} is no file of this machine: write file:///path")
    return unquote("/" + path, errors="surrogateescape")


def _stdin(rules: Rules) -> Source:
    if sys.stdin is None:
        raise usage_error("stdin is closed: there is nothing to read for -f -")
    if rules.untar:
        return Source("stdin", "stdin", rules.folder)
    if rules.path is None or rules.path.endswith("/"):
        raise usage_error("stdin has no name: give the path, as in repo@branch:/name")
    return Source("stdin", "-", rules.path)


def listed(list_file: str, rules: Rules, *, null: bool) -> Iterator[Source]:
    """Yield what the lines of a list name; empty lines are passed over.

    Raises:
        InvalidInputError, NotFoundError: as `source_of`, with the place in the list; the list is not there, or no list.
    """
    label = "stdin" if list_file == "-" else list_file
    with _opened(list_file) as stream:
        for number, raw in enumerate(_lines(stream, label, b"\0" if null else b"\n"), start=1):
            word = raw.decode(errors="surrogateescape")
            if not word:
                continue
            where = f"{'name' if null else 'line'} {number} of {label}"
            if word == "-":
                raise usage_error(f"{where}: '-' means stdin only with -f; for a file of that name write ./-")
            with told_with(where):
                source = replace(source_of(word, rules), line=where)
            yield source


@contextmanager
def _opened(list_file: str) -> Iterator[BinaryIO]:
    if list_file == "-":
        if sys.stdin is None:
            raise usage_error("stdin is closed: there is no list to read for -i -")
        yield sys.stdin.buffer
        return
    from pfs.sources.local import refuse_device

    try:
        refuse_device(list_file, os.stat(list_file))
        stream = open(list_file, "rb")  # noqa: SIM115 - closed below; what is read of it has errors of its own
    except FileNotFoundError as error:
        raise NotFoundError(f"no list {quoted(list_file)}") from error
    except IsADirectoryError as error:
        what = f"{quoted(list_file)} is a directory, no list of names"
        raise usage_error(f"{what}: use -r -f to put what is in it") from error
    except OSError as error:
        raise StorageError(f"read the list {quoted(list_file)}", error.strerror or str(error)) from error
    with stream:
        yield stream


def _lines(stream: BinaryIO, label: str, end: bytes) -> Iterator[bytes]:
    """Yield the pieces between ``end``, without it; a carriage return before a line feed goes too."""
    rest = b""
    for piece in _pieces(stream, label):
        *lines, rest = (rest + piece).split(end)
        yield from (line.removesuffix(b"\r") if end == b"\n" else line for line in lines)
        if len(rest) > _LONGEST_LINE:
            raise usage_error(f"{label} is no list of names: a line of it has over {_LONGEST_LINE} bytes")
    if rest:
        yield rest


def _pieces(stream: BinaryIO, label: str) -> Iterable[bytes]:
    try:
        while piece := stream.read(_LONGEST_LINE):
            yield piece
    except OSError as error:
        raise StorageError(f"read {label}", error.strerror or str(error)) from error
