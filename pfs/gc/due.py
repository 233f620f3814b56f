"""Whether a collection is worth its while: what the last one left, held against what there is now; one listing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from pfs.errors import CorruptionError
from pfs.gc.options import usual
from pfs.gc.waiting import waits_until
from pfs.refs import collection
from pfs.structs import ready

if TYPE_CHECKING:
    from pfs.store import Store

_KEY: Final = "collected"
_PACKS: Final = 64
_BYTES: Final = 64 << 20
_GROWTH: Final = 0.25
_AGE_NS: Final = 7 * 24 * 3600 * 1_000_000_000


class LastRun(msgspec.Struct, frozen=True):
    """When a collection ended (ns since 1970), and the packs and bytes that it left."""

    at_ns: int
    packs: int
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class Due:
    """``reason``: why one is due, None if none is; ``last``: the last one, as far as it is known.

    ``waits_until_ns``: packs are condemned, and go with a collection after that.
    """

    reason: str | None
    last: LastRun | None
    waits_until_ns: int | None = None


def note_run(store: Store) -> None:
    """Remember that a collection ended now."""
    packs, size = _measure(store)
    store.index.set_meta(_KEY, msgspec.msgpack.encode(LastRun(store.clock_ns(), packs, size)))


def when_due(store: Store) -> Due:
    """Say whether a collection is due: after a purge, many new packs, much new data, or a week with any.

    Also where its state is damaged, which it mends, or the grace for what was condemned is over. Repos that cannot be
    read are passed over. In a bucket the last one is that of any machine.
    """
    try:
        state = collection.read(store.backend)[0]
    except CorruptionError:
        return Due("the state of the last one is damaged", None)
    last, now_ns = _last_run(store), store.clock_ns()
    if state.phase == "published" and state.expires_ns <= now_ns:
        until_ns = waits_until(store, state, usual(store.backend))
        if until_ns > now_ns:
            return Due(None, last, until_ns)
        over = usual(store.backend).grace_ns > 0
        return Due("packs were condemned, and readers had their time" if over else "one was stopped half-way", last)
    return Due(_reason(store, last or LastRun(0, 0, 0)), last)


def _last_run(store: Store) -> LastRun | None:
    """Return the last collection: in a bucket by the time of its state, with the packs that are older than that."""
    if store.backend.parallel == 1:
        data = store.index.get_meta(_KEY)
        return None if data is None else msgspec.msgpack.decode(data, type=ready(LastRun))
    state = next(store.backend.entries(collection.GC_STATE), None)
    if state is None:
        return None
    # What was moved to another class since then was there before.
    old = [e.size for e in store.backend.entries("packs/") if e.storage_class or e.modified_ns <= state.modified_ns]
    return LastRun(state.modified_ns, len(old), sum(old))


def _reason(store: Store, last: LastRun) -> str | None:
    if any(repo.body.shreds for repo in store.refs.snapshot(damaged={})):
        return "something was purged"
    packs, size = _measure(store)
    if packs - last.packs >= _PACKS:
        return f"{packs - last.packs} packs were added"
    if size - last.stored_bytes >= max(_BYTES, _GROWTH * last.stored_bytes):
        return f"{(size - last.stored_bytes) >> 20} MiB were added"
    age_ns = store.clock_ns() - last.at_ns
    if last.at_ns and packs != last.packs and age_ns >= _AGE_NS:
        return f"the last one was {age_ns // (24 * 3600 * 1_000_000_000)} days ago"
    return None


def _measure(store: Store) -> tuple[int, int]:
    sizes = [entry.size for entry in store.backend.entries("packs/")]
    return len(sizes), sum(sizes)
