"""Archived inputs of a job: all that its datums have yet to read is asked for at once, and the job waits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, Never

from pfs.errors import ThawingError
from pfs.trees.page import Kind

if TYPE_CHECKING:
    from pfs.gc.mark import Marker
    from pfs.store import Store
    from pfs.trees.tree import Tree
    from pps.executor import DatumInput, DatumTask

REST_NS: Final = 300 * 1_000_000_000
"""How long a job rests before it looks again: what is in an archive takes minutes at least, and mostly hours."""


def thaw_inputs(store: Store, pipeline: str, tasks: Iterable[DatumTask], *, why: str) -> Never:
    """Ask for the archived packs that these datums read; a read of their pages, and of footers of archived packs.

    Raises:
        ThawingError: always, with how far it is. StorageError: it cannot be asked for.
    """
    from pfs.refs.tiering import read_rule
    from pfs.tiers.thaw import needed_packs, thaw

    packs = needed_packs(store, lambda marker: _mark(store, tasks, marker))
    found = thaw(store, packs, read_rule(store.backend))
    detail = f"{found.ready} of {found.packs} packs can be read by now" if found.packs else why
    raise ThawingError(f"what pipeline {pipeline} has yet to read", detail)


def _mark(store: Store, tasks: Iterable[DatumTask], marker: Marker) -> None:
    trees: dict[tuple[str, str], Tree] = {}
    for task in tasks:
        for given in task.inputs:
            if not given.empty_files:
                _mark_input(given, _tree(store, given, trees), marker)


def _tree(store: Store, given: DatumInput, trees: dict[tuple[str, str], Tree]) -> Tree:
    key = given.repo, given.commit
    if key not in trees:
        trees[key] = store.repo(given.repo).view(given.commit).tree
    return trees[key]


def _mark_input(given: DatumInput, tree: Tree, marker: Marker) -> None:
    for row in given.rows:
        if row.is_dir and not row.key:
            marker.tree(tree.root)
        elif row.is_dir:
            for file in tree.walk(row.key):
                marker.file(file.kind, file.tid)
        elif row.kind in (Kind.FILE, Kind.CHUNKED):
            marker.file(row.kind, row.tid)
