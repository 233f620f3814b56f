"""Writing a commit of a transaction: as any other writer, but the commit waits in the transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from pfs.changes.recheck import Planned, recheck
from pfs.changes.target import Target
from pfs.changes.writer import CommitWriter
from pfs.errors import CommitClosedError, ConflictError
from pfs.history.resolve import open_info
from pfs.ids import CommitId, new_commit_id
from pfs.model import CommitInfo
from pfs.refs.body import OpenEntry, root_entry
from pfs.transactions.draft import Draft
from pfs.transactions.ops import Finish, Ops, Start, Write, reopened, with_write
from pfs.transactions.replay import Tentative
from pfs.transactions.staged import StagedStore

if TYPE_CHECKING:
    from pfs.packs.session import WriteSession
    from pfs.store import Store

Seen = Mapping[bytes, bytes]


class Work(NamedTuple):
    """A transaction as its writers have it."""

    store: Store
    draft: Draft
    tentative: Tentative


class StagedWriter(CommitWriter):
    """A commit of a transaction being written; what `finish` adds can still be added to by the next writer.

    With a ``session`` that is shared, nothing is durable until the transaction seals it; ``note_seen`` gets what the
    index is to know of local files then.
    """

    def __init__(
        self, work: Work, target: Target, *, session: WriteSession | None, note_seen: Callable[[Seen], None]
    ) -> None:
        super().__init__(work.store, target, session=session)
        self._work, self._shared, self._note_seen = work, session is not None, note_seen
        self._planned = Planned(target.root, target.root)

    def drop(self) -> None:
        """Forget the changes; idempotent."""
        if self._shared:
            self._ended = True  # the session belongs to all writers of the transaction
        else:
            super().drop()

    def _publish(self) -> CommitInfo:
        infos = list[CommitInfo]()
        with self._work.tentative.lock:
            self._work.draft.change(lambda ops: self._stage(ops, infos))
        if not self._shared:
            self._keep()
        return infos[-1]

    def _keep(self) -> None:
        """Store again what a collection condemned that did not see the draft yet; the next ones do."""
        if recheck(self._store, self.session, None, [self._planned]):
            self._store.history.learn(self.session.seal(), ())

    def _stage(self, ops: Ops, infos: list[CommitInfo]) -> Ops:
        """Return the operations with the changes put on what is staged for the commit by now."""
        repo = self._target.repo
        before, behind = reopened(ops, repo, self._target.branch)
        if not any(isinstance(op, Finish) and op.commit == self.id for op in behind[:1]):
            before, behind = ops, ()
        staged = self._work.tentative.at(before, repo)
        entry = staged.refs.read(repo).body.open.get(self.id)
        self._refuse_other(staged, entry)
        if entry is None:
            before, behind = (*before, started(self._target)), (self._end(),)
            entry = self._open_entry(before)
        before = with_write(before, self._write(entry))
        infos.append(open_info(repo, self.id, self._open_entry(before)))
        if behind:
            self._work.tentative.at((*before, *behind), repo)
        return (*before, *behind)

    def _end(self) -> Finish:
        return Finish(repo=self._target.repo, commit=self.id, branch=self._target.branch, auto=True)

    def _open_entry(self, ops: Ops) -> OpenEntry:
        repo = self._target.repo
        return self._work.tentative.at(ops, repo).refs.read(repo).body.open[self.id]

    def _refuse_other(self, staged: StagedStore, entry: OpenEntry | None) -> None:
        """Refuse a commit that is not the one that this writer began with: others add to the transaction too."""
        target = self._target
        if entry is None and target.open:
            raise CommitClosedError(target.repo, self.id)
        taken = entry is None and staged.history.find(target.repo, self.id) is not None
        other = entry is not None and (entry.branch != target.branch or (target.forked and not target.open))
        if taken or other:
            raise ConflictError(
                f"another commit of transaction {self._work.draft.id} came first in {target.repo}: try again"
            )

    def _write(self, entry: OpenEntry) -> Write:
        """Work the changes out on the commit as it is, and make them durable where they are the writer's own."""
        there = entry.tree_root()
        root = self._onto(there)
        self._planned = Planned(there, root)
        packs: tuple[str, ...] = ()
        if self._shared:
            self._note_seen(self._remembered.files.take())
        else:
            self._store.history.learn(self.session.seal(), (), seen=self._remembered.files.take())
            packs = tuple(pack.hex() for pack in packs_of(self._store, self.session))
        return Write(
            repo=self._target.repo,
            commit=self.id,
            branch=self._target.branch,
            base=root_entry(there),
            root=root_entry(root),
            packs=packs,
        )


def taken(store: Store, writer: CommitWriter) -> Ops:
    """Return the operations that do what an ordinary writer did, all that they need being durable."""
    target, changes = writer.target, writer.seal()
    write = Write(
        repo=target.repo,
        commit=target.commit,
        branch=target.branch,
        base=root_entry(changes.base),
        root=root_entry(changes.ours),
        packs=tuple(pack.hex() for pack in packs_of(store, writer.session)),
    )
    if target.open:
        return (write,)
    return (started(target), write, Finish(repo=target.repo, commit=target.commit, branch=target.branch, auto=True))


def started(target: Target) -> Start:
    """Return the operation that begins the commit of a target."""
    return Start(
        repo=target.repo,
        commit=target.commit,
        branch=target.branch,
        parent=target.parent if target.forked else None,
        onto=target.head if target.forked else None,
        message=target.message,
        started=target.started_ns,
    )


def packs_of(store: Store, session: WriteSession) -> list[bytes]:
    """Return the packs that a session wrote, or found its content in."""
    touched = (store.index.pack(number)[0] for number in sorted(session.touched))
    return list(dict.fromkeys([*session.pack_ids, *touched]))


def commit_id(staged: StagedStore, repo: str, transaction: CommitId) -> CommitId:
    """Return the id for a new commit: the transaction's, and any other where the repo has a commit of that one."""
    state = staged.refs.read(repo)
    taken = transaction in state.body.open or staged.history.find(repo, transaction) is not None
    return new_commit_id() if taken else transaction
