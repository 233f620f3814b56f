"""What changed between two trees, in key order, at the cost of the changes and not of the trees."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from pfs.ids import NO_PAGE
from pfs.trees.compare import Pair, Side, commit_of, unequal_groups
from pfs.trees.page import Kind
from pfs.trees.row import PageSource, Root, Row, row_of
from pfs.trees.tree import Tree


class Change(Struct, frozen=True):
    """One path that differs: only ``new`` = added, only ``old`` = deleted, both = modified."""

    key: bytes
    old: Row | None
    new: Row | None

    @property
    def content_same(self) -> bool:
        """Whether the bytes are the same and only kind or metadata differ."""
        return self.old is not None and self.new is not None and self.old.tid == self.new.tid


class Behind(Struct):
    """Where a diff goes on: only keys behind this one; it may be moved on while the diff runs."""

    key: bytes = b""


def diff(
    pages_a: PageSource,
    root_a: Root,
    pages_b: PageSource,
    root_b: Root,
    *,
    prefix: bytes = b"",
    old_base: bytes | None = None,
    with_dirs: bool = False,
    content_only: bool = False,
    shallow: bool = False,
    versions: bool = False,
    behind: Behind | None = None,
) -> Iterator[Change]:
    """Yield what makes tree b of tree a, in key order; pages that both have are not read.

    A file differs by kind, size, tid or metadata; the commit of its last change alone is no difference, unless
    ``versions`` makes it one. A file that became a directory, or the other way, gives two changes.

    Args:
        pages_a: the source of the old tree's pages.
        root_a: the old tree.
        pages_b: the source of the new tree's pages.
        root_b: the new tree.
        prefix: only keys that start with these bytes.
        old_base: the directory of the old tree, with its slash, that is compared with the directory ``prefix``; keys of
            both sides are given as those of the new one.
        with_dirs: directories too, each before what it holds; one that is in both only if its content differs.
        content_only: leave out changes of metadata alone, and do not look for them.
        shallow: only direct children of the directory of ``prefix``; a directory below which anything differs is one
            change.
        versions: a file differs also when it was last changed in another commit.
        behind: only changes of files behind this key, found by one look-up. Moved on, it leaves out the rest of the
            directories that are not behind it; within one directory it reads on. Not with ``with_dirs`` or ``shallow``.
    """
    base = prefix[: prefix.rfind(b"/") + 1]
    moved = old_base is not None and old_base != base
    if not moved and (root_a.pid == root_b.pid or (content_only and root_a.tid == root_b.tid)):
        return
    start = b"" if behind is None else behind.key
    if start > base and not start.startswith(base):
        return
    floor = start.removeprefix(base) if start.startswith(base) else b""
    old, new = (Side(pages, stem=prefix[len(base) :], floor=floor) for pages in (pages_a, pages_b))
    _start(old, root_a, base if old_base is None else old_base)
    _start(new, root_b, base)
    walker = _Walker(pages_a, pages_b, with_dirs=with_dirs, content_only=content_only, versions=versions)
    found = unequal_groups(old, new, versions=versions)
    pairs = (pair for pair in found if (base + pair.top.name).startswith(prefix))
    yield from walker.top(base, pairs) if shallow else walker.run(base, pairs, behind)


def _start(side: Side, root: Root, base: bytes) -> None:
    if not base:
        side.add_page(root.pid)
        return
    group = Tree(side.pages, root).group(base)
    if group:
        side.add_folder(group)


class _Walker:
    """One run over two trees."""

    def __init__(
        self, pages_a: PageSource, pages_b: PageSource, *, with_dirs: bool, content_only: bool, versions: bool
    ) -> None:
        self._sources = pages_a, pages_b
        self._with_dirs = with_dirs
        self._content_only = content_only
        self._versions = versions

    def run(self, base: bytes, top: Iterator[Pair], behind: Behind | None = None) -> Iterator[Change]:
        """Yield the changes of a directory and all below; its own stack, since paths may be 2,000 deep."""
        stack = [(base, top)]
        while stack:
            prefix, pairs = stack[-1]
            for pair in pairs:
                start = b"" if behind is None else behind.key
                if start > prefix and not start.startswith(prefix):
                    stack.pop()
                    break
                path, is_dir = prefix + pair.top.name, pair.top.kind == Kind.DIR
                if (path <= start and not (is_dir and start.startswith(path))) or not self._differ(pair):
                    continue
                if self._is_shown(pair):
                    yield _change(pair, prefix)
                if is_dir:
                    stack.append((path, self._below(pair, start[len(path) :] if start.startswith(path) else b"")))
                    break
            else:
                stack.pop()

    def top(self, base: bytes, pairs: Iterator[Pair]) -> Iterator[Change]:
        """Yield the changes among the direct children of a directory; of what lies below as much as says yes or no."""
        for pair in pairs:
            if self._differ(pair) and (self._is_modified(pair) or self._has_changes(pair)):
                yield _change(pair, base)

    def _has_changes(self, pair: Pair) -> bool:
        return next(self.run(b"", self._below(pair)), None) is not None

    def _differ(self, pair: Pair) -> bool:
        if pair.old is None or pair.new is None:
            return True
        old, new = pair.old[0], pair.new[0]
        if self._content_only and old.tid == new.tid:
            return False
        if old.kind == Kind.DIR:
            return old.pid != new.pid or old.pid == NO_PAGE
        if self._versions and commit_of(old) != commit_of(new):
            return True
        return (old.kind, old.size, old.tid, old.aux) != (new.kind, new.size, new.tid, new.aux)

    def _is_shown(self, pair: Pair) -> bool:
        return pair.top.kind != Kind.DIR or (self._with_dirs and self._is_modified(pair))

    def _is_modified(self, pair: Pair) -> bool:
        """Say whether it is a file (that differs somehow), or a directory whose content differs."""
        if pair.top.kind != Kind.DIR or pair.old is None or pair.new is None:
            return True
        return pair.old[0].tid != pair.new[0].tid

    def _below(self, pair: Pair, floor: bytes = b"") -> Iterator[Pair]:
        sides = Side(self._sources[0], floor=floor), Side(self._sources[1], floor=floor)
        for side, group in zip(sides, pair, strict=True):
            if group:
                side.add_folder(group)
        return unequal_groups(*sides, versions=self._versions)


def _change(pair: Pair, prefix: bytes) -> Change:
    old = row_of(pair.old[0], prefix) if pair.old else None
    new = row_of(pair.new[0], prefix) if pair.new else None
    return Change(row_of(pair.top, prefix).key, old, new)
