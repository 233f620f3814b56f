"""Do branches fit together: is there all that they are computed from or follow, and does each source know of them?"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from pfs.errors import ConflictError, PfsError
from pfs.model import BranchRef
from pfs.provenance.dag import Dag, shown
from pfs.provenance.trigger import refuse_loop
from pfs.refs.body import RefsBody, is_hidden
from pfs.upkeep.damage import Damages

if TYPE_CHECKING:
    from pfs.store import Store


def check_provenance(store: Store, damages: Damages) -> None:
    """Note each branch that does not fit; two reads of refs, so that what writers do at this moment is no fault."""
    first, again = (dict(_faults(*_bodies(store))) for _ in range(2))
    for branch, detail in first.items():
        if again.get(branch) == detail:
            damages.add("provenance", branch, detail)


def _bodies(store: Store) -> tuple[Mapping[str, RefsBody], Collection[str]]:
    damaged: dict[str, PfsError] = {}
    with suppress(PfsError):
        return {state.repo: state.body for state in store.refs.snapshot(damaged=damaged)}, damaged
    return {}, ()


def _faults(bodies: Mapping[str, RefsBody], unreadable: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield branches with what is wrong; what concerns a repo that cannot be read is left out."""
    dag = Dag.of(bodies.items())
    for repo, body in sorted(bodies.items()):
        for name in sorted(name for name in body.branches if not is_hidden(name)):
            at = BranchRef(repo, name)
            detail = _why_no_source(bodies, unreadable, at) or _why_no_trigger(repo, body, name) or dag.fault(at)
            if detail is not None:
                yield shown(at), detail


def _why_no_source(bodies: Mapping[str, RefsBody], unreadable: Collection[str], at: BranchRef) -> str | None:
    for source in map(BranchRef._make, bodies[at.repo].branches[at.branch].provenance):
        if source.repo in unreadable:
            continue
        body = bodies.get(source.repo)
        entry = None if body is None else body.branches.get(source.branch)
        if entry is None:
            return f"it is computed from {shown(source)}, which is not there: set its provenance again"
        if at not in entry.feeds:
            return f"{shown(source)} does not know that this is computed from it: set its provenance again"
    return None


def _why_no_trigger(repo: str, body: RefsBody, name: str) -> str | None:
    trigger = body.branches[name].trigger
    if trigger is not None and trigger.branch not in body.branches:
        return f"it follows {repo}@{trigger.branch}, which is not there: set its trigger again"
    try:
        refuse_loop(body.branches, repo, name)
    except ConflictError as error:
        return str(error)
    return None
