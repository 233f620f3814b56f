"""What has had its time: trash, deleted repos, uploads, old logs, and what killed processes left on a local disk."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from pfs.errors import BranchMovedError
from pfs.gc.idset import SCRATCH
from pfs.gc.uploads import expired_uploads
from pfs.refs.back_off import back_off
from pfs.refs.body import TRASH_NS, Buried, RefsBody
from pfs.refs.buried import is_old
from pfs.refs.read import RefsState

if TYPE_CHECKING:
    from pfs.store import Store

LOGS: Final = 1000
"""Old refs bodies kept of a repo."""
_STALE_S: Final = 24 * 3600


@dataclass(frozen=True, slots=True)
class Expired:
    """What has had its time.

    ``trash``: ``repo@name`` of branches, tags, heads and dropped commits; ``repos``: deleted ones; ``uploads``: of
    multipart uploads, ``logs``: old refs bodies, both as object names.
    """

    trash: tuple[str, ...] = ()
    repos: tuple[str, ...] = ()
    uploads: tuple[str, ...] = ()
    logs: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.trash or self.repos or self.uploads or self.logs)


def find_expired(store: Store, states: Iterable[RefsState]) -> Expired:
    """Return what has had its time in these states of all repos, tombstones included."""
    now_ns = store.clock_ns()
    states = list(states)
    stones = {one.last: (state.repo, one) for state in states for one in _deleted(state.body)}
    logs = [entry.name for entry in store.backend.entries("log/")]
    old = {last for last, (_, one) in stones.items() if is_old(one, now_ns)}
    older = set(_old_logs(logs))
    return Expired(
        trash=tuple(_name(state.repo, key) for state in states for key in old_trash(state.body, now_ns)),
        repos=tuple(sorted({stones[last][0] for last in old})),
        uploads=tuple(entry.name for entry in expired_uploads(store.backend, now_ns)),
        logs=(*sorted(old), *(name for name in logs if name in older and name not in stones)),
    )


def _deleted(body: RefsBody) -> list[Buried]:
    """Return all states of a repo that were deleted, those too that have had their time."""
    return [*body.earlier, *([] if body.last is None else [Buried(body.last, body.deleted)])]


def old_trash(body: RefsBody, now_ns: int) -> list[str]:
    """Return the keys of what has been in the trash for 30 days."""
    return [key for key, entry in body.trash.items() if entry.deleted + TRASH_NS < now_ns]


def without_expired(body: RefsBody, expired: Expired, *, repo: str, now_ns: int) -> RefsBody:
    """Return the body of a repo without what has had its time; the same body where there is nothing."""
    earlier = tuple(one for one in body.earlier if one.last not in expired.logs)
    body = replace(body, earlier=earlier) if len(earlier) < len(body.earlier) else body
    if body.gone:
        return replace(body, last=None) if repo in expired.repos and body.last in expired.logs else body
    old = old_trash(body, now_ns)
    return replace(body, trash={key: entry for key, entry in body.trash.items() if key not in old}) if old else body


def expire(store: Store, states: Sequence[RefsState], expired: Expired) -> None:
    """Let go of it, in refs first; what changed meanwhile is looked at again.

    Raises:
        StorageError: it could not be written; what is left is for the next time.
    """
    for repo in [state.repo for state in states]:
        _expire_one(store, repo, expired)
    # The record of an upload goes first, so that nobody meets a half of it.
    uploads = sorted(expired.uploads, key=lambda name: not name.endswith("/upload"))
    store.backend.delete_many([*uploads, *expired.logs])


def _expire_one(store: Store, repo: str, expired: Expired) -> None:
    lost = 0
    while True:
        state = store.refs.load(repo)
        body = None if state is None else without_expired(state.body, expired, repo=repo, now_ns=store.clock_ns())
        if state is None or body is None or body is state.body:
            return
        try:
            store.refs.swap(state, body)
            return
        except BranchMovedError:
            lost += 1
            back_off(lost)


def _name(repo: str, key: str) -> str:
    return f"{repo}@{key.rpartition('/')[0]}"


def remove_leftovers(folder: Path) -> None:
    """Remove scratch folders of killed processes from the ``tmp`` of a store; those of living ones are younger."""
    for left in folder.glob(f"{SCRATCH}*"):
        if left.stat().st_mtime + _STALE_S < time.time():
            shutil.rmtree(left, ignore_errors=True)


def _old_logs(names: Sequence[str]) -> list[str]:
    """Return all but the last `LOGS` of each repo; names are in order, and those of a repo in order of age."""
    by_repo: dict[str, list[str]] = {}
    for name in names:
        by_repo.setdefault(name.split("/")[1], []).append(name)
    return [name for logs in by_repo.values() for name in logs[:-LOGS]]
