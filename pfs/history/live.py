"""What the refs of a repo make live: what names lead to, by all parents, and so what collection keeps."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pfs.ids import CommitId
from pfs.refs.body import RefsBody
from pfs.refs.edges import effective
from pfs.refs.read import RefsState

if TYPE_CHECKING:
    from pfs.store import Store


def live_names(body: RefsBody) -> Iterator[CommitId]:
    """Yield the commits that a body names: heads, tags, what is in the trash, and what open commits are made from."""
    yield from body.heads()
    for entry in body.open.values():
        yield from (commit for commit in (entry.parent, entry.onto) if commit is not None)


def is_live(store: Store, state: RefsState, commit: CommitId) -> bool:
    """Say whether a finished commit is live in this state of its repo; at once for heads, else O(history).

    What leads over a commit whose record is lost counts as not live.
    """
    todo = deque(dict.fromkeys(live_names(state.body)))
    seen = set(todo)
    if commit in seen:
        return True
    while todo:
        record = store.history.find(state.repo, todo.popleft())
        parents = () if record is None else effective(state.body, record).parents
        if commit in parents:
            return True
        todo += (parent for parent in parents if parent not in seen)
        seen.update(parents)
    return False
