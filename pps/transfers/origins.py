"""What is at a place that files come from: names in order, each with what tells its versions apart, and its bytes."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, cast

from pfs.errors import InvalidInputError, NotFoundError
from pfs.glob import Glob
from pfs.shorten import quoted
from pfs.sources.names import media_type, name_of, scheme_of, shown
from pfs.sources.urls import UrlSettings
from pps.spec.delivery import PLAIN, Levers
from pps.spec.places import split
from pps.transfers.access import find_access
from pps.transfers.errors import of_system
from pps.transfers.reading import ObjectReader, Pulled
from pps.transfers.s3 import S3Target
from pps.transfers.wire import Wire

_SPECIAL: Final = frozenset("*?[{")


class Mark(NamedTuple):
    """What tells one version of a file from others; kept with what was made of it. ``modified`` as the place has it."""

    url: str
    etag: str = ""
    version: str = ""
    size: int = -1
    modified: str = ""

    def same(self, other: Mark) -> bool:
        """Say whether both are of one version, as far as a listing tells: of which the version id is no part."""
        return self[:2] == other[:2] and self[3:] == other[3:] and bool(self.etag or self.modified)


class Opened(NamedTuple):
    """A file that is being read; ``stream`` None: it is as the mark says that was given."""

    stream: BinaryIO | None
    mark: Mark
    mime: str | None = None
    metadata: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file: ``name`` below what was listed. ``mark``: None where only asking for it tells.

    ``open`` is given the mark of what there is of it already. ``no_file``: why it cannot be taken; empty for most.
    """

    name: bytes
    mark: Mark | None
    open: Callable[[Mark | None, threading.Event], AbstractContextManager[Opened]]
    no_file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportHow:
    """As whom, and how. ``secret``: keys as of `pps.transfers.access.SETTINGS`; ``urls``: of HTTP, as of a put."""

    levers: Levers = PLAIN
    secret: Mapping[str, str] = field(default_factory=dict, repr=False)
    urls: UrlSettings = field(default_factory=UrlSettings)
    jobs: int = 16


@contextmanager
def origin(uri: str, how: ImportHow, stop: threading.Event) -> Iterator[Iterator[RemoteFile]]:
    """Yield the files at a URI in the byte order of their names.

    A single file is named by its base name; below a URI that ends in a slash, and of a pattern, names are below the
    directory in front.

    Raises:
        InvalidInputError: it is no such URI. NotFoundError: nothing is there; while listing. StorageError,
        PlaceRefusedError: it cannot be listed.
    """
    scheme = scheme_of(uri)
    if scheme in {"http", "https"}:
        yield iter((_web(uri, how),))
    elif scheme == "file":
        yield _some(_folder(uri), uri)
    elif scheme == "s3":
        bucket, key, tail = _cut(uri)
        access = find_access(how.levers, how.secret)
        with_listing = S3Target(bucket, key, access, stop=stop)
        wire = Wire(access, stop=stop)
        try:
            yield _some(_objects(with_listing, wire, (bucket, key), tail), uri)
        finally:
            with_listing.close()
            wire.close()
    else:
        raise InvalidInputError(f"{quoted(uri)} cannot be imported: write s3://bucket/key, https://… or file:///path")


def _some(files: Iterator[RemoteFile], uri: str) -> Iterator[RemoteFile]:
    """Refuse to find nothing: an empty place is more often a slip of the pen than what somebody wants."""
    first = next(files, None)
    if first is None:
        raise NotFoundError(f"nothing is at {shown(uri)}")
    yield first
    yield from files


def _cut(uri: str) -> tuple[str, str, str]:
    """Return bucket, directory without slashes at its ends, and what comes behind: a name, a pattern or nothing."""
    bucket, _, path = uri.partition("://")[2].partition("/")
    split(f"s3://{bucket}/")  # refuses what is no bucket
    directory, tail = _cut_path(path)
    return bucket, directory.strip("/"), tail


def _cut_path(path: str) -> tuple[str, str]:
    special = next((at for at, char in enumerate(path) if char in _SPECIAL), None)
    slash = path.rfind("/", 0, special)
    return path[: slash + 1], path[slash + 1 :]


def _wanted(tail: str) -> Callable[[str], bool]:
    if not tail:
        return lambda name: True
    if not _SPECIAL & set(tail):
        return lambda name: name == tail
    glob = Glob("/" + tail)
    return lambda name: glob.match("/" + name)


