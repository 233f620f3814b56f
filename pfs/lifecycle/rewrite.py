"""What becomes of the trees of a repo when a path is purged: the same, but for the content of that path."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pfs.errors import InvalidInputError
from pfs.ids import NO_PAGE, PageId
from pfs.lifecycle.traces import Traces
from pfs.packs.commit_record import CommitRecord
from pfs.paths import from_key
from pfs.refs.body import OpenEntry, RefsBody, is_hidden
from pfs.refs.read import RefsState
from pfs.trees.edit import Edit, edit
from pfs.trees.page import Kind
from pfs.trees.row import PageSink, Root, open_page
from pfs.trees.strip import Stripper
from pfs.trees.tree import Tree

_BATCH = 65_536


@dataclass(frozen=True, slots=True)
class Mirror:
    """In commits of a hidden ``branch``, each directory below ``folder`` is laid out like the repo itself."""

    branch: str
    folder: bytes


class Contents:
    """The contents that were taken out, each once; 16 bytes each. ``traces``: what of them lies in packs."""

    def __init__(self) -> None:
        self.traces = Traces()
        self._fresh: list[tuple[bytes, int]] = []
        self._known = np.empty((2, 0), "<u8")

    def note(self, kind: int, tid: bytes, size: int) -> None:
        """Take one in; empty files have no content."""
        if size:
            self.traces.note(kind, tid)
            self._fresh.append((tid[:8], size))
            if len(self._fresh) == _BATCH:
                self._fold()

    def _fold(self) -> None:
        fresh = np.frombuffer(b"".join(tid for tid, _ in self._fresh), "<u8")
        sizes = np.array([size for _, size in self._fresh], "<u8")
        words, first = np.unique(np.concatenate([self._known[0], fresh]), return_index=True)
        self._known = np.stack([words, np.concatenate([self._known[1], sizes])[first]])
        self._fresh.clear()

    @property
    def words(self) -> npt.NDArray[np.uint64]:
        """The first 8 bytes of each tid, little-endian, sorted."""
        self._fold()
        words: npt.NDArray[np.uint64] = self._known[0]
        return words

    @property
    def size_bytes(self) -> int:
        """Bytes of all contents together."""
        self._fold()
        return int(self._known[1].sum(dtype=np.uint64))


class Rewriter:
    """Takes one path out of trees; one thread. A tree that was done already costs nothing, any other O(depth) pages."""

    def __init__(self, pages: PageSink, key: bytes, *, recursive: bool, mirrors: tuple[Mirror, ...]) -> None:
        self._pages, self._key, self._recursive = pages, key, recursive
        self._mirrors = {mirror.branch: mirror.folder for mirror in mirrors}
        self.contents = Contents()
        self.met = False
        """Whether the path was anywhere, purged before or not."""
        self._strip = Stripper(pages, self.contents.note)
        self._done: dict[tuple[PageId, bytes | None], Root] = {}
        self._below: dict[PageId, list[bytes]] = {}

    def root(self, root: Root, *, mirror: bytes | None = None) -> Root:
        """Return a tree without the content of the path; with ``mirror``, without that of the path in its directories.

        Raises:
            InvalidInputError: the path is a directory, and that was not asked for.
            CorruptionError, MissingObjectError: a page cannot be read.
        """
        known = (root.pid, mirror)
        if known not in self._done:
            self._done[known] = self._rewritten(root, mirror)
        return self._done[known]

    @property
    def traces(self) -> Traces:
        """What lies in packs of the content that was taken out so far."""
        return self.contents.traces

    def begin(self, state: RefsState) -> None:
        """Do nothing: all commits are alike."""

    def restart(self) -> None:
        """Forget what was done, since the pages are forgotten."""
        self._strip.restart()
        self._done.clear()

    def committed(self, record: CommitRecord) -> Root:
        """Return the tree of a commit without the content; hidden branches have paths of their own, and mirrors."""
        root = record.tree_root()
        if not is_hidden(record.branch):
            return self.root(root)
        return self.root(root, mirror=self._mirrors[record.branch]) if record.branch in self._mirrors else root

    def opened(self, entry: OpenEntry) -> Root:
        """Return the tree of an open commit without the content."""
        return self.root(entry.tree_root())

    def noted(self, body: RefsBody) -> RefsBody:
        """Return the body: the rows say it."""
        return body

    def _rewritten(self, root: Root, mirror: bytes | None) -> Root:
        tree = Tree(self._pages, root)
        if mirror is None and not self._key:
            self.met = True
            if not self._recursive:
                raise self._is_directory(b"")
            return self._strip.root(root)
        keys = [self._key] if mirror is None else self._keys_below(tree, mirror)
        edits = [one for key in keys for one in self._edits(tree, key)]
        return edit(self._pages, root, edits, changed=None, collisions="allow") if edits else root

    def _edits(self, tree: Tree, key: bytes) -> list[Edit]:
        file = tree.stat(key, want="file")
        folder = tree.stat(key, want="dir") if key else None
        self.met = self.met or file is not None or folder is not None
        edits = [] if file is None else self._strip.file(file)
        if folder is not None and self._recursive:
            edits += self._strip.folder(tree, folder)
        elif folder is not None and file is None:
            raise self._is_directory(key)
        return edits

    def _is_directory(self, key: bytes) -> InvalidInputError:
        return InvalidInputError(f"{from_key(key)} is a directory in some commit: purge all below it with -r")

    def _keys_below(self, tree: Tree, folder: bytes) -> list[bytes]:
        """Return the path in each directory below ``folder`` that has it."""
        row = tree.stat(folder, want="dir")
        if row is None:
            return []
        if not self._key:
            return [folder]
        if row.pid == NO_PAGE:
            names = [below.key[len(folder) + 1 :] for below in tree.list(folder) if below.is_dir]
            found = [name for name in names if self._has(tree, folder + b"/" + name + b"/" + self._key)]
        else:
            found = self._having(row.pid)
        return [folder + b"/" + name + b"/" + self._key for name in found]

    def _has(self, tree: Tree, key: bytes) -> bool:
        return tree.stat(key) is not None

    def _having(self, pid: PageId) -> list[bytes]:
        """Return the names of the directories of a page, and the pages below it, that have the path; each page once."""
        if pid not in self._below:
            page = open_page(self._pages, pid)
            if page.level:
                self._below[pid] = [name for row in range(page.count) for name in self._having(page.pid_of(row))]
            else:
                tree = Tree(self._pages, Root(pid, page.logical_id, page.size, page.file_count))
                names = (cell.name[:-1] for cell in page.cells() if cell.kind == Kind.DIR and not cell.depth)
                self._below[pid] = [name for name in names if self._has(tree, name + b"/" + self._key)]
        return self._below[pid]
