"""Writing commits of a repo anew, with other trees and the same ids, in one swap of refs (docs/design/purge.md)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Protocol, Self

from msgspec.structs import replace

from pfs.changes.recheck import Planned, recheck
from pfs.errors import BranchMovedError, ConflictError, PfsError, RepoNotFoundError
from pfs.history.linked import Found
from pfs.history.reachable import live_commits
from pfs.ids import CommitId, PackId
from pfs.packs.commit_record import SAME_PACK, CommitRecord, record_root
from pfs.refs.back_off import back_off
from pfs.refs.body import BranchEntry, OpenEntry, RefsBody, root_entry
from pfs.refs.edges import with_records
from pfs.refs.read import RefsState
from pfs.refs.shreds import with_words
from pfs.trees.row import MemoryPages, PageSink, Root

if TYPE_CHECKING:
    from pfs.files.progress import Progress
    from pfs.lifecycle.traces import Traces
    from pfs.packs.session import WriteSession
    from pfs.store import Store

ROUNDS = 50
"""Swaps that may be lost to writers; each round after the first only does the commits that came meanwhile."""
MEMORY_BYTES = 64 << 20
"""Pages that are held in memory when nothing is to be written."""
RECORDS = 256
"""Commit records in a pack at most: to find one in it, they are looked through."""


class Change(Protocol):
    """What commits become; asked again, with the present refs, after each lost swap."""

    @property
    def traces(self) -> Traces:
        """What lies in packs of the content that was taken out so far."""
        ...

    def begin(self, state: RefsState) -> None:
        """Take note of the refs that are about to be replaced."""
        ...

    def restart(self) -> None:
        """Forget pages that were made before: the sink has forgotten them."""
        ...

    def committed(self, record: CommitRecord) -> Root:
        """Return the tree that a finished commit gets; its own where nothing changes."""
        ...

    def opened(self, entry: OpenEntry) -> Root:
        """Return the tree that an open commit gets."""
        ...

    def noted(self, body: RefsBody) -> RefsBody:
        """Return the body with what refs are to remember of the change; itself if that is nothing."""
        ...


class Pages:
    """Where a change puts its pages; a context manager. ``tentative``: in memory, which is emptied when it is full."""

    def __init__(self, store: Store, *, tentative: bool) -> None:
        self.session = None if tentative else store.session()
        self._memory = MemoryPages(store.objects)

    @property
    def sink(self) -> PageSink:
        """The sink itself."""
        return self._memory if self.session is None else self.session

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if self.session is not None:
            self.session.abandon()

    def trim(self, change: Change) -> None:
        """Make room where pages are in memory."""
        if self._memory.new_bytes > MEMORY_BYTES:
            self._memory.pages.clear()
            self._memory.new_bytes = 0
            change.restart()


class Rewriting:
    """One change of one repo's commits. ``changed`` and ``opened``: the finished and open commits that it concerned."""

    def __init__(
        self, store: Store, repo: str, change: Change, pages: Pages, *, progress: Progress | None = None
    ) -> None:
        self._store, self._repo, self._change = store, repo, change
        self._pages, self._progress = pages, progress
        self.changed = set[CommitId]()
        self.opened = set[CommitId]()
        self._new: dict[tuple[CommitId, bytes], PackId] = {}
        self._unsealed = 0

    def run(self) -> None:
        """Do it, or with tentative pages work out what it would be.

        Raises:
            RepoNotFoundError: there is none. ConflictError: the repo is being changed too often.
            CorruptionError, MissingObjectError: a commit or page is damaged: nothing was changed.
            StorageError: nothing was changed, or all of it.
        """
        if self._pages.session is None:
            self._look()
        else:
            self._do(self._pages.session)

    def _look(self) -> None:
        state = self._settled()
        for found in live_commits(self._store.history, state):
            if self._change.committed(found.record) != found.record.tree_root():
                self.changed.add(found.record.id)
            self._pages.trim(self._change)
        entries = state.body.open.items()
        self.opened = {commit for commit, entry in entries if self._change.opened(entry) != entry.tree_root()}

    def _do(self, session: WriteSession) -> None:
        """Write and swap; after the first round, which is the long one, writers of this machine wait."""
        for round_no in range(ROUNDS):
            with nullcontext() if round_no == 0 else self._store.turns.turn(self._repo):
                state = self._settled()
                body = self._body(session, state)
                if body is state.body:
                    return
                try:
                    self._store.refs.swap(state, body, seen_gen=session.seen_gen)
                except BranchMovedError:
                    back_off(round_no)
                    continue
            with suppress(PfsError):  # the next reader of these refs catches up
                self._store.index.add(session.seal())
                self._store.refs.read(self._repo)
            return
        raise ConflictError(f"repo {self._repo!r} is being changed too often: try again")

    def _settled(self) -> RefsState:
        state = self._store.refs.settled(self._repo)
        if state is None or state.body.gone:
            raise RepoNotFoundError(self._repo)
        self._change.begin(state)
        return state

    def _body(self, session: WriteSession, state: RefsState) -> RefsBody:
        """Write what the present commits become, durably; return the body that says so, the same if nothing changes."""
        changed: dict[CommitId, Planned] = {}
        homes: dict[CommitId, PackId] = {}
        for found in live_commits(self._store.history, state):
            root = self._change.committed(found.record)
            if root != found.record.tree_root():
                homes[found.record.id] = self._written(session, found, root)
                changed[found.record.id] = Planned(found.record.tree_root(), root)
            if self._progress is not None:
                self._progress.advance(files=1)
        opened = {commit: self._opened(entry) for commit, entry in state.body.open.items()}
        self.changed = set(homes)
        self.opened = {commit for commit, entry in opened.items() if entry is not state.body.open[commit]}
        if not self.changed and not self.opened:
            return self._change.noted(state.body)
        planned = [Planned(state.body.open[id].tree_root(), opened[id].tree_root()) for id in self.opened]
        if recheck(self._store, session, state, [*changed.values(), *planned]):
            homes = self._written_again(session, changed)
        self._seal(session)
        packs = tuple(pack.hex() for pack in session.pack_ids)
        opened |= {id: replace(opened[id], packs=(*opened[id].packs, *packs)) for id in self.opened}
        body = with_records(replace(state.body, open=opened, rewrites=state.body.rewrites + 1), homes)
        body = self._change.noted(_with_homes(body, homes))
        words = self._change.traces.words(self._store.objects)
        return with_words(self._store.backend, self._repo, body, words) if len(words) else body

    def _written_again(self, session: WriteSession, changed: Mapping[CommitId, Planned]) -> dict[CommitId, PackId]:
        """Write all records anew: collection condemned packs meanwhile, and theirs may be among them."""
        self._new.clear()
        homes: dict[CommitId, PackId] = {}
        for commit, trees in changed.items():
            found = self._store.history.locate(self._repo, commit)
            if found is not None:
                homes[commit] = self._written(session, found, trees.new)
        return homes

    def _written(self, session: WriteSession, live: Found, root: Root) -> PackId:
        """Return the pack with the new record of a commit, put into the session unless an earlier round did."""
        record, known = live.record, (live.record.id, live.record.root.pid)
        if known not in self._new:
            homes = tuple(live.pack if home == SAME_PACK else home for home in record.parent_packs)
            session.put_record(replace(record, root=record_root(root), parent_packs=homes))
            self._new[known] = session.pack_ids[-1]
            self._unsealed += 1
            if self._unsealed == RECORDS:
                self._seal(session)
        return self._new[known]

    def _opened(self, entry: OpenEntry) -> OpenEntry:
        root = self._change.opened(entry)
        return entry if root == entry.tree_root() else replace(entry, root=root_entry(root))

    def _seal(self, session: WriteSession) -> None:
        session.seal()
        self._unsealed = 0


def _with_homes(body: RefsBody, homes: Mapping[CommitId, PackId]) -> RefsBody:
    """Return the body whose branches, tags and trash say where the new records of their heads are."""

    def at_home(entry: BranchEntry) -> BranchEntry:
        home = None if entry.head is None else homes.get(entry.head)
        return entry if home is None else replace(entry, pack=home.hex())

    return replace(
        body,
        branches={name: at_home(entry) for name, entry in body.branches.items()},
        tags={name: at_home(entry) for name, entry in body.tags.items()},
        trash={name: replace(entry, branch=at_home(entry.branch)) for name, entry in body.trash.items()},
    )
