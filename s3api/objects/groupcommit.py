"""Group commit: writes that arrive together on a branch are committed together.

A write that finds its branch idle is committed at once; while that is under way, others gather and make the next
commit. So nobody waits but for a commit in flight, and 32 clients pay for far fewer commits than writes. Two writes of
one key never share a commit: each is a version of its own. Conditions are checked on the tree that the commit is put
on; a write whose condition fails is left out, the others go ahead.
"""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field

from pfs.changes.apply import apply
from pfs.errors import PfsError
from pfs.model import CommitInfo
from pfs.packs.session import WriteSession
from pfs.refs.body import RefsBody
from pfs.repo import Repo
from pfs.trees.edit import Delete, Edit, Put
from pfs.trees.tree import Tree
from s3api.errors import S3Error
from s3api.objects.conditions import RowCheck

MAX_EDITS = 2_000
"""Of one commit, unless a single write has more."""


@dataclass(frozen=True, slots=True)
class Write:
    """What one request changes: puts and deletes, each at most once a key; ``session`` holds what they refer to.

    ``guard`` raises when the repo, at the moment of the change, is no longer the one that the request was for.
    ``choose`` works out the edits on the tree that they are put on, again after each lost swap; their keys are among
    those of ``edits``, which stand for what it may change. What it raises refuses the whole write.
    """

    edits: Sequence[Put | Delete]
    session: WriteSession | None = None
    checks: Sequence[tuple[bytes, RowCheck]] = ()
    guard: Callable[[RefsBody], None] | None = None
    choose: Callable[[Tree], Sequence[Put | Delete]] | None = None


@dataclass(eq=False, slots=True)
class _Waiting:
    write: Write
    future: Future[CommitInfo | None] = field(default_factory=Future)

    def keys(self) -> set[bytes]:
        return {edit.key for edit in self.write.edits}


Branch = tuple[str, str]


class GroupCommits:
    """The writes of all branches of a store; thread-safe. ``pool`` runs one commit at a time for each branch."""

    def __init__(self, pool: Executor) -> None:
        self._pool = pool
        self._lock = threading.Lock()
        self._queues: defaultdict[Branch, deque[_Waiting]] = defaultdict(deque)
        self._running: set[Branch] = set()

    def submit(self, repo: Repo, branch: str, write: Write) -> Future[CommitInfo | None]:
        """Queue a write; the future has its commit once that is durable, None if nothing was to be changed.

        The session belongs to the commit from now on. The future raises what a check raised, StorageError, or
        ConflictError when other processes were first too often.
        """
        waiting = _Waiting(write)
        with self._lock:
            self._queues[repo.name, branch].append(waiting)
            idle = (repo.name, branch) not in self._running
            if idle:
                self._running.add((repo.name, branch))
        if idle:
            self._pool.submit(self._run, repo, branch)
        return waiting.future

    def _run(self, repo: Repo, branch: str) -> None:
        while batch := self._take((repo.name, branch)):
            wanted = [one for one in batch if one.future.set_running_or_notify_cancel()]
            if wanted:
                _commit(repo, branch, wanted)
            _release(batch)

    def _take(self, branch: Branch) -> list[_Waiting]:
        """Return the next batch in order of arrival, without a key twice; later writes of those keys stay behind."""
        with self._lock:
            queue = self._queues[branch]
            batch, behind, keys, size = list[_Waiting](), deque[_Waiting](), set[bytes](), 0
            while queue:
                one = queue.popleft()
                own = one.keys()
                fits = not batch or size + len(own) <= MAX_EDITS
                if fits and keys.isdisjoint(own):
                    batch.append(one)
                    size += len(own)
                else:
                    behind.append(one)
                keys |= own
            if behind:
                self._queues[branch] = behind
            else:
                del self._queues[branch]
            if not batch:
                self._running.discard(branch)
            return batch


def _commit(repo: Repo, branch: str, batch: Sequence[_Waiting]) -> None:
    """Commit a batch and tell everyone in it."""
    refused: dict[_Waiting, Exception] = {}

    def change(tree: Tree) -> list[Edit]:
        # Read after the refs that the commit swaps: if these differ from those, the swap fails, and this runs again.
        body = repo.store.refs.read(repo.name).body
        refused.clear()
        edits = list[Edit]()
        for one in batch:
            try:
                edits += _edits(body, tree, one.write)
            except (S3Error, PfsError) as error:
                refused[one] = error
        return edits

    session = repo.store.session()
    try:
        for one in batch:
            if one.write.session is not None:
                session.adopt(one.write.session)
        info = apply(repo, branch, change, session=session)
    except Exception as error:  # whatever it was, every client of the batch must be told
        for one in batch:
            one.future.set_exception(error)
        return
    finally:
        session.abandon()  # after a commit there is nothing left in it
    for one in batch:
        if one in refused:
            one.future.set_exception(refused[one])
        else:
            one.future.set_result(info)


def _edits(body: RefsBody, tree: Tree, write: Write) -> Sequence[Put | Delete]:
    """Return what a write changes in a tree; raises what its guard, its checks or its choice raise."""
    if write.guard is not None:
        write.guard(body)
    for key, check in write.checks:
        check(tree.stat(key, want="file"))
    return write.edits if write.choose is None else write.choose(tree)


def _release(batch: Sequence[_Waiting]) -> None:
    """Drop what no commit took over: of a write that was given up, or of a group that failed."""
    for one in batch:
        if one.write.session is not None:
            one.write.session.abandon()
