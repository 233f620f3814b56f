"""Which artifacts of which runs have had their time, by what the file of the workflow says; pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence, Set
from typing import Final, NamedTuple

from pfs.ids import CommitId
from pps.workflows.types import Keep, Workflow

_DAY_NS: Final = 86_400 * 10**9


class Version(NamedTuple):
    """An output commit of a task, when it was finished, and which artifacts it has."""

    commit: CommitId
    finished_ns: int
    outputs: frozenset[str]


class Expiry(NamedTuple):
    """What has had its time: ``outputs``: of each artifact the runs; ``runs``: those of which nothing stays."""

    outputs: dict[str, frozenset[CommitId]]
    runs: frozenset[CommitId]

    def of(self, output: str) -> frozenset[CommitId]:
        """Return the runs whose version of an artifact has had its time."""
        return self.outputs.get(output, frozenset())


def keep_of(workflow: Workflow, task: str, output: str) -> Keep:
    """Return how long an artifact stays: as its output says, and where that says nothing, as the workflow does.

    ``runs`` and ``days`` are one saying: an output with one of them has nothing of the workflow's. An output or task
    that the file has no more goes by the workflow.
    """
    whole = workflow.keep
    found = next((one for one in workflow.tasks if one.name == task), None)
    made = None if found is None else found.output(output)
    own = Keep() if made is None else made.keep
    time, moved = own if own.runs or own.days else whole, own if own.class_days else whole
    return Keep(time.runs, time.days, moved.class_days, moved.storage_class, own.delivered or whole.delivered)


def expired(
    chain: Sequence[Version], keep: Callable[[str], Keep], *, whole: Keep, held: Set[CommitId], now_ns: int
) -> Expiry:
    """Return what of a task's output has had its time; ``chain``: its commits, the newest first.

    An artifact stays in its last ``runs`` versions and in those of the last ``days``; in the newest that has it, in
    the head and in what is ``held`` always, and in all where nothing is said. A run goes when ``whole`` keeps it no
    more and none of its artifacts stays. O(chain).
    """
    having = defaultdict[str, list[Version]](list)
    for one in chain:
        for output in one.outputs:
            having[output].append(one)
    always = {*held, *(one.commit for one in chain[:1])}
    gone = {name: _beyond(found, keep(name), now_ns=now_ns) - always for name, found in having.items()}
    late = _beyond(chain, whole, now_ns=now_ns) - always
    runs = {one.commit for one in chain if one.commit in late and all(one.commit in gone[name] for name in one.outputs)}
    return Expiry(gone, frozenset(runs))


def _beyond(versions: Sequence[Version], keep: Keep, *, now_ns: int) -> frozenset[CommitId]:
    if not keep.runs and not keep.days:
        return frozenset()
    oldest_ns = now_ns - keep.days * _DAY_NS if keep.days else None
    late = versions[max(keep.runs, 1) :]
    return frozenset(one.commit for one in late if oldest_ns is None or one.finished_ns < oldest_ns)