def _objects(listing: S3Target, wire: Wire, place: tuple[str, str], tail: str) -> Iterator[RemoteFile]:
    wanted, single = _wanted(tail), bool(tail) and not _SPECIAL & set(tail)
    found = listing.find(tail.encode()) if single else None
    listed = iter([(tail.encode(), found)] if found else []) if single else listing.listed()
    bucket, directory = place
    for name, there in listed:
        text = name.decode()
        if (text.endswith("/") and not there.size) or not text or not wanted(text):
            continue  # what marks a directory is no file
        key = f"{directory}/{text}" if directory else text
        mark = Mark(f"s3://{bucket}/{key}", there.etag, "", there.size)
        yield RemoteFile(name, mark, _object(wire, (bucket, key), mark))


def _object(
    wire: Wire, place: tuple[str, str], mark: Mark
) -> Callable[[Mark | None, threading.Event], AbstractContextManager[Opened]]:
    @contextmanager
    def opened(_: Mark | None, stop: threading.Event) -> Iterator[Opened]:
        reader = ObjectReader(wire, place, mark.size, mark.etag, stop=stop)
        headers = reader.headers
        metadata = {
            name.removeprefix("x-amz-meta-"): value for name, value in headers.items() if name.startswith("x-amz-meta-")
        }
        read = mark._replace(version=headers.get("x-amz-version-id", ""))
        stream = cast("BinaryIO", Pulled(reader.pieces()))  # it reads as one
        yield Opened(stream, read, media_type(headers.get("content-type")), metadata)

    return opened


def _folder(uri: str) -> Iterator[RemoteFile]:
    _, _, path = split(uri)
    directory, tail = _cut_path(path)
    if tail and not _SPECIAL & set(tail) and os.path.isdir(path):
        directory, tail = path + "/", ""
    wanted = _wanted(tail)
    if tail and not _SPECIAL & set(tail):
        names = iter(((os.fsencode(tail), ""),)) if os.path.isfile(path) else iter(())
    else:
        names = _names(os.fsencode(directory), b"")
    for name, no_file in names:
        if wanted(os.fsdecode(name)):
            yield _local(Path(os.fsdecode(os.fsencode(directory) + name)), name, no_file)


def _names(top: bytes, below: bytes) -> Iterator[tuple[bytes, str]]:
    """Yield what is in a folder in byte order of paths, and why it is no file to be taken, empty for one that is.

    Links are followed to files below the folder only: others would bring in what nobody named.
    """
    try:
        with os.scandir(top + below) as found:
            entries = [
                (one.name + b"/", "") if one.is_dir(follow_symlinks=False) else (one.name, _no_file(top, one))
                for one in found
            ]
    except FileNotFoundError:
        return
    except OSError as error:
        raise of_system(f"list {os.fsdecode(top + below)}", error) from error
    for name, no_file in sorted(entries):
        if name.endswith(b"/"):
            yield from _names(top, below + name)
        else:
            yield below + name, no_file


def _no_file(top: bytes, entry: os.DirEntry[bytes]) -> str:
    if not entry.is_file():
        return "it is no file"
    if not entry.is_symlink() or os.path.realpath(entry.path).startswith(os.path.realpath(top).rstrip(b"/") + b"/"):
        return ""
    return "it is a link that leads out of the folder"


def _local(path: Path, name: bytes, no_file: str) -> RemoteFile:
    @contextmanager
    def opened(_: Mark | None, stop: threading.Event) -> Iterator[Opened]:
        try:
            with path.open("rb") as stream:
                status = os.fstat(stream.fileno())
                if not stat.S_ISREG(status.st_mode):
                    raise InvalidInputError(f"{path} is no file")
                yield Opened(stream, _mark_of(path, status))
        except OSError as error:
            raise of_system(f"read {path}", error) from error

    if no_file:
        return RemoteFile(name, None, opened, no_file)
    try:
        return RemoteFile(name, _mark_of(path, path.stat()), opened)
    except OSError as error:
        raise of_system(f"look at {path}", error) from error


def _mark_of(path: Path, status: os.stat_result) -> Mark:
    return Mark(path.as_uri(), "", "", status.st_size, str(status.st_mtime_ns))


def _web(uri: str, how: ImportHow) -> RemoteFile:
    from pfs.sources.remote import Known
    from pfs.sources.web import Web

    web = Web(
        user_agent=how.urls.user_agent,
        proxy_of=how.urls.proxy_of,
        pause=how.urls.pause,
        backoff_s=how.urls.backoff_s,
    )

    @contextmanager
    def opened(known: Mark | None, stop: threading.Event) -> Iterator[Opened]:
        url = shown(uri)
        is_known = known is not None and known.url == url
        given = Known(known.etag, known.modified) if known is not None and is_known else Known()
        with web.file(uri, known=given).open(stop) as fetched:
            said = fetched.known
            mark = Mark(url, said.etag, "", -1, said.modified)
            if said.is_same and known is not None:
                yield Opened(None, known)
            else:
                yield Opened(fetched.stream, mark, fetched.mime)

    return RemoteFile(name_of(uri).encode(errors="surrogateescape"), None, opened)
