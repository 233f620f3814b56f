"""Inputs on disk: restored from the store once, and shown to all datums that see the same.

A *view* is a directory with exactly the files of one input of a datum, under their full paths. Commands never write
to a view (overlay, read-only mount), so datums of a job share it: in a cross, the big side is restored once. Where
nothing protects it, each attempt gets a directory of its own (`fill`).
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from pfs.backends.durable import storage_errors
from pfs.errors import FileCollisionError, InvalidPathError, PfsError
from pfs.files.restore import restore_file, restore_tree
from pfs.files.restore_file import is_executable
from pfs.ids import ChunkId
from pfs.paths import from_key, is_disk_name
from pfs.store import Store
from pfs.trees.page import Kind
from pfs.trees.tree import Row, Tree
from pps.executor import DatumInput, DatumTask
from pps.workers.new_file import write_new
from pps.workers.scratch import remove_tree

IDLE_VIEWS = 16
"""Views that nobody uses and that are kept for the next datum."""
IDLE_BYTES = 1 << 30
"""Their size together; the latest one is kept whatever its size."""
_TREES = 64
_SMALL_BYTES = 16 << 10
_WARM_BYTES = 512 << 10
_PIPE_MODE = 0o644

ViewKey = tuple[str, str, bool, tuple[bytes, ...]]


@dataclass(slots=True)
class _View:
    path: Path
    size: int
    lock: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0
    ready: bool = False


class Staging:
    """The views of one executor, below one directory. Thread-safe."""

    def __init__(self, store: Store, directory: Path) -> None:
        remove_tree(directory)
        directory.mkdir(parents=True)
        self._store, self._directory = store, directory
        self.store_path = os.path.realpath(store.path)
        """The store's own folder, without symlinks: no command's business."""
        self._lock = threading.Lock()
        self._views: OrderedDict[ViewKey, _View] = OrderedDict()
        self._trees: OrderedDict[tuple[str, str], Tree] = OrderedDict()
        self._count = 0

    def tree(self, given: DatumInput) -> Tree:
        """Return the tree of the commit that an input is taken from."""
        key = given.repo, given.commit
        with self._lock:
            if key in self._trees:
                self._trees.move_to_end(key)
                return self._trees[key]
        tree = self._store.repo(given.repo).view(given.commit).tree
        with self._lock:
            self._trees[key] = tree
            if len(self._trees) > _TREES:
                self._trees.popitem(last=False)
        return tree

    @contextmanager
    def view(self, given: DatumInput) -> Iterator[Path]:
        """Lend the directory with what the datum sees of this input; restored by the first who asks.

        Raises:
            InvalidPathError: a name that no disk holds.
            FileCollisionError: a path that is a file and a directory.
            CorruptionError, StorageError: reading or writing failed; the next who asks tries again.
        """
        view = self._borrow(given)
        try:
            with view.lock:
                if not view.ready:
                    remove_tree(view.path)
                    self.fill(given, view.path)
                    view.ready = True
            yield view.path
        finally:
            self._give_back(view)

    def fill(self, given: DatumInput, target: Path) -> None:
        """Restore what the datum sees of this input into ``target``, a directory that is made; errors as `view`."""
        rows = _outermost(given.rows)
        _refuse_collisions(rows)
        only_files = bool(rows) and all(row.kind is Kind.FILE for row in rows)
        if not only_files and not os.path.isdir(target):
            target.mkdir(parents=True, exist_ok=True)
        for row in rows:
            if given.empty_files or given.lazy:
                self._fill_names(given, row, target)
            elif row.is_dir:
                place = _place(target, row.key) if row.key else target
                restore_tree(self._store.objects, self.tree(given), row.key, place, jobs=1)
            else:
                self._fill_file(row, target)

    def _fill_file(self, row: Row, target: Path) -> None:
        _check_names(row.key)
        place = f"{target}/{row.key.decode()}"
        for _ in range(2):
            if row.kind is Kind.FILE and self._write(row, place):
                return
            os.makedirs(os.path.dirname(place), exist_ok=True)
        # Nothing stands there: no need to look whether it is a link.
        restore_file(self._store.objects, row, Path(place), jobs=1, through_links=False)

    def _write(self, row: Row, place: str) -> bool:
        """Write a file of one chunk where nothing stands; say whether that could be done."""
        data = self._store.objects.chunk(ChunkId(row.tid), row.size) if row.size else b""
        with storage_errors(f"write {place}"):
            try:
                return write_new(place, data, mode=0o777 if is_executable(row) else 0o666)
            except FileNotFoundError:
                return False  # its folder is missing

    def warm(self, tasks: Sequence[DatumTask]) -> None:
        """Read what the next datums have of small files at once: to look each up by itself costs more than to read it.

        What cannot be read is met again by its datum.
        """
        left, wanted = _WARM_BYTES, []
        for row in (row for task in tasks for given in task.inputs if given.has_bytes for row in given.rows):
            left -= row.size
            if left < 0:
                break
            if row.kind is Kind.FILE and row.size <= _SMALL_BYTES:
                wanted.append((ChunkId(row.tid), row.size))
        with suppress(PfsError):
            self._store.objects.chunks(wanted)

    def put(self, given: DatumInput, row: Row, place: Path) -> None:
        """Restore one file or directory of an input as ``place``, where nothing is but an empty directory.

        Errors as `view`; the folder of a file must be there.
        """
        if not is_disk_name(os.fsencode(place.name)):
            raise InvalidPathError(place.name, "no disk can hold this name, so no command can see it")
        if row.is_dir:
            restore_tree(self._store.objects, self.tree(given), row.key, place, jobs=1)
        else:
            restore_file(self._store.objects, row, place, through_links=False)

    def _fill_names(self, given: DatumInput, row: Row, target: Path) -> None:
        """Make an empty file for each of the input's, or a named pipe if it is ``lazy``."""
        below = self.tree(given).walk(row.key) if row.is_dir else iter((row,))
        rows = [file for file in below if file.kind != Kind.REMOVED]
        _refuse_collisions(rows)
        for file in rows:
            place = _place(target, file.key)
            place.parent.mkdir(parents=True, exist_ok=True)
            if not given.lazy:
                place.touch()
            elif file.kind is Kind.SYMLINK:
                restore_file(self._store.objects, file, place, jobs=1)
            else:
                os.mkfifo(place, _PIPE_MODE)

    def _borrow(self, given: DatumInput) -> _View:
        key = given.repo, given.commit, given.empty_files, tuple(row.key for row in given.rows)
        with self._lock:
            view = self._views.get(key)
            if view is None:
                self._count += 1
                size = 0 if given.empty_files else sum(row.size for row in given.rows)
                view = self._views[key] = _View(self._directory / str(self._count), size)
            self._views.move_to_end(key)
            view.users += 1
            return view

    def _give_back(self, view: _View) -> None:
        with self._lock:
            view.users -= 1
            idle = [(key, other) for key, other in self._views.items() if not other.users]
            excess = sum(other.size for _, other in idle) - IDLE_BYTES
            gone = []
            for place, (key, other) in enumerate(idle[:-1]):
                if len(idle) - place > IDLE_VIEWS or excess > 0 or not other.ready:
                    gone.append(self._views.pop(key).path)
                    excess -= other.size
        for path in gone:
            remove_tree(path)


def _place(target: Path, key: bytes) -> Path:
    _check_names(key)
    return target / key.decode()


def _check_names(key: bytes) -> None:
    for name in key.split(b"/"):
        if not is_disk_name(name):
            raise InvalidPathError(from_key(key), "no disk can hold this name, so no command can see it")


def _outermost(rows: tuple[Row, ...]) -> list[Row]:
    """Leave out what a directory among the rows brings anyway."""
    folders = {row.key for row in rows if row.is_dir}
    return [row for row in rows if not (folders and any(parent in folders for parent in parents(row.key)))]


def _refuse_collisions(rows: list[Row]) -> None:
    files = {row.key for row in rows if row.kind != Kind.DIR}
    for row in rows:
        for parent in parents(row.key):
            if parent in files:
                raise FileCollisionError(from_key(row.key), from_key(parent))


def parents(key: bytes) -> Iterator[bytes]:
    """Yield the directories above a key, the nearest first and the root (empty) last; nothing for the root."""
    while key:
        key = key.rpartition(b"/")[0]
        yield key
