"""The commit protocol: packs durable, then one compare-and-swap of refs, then the index.

One publication may carry several commits of a repo; they appear together or not at all. The swap is the commit
point: what fails before it changed nothing, and nothing that fails after it is reported as a failure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING

from msgspec.structs import replace

from pfs.changes.recheck import Planned, recheck
from pfs.changes.refusal import refuse_tag
from pfs.errors import (
    AlreadyExistsError,
    BranchMovedError,
    CommitClosedError,
    CommitNotFoundError,
    ConflictError,
    InvalidInputError,
    PfsError,
)
from pfs.history.linked import Found
from pfs.history.live import is_live
from pfs.ids import CommitId, PackId, RecordId, is_commit_id
from pfs.model import CommitInfo, NewCommit
from pfs.packs.commit_record import SAME_PACK, CommitRecord, id_of, record_root
from pfs.packs.index_condemned import SEALED
from pfs.provenance.fire import Firing
from pfs.refs.back_off import back_off
from pfs.refs.body import (
    FAILED,
    HEAD,
    BranchEntry,
    OpenEntry,
    RefsBody,
    TrashEntry,
    check_branch_name,
    move_head,
    root_entry,
    with_open,
    with_trash,
    without_open,
)
from pfs.refs.read import RefsState
from pfs.trees.row import EMPTY_ROOT

if TYPE_CHECKING:
    from pfs.packs.pack import SealedPack
    from pfs.packs.session import WriteSession
    from pfs.store import Store
    from pfs.trees.tree import Root

ROUNDS = 10
"""Swaps that may be lost to other writers before a commit gives up."""

Prepare = Callable[[RefsState], Sequence[NewCommit]]
"""Says what to publish onto a state of the repo; called again, with the new state, after each lost swap."""


class Publication:
    """One act of publishing to one repo."""

    def __init__(
        self, store: Store, repo: str, session: WriteSession, *, seen: Mapping[bytes, bytes] = MappingProxyType({})
    ) -> None:
        """``seen``: rows of local files (`pfs.files.seen`) for the index."""
        self._store, self._repo, self._session, self._seen = store, repo, session, seen
        self._sealed: list[SealedPack] = []
        self._commits: tuple[NewCommit, ...] = ()
        self._found: list[Found] = []

    def commit(self, prepare: Prepare) -> list[CommitInfo]:
        """Publish finished commits; returns once they are durable and visible.

        Raises:
            BranchMovedError: a head is not the first parent of its new commit.
            AlreadyExistsError: the repo has a commit of that id.
            CommitNotFoundError: a parent is no commit of the repo, or nothing leads to it any more.
            CollectedError: what was found stored was collected meanwhile.
            ConflictError: other writers were first ROUNDS times.
            StorageError: nothing was changed.
        """
        self._learn(self._swap(lambda state: self._with_commits(state, prepare(state))))
        return [found.record.info() for found in self._found]

    def update_open(self, commit: CommitId, put_on: Callable[[OpenEntry], Root]) -> OpenEntry:
        """Move the root of an open commit to what ``put_on`` makes of the present one; raises as `commit`."""
        done = self._swap(lambda state: self._with_root(state, commit, put_on))
        self._learn(done)
        return done.body.open[commit]

    def _swap(self, edit: Callable[[RefsState], RefsBody]) -> RefsState:
        with self._store.turns.turn(self._repo):
            for round_no in range(ROUNDS):
                try:
                    with self._store.refs.read_once():
                        state = self._store.refs.read(self._repo)
                        return self._store.refs.swap(state, edit(state), seen_gen=self._session.seen_gen)
                except BranchMovedError as error:
                    if error.name.startswith(self._repo + "@"):  # a head, not the refs object: trying again is no help
                        raise
                    back_off(round_no, far=self._store.backend.parallel > 1)
        raise ConflictError(f"repo {self._repo!r} is being changed too often: try again")

    def _with_commits(self, state: RefsState, commits: Sequence[NewCommit]) -> RefsBody:
        batch = {commit.id: commit for commit in commits}
        for commit in commits:
            self._check(state.body, commit)
            self._check_parents(state, commit, batch)
        planned = [Planned(self._live_root(state, commit, batch), commit.root) for commit in commits]
        if recheck(self._store, self._session, state, planned) or tuple(commits) != self._commits:
            self._seal(state, commits)
        body = state.body
        parents = {parent for commit in commits for parent in commit.parents}
        for commit, found in zip(commits, self._found, strict=True):
            body = _with_commit(without_open(body, commit.id), commit, found, held=commit.id in parents)
            if commit.error is None:
                body = Firing(self._store, self._repo, self._found).after(body, commit.branch, found)
        return _with_old_heads(body, state.body, commits, now_ns=self._store.clock_ns())

    def _check(self, body: RefsBody, commit: NewCommit) -> None:
        check_branch_name(commit.branch)
        if not is_commit_id(commit.id):
            raise InvalidInputError(f"{commit.id!r} is no commit id: it has 32 lower-case hex digits")
        opened = body.open.get(commit.id)
        taken = opened is not None and opened.branch != commit.branch
        if taken or self._store.history.find(self._repo, commit.id) is not None:
            raise AlreadyExistsError("commit", f"{self._repo}@{commit.id}")
        refuse_tag(self._repo, body, commit.branch)
        head = body.branches.get(commit.branch, BranchEntry()).head
        rewritten = commit.rewrites not in (None, body.rewrites)
        if rewritten or (commit.error is None and commit.replaces != head):
            raise BranchMovedError(f"{self._repo}@{commit.branch}")

    def _check_parents(self, state: RefsState, commit: NewCommit, batch: Mapping[CommitId, NewCommit]) -> None:
        """Refuse a parent that nothing leads to: collection may have taken what it and its ancestors need."""
        for parent in commit.parents:
            if parent not in batch and not is_live(self._store, state, parent):
                raise CommitNotFoundError(self._repo, parent)

    def _live_root(self, state: RefsState, commit: NewCommit, batch: Mapping[CommitId, NewCommit]) -> Root:
        """Return the tree that the commit is nearest to among those that are made sure of; `recheck` compares them."""
        opened = state.body.open.get(commit.id)
        if opened is not None:
            return opened.tree_root()
        if not commit.parents:
            return EMPTY_ROOT
        parent = commit.parents[0]
        return batch[parent].root if parent in batch else self._store.history.get(self._repo, parent).tree_root()

    def _seal(self, state: RefsState, commits: Sequence[NewCommit]) -> None:
        """Make records and everything below them durable."""
        records = self._records(state, commits)
        for record in records:
            self._session.put_record(record)
        pack = self._session.pack_ids[-1]
        self._sealed = self._session.seal()
        self._commits, self._found = tuple(commits), [Found(record, pack) for record in records]

    def _records(self, state: RefsState, commits: Sequence[NewCommit]) -> list[CommitRecord]:
        """Return the records of all commits; those of parents are made first, as their ids are in the children's."""
        batch, made = {commit.id: commit for commit in commits}, dict[CommitId, CommitRecord]()

        def make(commit: NewCommit) -> None:
            for parent in commit.parents:
                if parent in batch and parent not in made:
                    make(batch[parent])
            made[commit.id] = self._record(state, commit, made)

        for commit in commits:
            if commit.id not in made:
                make(commit)
        return [made[commit.id] for commit in commits]

    def _record(self, state: RefsState, commit: NewCommit, batch: Mapping[CommitId, CommitRecord]) -> CommitRecord:
        opened = state.body.open.get(commit.id)
        older = [] if opened is None else [PackId(bytes.fromhex(pack)) for pack in opened.packs]
        return CommitRecord(
            id=commit.id,
            repo=self._repo,
            branch=commit.branch,
            parents=commit.parents,
            root=record_root(commit.root),
            started_ns=commit.started_ns,
            finished_ns=max(self._store.clock_ns(), commit.started_ns),
            message=commit.message,
            provenance=tuple((source.repo, source.branch, source.commit) for source in commit.provenance),
            error=commit.error,
            packs=tuple(dict.fromkeys([*older, *self._packs()])),
            parent_packs=tuple(self._home_of(state, parent, batch) for parent in commit.parents),
            origin=commit.origin,
            parent_records=tuple(self._record_of(parent, batch) for parent in commit.parents),
        )

    def _packs(self) -> list[PackId]:
        """Return the packs that this session wrote or found its content in."""
        index = self._store.index
        touched = (number for number in sorted(self._session.touched) if index.state(number) == SEALED)
        return [*self._session.pack_ids, *(index.pack(number)[0] for number in touched)]

    def _home_of(self, state: RefsState, parent: CommitId, batch: Mapping[CommitId, CommitRecord]) -> PackId:
        return SAME_PACK if parent in batch else self._store.history.home_of(state, parent)

    def _record_of(self, parent: CommitId, batch: Mapping[CommitId, CommitRecord]) -> RecordId:
        return id_of(batch[parent] if parent in batch else self._store.history.get(self._repo, parent))

    def _with_root(self, state: RefsState, commit: CommitId, put_on: Callable[[OpenEntry], Root]) -> RefsBody:
        body, entry = state.body, state.body.open.get(commit)
        if entry is None:
            raise CommitClosedError(self._repo, commit)
        root = put_on(entry)
        recheck(self._store, self._session, state, [Planned(entry.tree_root(), root)])
        self._sealed = self._session.seal()
        packs = dict.fromkeys([*entry.packs, *(pack.hex() for pack in self._packs())])
        return with_open(body, commit, replace(entry, root=root_entry(root), packs=tuple(packs), written=True))

    def _learn(self, done: RefsState) -> None:
        """Index what was published. A failure here is no failure of the commit: the next reader catches up."""
        self._session.release()
        with suppress(PfsError):
            self._store.history.learn(self._sealed, self._found, state=done, seen=self._seen)


def _with_old_heads(body: RefsBody, old: RefsBody, commits: Sequence[NewCommit], *, now_ns: int) -> RefsBody:
    """Return the body with those heads of ``old`` in the trash that the commits do not descend from."""
    first = {commit.branch: commit for commit in reversed(commits) if commit.error is None}
    for branch, commit in first.items():
        entry = old.branches.get(branch, BranchEntry())
        if entry.head is not None and entry.head not in commit.parents:
            onto = body.branches[branch].head
            body = with_trash(body, branch, TrashEntry(branch=entry, deleted=now_ns, kind=HEAD, onto=onto))
    return body


def _with_commit(body: RefsBody, commit: NewCommit, found: Found, *, held: bool) -> RefsBody:
    """Return the body with the commit in it: as head, or, failed, just reachable; ``held``: by another commit."""
    at_ns = found.record.finished_ns
    if commit.error is None:
        body = move_head(body, commit.branch, head=commit.id, pack=found.pack, now_ns=at_ns)
    elif not held:
        body = move_head(body, FAILED + commit.id, head=commit.id, pack=found.pack, now_ns=at_ns)
    return body
