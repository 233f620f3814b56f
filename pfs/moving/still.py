"""Reading a whole store beside its writers and collectors, without asking anything of them: by looking twice.

The state of collection is read, then refs, then everything is copied that is listed and was not copied before, then
the state of collection again. No generation was published in between: nothing was deleted that these refs lead to. So
the source may be read-only. A long copy is overtaken by a collection, most likely; its next round has little to copy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from pfs.errors import ConflictError
from pfs.refs import collection
from pfs.refs.back_off import back_off
from pfs.refs.body import RefsBody
from pfs.refs.snapshot import take

if TYPE_CHECKING:
    from pfs.backends.base import Backend
    from pfs.refs.collection import Collection
    from pfs.refs.swap import Refs

ROUNDS: Final = 16


def copied_whole(backend: Backend, refs: Refs, copy: Callable[[], object]) -> dict[str, RefsBody]:
    """Call ``copy`` until it has copied all that refs lead to; return these, tombstones too, by repo.

    They are as they were together: of a transaction all is there or nothing.

    Raises:
        ConflictError: collections or transactions follow each other too closely.
        CorruptionError: refs, or the state of collection, cannot be read. StorageError: and what ``copy`` raises.
    """
    for round_no in range(ROUNDS):
        before, _ = collection.read(backend)
        bodies = {state.repo: _alone(state.body) for state in take(refs, refs.names, None, back_off=back_off)}
        copy()
        after, _ = collection.read(backend)
        if after.gen == before.gen and _is_over(before, bodies):
            return bodies
        back_off(round_no, far=backend.parallel > 1)
    raise ConflictError(f"collections of {backend.location} follow each other too closely: try again when `gc` is idle")


def _is_over(state: Collection, bodies: dict[str, RefsBody]) -> bool:
    """Say whether what the last generation deletes is nothing to these bodies: all are from after its fence."""
    return state.phase != "published" or all(body.gc_gen >= state.gen for body in bodies.values())


def _alone(body: RefsBody) -> RefsBody:
    """Return a body without what transactions are preparing there."""
    return replace(body, prepared=()) if body.prepared else body
