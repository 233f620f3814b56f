"""The face of a transaction: the same verbs as a store and its repos have, put together and published at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from msgspec.structs import replace

from pfs.changes.branches import Triggered
from pfs.changes.rebase import Collisions
from pfs.changes.target import Wish, find_target
from pfs.errors import AlreadyExistsError, ConflictError, TransactionNotFoundError
from pfs.ids import CommitId
from pfs.model import BranchInfo, BranchRef, CommitInfo, Provenance, TagInfo, TransactionInfo
from pfs.paths import check_name
from pfs.provenance.trigger import trigger_entry
from pfs.refs.body import check_user_branch
from pfs.refs.transactions import object_name
from pfs.transactions import draft as drafts
from pfs.transactions.draft import Draft, MemoryDraft, StoredDraft
from pfs.transactions.finish import finish, tidy
from pfs.transactions.ops import (
    CreateBranch,
    CreateRepo,
    CreateTag,
    DeleteBranch,
    DeleteRepo,
    DeleteTag,
    Finish,
    Op,
    Ops,
    Start,
    Write,
    branches_of,
    commits_of,
    described,
    from_stored,
    reopened,
)
from pfs.transactions.replay import Tentative, checked, head_of
from pfs.transactions.staged import StagedStore
from pfs.transactions.writer import Seen, StagedWriter, Work, commit_id, packs_of, taken

if TYPE_CHECKING:
    from pfs.changes.writer import CommitWriter
    from pfs.refs.transactions import TransactionState
    from pfs.repo import Repo
    from pfs.store import Store
    from pfs.view import View

T = TypeVar("T")
Make = Callable[[StagedStore], Op]
"""Makes an operation of what was asked for, on the store with all earlier ones done."""


class Transaction:
    """Changes of several repos, of which others see all or nothing; thread-safe.

    As a context manager: finished when the block ends, dropped when it raises. The commits that it makes have its id,
    the first of each repo; a second one in the same repo has one of its own. Each operation is checked when it is
    given, against what is there and what was given before.
    """

    def __init__(self, store: Store, draft: Draft, *, message: str = "") -> None:
        """`begin`, `resume` and `Store.transaction` make them."""
        self.store, self.id, self.message = store, draft.id, message
        self._draft, self._tentative = draft, Tentative(store)
        self._session = store.session() if isinstance(draft, MemoryDraft) else None
        self._seen: dict[bytes, bytes] = {}
        self._ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            with suppress(TransactionNotFoundError, ConflictError):  # what raised in the block is what matters
                self.drop()
        elif not self._ended:
            self.finish()

    def create_repo(self, name: str, *, description: str = "", exist_ok: bool = False) -> TransactionRepo:
        """Create a repo; as `Store.create_repo`."""
        check_name("repo", name)
        try:
            self.add(name, lambda _: CreateRepo(repo=name, description=description))
        except AlreadyExistsError:
            if not exist_ok:
                raise
        return TransactionRepo(self, name)

    def delete_repo(self, name: str, *, force: bool = False) -> None:
        """Take a repo away; as `Store.delete_repo`."""
        self.add(check_name("repo", name), lambda _: DeleteRepo(repo=name, force=force))

    def repo(self, name: str) -> TransactionRepo:
        """Return a repo that exists, or that this transaction creates; raises RepoNotFoundError."""
        self.look(name, lambda repo: repo)
        return TransactionRepo(self, name)

    def finish(self) -> list[CommitInfo]:
        """Publish everything at once; return the commits, those that are open afterwards too.

        On an error nothing was changed; what a process keeps by itself is lost then, a stored transaction is as it was.

        Raises:
            PathConflictError: a file was changed by another writer since.
            ConflictError: what an operation does is not possible any more.
            StorageError: nothing was changed.
        """
        self._refuse_ended()
        self._seal()
        try:
            commits = finish(self.store, self._draft, message=self.message)
        except BaseException:
            self._end(kept=self._session is None)
            raise
        self._end()
        return commits

    def drop(self) -> None:
        """Forget everything; what was stored is free for the next collection. Idempotent."""
        if not self._ended and self._session is None:
            drafts.drop(self.store.refs.transactions, self.id)
        self._end()

    def _end(self, *, kept: bool = False) -> None:
        self._ended = not kept
        if self._session is not None:
            self._session.abandon()

    def _refuse_ended(self) -> None:
        if self._ended:
            raise ConflictError(f"transaction {self.id} was ended already")

    def staged(self) -> StagedStore:
        """Return the store with everything done so far, to look at; what it changes stays in memory."""
        self._refuse_ended()
        return checked(self.store, self._draft.ops())

    def commits(self) -> list[tuple[str, CommitId]]:
        """Return repo and id of each commit that is in the transaction."""
        return commits_of(self._draft.ops())

    def view(self, repo: str, ref: str) -> View:
        """Return the files of a commit as the transaction leaves it so far."""
        self._seal()
        return self.staged().repo(repo).view(ref)

    def add(self, repo: str, make: Make) -> Op:
        """Put one operation on a repo in, once it was done tentatively, and return it; raises what it does."""
        self._refuse_ended()
        made = list[Op]()

        def edit(ops: Ops) -> Ops:
            with self._tentative.lock:
                made.append(make(self._tentative.at(ops, repo)))
                self._tentative.at((*ops, made[-1]), repo)
            return (*ops, made[-1])

        self._draft.change(edit)
        return made[-1]

    def look(self, repo: str, find: Callable[[Repo], T]) -> T:
        """Return what is found in a repo with everything done so far."""
        self._refuse_ended()
        with self._tentative.lock:
            return find(self._tentative.at(self._draft.ops(), repo).repo(repo))

    def writer(self, repo: str, wish: Wish) -> CommitWriter:
        """Return a writer for a branch, or for an open commit; as `Repo.commit`."""
        self._refuse_ended()
        ops, _ = reopened(self._draft.ops(), repo, wish.branch) if wish.parent is None else (self._draft.ops(), None)
        with self._tentative.lock:
            staged = self._tentative.at(ops, repo)
            id = commit_id(staged, repo, self.id)
            named = Wish(wish.branch, wish.parent, wish.message or self.message, id, wish.provenance, wish.collisions)
            target = find_target(staged, staged.refs.read(repo), named)
        work = Work(self.store, self._draft, self._tentative)
        return StagedWriter(work, target, session=self._session, note_seen=self._note_seen)

    def take(self, writer: CommitWriter) -> None:
        """Put in what a writer wrote that is not of this transaction; its commit should have the transaction's id.

        Conditions that it required do not count. The writer is to be dropped afterwards.
        """
        self._refuse_ended()
        write = taken(self.store, writer)

        def edit(ops: Ops) -> Ops:
            self._tentative.at((*ops, *write), writer.target.repo)
            return (*ops, *write)

        self._draft.change(edit)

    def _note_seen(self, seen: Seen) -> None:
        self._seen |= seen

    def _seal(self) -> None:
        """Make durable what writers of this process left in the common session."""
        if self._session is None:
            return
        self.store.history.learn(self._session.seal(), (), seen=self._seen)
        packs = tuple(pack.hex() for pack in packs_of(self.store, self._session))
        self._draft.change(lambda ops: tuple(_in_packs(op, packs) for op in ops))


class TransactionRepo:
    """A repo in a transaction: the verbs of `Repo` that can be part of one; they raise as those do."""

    def __init__(self, transaction: Transaction, name: str) -> None:
        self.transaction = transaction
        self.name = name

    def create_branch(
        self,
        name: str,
        *,
        head: str | None = None,
        provenance: Sequence[BranchRef] | None = None,
        never: Sequence[BranchRef] = (),
        trigger: Triggered = "keep",
    ) -> BranchInfo:
        """Create a branch, or change one; ``head`` is what it names now."""
        sources = None if provenance is None else tuple(provenance)
        followed = trigger if isinstance(trigger, str) else trigger_entry(trigger)
        self.transaction.add(
            self.name,
            lambda staged: CreateBranch(
                repo=self.name,
                branch=name,
                head=None if head is None else self._fast(staged, head),
                move=None if head is None else self.transaction.id,
                provenance=sources,
                never=tuple(never),
                trigger=followed,
            ),
        )
        return self.transaction.look(self.name, lambda repo: repo.branch(name))

    def delete_branch(self, name: str, *, force: bool = False) -> None:
        """Take a branch away."""
        check_user_branch(name)
        self.transaction.add(self.name, lambda _: DeleteBranch(repo=self.name, branch=name, force=force))

    def create_tag(self, name: str, ref: str) -> TagInfo:
        """Name a commit for good; one of this transaction may be named by its id or branch."""
        self.transaction.add(self.name, lambda staged: CreateTag(repo=self.name, tag=name, ref=self._fast(staged, ref)))
        return next(tag for tag in self.transaction.look(self.name, lambda repo: repo.tags()) if tag.name == name)

    def delete_tag(self, name: str) -> None:
        """Take a tag away."""
        self.transaction.add(self.name, lambda _: DeleteTag(repo=self.name, tag=name))

    def start_commit(self, branch: str, *, parent: str | None = None, message: str = "") -> CommitInfo:
        """Open a commit; if it is not finished in the transaction, it is an open one like others afterwards."""

        def make(staged: StagedStore) -> Op:
            return Start(
                repo=self.name,
                commit=commit_id(staged, self.name, self.transaction.id),
                branch=branch,
                parent=None if parent is None else self._fast(staged, parent),
                onto=None if parent is None else head_of(staged, self.name, branch),
                message=message or self.transaction.message,
                started=staged.clock_ns(),
            )

        return self._after(self.transaction.add(self.name, make))

    def finish_commit(self, ref: str, *, message: str | None = None, error: str | None = None) -> CommitInfo:
        """Finish an open commit, of this transaction or another, named by its id or its branch."""
        from pfs.changes.open_commits import find_open

        def make(staged: StagedStore) -> Op:
            state = staged.refs.read(self.name)
            commit = find_open(staged, state, ref)
            branch = state.body.open[commit].branch
            return Finish(repo=self.name, commit=commit, branch=branch, message=message, error=error)

        return self._after(self.transaction.add(self.name, make))

    def _after(self, op: Op) -> CommitInfo:
        assert isinstance(op, Start | Finish), "operations that have a commit"
        return self.transaction.look(self.name, lambda repo: repo.inspect(op.commit))

    def commit(
        self, branch: str, *, message: str = "", parent: str | None = None, collisions: Collisions = "refuse"
    ) -> CommitWriter:
        """Begin writing: to a branch, to its open commit, or to what an earlier writer of this transaction wrote."""
        return self.transaction.writer(self.name, Wish(branch, parent, message, None, (), collisions))

    def inspect(self, ref: str) -> CommitInfo:
        """Return the commit that a ref means, with the transaction done."""
        return self.transaction.look(self.name, lambda repo: repo.inspect(ref))

    def view(self, ref: str) -> View:
        """Return the files of a commit, with the transaction done."""
        return self.transaction.view(self.name, ref)

    def _fast(self, staged: StagedStore, ref: str) -> CommitId:
        """Return the id of the commit that a ref means now, whatever it may mean when the transaction is finished."""
        return staged.repo(self.name).inspect(ref).id


def _in_packs(op: Op, packs: Sequence[str]) -> Op:
    return replace(op, packs=tuple(dict.fromkeys([*op.packs, *packs]))) if isinstance(op, Write) else op


def begin(store: Store, *, message: str = "") -> Transaction:
    """Start a transaction that is kept in the store until it is finished or dropped, by whatever process."""
    return Transaction(store, drafts.start(store.refs.transactions, message=message), message=message)


def resume(store: Store, id: str) -> Transaction:
    """Return a transaction that was begun.

    Raises:
        TransactionNotFoundError: there is none. ConflictError: it is being finished.
    """
    draft = StoredDraft(store.refs.transactions, CommitId(id))
    state, _ = draft.claim()
    return Transaction(store, draft, message=state.body.message)


def list_transactions(store: Store) -> list[TransactionInfo]:
    """Return the transactions that were begun and not finished, the oldest first; clears away what died."""
    return [_info(state) for state in tidy(store)]


def inspect_transaction(store: Store, id: str) -> TransactionInfo:
    """Return one transaction by its id or an unambiguous beginning of it; raises TransactionNotFoundError."""
    found = [state for state in tidy(store) if state.body.id.startswith(id)]
    if len(found) != 1:
        raise TransactionNotFoundError(id)
    return _info(found[0])


def _info(state: TransactionState) -> TransactionInfo:
    body = state.body
    ops = from_stored(body.ops, where=object_name(body.id))
    branches = branches_of(ops)
    commits = tuple(Provenance(repo, branches.get((repo, id), ""), id) for repo, id in commits_of(ops))
    return TransactionInfo(
        id=body.id,
        state="pending" if body.state == "pending" else "open",
        message=body.message,
        created_ns=body.created,
        operations=tuple(map(described, ops)),
        commits=commits,
    )
