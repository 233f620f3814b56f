"""The half of the fsspec file system that reads, and how one is made."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast

from fsspec.config import apply_config
from fsspec.spec import AbstractFileSystem

from pfs.errors import AlreadyExistsError, CommitNotFoundError
from pfs.files.ranges import Range, read_ranges
from pfs.files.reader import iter_range
from pfs.fs.address import PROTOCOL, Place, parse, strip
from pfs.fs.draft import Draft, PfsTransaction
from pfs.fs.errors import lookup_errors, os_errors
from pfs.fs.file import ReadFile
from pfs.fs.files import Files, Info
from pfs.fs.store import shared_store
from pfs.store import Store, locate
from pfs.trees.row import EMPTY_ROOT, Row
from pfs.trees.tree import Tree

_ROOT: Final[Info] = {"name": "", "size": 0, "type": "directory"}


class _Placed(type(AbstractFileSystem)):  # type: ignore[misc]  # fsspec has no types
    """Puts the store's place among the options, by which fsspec tells cached and pickled file systems apart."""

    def __call__(cls, *args: object, **options: Any) -> Any:
        options = apply_config(cls, options)
        given = options.get("store")
        with os_errors():
            options["store"] = str(locate(None if given is None else Path(given)))
        return super().__call__(*args, **options)


