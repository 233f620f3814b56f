"""Changes of several paths that become one commit of each branch they touch, all at once: transactions, copies, moves.

What was written is read back from here until then.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

from fsspec.transaction import Transaction

from pfs.changes.target import Target, Wish, find_target
from pfs.changes.writer import CommitWriter
from pfs.errors import AlreadyExistsError, CommitClosedError, FileCollisionError, InvalidNameError
from pfs.files.concat import concat
from pfs.files.fileref import FileRef
from pfs.files.ingest_stream import put_stream
from pfs.fs.address import Place
from pfs.fs.errors import os_errors
from pfs.fs.files import Files
from pfs.history.resolve import finished
from pfs.ids import ChunkId, CommitId
from pfs.packs.manifest import Manifest
from pfs.paths import from_key, to_key
from pfs.refs.body import is_hidden
from pfs.transactions.draft import MemoryDraft
from pfs.trees.edit import Put, copy_dir
from pfs.trees.row import EMPTY_ROOT, Row
from pfs.trees.tree import Tree

if TYPE_CHECKING:
    from typing import BinaryIO

    from pfs.fsspec import PfsFileSystem
    from pfs.ids import TreeId
    from pfs.packs.session import WriteSession
    from pfs.store import Store

Mode = Literal["wb", "ab", "xb"]
"""Put, append to what is there, or put only where nothing is."""


def target_of(store: Store, place: Place, *, message: str = "", id: CommitId | None = None) -> Target:
    """Return what a write to a place changes: its branch, or the open commit that its ref names.

    ``id``: of a commit that is made for it.

    Raises:
        RepoNotFoundError: there is no such repo. InvalidInputError: the ref is no branch and no commit.
        CommitNotFoundError: an ancestor that is none.
        CommitClosedError: it is a finished commit. ConflictError: a pipeline writes to it.
    """
    state = store.refs.read(place.repo)
    try:
        return find_target(store, state, Wish(place.ref, None, message, id, (), "refuse"))
    except InvalidNameError as error:
        if is_hidden(place.ref):
            raise
        raise CommitClosedError(place.repo, finished(store, state, place.ref).id) from error  # such as master^


def put_edit(session: WriteSession, store: Store, put: Put, *, tree: Tree, mode: Mode) -> Put:
    """Return the edit that puts a file on a tree as ``mode`` says.

    Raises:
        AlreadyExistsError: ``xb``, and there is one.
        FileCollisionError: the path is a directory or lies below a file.
    """
    old = tree.stat(put.key, want="file")
    if old is None:
        _refuse_collision(tree, put.key)
        return put
    if mode == "xb":
        raise AlreadyExistsError("file", from_key(put.key))
    if mode == "wb":
        return put
    parts = [FileRef(row.kind, row.size, row.tid) for row in (old, put)]
    ref = concat(session, store.params, parts)
    kept = {name: value for name, value in (old.aux or {}).items() if name in {"x", "m", "u"}}
    return Put(put.key, ref.kind, ref.size, ref.tid, kept or None)


def _refuse_collision(tree: Tree, key: bytes) -> None:
    if tree.stat(key, want="dir") is not None:
        raise FileCollisionError(from_key(key), f"directory {from_key(key)}/")
    if b"/" in key:
        _refuse_file_on(tree, key[: key.rfind(b"/")], key)


def _refuse_file_on(tree: Tree, folder: bytes, key: bytes) -> None:
    """Raise if the directory or one above it is a file."""
    parts = folder.split(b"/")
    for depth in range(1, len(parts) + 1):
        place = b"/".join(parts[:depth])
        if tree.stat(place, want="file") is not None:
            raise FileCollisionError(from_key(key), f"file {from_key(place)}")


class DraftWriter(CommitWriter):
    """A commit in the making that is read from while it is written; thread-safe as its base."""

    changed = False
    """Whether there is anything to commit."""

    def stat(self, key: bytes, *, want: Literal["file", "dir"] | None = None) -> Row | None:
        """Return the row at a key as it is by now."""
        return self._staging.stat(key, want=want)

    def tree(self) -> Tree:
        """Return the files as they are by now."""
        return Tree(self.session, self._staging.changes().ours)

    def put(self, put: Put, *, mode: Mode) -> None:
        """Stage a file; errors as `put_edit`."""
        with self._staging.lock:
            if mode != "wb":
                self.session.borrow(self.base)
                put = put_edit(self.session, self._store, put, tree=self.tree(), mode=mode)
            self._staging.add_file(put)
            self.changed = True

    def copy_dir(self, source: Tree, key: bytes, target: bytes) -> bool:
        """Stage a copy of a directory of any tree of the store, O(log n); False if the target is there already.

        Raises:
            FileCollisionError: the target is a file or lies below one; nothing is staged.
        """
        with self._staging.lock:
            tree = self.tree()
            if tree.stat(target, want="dir") is not None:
                return False
            _refuse_file_on(tree, target, target)
            self._staging.add(copy_dir(source, key, target))
            self.changed = True
            return True

    def delete(self, path: str, *, recursive: bool) -> None:
        """Stage the removal of a file, or with ``recursive`` of a directory; errors as `delete_file`."""
        self.delete_file(path, recursive=recursive)
        self.changed = True


class _SessionSource:
    """The store's chunks and those of a session."""

    def __init__(self, session: WriteSession) -> None:
        self._session = session

    def chunk(self, id: ChunkId, size: int) -> bytes:
        return self._session.chunk(id, size)

    def chunks(self, wanted: Sequence[tuple[ChunkId, int]]) -> list[bytes]:
        return [self._session.chunk(id, size) for id, size in wanted]

    def manifest(self, tid: TreeId) -> Manifest:
        return self._session.manifest(tid)


