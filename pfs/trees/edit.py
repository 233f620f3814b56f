"""Changing a tree: a set of edits on a root gives another root, at the cost of the pages they touch.

The result depends on the files that are there in the end and on nothing else (promise 1): any order of edits, or
a bulk build, gives the same ``tid`` and, with the same ``changed`` and metadata, the same ``pid``.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Literal, NamedTuple, TypeVar

from pfs.errors import FileCollisionError
from pfs.ids import NO_PAGE, PageId, TreeId
from pfs.paths import from_key
from pfs.trees.cutrule import FORMAT, TreeParams
from pfs.trees.edits import Delete, DeleteTree, Edit, Graft, Put, check_edit
from pfs.trees.level import Content, Spot, rebuild
from pfs.trees.page import Cell, Changed, Group, Page, pack_aux
from pfs.trees.patch import Patch, fits, single_row
from pfs.trees.plan import Plan, planned
from pfs.trees.row import EMPTY_ROOT, PageSink, Root, open_page
from pfs.trees.seal import Folder, Sealer, groups_of, inlined_rows, marker
from pfs.trees.tree import Tree

__all__ = ["Delete", "DeleteTree", "Edit", "Graft", "Put", "check_edit", "copy_dir", "edit", "open_root"]


def copy_dir(source: Tree, key: bytes, target: bytes) -> list[Edit]:
    """Return the edits that put directory ``key`` of ``source`` at ``target``; empty if there is none.

    One graft, or some puts (at most as many as rows are inlined). Files and directories that stand at ``target``
    already are replaced.
    """
    row = source.stat(key, want="dir")
    if row is None:
        return []
    if row.pid != NO_PAGE:
        return [Graft(target, row)]
    base = target + b"/" if target else b""
    copies: list[Edit] = [DeleteTree(target)]
    copies += [
        Put(base + below.key[len(key) + 1 :], below.kind, below.size, below.tid, below.aux)
        for below in source.walk(key)
    ]
    return copies


def edit(
    pages: PageSink,
    root: Root,
    edits: Sequence[Edit],
    *,
    changed: Changed | None,
    collisions: Literal["refuse", "allow"] = "refuse",
    params: TreeParams = FORMAT,
) -> Root:
    """Return the root after all ``edits``, applied in their order; touches O(k log n) pages for k edits.

    Args:
        pages: where pages are read and new ones written.
        root: the tree to start from.
        edits: later ones win over earlier ones, also a tree over what was put below it. What is deleted and put
            again, with a tree or alone, counts as put over the old.
        changed: what rows that differ in kind, size, tid or metadata get; others keep theirs.
        collisions: whether a path may be both a file and a directory in the end.
        params: shape of the tree; a store's never change.

    Raises:
        FileCollisionError: a put or graft would make a path both a file and a directory.
        InvalidInputError: an empty key, a row that is no file or directory, an element of over 65534 bytes.
    """
    editor = _Editor(Sealer(pages, params), changed, refuse=collisions == "refuse")
    folder = editor.run(planned(edits), open_root(pages, root))
    if folder is None:
        return EMPTY_ROOT
    if folder.pid == root.pid:
        return root
    return Root(editor.sealer.store(folder), folder.tid, folder.size, folder.files)


def open_root(pages: PageSink, root: Root) -> Folder | None:
    """Return the root directory as edits take it."""
    if root == EMPTY_ROOT:
        return None
    return Folder(root.tid, root.size, root.count, None, root.pid, [])


class _Call(NamedTuple):
    """One directory to be edited: the edits, what it holds now, and its full key with its slash."""

    plan: Plan
    old: Folder | None
    prefix: bytes


_Result = TypeVar("_Result")
_Steps = Generator[_Call, Folder | None, _Result]
"""A computation that asks for directories below to be edited first."""


class _Editor:
    """One run of edits."""

    def __init__(self, sealer: Sealer, changed: Changed | None, *, refuse: bool) -> None:
        self.sealer = sealer
        self.changed = changed
        self.refuse = refuse

    def run(self, plan: Plan, old: Folder | None) -> Folder | None:
        """Return the root directory after the edits of ``plan``; ``old`` itself if they change nothing.

        Directories are nested calls on a stack of our own: a key may have 2,000 steps.
        """
        calls = [self._apply(_Call(plan, old, b""))]
        result: Folder | None = None
        while calls:
            try:
                below = calls[-1].send(result)
            except StopIteration as end:
                calls.pop()
                result = end.value
            else:
                calls.append(self._apply(below))
                result = None
        return result

    def _apply(self, call: _Call) -> _Steps[Folder | None]:
        plan, old, prefix = call
        fresh = self._fresh(plan, old) if plan.rows else None
        if fresh is not None:
            return fresh
        plan.spread()
        names = plan.names()
        if isinstance(plan.base, Graft):
            old = self.sealer.folder_of(plan.base.row.pid)
        if isinstance(plan.base, DeleteTree):
            groups = self._known(names, old)
        elif not names:
            return old
        elif old is not None and old.pid != NO_PAGE:
            return (yield from self._apply_to_pages(plan, names, old, prefix))
        else:
            groups = groups_of(old.rows) if old else []
        merged = yield from self._merge(plan, names, groups, prefix)
        self._check_collisions(plan, {group[0].name for group in merged}, prefix)
        return self.sealer.finish(0, self.sealer.split(0, merged))

    def _fresh(self, plan: Plan, old: Folder | None) -> Folder | None:
        """Return a directory of many files where none stood, made of columns; None where edits must be merged."""
        puts = [one for one in plan.files.values() if isinstance(one, Put) and one.changed is None]
        alone = old is None and not plan.folders and not isinstance(plan.base, Graft) and len(puts) == len(plan.files)
        if not alone or sum(len(rows.names) for rows in plan.rows) <= self.sealer.params.inline:
            return None
        from pfs.trees.fresh import fresh_folder, rows_of

        parts = plan.rows + ([rows_of(plan.rows[0].key, puts)] if puts else [])
        return fresh_folder(self.sealer, parts, changed=self.changed)

    def _known(self, names: list[bytes], old: Folder | None) -> list[Group]:
        """Return the old groups of ``names`` alone: what is removed and put again unchanged keeps its commit."""
        if old is None or old.pid == NO_PAGE:
            groups = groups_of(old.rows) if old else []
        else:
            top = Spot(self.sealer.pages, open_page(self.sealer.pages, old.pid))
            spots = dict.fromkeys(top.leaf(name) for name in names)
            groups = [group for spot in spots for group in groups_of(spot.page.cells())]
        wanted = set(names)
        return [group for group in groups if group[0].name in wanted]

    def _apply_to_pages(self, plan: Plan, names: list[bytes], old: Folder, prefix: bytes) -> _Steps[Folder | None]:
        top = Spot(self.sealer.pages, open_page(self.sealer.pages, old.pid))
        wanted = top.leaves(names)
        touched: list[tuple[Spot, Content]] = []
        there: set[bytes] = set()
        for spot, some in wanted.items():
            content = yield from self._leaf(plan, some, spot.page, prefix)
            if self.refuse:
                there |= _direct_names(content, some)
            if content != groups_of(spot.page.cells()) if isinstance(content, list) else content.cells:
                touched.append((spot, content))
        if self.refuse:
            self._look_up_siblings(plan, wanted, top, there)
            self._check_collisions(plan, there, prefix)
        return rebuild(self.sealer, touched) if touched else old

    def _leaf(self, plan: Plan, names: list[bytes], page: Page, prefix: bytes) -> _Steps[Content]:
        """Return what a leaf is to hold: a patch where each name keeps its one row, else its groups."""
        rows = [single_row(page, name) for name in names]
        found: dict[bytes, Group] = {}
        if None in rows:
            found = {group[0].name: group for group in groups_of(page.cells())}
            old = [found.get(name) for name in names]
        else:
            old = [[page.cell(row)] for row in rows if row is not None]
        new = []
        for name, group in zip(names, old, strict=True):
            new.append((yield from self._child(plan, name, group, prefix)))
        if None not in rows and all(fits(was, now) for was, now in zip(old, new, strict=True)):
            trios = zip(rows, old, new, strict=True)
            return Patch(page, {row: now[0] for row, was, now in trios if row is not None and now and now != was})
        found = found or {group[0].name: group for group in groups_of(page.cells())}
        return _with_children(found, dict(zip(names, new, strict=True)))

    def _look_up_siblings(self, plan: Plan, wanted: dict[Spot, list[bytes]], top: Spot, there: set[bytes]) -> None:
        """Add to ``there`` the untouched twins (`a` of `a/` and the other way) that lie in other leaves than those."""
        for spot, name in ((spot, name) for spot, names in wanted.items() for name in names):
            is_dir = name.endswith(b"/")
            twin = name[:-1] if is_dir else name + b"/"
            if not is_dir and spot.last is not None and twin <= spot.last:
                continue  # it would be in the leaf of `name`, of which all is in `there`
            if name not in there or twin in there or twin in plan.files or twin in plan.folders:
                continue
            page = top.leaf(twin).page
            row = page.find(twin)
            if row < page.count and page.name(row) == twin and page.depth(row) == 0:
                there.add(twin)

    def _check_collisions(self, plan: Plan, there: set[bytes], prefix: bytes) -> None:
        """Refuse a put or graft of this directory whose path is both a file and a directory in ``there``."""
        if not self.refuse:
            return
        for name, one in plan.files.items():
            if name and name + b"/" in there and name in there and isinstance(one, Put):
                raise FileCollisionError(from_key(one.key), from_key(one.key) + "/")
        for name, below in plan.folders.items():
            written = next(below.writes(), None)
            if name != b"/" and name[:-1] in there and name in there and written is not None:
                raise FileCollisionError(from_key(written), from_key(prefix + name[:-1]))

    def _merge(self, plan: Plan, names: list[bytes], groups: list[Group], prefix: bytes) -> _Steps[list[Group]]:
        """Return the groups with those of ``names`` replaced, added or left out."""
        by_name = {group[0].name: group for group in groups}
        new: dict[bytes, Group | None] = {}
        for name in names:
            new[name] = yield from self._child(plan, name, by_name.get(name), prefix)
        return _with_children(by_name, new)

    def _child(self, plan: Plan, name: bytes, old: Group | None, prefix: bytes) -> _Steps[Group | None]:
        """Return what a direct child is to be; None: it goes."""
        new = self._file(plan.files[name], old) if name in plan.files else None
        if name in plan.folders:
            new = yield from self._folder(plan.folders[name], old, prefix + name)
        return new

    def _file(self, one: Put | Delete, old: Group | None) -> Group | None:
        if isinstance(one, Delete):
            return None
        name = one.key[one.key.rfind(b"/") + 1 :]
        changed = one.changed or self.changed
        new = Cell(name, one.kind, 0, one.size, one.tid, changed=changed, aux=pack_aux(one.aux))
        if old and not one.force and old[0]._replace(changed=changed) == new:
            return old
        return [new]

    def _folder(self, plan: Plan, old: Group | None, prefix: bytes) -> _Steps[Group | None]:
        before = None
        if old:
            top = old[0]
            before = Folder(TreeId(top.tid), top.size, top.files, top.changed, PageId(top.pid), inlined_rows(old))
        after = yield _Call(plan, before, prefix)
        if after is before:
            return old
        name = prefix[prefix.rfind(b"/", 0, -1) + 1 :]
        return marker(name, after) if after else None


def _with_children(groups: dict[bytes, Group], new: Mapping[bytes, Group | None]) -> list[Group]:
    """Return the groups in order, those of ``new`` replaced, added or left out."""
    for name, group in new.items():
        if group:
            groups[name] = group
        else:
            groups.pop(name, None)
    return [groups[name] for name in sorted(groups)]


def _direct_names(content: Content, names: list[bytes]) -> set[bytes]:
    """Return the direct children of a leaf as it is to be; of a patch, of ``names`` and their twins alone."""
    if isinstance(content, list):
        return {group[0].name for group in content}
    page, there = content.page, set(names)
    for name in names:
        twin = name[:-1] if name.endswith(b"/") else name + b"/"
        row = page.find(twin)
        if row < page.count and page.name(row) == twin and page.depth(row) == 0:
            there.add(twin)
    return there
