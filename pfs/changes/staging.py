"""The changes of one commit before it is published: edits that wait, over a working tree that holds the earlier ones.

Memory is bounded: at most PENDING edits wait, then they are put into pages of the session. What a commit
changes is later read off by comparing base and working tree, so the edits themselves need not be kept for a
merge.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal

from pfs.changes.rebase import Changes, Collisions
from pfs.errors import FileCollisionError
from pfs.ids import NO_PAGE
from pfs.paths import from_key
from pfs.trees.edit import Delete, Edit, Graft, Put, edit
from pfs.trees.page import Changed
from pfs.trees.put_rows import PutRows
from pfs.trees.row import Root, Row
from pfs.trees.tree import Tree

if TYPE_CHECKING:
    from pfs.packs.session import WriteSession

PENDING = 32_768
"""Edits that wait at most; a commit of fewer is one edit of the tree."""


class Staging:
    """Edits on top of a base tree; thread-safe."""

    def __init__(self, session: WriteSession, base: Root, changed: Changed, *, collisions: Collisions) -> None:
        self._session, self._collisions = session, collisions
        self.changed: Final = changed
        """What rows get that are changed here."""
        self._base = self._root = base
        self._pending: list[Edit] = []
        self._waiting = 0
        self._files: dict[bytes, Put | Delete] = {}
        self._dirs: set[bytes] = set()
        self._by_columns: set[bytes] = set()
        """Directories of files that wait and are not among ``_files``."""
        self._forced: dict[bytes, Put] = {}
        self._calls: dict[int, int] = {}
        self.lock = threading.RLock()
        """Held for what reads the staged state and then changes it."""

    def add(self, edits: Sequence[Edit]) -> None:
        """Stage edits; they come after all earlier ones.

        Raises:
            FileCollisionError: found when a full batch is put into the tree; the path may be of an earlier call.
        """
        with self.lock:
            whole, caller = False, threading.get_ident()
            self._calls[caller] = self._calls.get(caller, 0) + 1
            for one in edits:
                self._pending.append(one)
                self._waiting += len(one.names) if isinstance(one, PutRows) else 1
                if isinstance(one, Put) and one.force:
                    self._forced[one.key] = one
                if isinstance(one, PutRows):
                    self._add_columns(one)
                elif isinstance(one, Put | Delete):
                    self._files[one.key] = one
                    at = one.key.rfind(b"/")
                    if at >= 0 and one.key[:at] not in self._dirs:
                        self._dirs.update(_above(one.key))
                else:
                    whole = True
                if self._waiting >= PENDING:
                    self._flush()
            if whole:  # what directories hold now is in the tree only
                self._flush()

    def calls_of_others(self) -> int:
        """Return how often other threads staged something: where that grew, what is here is not one's own alone."""
        with self.lock:
            return sum(self._calls.values()) - self._calls.get(threading.get_ident(), 0)

    def _add_columns(self, rows: PutRows) -> None:
        self._by_columns.add(rows.key)
        self._dirs.update((*_above(rows.key), rows.key))
        for name in rows.names if self._files else ():
            self._files.pop(rows.key_of(name), None)

    def add_file(self, put: Put) -> None:
        """Stage one file, refusing a path that is a directory or lies below a file.

        Raises:
            FileCollisionError: naming what stands there; nothing was staged.
        """
        with self.lock:
            if self._collisions == "refuse":
                self._refuse_collision(put.key)
            self.add([put])

    def graft(self, key: bytes, row: Row, *, first: bytes) -> None:
        """Stage a directory where none is; ``first`` is the key of a file in it.

        Raises:
            FileCollisionError: there, or above it, is a file; nothing was staged.
        """
        with self.lock:
            if self._collisions == "refuse":
                self._refuse_collision(first)
            self.add([Graft(key, row)])

    def stat(self, key: bytes, *, want: Literal["file", "dir"] | None = None) -> Row | None:
        """Return the row at ``key`` with everything staged so far."""
        with self.lock:
            staged = self._files.get(key)
            if isinstance(staged, Put) and want != "dir":
                return Row(key, staged.kind, staged.size, staged.tid, 1, NO_PAGE, self.changed, staged.aux)
            below = want != "file" and (not key or key in self._dirs)
            if self._pending and (staged is not None or below or (want != "dir" and self._may_wait(key))):
                self._flush()
            return Tree(self._session, self._root).stat(key, want=want)

    def changes(self) -> Changes:
        """Put everything into the tree and return what changed; raises FileCollisionError."""
        with self.lock:
            self._flush()
            return Changes(self._base, self._root, tuple(self._forced.values()))

    def _flush(self) -> None:
        # What collides stays pending: the next flush, at finish the latest, refuses again. Else a caller who caught the
        # error would commit without what waited beside it.
        if self._pending:
            root = edit(self._session, self._root, self._pending, changed=self.changed, collisions=self._collisions)
            self._root, self._pending, self._waiting = root, [], 0
        self._files, self._dirs, self._by_columns = {}, set(), set()

    def _may_wait(self, key: bytes) -> bool:
        """Say whether a file may be one of those that wait as columns."""
        return key[: max(key.rfind(b"/"), 0)] in self._by_columns

    def _refuse_collision(self, key: bytes) -> None:
        above = _above(key)
        if key in self._dirs or any(folder in self._files or self._may_wait(folder) for folder in above):
            self._flush()  # the tree says whether what waits really collides
        tree = Tree(self._session, self._root)
        if key not in self._files and tree.stat(key, want="dir") is not None:
            raise FileCollisionError(from_key(key), f"directory {from_key(key)}/")
        for folder in above:
            if folder not in self._files and tree.stat(folder, want="file") is not None:
                raise FileCollisionError(from_key(key), f"file {from_key(folder)}")


def _above(key: bytes) -> list[bytes]:
    """Return the directories that a key lies in, the outermost first."""
    parts = key.split(b"/")[:-1]
    return [b"/".join(parts[: depth + 1]) for depth in range(len(parts))]
