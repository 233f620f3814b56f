"""The datums that an input would give now, before its pipeline exists."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pfs.errors import BranchNotFoundError, RepoNotFoundError
from pfs.ids import CommitId
from pps.datums.datum import datum_id
from pps.datums.inputs import datums
from pps.model.infos import DatumFile
from pps.scheduling.jobplan import CommitMatches
from pps.spec.input import leaves
from pps.spec.types import Input, PfsInput

if TYPE_CHECKING:
    from pfs.store import Store
    from pfs.trees.tree import Row
    from pps.scheduling.queue import Branch


_NO_COMMIT = CommitId("0" * 32)


@dataclass(frozen=True, slots=True)
class DatumPreview:
    """A datum that would be; ``id`` is what it would have in every job that sees these paths, and is its name there."""

    id: str
    inputs: tuple[DatumFile, ...]
    input_bytes: int


def preview_datums(
    store: Store, node: Input, *, tell: Callable[[str], None] = lambda text: None
) -> Iterator[DatumPreview]:
    """Yield the datums of an input at the heads of its branches, in the order of the input.

    A branch that a pipeline would make for a trigger counts as the one that it follows. One that has no commit, or is
    not there yet, has nothing that matches, and is told; so has the repo of a cron input before its first tick.

    Raises:
        RepoNotFoundError: an input is not there.
        EmptyKeyError: as `pps.datums.inputs.datums`.
    """
    heads: dict[Branch, CommitId] = {}
    for leaf in leaves(node):
        head = _head(store, leaf)
        if head is None:
            tell(f"{leaf.repo}@{leaf.branch} has no commit yet, so nothing of input {leaf.name!r} matches")
        else:
            heads[leaf.repo, leaf.branch] = head
    return _previews(node, _Heads(store, heads))


class _Heads(CommitMatches):
    """Heads of branches, of which some have none."""

    def __init__(self, store: Store, heads: dict[Branch, CommitId]) -> None:
        super().__init__(store, heads)
        self._heads = heads

    def commit(self, leaf: PfsInput) -> CommitId:
        """Return the head of a leaf's branch; where there is none, what no row goes with."""
        return self._heads.get((leaf.repo, leaf.branch), _NO_COMMIT)

    def rows(self, leaf: PfsInput) -> Iterator[Row]:
        """Yield what matches a leaf's glob, in key order."""
        return super().rows(leaf) if (leaf.repo, leaf.branch) in self._heads else iter(())


def _previews(node: Input, matches: _Heads) -> Iterator[DatumPreview]:
    for datum in datums(node, matches):
        files = tuple(
            DatumFile(item.leaf.name, item.leaf.repo, item.leaf.branch, item.commit, item.path) for item in datum
        )
        size = sum(item.row.size for item in datum if not item.leaf.empty_files)
        yield DatumPreview(datum_id(datum).hex(), files, size)


def _head(store: Store, leaf: PfsInput) -> CommitId | None:
    """Return what a pipeline would read of a leaf now, None if nothing yet."""
    try:
        repo = store.repo(leaf.repo)
        try:
            return repo.branch(leaf.branch).head
        except BranchNotFoundError:
            return None if leaf.trigger is None else repo.branch(leaf.trigger.branch).head
    except BranchNotFoundError:
        return None
    except RepoNotFoundError:
        if leaf.cron is None:
            raise
        return None
