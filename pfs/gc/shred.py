"""What was purged since it was last collected: which marks there are, and taking those away that were seen to."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pfs.errors import RepoNotFoundError
from pfs.gc.roots import bodies
from pfs.gc.survey import Survey
from pfs.ids import PackId
from pfs.refs.read import RefsState
from pfs.refs.shreds import read_words, without

if TYPE_CHECKING:
    from pfs.store import Store


@dataclass(frozen=True, slots=True)
class Marks:
    """``words``: the sorted prefixes of ids that were purged; ``names``: the objects that say so, by repo."""

    words: npt.NDArray[np.uint64]
    names: dict[str, tuple[str, ...]]


def find_marks(store: Store, states: Iterable[RefsState]) -> Marks:
    """Return what is to be shredded; refs must be read before packs are listed.

    Else a pack could be missing from the listing whose content was purged before the refs were read. Marks of deleted
    repos count too, though they stay with those. Raises CorruptionError, StorageError.
    """
    held, names = set[str](), dict[str, tuple[str, ...]]()
    for state in states:
        held.update(name for body in bodies(store, state.body) for name in body.shreds)
        if state.body.shreds:
            names[state.repo] = state.body.shreds
    return Marks(read_words(store.backend, sorted(held)), names)


def is_shredded(found: Survey, deleted: AbstractSet[PackId]) -> bool:
    """Say whether nothing that was purged is left in a pack: those that had it went, and all could be read."""
    return not found.damaged and {facts.pack for facts in found.packs if facts.shred} <= deleted


def remove_marks(store: Store, marks: Marks) -> None:
    """Take the marks out of refs, then their objects away; what a crash leaves means no harm.

    Raises ConflictError, StorageError: the next collection does it.
    """
    for repo, names in marks.names.items():
        try:
            store.refs.update(repo, partial(without, names=names))
        except RepoNotFoundError:  # deleted meanwhile: its last body has them
            continue
        store.backend.delete_many(list(names))
