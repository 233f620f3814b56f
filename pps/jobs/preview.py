"""The datums that an input would give now, before its pipeline exists."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pfs.errors import BranchEmptyError
from pfs.ids import CommitId
from pps.datums.datum import datum_id
from pps.datums.inputs import datums
from pps.model.infos import DatumFile
from pps.scheduling.jobplan import CommitMatches
from pps.spec.input import leaves
from pps.spec.types import Input

if TYPE_CHECKING:
    from pfs.store import Store
    from pps.scheduling.queue import Branch


@dataclass(frozen=True, slots=True)
class DatumPreview:
    """A datum that would be; ``id`` is what it would have in every job that sees these paths, and is its name there."""

    id: str
    inputs: tuple[DatumFile, ...]
    input_bytes: int


def preview_datums(store: Store, node: Input) -> Iterator[DatumPreview]:
    """Yield the datums of an input at the heads of its branches, in the order of the input.

    Raises:
        RepoNotFoundError, BranchNotFoundError: an input is not there.
        BranchEmptyError: an input has no commit.
    """
    heads = {(leaf.repo, leaf.branch): _head(store, leaf.repo, leaf.branch) for leaf in leaves(node)}
    return _previews(store, node, heads)


def _previews(store: Store, node: Input, heads: dict[Branch, CommitId]) -> Iterator[DatumPreview]:
    for datum in datums(node, CommitMatches(store, heads)):
        files = tuple(
            DatumFile(item.leaf.name, item.leaf.repo, item.leaf.branch, item.commit, item.path) for item in datum
        )
        size = sum(item.row.size for item in datum if not item.leaf.empty_files)
        yield DatumPreview(datum_id(datum).hex(), files, size)


def _head(store: Store, repo: str, branch: str) -> CommitId:
    head = store.repo(repo).branch(branch).head
    if head is None:
        raise BranchEmptyError(repo, branch)
    return head
