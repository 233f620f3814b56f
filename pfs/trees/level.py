"""Changing one level of a directory's pages, and the levels above it, with as few pages as the change needs.

The cut rule starts afresh behind every cut, so the pages before a touched page stay; from its start the rows
are cut again until a cut coincides with an old page end, and the pages behind that stay too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from pfs.trees.page import Group, Page
from pfs.trees.patch import Patch
from pfs.trees.row import PageSource, open_page
from pfs.trees.seal import Folder, Sealer, groups_of, page_folder


class Spot:
    """A page of the old tree and its place in the page above; each is made once, so spots compare by identity."""

    def __init__(self, pages: PageSource, page: Page, parent: Spot | None = None, row: int = 0) -> None:
        self.page = page
        self.parent = parent
        self.row = row
        self.last = None if parent is None else parent.page.name(row)
        """The last name that this page takes beside its siblings; the last sibling takes what is behind it too."""
        self._pages = pages
        self._children: dict[int, Spot] = {}

    def child(self, row: int) -> Spot:
        """Return the page below a row."""
        spot = self._children.get(row)
        if spot is None:
            page = open_page(self._pages, self.page.pid_of(row))
            spot = self._children[row] = Spot(self._pages, page, self, row)
        return spot

    def next(self) -> Spot | None:
        """Return the page behind this one on its level."""
        if self.parent is None:
            return None
        if self.row + 1 < self.parent.page.count:
            return self.parent.child(self.row + 1)
        uncle = self.parent.next()
        return uncle.child(0) if uncle else None

    def leaf(self, name: bytes) -> Spot:
        """Return the leaf that holds, or would take, the direct child ``name``."""
        spot = self
        while spot.page.level:
            spot = spot.child(min(spot.page.find(name), spot.page.count - 1))
        return spot

    def leaves(self, names: Sequence[bytes]) -> dict[Spot, list[bytes]]:
        """Return the leaves of ascending names, with their names; one search a leaf."""
        found: dict[Spot, list[bytes]] = {}
        spot, some = self, list[bytes]()
        for name in names:
            if spot.last is None or name > spot.last:
                spot = self.leaf(name)
                some = found.setdefault(spot, [])
            some.append(name)
        return found


Content = list[Group] | Patch
"""What a page is to hold."""
Touched = Iterable[tuple[Spot, Content]]


def rebuild(sealer: Sealer, touched: Touched) -> Folder | None:
    """Return the directory in which the leaves of ``touched`` hold other rows; leaves in order, at least one."""
    level = 0
    while True:
        lifted, top = _relevel(sealer, level, touched)
        if isinstance(top, Patch):
            return page_folder(sealer.seal_patch(top)[0])
        if not lifted:
            return sealer.finish(level, top)
        touched = [(spot, _replaced(spot.page, rows)) for spot, rows in lifted.items()]
        level += 1


def _replaced(page: Page, rows: dict[int, list[Group]]) -> Content:
    """Return an index page with some of its rows replaced: a patch, where each is by one of the same name."""
    if all(len(groups) == 1 and groups[0][0].name == page.name(row) for row, groups in rows.items()):
        return Patch(page, {row: groups[0][0] for row, groups in rows.items()})
    groups: list[Group] = []
    for row, group in enumerate(groups_of(page.cells())):
        groups += rows.get(row, [group])
    return groups


_Lifted = dict[Spot, dict[int, list[Group]]]


def _relevel(sealer: Sealer, level: int, touched: Touched) -> tuple[_Lifted, list[Sequence[Group]] | Patch]:
    """Write one level again; return the rows that replace others one level up, or what the top is to hold."""
    pending = deque(touched)
    lifted: _Lifted = {}
    while pending:
        first, content = pending[0]
        if isinstance(content, Patch):  # the names are the same, and so are the cuts
            pending.popleft()
            if first.parent is None:
                return {}, content
            lifted.setdefault(first.parent, {})[first.row] = [sealer.seal_patch(content)]
            continue
        used, parts = _run(sealer, level, pending)
        if first.parent is None:
            return {}, parts
        for spot in used:
            if spot.parent is not None:
                lifted.setdefault(spot.parent, {})[spot.row] = []
        lifted[first.parent][first.row] = [sealer.seal(level, groups) for groups in parts]
    return lifted, []


def _groups(content: Content) -> list[Group]:
    return content.groups() if isinstance(content, Patch) else content


def _run(sealer: Sealer, level: int, pending: deque[tuple[Spot, Content]]) -> tuple[list[Spot], list[Sequence[Group]]]:
    """Cut from the start of the first pending page until an old page end; return the old pages and new parts."""
    spot, content = pending.popleft()
    groups: Sequence[Group] = _groups(content)
    used, parts = [spot], list[Sequence[Group]]()
    while True:
        start = 0
        for end in sealer.cut(level, groups):
            parts.append(groups[start:end])
            start = end
        tail = groups[start:]
        behind = spot.next() if tail else None
        if behind is None:
            return used, [*parts, tail] if tail else parts
        spot = behind
        used.append(spot)
        joined = _groups(pending.popleft()[1]) if pending and pending[0][0] is spot else groups_of(spot.page.cells())
        groups = [*tail, *joined]
