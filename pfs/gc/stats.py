"""What repos take up: as users see it, deduplicated, and compressed in packs. What they share counts once in all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pfs.gc.idset import IdSet, Scratch, prefixes
from pfs.gc.mark import Marker
from pfs.gc.survey import entry_bytes, footers
from pfs.history.reachable import live_commits
from pfs.packs.pack import RecordType, SealedPack
from pfs.refs.body import is_hidden
from pfs.refs.read import RefsState

if TYPE_CHECKING:
    from pfs.files.progress import Progress
    from pfs.store import Store

SCRATCH = "tmp"


@dataclass(frozen=True, slots=True)
class Stored:
    """What is in packs of some live trees, each object once.

    ``unique_bytes`` of plain content, as it was put, take ``compressed_bytes`` in packs; tree pages and manifests take
    ``meta_bytes``.
    """

    unique_bytes: int
    compressed_bytes: int
    meta_bytes: int


@dataclass(frozen=True, slots=True)
class RepoUse:
    """A repo. ``commits``: live ones, hidden, open and failed ones and those in the trash included.

    ``head_bytes``: of the different heads of its branches; ``logical_bytes``: of all commits, each as a whole.
    ``stored``: only where a walk was asked for.
    """

    repo: str
    commits: int
    head_bytes: int
    logical_bytes: int
    stored: Stored | None


@dataclass(frozen=True, slots=True)
class StoreUse:
    """A store. ``stored``: of all repos together.

    ``packs_bytes``: all packs, with what nothing leads to any more; ``other_bytes``: refs and all other objects;
    ``index_bytes``: the local index.
    """

    repos: tuple[RepoUse, ...]
    stored: Stored | None
    packs: int
    packs_bytes: int
    other_bytes: int
    index_bytes: int


def stats(store: Store, *, exact: bool = False, progress: Progress | None = None) -> StoreUse:
    """Return what repos take up, by name, and all together.

    A look-up a commit and a listing of the objects; ``exact``: a walk over all tree pages, for each repo, and all
    footers besides. Memory as `Marker`, for each repo 8 bytes an object, beyond some MiB on disk.

    Raises:
        CorruptionError, MissingObjectError: a commit or page cannot be read. StorageError: a pack cannot be read.
    """
    states, listed = store.refs.snapshot(), list(store.backend.entries(""))
    packs = [entry for entry in listed if entry.name.startswith("packs/")]
    with Scratch(store.path / SCRATCH) as scratch:
        markers = [Marker(store.objects, scratch, progress=progress) for _ in states]
        plain = [_add_trees(store, state, marker) for state, marker in zip(states, markers, strict=True)]
        stored: list[Stored] = []
        if exact:
            for marker in markers:
                marker.walk()
            *stored, total = _join(store, [marker.live for marker in markers], scratch)
    uses = [
        RepoUse(state.repo, *numbers, stored[place] if exact else None)
        for place, (state, numbers) in enumerate(zip(states, plain, strict=True))
    ]
    pack_bytes, all_bytes = (sum(entry.size for entry in entries) for entries in (packs, listed))
    index_bytes = store.index.stats().size_bytes
    return StoreUse(tuple(uses), total if exact else None, len(packs), pack_bytes, all_bytes - pack_bytes, index_bytes)


def _add_trees(store: Store, state: RefsState, marker: Marker) -> tuple[int, int, int]:
    """Give the marker all trees of a repo; return the number of its commits, bytes of heads, and bytes of all."""
    body = state.body
    heads = {entry.head for name, entry in body.branches.items() if not is_hidden(name)}
    commits = head_bytes = logical_bytes = 0
    for found in live_commits(store.history, state):
        root = found.record.tree_root()
        marker.tree(root)
        commits, logical_bytes = commits + 1, logical_bytes + root.size
        head_bytes += root.size if found.record.id in heads else 0
    for entry in body.open.values():
        marker.tree(entry.tree_root())
        commits, logical_bytes = commits + 1, logical_bytes + entry.root.size
    return commits, head_bytes, logical_bytes


def _join(store: Store, sets: Sequence[IdSet], scratch: Scratch) -> list[Stored]:
    """Return what is stored of each set of objects, and last of all sets together; footers are read once."""
    counted, sums = IdSet(scratch), np.zeros((len(sets) + 1, 3), np.int64)
    for _, pack in footers(store, list(store.backend.entries("packs/")), []):
        ids = prefixes(pack.entries["id"])
        rows = counted.add_new(ids)
        columns, together = _columns(pack)[rows], np.zeros(len(rows), np.bool_)
        for number, live in enumerate(sets):
            mine = live.contains(ids[rows])
            together |= mine
            sums[number] += columns[mine].sum(axis=0)
        sums[-1] += columns[together].sum(axis=0)
    return [Stored(*numbers) for numbers in sums.tolist()]


def _columns(pack: SealedPack) -> npt.NDArray[np.int64]:
    """Return for each entry of a pack what it adds: plain bytes, bytes in the pack of content, and of anything else."""
    is_chunk = pack.entries["type"] == RecordType.CHUNK
    size = entry_bytes(pack) if len(pack.entries) else np.empty(0, np.int64)
    plain = np.where(is_chunk, pack.entries["ulen"], 0).astype(np.int64)
    columns: npt.NDArray[np.int64] = np.stack([plain, np.where(is_chunk, size, 0), np.where(is_chunk, 0, size)], axis=1)
    return columns
