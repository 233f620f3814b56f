"""The deleted states of a repo that can be had back: a stack, in its tombstone and in a living repo of the name.

Each is the name of an object with a refs body, and counts for 30 days. Pure functions of bodies.
"""

from __future__ import annotations

from pfs.refs.body import TRASH_NS, Buried, RefsBody

LIMIT = 32
"""States that are remembered of one name: a name that is deleted and made all the time must not make refs grow."""


def buried(body: RefsBody, now_ns: int) -> list[Buried]:
    """Return the deleted states that `undelete` can bring back, the last deleted first.

    The last one of a tombstone counts until collection takes it away, those before it for 30 days to the nanosecond: an
    old transaction that is folded in may bring back a name whose object is gone.
    """
    last = [] if body.last is None else [Buried(body.last, body.deleted)]
    return [*last, *reversed([state for state in body.earlier if not is_old(state, now_ns)])]


def is_old(state: Buried, now_ns: int) -> bool:
    """Say whether a state has had its time."""
    return state.deleted + TRASH_NS < now_ns


def under(stone: RefsBody) -> tuple[Buried, ...]:
    """Return what a body that takes the place of a tombstone has as ``earlier``."""
    last = () if stone.last is None else (Buried(stone.last, stone.deleted),)
    return (*stone.earlier, *last)[-LIMIT:]
