"""Writing one commit: files go in as they come, and all of them become visible at once when it is finished."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Self

from pfs.changes.publish import Publication
from pfs.changes.rebase import rebase
from pfs.changes.staging import Staging
from pfs.changes.target import Target
from pfs.errors import ConflictError, InvalidInputError, InvalidPathError, PathNotFoundError
from pfs.files.fileref import put_link
from pfs.files.seen import Reading, SeenFiles
from pfs.history.resolve import open_info
from pfs.ids import CommitId
from pfs.model import CommitInfo, NewCommit
from pfs.paths import clean_path, to_key
from pfs.refs.body import BranchEntry, OpenEntry
from pfs.refs.swap import RefsState
from pfs.sources.links import Symlinks
from pfs.sources.local import LocalFile, link_text, open_source, walk_files
from pfs.trees.edit import Delete, DeleteTree, Edit, Put, copy_dir
from pfs.trees.page import Changed
from pfs.trees.row import EMPTY_ROOT, Root, Row
from pfs.trees.tree import Tree

if TYPE_CHECKING:
    from pfs.files.ingest import FileRef, Progress
    from pfs.packs.session import WriteSession
    from pfs.store import Store
    from pfs.view import View

Check = Callable[[Row | None], None]
_BATCH = 1024
"""Edits that are staged at once."""


class CommitWriter:
    """A commit being written; staging is thread-safe, `finish` and `drop` end it.

    As a context manager: finished when the block ends, dropped when it raises. A writer of an open commit adds its
    changes to that commit and leaves it open.
    """

    def __init__(self, store: Store, target: Target) -> None:
        self._store, self._target = store, target
        self.id: CommitId = target.commit
        self.session: WriteSession = self._store.session()
        self._changed = Changed(bytes.fromhex(target.commit), self._store.clock_ns())
        self._staging = Staging(self.session, target.root, self._changed, collisions=target.collisions)
        self._seen = SeenFiles(store.index, self.session, clock_ns=store.clock_ns)
        self._required: list[tuple[bytes, Check]] = []
        self._ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.drop()
        elif not self._ended:
            self.finish()

    def put_file(
        self,
        path: str,
        source: Path | str | bytes | BinaryIO,
        *,
        append: bool = False,
        mime: str | None = None,
        metadata: Mapping[str, str] | None = None,
        checksum: bool = False,
        jobs: int | None = None,
        progress: Progress | None = None,
    ) -> FileRef:
        """Write one file from a local file (str or Path), bytes or a binary stream.

        ``append`` adds to what is there; mime type and metadata given here replace those of the file. A local file that
        was put before and whose status shows no change since is not read, unless ``checksum`` is set.

        Raises:
            InvalidPathError: the path is the root or none that the file API takes.
            FileCollisionError: the path is a directory or lies below a file.
            NotFoundError, StorageError: the source cannot be read.
        """
        key = _file_key(path)
        with open_source(source, key) as (stream, file):
            ref = None if file is None or checksum else self._seen.recall([file])[0]
            if ref is None:
                ref = self._read(stream, file, jobs=jobs, progress=progress)
            elif progress is not None:
                progress.advance(size=ref.size)
        aux: dict[str, object] = {"x": True} if file is not None and file.executable else {}
        aux |= {"m": mime} if mime else {}
        aux |= {"u": dict(metadata)} if metadata else {}
        if append:
            return self._append(key, ref, aux)
        self._staging.add_file(Put(key, ref.kind, ref.size, ref.tid, aux or None))
        return ref

    def _read(
        self, stream: BinaryIO, file: LocalFile | None, *, jobs: int | None, progress: Progress | None
    ) -> FileRef:
        from pfs.files.ingest import put_stream

        at_ns = self._store.clock_ns()
        ref = put_stream(self.session, self._store.params, stream, jobs=jobs, progress=progress)
        if file is not None:
            self._seen.note(Reading(file.path, file.status, os.fstat(stream.fileno()), at_ns), ref)
        return ref

    def _append(self, key: bytes, ref: FileRef, aux: dict[str, object]) -> FileRef:
        from pfs.files.concat import concat
        from pfs.files.ingest import FileRef

        with self._staging.lock:
            old = self._staging.stat(key, want="file")
            if old is not None:
                ref = concat(self.session, self._store.params, [FileRef(old.kind, old.size, old.tid), ref])
                kept = {name: value for name, value in (old.aux or {}).items() if name in {"x", "m", "u"}}
                aux = kept | aux
            self._staging.add_file(Put(key, ref.kind, ref.size, ref.tid, aux or None))
        return ref

    def put_tree(
        self,
        path: str,
        directory: Path | str,
        *,
        checksum: bool = False,
        symlinks: Symlinks = "follow",
        jobs: int | None = None,
        progress: Progress | None = None,
    ) -> int:
        """Write every file below a directory under ``path``; return how many. Memory does not grow with their number.

        Symbolic links are followed unless ``symlinks`` says otherwise; sockets, pipes and devices are passed over, and
        so is the store itself. Files that were put before and whose status shows no change since are not read, unless
        ``checksum`` is set.

        Raises:
            InvalidInputError: a link that leads in circles, is refused or cannot be kept.
            InvalidPathError: a file name that paths do not take, by name; files before it may have been staged.
            FileCollisionError: at the latest when the commit is finished.
            NotFoundError, StorageError: something cannot be read.
        """
        count = 0
        files = walk_files(Path(directory).absolute(), clean_path(path), leave_out=self._store.path, symlinks=symlinks)
        puts = self.ingest(files, checksum=checksum, jobs=jobs, progress=progress)
        while batch := list(islice(puts, _BATCH)):
            self._staging.add(batch)
            count += len(batch)
        return count

    def ingest(
        self,
        files: Iterable[LocalFile],
        *,
        checksum: bool = False,
        jobs: int | None = None,
        progress: Progress | None = None,
    ) -> Iterator[Put]:
        """Store what local files hold and yield the edits that would put them, about in the order of ``files``.

        Nothing is staged. ``checksum`` and errors as in `put_tree`; memory as in `put_files`.
        """
        from pfs.files.ingest import put_files

        ready: list[Put] = []

        def known(found: Sequence[tuple[LocalFile, FileRef]]) -> None:
            ready.extend(_put(file.key, ref, executable=file.executable) for file, ref in found)
            if progress is not None:
                progress.advance(files=len(found), size=sum(ref.size for _, ref in found))

        def not_links() -> Iterator[LocalFile]:
            for file in files:
                if file.is_link:
                    known([(file, put_link(self.session, link_text(file)))])
                else:
                    yield file

        unread = not_links() if checksum else self._seen.unread(not_links(), known)
        to_read = ((file.key, file.path) for file in unread)
        for key, ref, executable in put_files(
            self.session, self._store.params, to_read, jobs=jobs, progress=progress, seen=self._seen
        ):
            yield from _drain(ready)
            yield _put(key, ref, executable=executable)
        yield from _drain(ready)

    def put_ref(
        self, key: bytes, ref: FileRef, *, aux: Mapping[str, object] | None = None, force: bool = False
    ) -> None:
        """Set a row to content that is stored already; any key of the tree's is taken.

        ``force``: count as a change even when content and metadata are equal.
        """
        self._staging.add([Put(key, ref.kind, ref.size, ref.tid, aux, force)])

    def delete_file(self, path: str, *, recursive: bool = False) -> None:
        """Delete a file, or with ``recursive`` a directory and all below it (``/``: everything).

        Raises:
            PathNotFoundError: nothing is there.
            InvalidInputError: it is a directory and ``recursive`` is not set.
        """
        key = to_key(path)
        with self._staging.lock:
            file = None if path.endswith("/") else self._staging.stat(key, want="file")
            folder = self._staging.stat(key, want="dir")
            if (file is None and folder is None) or (not key and not self._staging.changes().ours.count):
                raise PathNotFoundError(f"{self._place}:{clean_path(path)}")
            if file is None and not recursive:
                raise InvalidInputError(f"{clean_path(path)} is a directory: delete it with -r, or recursive=True")
            self._staging.add([Delete(key)] if file is not None else [])
            self._staging.add([DeleteTree(key)] if recursive and folder is not None else [])

    def delete_key(self, key: bytes) -> None:
        """Delete a file row by its key; nothing happens if there is none."""
        self._staging.add([Delete(key)])

    def copy(self, source: View, source_path: str, path: str, *, append: bool = False) -> None:
        """Copy a file or directory of any commit of the store to ``path``; no bytes move.

        A directory is merged into one that stands there already, file by file; else it costs O(log n).

        Raises:
            PathNotFoundError: the source is not there. FileCollisionError: a path would be both a file and a
            directory (for directories, at finish at the latest).
        """
        from pfs.files.ingest import FileRef

        row = source.row(source_path)
        if row.is_dir:
            self._copy_dir(source.tree, row.key, to_key(path))
            return
        key, ref = _file_key(path), FileRef(row.kind, row.size, row.tid)
        if append:
            self._append(key, ref, dict(row.aux or {}))
        else:
            self._staging.add_file(Put(key, ref.kind, ref.size, ref.tid, row.aux))

    def _copy_dir(self, tree: Tree, key: bytes, target: bytes) -> None:
        with self._staging.lock:
            if target and self._staging.stat(target, want="dir") is None:
                self._staging.add(copy_dir(tree, key, target))
                return
            base = target + b"/" if target else b""
            skip = len(key) + 1 if key else 0
            for row in tree.walk(key):
                self._staging.add([Put(base + row.key[skip:], row.kind, row.size, row.tid, row.aux)])

    def edit(self, edits: Sequence[Edit]) -> None:
        """Stage raw edits of the tree, in their order."""
        self._staging.add(edits)

    def require(self, key: bytes, check: Check) -> None:
        """Run ``check`` on the row (None: absent) in the tree that the changes are put on, at each attempt to finish.

        What it raises ends the attempt and the commit; it sees the state right before this commit, without its
        changes.
        """
        self._required.append((key, check))

    def finish(self) -> CommitInfo:
        """Make the changes durable and visible, all at once; of an open commit, as its new state.

        When the branch moved meanwhile, changes of other paths are put on the new head.

        Raises:
            PathConflictError: another writer changed one of the same paths to other content.
            FileCollisionError: a path would be both a file and a directory.
            BranchMovedError: the commit has a named parent, and the branch moved.
            CommitClosedError: the open commit was finished meanwhile.
            StorageError: nothing was changed.
        """
        if self._ended:
            raise ConflictError(f"commit {self._place} was ended already")
        publication = Publication(self._store, self._target.repo, self.session, seen=self._seen.take())
        try:
            if self._target.open:
                info = open_info(self._target.repo, self.id, publication.update_open(self.id, self._onto_open))
            else:
                info = publication.commit(self._onto_branch)[0]
        except BaseException:
            self.drop()
            raise
        self._ended = True
        return info

    def drop(self) -> None:
        """Forget the changes; what was stored of them is free for the next collection. Idempotent."""
        if not self._ended:
            self._ended = True
            self.session.abandon()

    def _onto_open(self, entry: OpenEntry) -> Root:
        return self._onto(entry.tree_root())

    def _onto_branch(self, state: RefsState) -> Sequence[NewCommit]:
        """Return the commit as it has to be on the present head of the branch."""
        target, head = self._target, state.body.branches.get(self._target.branch, BranchEntry()).head
        if target.forked:
            root, parent = self._onto(target.root), target.parent
        else:
            base = EMPTY_ROOT if head is None else self._store.history.get(target.repo, head).tree_root()
            root, parent = self._onto(base), head
        commit = NewCommit(
            branch=target.branch,
            root=root,
            id=target.commit,
            started_ns=target.started_ns,
            parents=() if parent is None else (parent,),
            message=target.message,
            provenance=target.provenance,
            forked=target.forked,
            onto=target.head,
        )
        return [commit]

    def _onto(self, root: Root) -> Root:
        tree = Tree(self.session, root)
        for key, check in self._required:
            check(tree.stat(key, want="file"))
        return rebase(
            self.session,
            self._staging.changes(),
            root,
            changed=self._changed,
            collisions=self._target.collisions,
            place=f"{self._target.repo}@{self._target.branch}",
        )

    @property
    def _place(self) -> str:
        return f"{self._target.repo}@{self._target.branch}"


def _put(key: bytes, ref: FileRef, *, executable: bool) -> Put:
    return Put(key, ref.kind, ref.size, ref.tid, {"x": True} if executable else None)


def _drain(puts: list[Put]) -> list[Put]:
    taken = puts.copy()
    puts.clear()
    return taken


def _file_key(path: str) -> bytes:
    key = to_key(path)
    if not key:
        raise InvalidPathError(path, "the root is a directory: name a file")
    return key