class ReadingFileSystem(AbstractFileSystem, metaclass=_Placed):  # type: ignore[misc]  # fsspec has no types
    """What looks and reads; see `PfsFileSystem`."""

    protocol = PROTOCOL
    transaction_type = PfsTransaction
    _strip_tokenize_options = ("asynchronous", "loop", "batch_size")

    def __init__(self, *, store: str, message: str = "", **options: object) -> None:
        """Open the store at ``store``; ``message`` is that of the commits made."""
        super().__init__(**options)
        self.message = message
        self._of_thread = threading.local()
        self._place = Path(store)
        self._begin()

    def _begin(self) -> None:
        """Open what a forked child needs of its own."""
        with os_errors():
            self._store = shared_store(self._place)
        self._threads = ThreadPoolExecutor(os.cpu_count() or 1, "pfs-write")
        self._process = os.getpid()

    @property
    def store(self) -> Store:
        """The open store, of this process."""
        if self._process != os.getpid():
            self._begin()
        return self._store

    @property
    def _pool(self) -> ThreadPoolExecutor:
        """Threads that hash and compress what is written; they begin with the first large file."""
        if self._process != os.getpid():
            self._begin()
        return self._threads

    @property
    def fsid(self) -> str:
        """The store's identity, wherever it is."""
        return f"pfs_{self.store.config.store_uuid}"

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        return [cls._strip_protocol(one) for one in path] if isinstance(path, list) else strip(os.fspath(path))

    # looking

    def ls(self, path: str, detail: bool = True, **options: object) -> list[Info] | list[str]:
        """Return the infos (or names) of a directory's children, or of a file itself, by name.

        The root's children are all ``repo@branch``.
        """
        name = self._strip_protocol(path)
        infos = self._tops() if not name else self._children(name)
        return infos if detail else [str(info["name"]) for info in infos]

    def _tops(self) -> list[Info]:
        with lookup_errors():
            names = [f"{repo.name}@{branch}" for repo in self.store.list_repos() for branch in repo.branches]
        return [{"name": name, "size": 0, "type": "directory"} for name in sorted(names)]

    def _children(self, name: str) -> list[Info]:
        with lookup_errors():
            files, row = self._row(name)
            rows = files.list(row) if row.is_dir else iter([row])
            return sorted(map(files.info, rows), key=_name)

    def info(self, path: str, **options: object) -> Info:
        """Return ``name``, ``size``, ``type`` and more of a file or directory (`Files.info`); O(depth)."""
        name = self._strip_protocol(path)
        if not name:
            return dict(_ROOT)
        with lookup_errors():
            files, row = self._row(name)
            return files.info(row)

    def exists(self, path: str, **options: object) -> bool:
        """Say whether a file or directory is there; a store that cannot be read is an error, not a no."""
        try:
            self.info(path)
        except FileNotFoundError:
            return False
        return True

    def find(
        self, path: str, maxdepth: int | None = None, withdirs: bool = False, detail: bool = False, **options: object
    ) -> list[str] | dict[str, Info]:
        """Return all files below a directory, or the file itself, by name; nothing where nothing is. One walk."""
        name = self._strip_protocol(path)
        if maxdepth is not None and maxdepth < 1:
            raise ValueError("maxdepth must be at least 1")
        if not name:
            found: list[str] | dict[str, Info] = super().find(name, maxdepth, withdirs, detail, **options)
            return found
        try:
            infos = sorted(self._below(name, max_depth=maxdepth, with_dirs=withdirs), key=_name)
        except FileNotFoundError:
            infos = []
        return {str(info["name"]): info for info in infos} if detail else [str(info["name"]) for info in infos]

    def _below(self, name: str, *, max_depth: int | None, with_dirs: bool) -> list[Info]:
        with lookup_errors():
            files, row = self._row(name)
            if not row.is_dir:
                return [files.info(row)]
            found = list(map(files.info, files.list(row, max_depth=max_depth, with_dirs=with_dirs)))
            return [files.info(row), *found] if with_dirs else found

    def du(
        self, path: str, total: bool = True, maxdepth: int | None = None, withdirs: bool = False, **options: object
    ) -> int | dict[str, int]:
        """Return the bytes of all files below, or of each; the total of a whole directory costs O(depth)."""
        info = self.info(path)
        if total and maxdepth is None and "total_bytes" in info:
            return cast("int", info["total_bytes"])
        found = cast("dict[str, Info]", self.find(path, maxdepth=maxdepth, withdirs=withdirs, detail=True))
        sizes = {name: cast("int", one["size"]) for name, one in found.items()}
        return sum(sizes.values()) if total else sizes

    def ukey(self, path: str) -> str:
        """Return the hash of the content, of a directory of all below."""
        return str(self.info(path)["hash"])

    def checksum(self, path: str) -> int:
        """Return the hash of the content as a number."""
        return int(self.ukey(path), 16)

    def modified(self, path: str) -> datetime:
        """Return when the file, or one below, last changed."""
        return datetime.fromtimestamp(cast("float", self.info(path)["mtime"]), UTC)

    def created(self, path: str) -> datetime:
        """Return when this version of the file came into being: versions do not change, so as `modified`."""
        return self.modified(path)

    def mkdir(self, path: str, create_parents: bool = True, **options: object) -> None:
        """Do nothing, since directories are there with their files; but not below a repo that does not exist."""
        self.makedirs(path, exist_ok=True)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """As `mkdir`.

        Raises:
            FileExistsError: it is a file, or it is there and ``exist_ok`` is not set.
        """
        name = self._strip_protocol(path)
        with os_errors():
            if name:
                self.store.repo(parse(name).repo)
            if self.isfile(name) or (not exist_ok and self.exists(name)):
                raise AlreadyExistsError("file or directory", name)

    # reading

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: object) -> bytes:
        """Return the bytes of a file from ``start`` to ``end``; negative ones count from the end of the file."""
        with lookup_errors():
            files, row = self._file(path)
            first, last = _bounds(row, start, end)
            return b"".join(iter_range(files.source, row, start=first, stop=last, jobs=os.cpu_count() or 1))

    def cat_ranges(
        self,
        paths: Sequence[str],
        starts: Sequence[int | None] | int | None,
        ends: Sequence[int | None] | int | None,
        max_gap: int | None = None,
        on_error: str = "return",
        **options: object,
    ) -> list[bytes | Exception]:
        """Return ranges of files, fetched together; near ranges are read at once, whatever ``max_gap``.

        With ``on_error="return"`` a range of a file that cannot be found is its error instead.
        """
        bounds = zip(paths, _spread(starts, len(paths)), _spread(ends, len(paths)), strict=True)
        found: dict[str, tuple[Files, Row] | Exception] = {}
        for path in dict.fromkeys(paths):
            found[path] = self._found(path, on_error)
        results: list[bytes | Exception] = []
        wanted: list[tuple[int, Files, Range]] = []
        for number, (path, start, end) in enumerate(bounds):
            place = found[path]
            results.append(place if isinstance(place, Exception) else b"")
            if not isinstance(place, Exception):
                wanted.append((number, place[0], Range(place[1], *_bounds(place[1], start, end))))
        for number, data in self._fetch(wanted):
            results[number] = data
        return results

    def _found(self, path: str, on_error: str) -> tuple[Files, Row] | Exception:
        try:
            with lookup_errors():
                return self._file(path)
        except OSError as error:
            if on_error != "return":
                raise
            return error

    def _fetch(self, wanted: list[tuple[int, Files, Range]]) -> Iterator[tuple[int, bytes]]:
        """Yield number and bytes of each range; what is of committed files in common batches."""
        sources = {id(files.source): files.source for _, files, _ in wanted}
        with os_errors():
            for key, source in sources.items():
                mine = [(number, one) for number, files, one in wanted if id(files.source) == key]
                data = read_ranges(source, [one for _, one in mine])
                yield from zip((number for number, _ in mine), data, strict=True)

    def _open_read(self, path: str) -> ReadFile:
        with lookup_errors():
            return ReadFile(self, *self._file(path))

    def _file(self, path: str) -> tuple[Files, Row]:
        place = parse(self._strip_protocol(path))
        files = self._files(place)
        return files, files.file(place.path)

    def _row(self, name: str) -> tuple[Files, Row]:
        place = parse(name)
        files = self._files(place)
        return files, files.row(place.path)

    def _files(self, place: Place) -> Files:
        """Return what a branch or commit holds now: as the transaction left it, else the open commit, else the head."""
        draft = self._draft(joining=True)
        found = None if draft is None else draft.files(place)
        if found is not None:
            return found
        repo = self.store.repo(place.repo)
        try:
            view = repo.view(place.ref, follow_open=True)
        except CommitNotFoundError:
            branch = next((one for one in repo.branches() if one.name == place.ref), None)
            if branch is None:
                raise
            nothing = Tree(self.store.objects, EMPTY_ROOT)
            return Files(place.top, nothing, self.store.objects, pinned=place.top, at_ns=branch.created_ns)
        info = view.info
        pinned = place.top if info.open else f"{place.repo}@{info.id}"
        at_ns = info.started_ns if info.finished_ns is None else info.finished_ns
        files = Files(place.top, view.tree, self.store.objects, pinned=pinned, at_ns=at_ns)
        files.commit = (view.info.repo, view.info.id)
        return files

    def _draft(self, *, joining: bool) -> Draft | None:
        """Return where changes of this thread are collected; ``joining``: those of a transaction too."""
        draft: Draft | None = getattr(self._of_thread, "draft", None)
        if draft is None and joining and self._intrans:
            draft = self.transaction.draft
        return draft


def _name(info: Info) -> str:
    return str(info["name"])


def _spread(bounds: Sequence[int | None] | int | None, count: int) -> Sequence[int | None]:
    return bounds if isinstance(bounds, Sequence) else [bounds] * count


def _bounds(row: Row, start: int | None, end: int | None) -> tuple[int, int]:
    """Return bounds as slices take them, as offsets within the file."""
    first, last, _ = slice(start, end).indices(row.size)
    return first, max(first, last)
