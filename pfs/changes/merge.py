"""Three-way merge of trees: what one side did since a common base is put on the other; O(changes), memory bounded.

``ours`` is the side that the result is made on, ``theirs`` the one whose changes are taken. They come in key order, and
each is compared with what our tree has at its path: it costs what they changed, however much we did.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal, NamedTuple

from pfs.changes.rebase import BATCH, same_file
from pfs.errors import InvalidInputError
from pfs.paths import clean_path, from_key, to_key
from pfs.shorten import quoted
from pfs.trees.diff import Change, diff
from pfs.trees.edit import Delete, DeleteTree, Edit, Put, edit
from pfs.trees.page import Changed
from pfs.trees.row import PageSink, Root, Row
from pfs.trees.tree import Tree

Side = Literal["ours", "theirs"]
Reason = Literal["both modified", "both added", "deleted by us", "deleted by them", "file and directory"]
REPORTED = 1_000
"""Conflicts that a report lists; more are counted."""

_TOGETHER = 256
"""Changes whose pages of ours are read together: some 10 MiB of them."""


class Conflict(NamedTuple):
    """A path that both sides changed, each in its own way."""

    path: str
    reason: Reason


class Trees(NamedTuple):
    """The three trees of a merge."""

    base: Root
    ours: Root
    theirs: Root


@dataclass(frozen=True, slots=True)
class Resolution:
    """Which side wins where both changed a path: of single paths, of directories, and of all others."""

    default: Side | None = None
    paths: Mapping[bytes, Side] = field(default_factory=dict)
    """By key; a directory counts for all below it, the longest that fits wins, the empty key is the root."""

    def rule(self, key: bytes) -> bytes | None:
        """Return which of ``paths`` counts for ``key``; None: the default does."""
        at = key
        while at not in self.paths:
            if not at:
                return None
            at = at[: max(at.rfind(b"/"), 0)]
        return at


UNRESOLVED = Resolution()
"""Every path that both sides changed is a conflict."""


def parse_resolutions(texts: Sequence[str], *, default: Side | None) -> Resolution:
    """Return what ``PATH=ours`` and ``PATH=theirs`` ask for.

    Raises:
        InvalidInputError: another shape, or one path with both. InvalidPathError: no path.
    """
    paths: dict[bytes, Side] = {}
    for text in texts:
        path, equals, side = text.rpartition("=")
        if not equals or side not in ("ours", "theirs"):
            raise InvalidInputError(f"{quoted(text)} resolves nothing: write PATH=ours or PATH=theirs")
        key = to_key(path)
        wanted: Side = "ours" if side == "ours" else "theirs"
        if paths.setdefault(key, wanted) != wanted:
            raise InvalidInputError(f"{clean_path(path)} is to be both ours and theirs")
    return Resolution(default, paths)


class Merge:
    """One merge of trees: `run` gives the tree; `conflicts` and `conflict_count` then say what stood against it."""

    def __init__(self, pages: PageSink, trees: Trees, resolution: Resolution) -> None:
        self._pages, self._trees, self._resolution = pages, trees, resolution
        self._ours = Tree(pages, trees.ours)
        self._suspects: dict[bytes, None] = {}
        self.conflicts: list[Conflict] = []
        """The first REPORTED conflicts."""
        self.conflict_count = 0
        self.used = set[bytes]()
        """The paths of the resolution that decided something."""

    def run(self, *, changed: Changed) -> Root:
        """Return the merged tree; where there are conflicts it holds our side, and is not to be published."""
        trees = self._trees
        if trees.theirs.pid == trees.base.pid:
            return trees.ours
        root, edits = trees.ours, self._edits()
        while batch := list(islice(edits, BATCH)):
            root = edit(self._pages, root, batch, changed=changed, collisions="allow")
        return self._without_collisions(root, changed)

    def _edits(self) -> Iterator[Edit]:
        """Yield what takes their changes over; what we did is looked up where they changed something, only there."""
        changes = diff(self._pages, self._trees.base, self._pages, self._trees.theirs)
        while some := list(islice(changes, _TOGETHER)):
            self._ours.prefetch(change.key for change in some)
            for change in some:
                mine = self._ours.stat(change.key, want="file")
                if same_file(mine, change.old) or self._is_taken(mine, change):
                    yield self._edit(change, there=mine)

    def _edit(self, change: Change, *, there: Row | None) -> Edit:
        """Return the edit that takes their change over; ``there`` is the file of ours that it changes."""
        row = change.new
        if row is None:
            return Delete(change.key)
        if there is None:  # else nothing new can be in the way
            self._suspect(change.key)
        return Put(row.key, row.kind, row.size, row.tid, row.aux, force=True)

    def _is_taken(self, mine: Row | None, theirs: Change) -> bool:
        """Say whether their change of a path that we changed too is taken; a conflict takes ours, and is noted."""
        if same_file(mine, theirs.new):
            return False
        side = self._side(theirs.key)
        if side is None:
            self._note(theirs.key, _reason(mine, theirs))
        return side == "theirs"

    def _side(self, key: bytes) -> Side | None:
        """Return the side that wins a conflict at ``key``; None: it is not resolved."""
        rule = self._resolution.rule(key)
        if rule is None:
            return self._resolution.default
        self.used.add(rule)
        return self._resolution.paths[rule]

    def _note(self, key: bytes, reason: Reason) -> None:
        self.conflict_count += 1
        if len(self.conflicts) < REPORTED:
            self.conflicts.append(Conflict(from_key(key), reason))

    def _suspect(self, key: bytes) -> None:
        """Remember where a put may make a path both file and directory: at itself, or at a file of ours above it."""
        point = key if self._ours.stat(key, want="dir") is not None else self._file_above(key)
        if point is not None:
            self._suspects[point] = None

    def _file_above(self, key: bytes) -> bytes | None:
        """Return our file that stands where ``key`` needs a directory, if there is one."""
        at = key.find(b"/")
        while at != -1:
            if self._ours.stat(key[:at], want="file") is not None:
                return key[:at]
            if self._ours.stat(key[:at], want="dir") is None:
                return None
            at = key.find(b"/", at + 1)
        return None

    def _without_collisions(self, root: Root, changed: Changed) -> Root:
        """Note or resolve the paths that only the two sides together made both a file and a directory."""
        merged, theirs = Tree(self._pages, root), Tree(self._pages, self._trees.theirs)
        edits: list[Edit] = []
        for point in self._suspects:
            if not _is_both(merged, point) or _is_both(self._ours, point) or _is_both(theirs, point):
                continue
            side = self._side(point)
            if side is None:
                self._note(point, "file and directory")
            elif (side == "ours") == (self._ours.stat(point, want="file") is not None):
                edits.append(DeleteTree(point))
            else:
                edits.append(Delete(point))
        return edit(self._pages, root, edits, changed=changed, collisions="allow") if edits else root


def _is_both(tree: Tree, key: bytes) -> bool:
    return tree.stat(key, want="file") is not None and tree.stat(key, want="dir") is not None


def _reason(mine: Row | None, theirs: Change) -> Reason:
    if mine is None:
        return "deleted by us"
    if theirs.new is None:
        return "deleted by them"
    return "both added" if theirs.old is None else "both modified"