class DraftFiles(Files):
    """The files of a commit in the making, each time as they are by then."""

    def __init__(self, name: str, writer: DraftWriter, *, at_ns: int) -> None:
        super().__init__(
            name, Tree(writer.session, EMPTY_ROOT), _SessionSource(writer.session), pinned=name, at_ns=at_ns
        )
        self.writer, self.commit = writer, writer.base

    @property
    def tree(self) -> Tree:
        """The tree to list; what is staged goes into pages first."""
        return self.writer.tree()

    def find(self, path: str) -> Row | None:
        """Return the file at a path, else the directory, else None; without touching pages where that can be."""
        return self.writer.stat(to_key(path))

    def find_file(self, path: str) -> Row | None:
        """Return the file at a path, else None."""
        return self.writer.stat(to_key(path), want="file")


class Draft:
    """The commits in the making, one a branch; thread-safe until `finish` or `drop`, which end it."""

    def __init__(self, store: Store, *, message: str = "") -> None:
        self._store, self._message = store, message
        self._together = MemoryDraft()
        self._lock = threading.Lock()
        self._writers: dict[tuple[str, str], DraftWriter] = {}
        self._by_place: dict[tuple[str, str], DraftWriter] = {}

    def writer(self, place: Place) -> DraftWriter:
        """Return the commit that a change of ``place`` goes into; raises as `target_of`."""
        with self._lock:
            known = self._by_place.get(place[:2])
            if known is None:
                target = self._target(place)
                branch = (target.repo, target.branch)
                known = self._writers.setdefault(branch, DraftWriter(self._store, target))
                self._by_place[place[:2]] = self._by_place[branch] = known
            return known

    def _target(self, place: Place) -> Target:
        """Return what a place means; the first commit in each repo has the one id of the draft."""
        first = all(place.repo != repo for repo, _ in self._writers)
        return target_of(self._store, place, message=self._message, id=self._together.id if first else None)

    def files(self, place: Place) -> DraftFiles | None:
        """Return the files of a branch that was written to."""
        with self._lock:
            writer = self._by_place.get(place[:2])
        return None if writer is None else DraftFiles(place.top, writer, at_ns=self._store.clock_ns())

    def copy(self, files: Files, row: Row, place: Place) -> None:
        """Stage a copy of a file; no bytes move, unless another commit of this draft has them and no other."""
        writer, ref = self.writer(place), FileRef(row.kind, row.size, row.tid)
        if isinstance(files, DraftFiles) and files.writer is not writer:
            stream = cast("BinaryIO", files.open(row))  # it reads as a BinaryIO does
            ref = put_stream(writer.session, self._store.params, stream)
        else:
            writer.session.borrow(files.commit)
        writer.put(Put(place.key, ref.kind, ref.size, ref.tid, row.aux), mode="wb")

    def copy_dir(self, files: Files, row: Row, place: Place) -> bool:
        """Stage a copy of a directory; False if it has to go file by file.

        That is when the target is there, or the content is in another commit of this draft.
        """
        writer = self.writer(place)
        if isinstance(files, DraftFiles) and files.writer is not writer:
            return False
        writer.session.borrow(files.commit)
        return writer.copy_dir(files.tree, row.key, place.key)

    def finish(self) -> None:
        """Commit, all branches at once; on an error nothing is changed."""
        changed = [writer for writer in self._writers.values() if writer.changed]
        try:
            if len(changed) == 1:
                changed[0].finish()
            elif changed:
                self._publish(changed)
        finally:
            self.drop()

    def _publish(self, writers: Sequence[DraftWriter]) -> None:
        from pfs.transactions.transaction import Transaction

        with Transaction(self._store, self._together, message=self._message) as transaction:
            for writer in writers:
                transaction.take(writer)

    def drop(self) -> None:
        """Forget what was not committed; idempotent."""
        for writer in self._writers.values():
            writer.drop()


class PfsTransaction(Transaction):  # type: ignore[misc]  # fsspec has no types
    """fsspec's transaction, over a draft: one commit of each branch at the end, all at once; nothing on an error."""

    def __init__(self, fs: PfsFileSystem, **options: Any) -> None:
        super().__init__(fs, **options)
        self.fs: PfsFileSystem | None = fs
        self.draft = Draft(fs.store, message=fs.message)

    def complete(self, commit: bool = True) -> None:
        """Commit or drop, and end the transaction; files that are still open are closed first.

        Raises:
            OSError: a path was changed by another writer meanwhile, or it cannot be stored: nothing is changed.
        """
        try:
            while self.files:
                file = self.files.popleft()
                file.commit() if commit else file.discard()
            if commit:
                with os_errors():
                    self.draft.finish()
        finally:
            self._end()

    def _end(self) -> None:
        while self.files:
            self.files.popleft().discard()
        self.draft.drop()
        if self.fs is not None:
            self.fs._intrans = False
            self.fs._transaction = None
        self.fs = None
