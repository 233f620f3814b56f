"""The folder as such: what stands at each path, without a word of FUSE.

``/`` holds repos, ``/repo`` its branches and tags (any other ref works too, it is only not listed), and below a ref lie
the files of its commit. A branch moves as commits come; what is open stays what it was.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from pfs.errors import InvalidInputError, NotFoundError
from pfs.ids import ChunkId
from pfs.mount.attributes import Attributes, attributes_of, folder, visible
from pfs.mount.heads import Heads, Shown
from pfs.mount.open_file import OpenFile, Reading
from pfs.paths import Address
from pfs.repo import Repo
from pfs.store import Store
from pfs.trees.page import Kind
from pfs.trees.row import Row
from pfs.view import file_info


class _Place(NamedTuple):
    """A path, split; ``key`` is that below the ref, None above it."""

    repo: str | None
    ref: str | None
    key: bytes | None


class MountTree:
    """A read-only tree of files over a store; thread-safe.

    Every method takes a path with its leading slash, bytes that are no UTF-8 as surrogates. They raise OSError
    (ENOENT, ENOTDIR, EISDIR, EINVAL, ENODATA) for what the path is not, and errors of the library for the rest.
    """

    def __init__(
        self, store: Store, only: Sequence[Address] = (), *, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        """Show the whole store, or ``only`` these repos and refs.

        Raises:
            NotFoundError, InvalidInputError: one of them does not exist.
        """
        self._store = store
        self._heads = Heads(store, clock_s=clock_s)
        self._reading = Reading(store.objects)
        self._only = {(one.repo, one.ref) for one in only}
        for repo, ref in self._only:
            store.repo(repo)
            if ref is not None:
                self._heads.find(repo, ref)

    def attributes(self, path: str) -> Attributes:
        """Return the attributes of a file, directory or link."""
        place = _split(path)
        if place.repo is None:
            return folder(0)
        if place.ref is None:
            with _missing(path):
                return folder(self._repo(place.repo).info().created_ns)
        shown = self._shown(path, place)
        if not place.key:
            return folder(shown.at_ns)
        return attributes_of(self._row(path, shown, place.key), otherwise_ns=shown.at_ns)

    def children(self, path: str) -> Iterator[tuple[str, int]]:
        """Yield name and mode of what a directory holds, in byte order; the directory is looked up at once."""
        place = _split(path)
        if place.repo is None:
            return ((name, folder(0).mode) for name in self._repos())
        if place.ref is None:
            with _missing(path):
                return ((name, folder(0).mode) for name in self._refs(place.repo))
        shown, key = self._shown(path, place), place.key or b""
        if key and not self._row(path, shown, key).is_dir:
            raise NotADirectoryError(errno.ENOTDIR, path)
        return (
            (os.fsdecode(name), attributes_of(row, otherwise_ns=0).mode)
            for name, row in visible(shown.tree.list(key), key)
        )

    def link(self, path: str) -> str:
        """Return the target of a symbolic link."""
        _, row = self._file(path)
        if row.kind is not Kind.SYMLINK:
            raise OSError(errno.EINVAL, f"{path} is no symbolic link")
        return os.fsdecode(self._store.objects.chunk(ChunkId(row.tid), row.size))

    def open(self, path: str) -> OpenFile:
        """Open a file of the commit that its path shows now."""
        shown, row = self._file(path)
        if row.kind not in {Kind.FILE, Kind.CHUNKED, Kind.SYMLINK}:
            raise OSError(errno.ENODATA, f"the bytes of {path} are not in the store")
        attributes = attributes_of(row, otherwise_ns=shown.at_ns)
        return OpenFile(self._reading, row, attributes, fixed=shown.fixed)

    def facts(self, path: str) -> Mapping[str, str]:
        """Return what else is known of a ref or what lies below it, by name.

        ``commit`` is the one that is shown, ``changed`` that of the last change; ``hash``, ``size_bytes``,
        ``file_count`` and ``mime`` as in `FileInfo`.
        """
        place = _split(path)
        if place.ref is None:
            return {}
        shown = self._shown(path, place)
        info = file_info(self._row(path, shown, place.key or b""))
        facts = {
            "commit": shown.commit,
            "changed": info.commit,
            "hash": info.hash,
            "size_bytes": str(info.size_bytes),
            "file_count": str(info.file_count),
            "mime": info.mime,
        }
        return {name: value for name, value in facts.items() if value is not None}

    def disk(self) -> os.statvfs_result:
        """Return how large and full the disk of the store is."""
        return os.statvfs(self._store.path)

    def _repos(self) -> list[str]:
        if self._only:
            return sorted({repo for repo, _ in self._only})
        return [info.name for info in self._store.list_repos()]

    def _refs(self, name: str) -> list[str]:
        repo = self._repo(name)
        if self._only and (name, None) not in self._only:
            return sorted(ref for one, ref in self._only if one == name and ref is not None)
        return sorted([branch.name for branch in repo.branches()] + [tag.name for tag in repo.tags()])

    def _repo(self, name: str) -> Repo:
        if self._only and all(repo != name for repo, _ in self._only):
            raise NotFoundError(f"repo {name!r} is not mounted")
        return self._store.repo(name)

    def _shown(self, path: str, place: _Place) -> Shown:
        repo, ref = place.repo or "", place.ref or ""
        if self._only and not {(repo, None), (repo, ref)} & self._only:
            raise FileNotFoundError(errno.ENOENT, path)
        with _missing(path):
            return self._heads.find(repo, ref)

    def _row(self, path: str, shown: Shown, key: bytes) -> Row:
        row = shown.tree.stat(key)
        if row is None:
            raise FileNotFoundError(errno.ENOENT, path)
        return row

    def _file(self, path: str) -> tuple[Shown, Row]:
        place = _split(path)
        if not place.key:
            raise IsADirectoryError(errno.EISDIR, path)
        shown = self._shown(path, place)
        row = self._row(path, shown, place.key)
        if row.is_dir:
            raise IsADirectoryError(errno.EISDIR, path)
        return shown, row


def _split(path: str) -> _Place:
    repo, _, rest = path.lstrip("/").partition("/")
    ref, _, below = rest.partition("/")
    return _Place(repo or None, ref or None, below.encode(errors="surrogateescape") if ref else None)


@contextmanager
def _missing(path: str) -> Iterator[None]:
    """Take a repo or ref that does not exist, or cannot be named so, for a file that does not."""
    try:
        yield
    except (NotFoundError, InvalidInputError) as error:
        raise FileNotFoundError(errno.ENOENT, path) from error
