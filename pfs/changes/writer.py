"""Writing one commit: files go in as they come, and all of them become visible at once when it is finished."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Self

from pfs.changes.publish import Publication
from pfs.changes.rebase import Changes, rebase
from pfs.changes.remembered import Remembered
from pfs.changes.spouts import require_spout
from pfs.changes.staging import PENDING, Staging
from pfs.changes.target import Target
from pfs.errors import ConflictError, InvalidInputError, InvalidPathError, PathNotFoundError, PurgedError
from pfs.files.described import described
from pfs.files.ingest_local import LocalIngest, Skip
from pfs.history.resolve import open_info
from pfs.ids import CommitId
from pfs.model import CommitInfo, NewCommit
from pfs.paths import clean_path, from_key, to_key
from pfs.refs.body import BranchEntry, OpenEntry
from pfs.refs.read import RefsState
from pfs.sources.links import Symlinks
from pfs.sources.local import open_source
from pfs.trees.edit import Delete, DeleteTree, Edit, Put, copy_dir
from pfs.trees.page import Changed, Kind
from pfs.trees.row import EMPTY_ROOT, Root, Row
from pfs.trees.tree import Tree

if TYPE_CHECKING:
    from pfs.changes.arrow_put import ArrowPut, Taken
    from pfs.files.arrow_source import ArrowFiles
    from pfs.files.ingest import FileRef, Progress
    from pfs.packs.session import WriteSession
    from pfs.store import Store
    from pfs.view import View

Check = Callable[[Row | None], None]


class CommitWriter:
    """A commit being written; staging is thread-safe, `finish` and `drop` end it.

    As a context manager: finished when the block ends, dropped when it raises. A writer of an open commit adds its
    changes to that commit and leaves it open.
    """

    def __init__(self, store: Store, target: Target, *, session: WriteSession | None = None) -> None:
        """``session``: to write with, of the caller's; else one of its own."""
        self._store, self._target = store, target
        self.id: CommitId = target.commit
        self.session: WriteSession = self._store.session() if session is None else session
        self._changed = Changed(bytes.fromhex(target.commit), self._store.clock_ns())
        self._staging = Staging(self.session, target.root, self._changed, collisions=target.collisions)
        self._remembered = Remembered(store, self.session, self._staging, place=self._place)
        self.local = LocalIngest(self.session, store.params, self._remembered.files)
        """Stores local files for this commit, without staging them."""
        self._required: list[tuple[bytes, Check]] = []
        self._ended = False

    @property
    def store_path(self) -> Path:
        """The folder of the store, which no put takes in."""
        return self._store.path

    @property
    def begun_with(self) -> Root:
        """The files that the commit had before this writer changed it."""
        return self._target.root

    def blank_staging(self) -> Staging:
        """Return a place for files that are to be staged later, all at once, with none in it."""
        return Staging(self.session, EMPTY_ROOT, self._changed, collisions="refuse")

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
            InvalidInputError: the media type or the metadata are none that S3 could show.
            FileCollisionError: the path is a directory or lies below a file.
            NotFoundError, StorageError: the source cannot be read.
        """
        key, said = file_key(path), described(mime, metadata)
        with open_source(source, key) as (stream, file):
            ref = self.local.stream(stream, file, checksum=checksum, jobs=jobs, progress=progress)
        aux: dict[str, object] = {"x": True} if file is not None and file.executable else {}
        aux |= said
        if append:
            return self._append(key, ref, aux)
        self._staging.add_file(Put(key, ref.kind, ref.size, ref.tid, aux or None))
        return ref

    def _append(self, key: bytes, ref: FileRef, aux: dict[str, object]) -> FileRef:
        from pfs.files.concat import concat
        from pfs.files.ingest import FileRef

        with self._staging.lock:
            old = self._staging.stat(key, want="file")
            if old is not None:
                if old.kind == Kind.SYMLINK:
                    raise InvalidInputError(f"{from_key(key)} is a symbolic link: it cannot be appended to")
                if old.kind == Kind.REMOVED:
                    raise PurgedError(from_key(key), "put the whole file, without -a")
                self.session.borrow(self.base)
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
        from pfs.sources.walk import walk_folders

        count = 0

        def skipped(files: int, _size: int) -> None:
            nonlocal count
            count += files

        found = walk_folders(
            Path(directory).absolute(), clean_path(path), leave_out=self._store.path, symlinks=symlinks
        )
        skip = self.skip_unchanged(skipped)
        with closing(found):
            for batch in self.local.tree(found, skip, checksum=checksum, jobs=jobs, progress=progress):
                self._staging.add(batch.edits)
                count += batch.files
        return count

    def skip_unchanged(self, skipped: Callable[[int, int], None]) -> Skip:
        """Return how to pass over local files that show no change where the commit has them as putting them made it.

        ``skipped`` is told how many files and bytes. The rest must be staged as it comes, without metadata of its own,
        by this thread. When another one stages anything meanwhile, directories are not remembered.
        """
        return self._remembered.skip(skipped)

    def put_arrow(self, source: ArrowFiles, path: str = "/", how: ArrowPut | None = None) -> Taken:
        """Write files whose content is stored, given as Arrow rows of path, size and id.

        Costs and errors: `pfs.changes.arrow_put`; paths of rows are relative to ``path``.
        """
        from pfs.changes.arrow_put import ArrowPut, put_arrow

        return put_arrow(self._store, self.session, self._staging, (source, path), how or ArrowPut())

    def put_ref(
        self, key: bytes, ref: FileRef, *, aux: Mapping[str, object] | None = None, force: bool = False
    ) -> None:
        """Set a row to content that is stored already; any key of the tree's is taken.

        ``force``: count as a change even when content and metadata are equal.
        """
        self.session.borrow(None)
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

    def delete_match(self, path: str, *, recursive: bool = False) -> None:
        """Delete what is at a path; where nothing is, what the path matches as a glob pattern, all or nothing.

        Raises:
            PathNotFoundError: nothing is there, and nothing matches.
            InvalidInputError: a directory is meant and ``recursive`` is not set, or the pattern is malformed.
        """
        with self._staging.lock:
            try:
                self.delete_file(path, recursive=recursive)
            except PathNotFoundError:
                from pfs.changes.deletions import deletions
                from pfs.glob import Glob

                tree = Tree(self.session, self._staging.changes().ours)
                edits = deletions(tree, Glob(path), recursive=recursive)
                batch = list(islice(edits, PENDING))
                if not batch:
                    raise
                while batch:
                    self._staging.add(batch)
                    batch = list(islice(edits, PENDING))

    def delete_key(self, key: bytes) -> None:
        """Delete a file row by its key; nothing happens if there is none."""
        self._staging.add([Delete(key)])

    def copy(self, source: View, source_path: str, path: str, *, append: bool = False) -> None:
        """Copy a file or directory of any commit of the store to ``path``; no bytes move.

        A directory is merged into one that stands there already, file by file; else it costs O(log n).

        Raises:
            PathNotFoundError: the source is not there. PurgedError: its content was purged; in a directory such files
            are copied as they are. FileCollisionError: a path would be both a file and a
            directory (for directories, at finish at the latest).
        """
        from pfs.files.ingest import FileRef

        row = source.row(source_path)
        if row.kind == Kind.REMOVED:
            raise PurgedError(clean_path(source_path))
        self.session.borrow((source.info.repo, source.info.id))
        if row.is_dir:
            self._copy_dir(source.tree, row.key, to_key(path))
            return
        key, ref = file_key(path), FileRef(row.kind, row.size, row.tid)
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

    def stage_file(self, put: Put) -> None:
        """Stage one file whose content is stored; a collision is refused at once (FileCollisionError)."""
        self._staging.add_file(put)

    def edit(self, edits: Sequence[Edit]) -> None:
        """Stage raw edits of the tree, in their order."""
        self._staging.add(edits)

    def require(self, key: bytes, check: Check) -> None:
        """Run ``check`` on the row (None: absent) in the tree that the changes are put on, at each attempt to finish.

        What it raises ends the attempt and the commit; it sees the state right before this commit, without its
        changes.
        """
        self._required.append((key, check))

    @property
    def target(self) -> Target:
        """What is being written to."""
        return self._target

    def seal(self) -> Changes:
        """Make the changes durable and leave publishing them to a transaction; return the trees before and after."""
        changes = self._staging.changes()
        seen = self._remembered.rows()
        self._store.history.learn(self.session.seal(), (), seen=seen)
        return changes

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
        try:
            info = self._publish()
        except BaseException:
            self.drop()
            raise
        self._ended = True
        return info

    def _publish(self) -> CommitInfo:
        publication = Publication(self._store, self._target.repo, self.session, seen=self._remembered.rows())
        if self._target.open:
            return open_info(self._target.repo, self.id, publication.update_open(self.id, self._onto_open))
        return publication.commit(self._onto_branch)[0]

    def leave(self) -> CommitId:
        """End without a commit, since nothing changed, and return the one whose files it would have had.

        Local files that were read stay remembered. Without any commit on the branch yet, an empty one is made.
        """
        if self._target.parent is None and not self._target.open:
            return self.finish().id
        self._store.index.add([], seen=self._remembered.rows())
        self.drop()
        return self.id if self._target.open else self._target.parent or self.id

    def drop(self) -> None:
        """Forget the changes; what was stored of them is free for the next collection. Idempotent."""
        if not self._ended:
            self._ended = True
            self.session.abandon()

    def _onto_open(self, entry: OpenEntry) -> Root:
        return self._onto(entry.tree_root())

    def _onto_branch(self, state: RefsState) -> Sequence[NewCommit]:
        """Return the commit as it has to be on the present head of the branch."""
        require_spout(self._store, state.repo, state.body, self._target.branch)
        target, head = self._target, state.body.branches.get(self._target.branch, BranchEntry()).head
        parent = target.parent if target.forked else head
        # Looked up each time, the named parent too: something may have been purged from it since.
        base = EMPTY_ROOT if parent is None else self._store.history.get(target.repo, parent).tree_root()
        root = self._onto(base)
        return [target.commit_on(parent, root)]

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
            place=self._place,
        )

    @property
    def base(self) -> tuple[str, CommitId] | None:
        """The commit whose files this one began with."""
        base = self._target.commit if self._target.open else self._target.parent
        return None if base is None else (self._target.repo, base)

    @property
    def _place(self) -> str:
        return f"{self._target.repo}@{self._target.branch}"


def file_key(path: str) -> bytes:
    """Return the key of a path that is to be a file; raises InvalidPathError, also of the root."""
    key = to_key(path)
    if not key:
        raise InvalidPathError(path, "the root is a directory: name a file")
    return key
