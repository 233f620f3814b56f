"""Deleting a path for good: out of every commit of a repo, with its bytes free for collection (docs/design/purge.md).

Ids of commits stay, and rows stay as REMOVED with the size and logical id that they had, so that lineage can be
followed. Records are written anew, and refs say which count. One swap of refs is the moment; what fails before it
changed nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec.structs import replace

from pfs.changes.recheck import Planned, recheck
from pfs.errors import BranchMovedError, ConflictError, PathNotFoundError, PfsError, RepoNotFoundError
from pfs.history.linked import Found
from pfs.history.reachable import live_commits
from pfs.ids import CommitId, PackId
from pfs.lifecycle.copies import find_copies
from pfs.lifecycle.rewrite import Mirror, Rewriter
from pfs.packs.commit_record import SAME_PACK, CommitRecord, record_root
from pfs.paths import clean_path, to_key
from pfs.refs.body import BranchEntry, OpenEntry, RefsBody, is_hidden, root_entry
from pfs.refs.edges import with_records
from pfs.refs.swap import RefsState, back_off
from pfs.trees.row import Root

if TYPE_CHECKING:
    from pfs.files.progress import Progress
    from pfs.store import Store

ROUNDS = 50
"""Swaps that may be lost to writers; each round after the first only does the commits that came meanwhile."""
RECORDS = 256
"""Commit records in a pack at most: to find one in it, they are looked through."""


@dataclass(frozen=True, slots=True)
class PurgeReport:
    """What was purged, or would be.

    ``commits``: finished commits that had content there; ``open_commits`` likewise; ``contents``: how many different
    contents those were, of ``size_bytes`` together. ``copies``: other paths with the same contents, which were not
    touched, as ``repo@commit:/path``; ``more_copies``: there are more than these.
    """

    repo: str
    path: str
    commits: int
    open_commits: int
    contents: int
    size_bytes: int
    copies: tuple[str, ...]
    more_copies: bool


def purge(
    store: Store,
    repo: str,
    path: str,
    *,
    recursive: bool = False,
    dry_run: bool = False,
    mirrors: tuple[Mirror, ...] = (),
    progress: Progress | None = None,
) -> PurgeReport:
    """Take the content of a file, with ``recursive`` of all files below a directory, out of all commits of a repo.

    Of branches, tags, trash, failed and open commits alike; ``mirrors``: hidden branches that lay out the repo's files
    a second time. Costs O(commits x depth) pages; memory: some hundred bytes a commit. Bytes are freed by collection.
    Doing it again changes nothing.

    Raises:
        RepoNotFoundError: there is none. PathNotFoundError: no commit has the path.
        InvalidInputError: it is a directory, and ``recursive`` is not set.
        CorruptionError, MissingObjectError: a commit or page is damaged: nothing was changed.
        ConflictError: the repo is being changed too often. StorageError: nothing was changed, or all of it.
    """
    work = _Purge(store, repo, to_key(path), recursive=recursive, mirrors=mirrors, progress=progress)
    place, contents = clean_path(path), work.rewriter.contents
    try:
        if dry_run:
            work.look()
        else:
            work.run()
    finally:
        work.session.abandon()
    if not work.rewriter.met:
        raise PathNotFoundError(f"{repo}:{place} in any commit")
    copies = find_copies(store, contents.words, leave_out=(repo, work.key) if dry_run else None)
    done = len(work.changed), len(work.opened), len(contents.words), contents.size_bytes
    return PurgeReport(repo, place, *done, copies.places, copies.more)


class _Purge:
    def __init__(
        self,
        store: Store,
        repo: str,
        key: bytes,
        *,
        recursive: bool,
        mirrors: tuple[Mirror, ...],
        progress: Progress | None,
    ) -> None:
        self._store, self._repo, self._progress = store, repo, progress
        self.key = key
        self.session = store.session()
        self.rewriter = Rewriter(self.session, key, recursive=recursive, mirrors=mirrors)
        self.changed = set[CommitId]()
        self.opened = set[CommitId]()
        self._new: dict[tuple[CommitId, bytes], PackId] = {}
        self._unsealed = 0

    def look(self) -> None:
        """Work everything out, and write nothing."""
        state = self._settled()
        self.changed = {
            one.record.id for one in live_commits(self._store.history, state) if self._rewritten(one.record)
        }
        roots = {commit: entry.tree_root() for commit, entry in state.body.open.items()}
        self.opened = {commit for commit, root in roots.items() if self.rewriter.root(root) != root}

    def run(self) -> None:
        """Do it. After the first round, which is the long one, writers of this machine wait."""
        for round_no in range(ROUNDS):
            with nullcontext() if round_no == 0 else self._store.turns.turn(self._repo):
                state = self._settled()
                body = self._body(state)
                if body is state.body:
                    return
                try:
                    self._store.refs.swap(state, body, seen_gen=self.session.seen_gen)
                except BranchMovedError:
                    back_off(round_no)
                    continue
            with suppress(PfsError):  # the next reader of these refs catches up
                self._store.index.add(self.session.seal())
                self._store.refs.read(self._repo)
            return
        raise ConflictError(f"repo {self._repo!r} is being changed too often: try again")

    def _settled(self) -> RefsState:
        state = self._store.refs.settled(self._repo)
        if state is None or state.body.gone:
            raise RepoNotFoundError(self._repo)
        return state

    def _body(self, state: RefsState) -> RefsBody:
        """Write what the present commits become, durably; return the body that says so, the same if nothing changes."""
        changed: dict[CommitId, Planned] = {}
        homes: dict[CommitId, PackId] = {}
        for found in live_commits(self._store.history, state):
            root = self._rewritten(found.record)
            if root is not None:
                homes[found.record.id] = self._written(found, root)
                changed[found.record.id] = Planned(found.record.tree_root(), root)
            if self._progress is not None:
                self._progress.advance(files=1)
        opened = {commit: self._opened(entry) for commit, entry in state.body.open.items()}
        self.changed = set(homes)
        self.opened = {commit for commit, entry in opened.items() if entry is not state.body.open[commit]}
        if not self.changed and not self.opened:
            return state.body
        planned = [Planned(state.body.open[id].tree_root(), opened[id].tree_root()) for id in self.opened]
        if recheck(self._store, self.session, state, [*changed.values(), *planned]):
            homes = self._written_again(changed)
        self._seal()
        packs = tuple(pack.hex() for pack in self.session.pack_ids)
        opened |= {id: replace(opened[id], packs=(*opened[id].packs, *packs)) for id in self.opened}
        body = with_records(replace(state.body, open=opened, rewrites=state.body.rewrites + 1), homes)
        return _with_homes(body, homes)

    def _written_again(self, changed: Mapping[CommitId, Planned]) -> dict[CommitId, PackId]:
        """Write all records anew: collection condemned packs meanwhile, and theirs may be among them."""
        self._new.clear()
        found = (
            (commit, self._store.history.locate(self._repo, commit), trees.new) for commit, trees in changed.items()
        )
        return {commit: self._written(old, root) for commit, old, root in found if old is not None}

    def _rewritten(self, record: CommitRecord) -> Root | None:
        """Return the tree of a commit without the content; None if it has none."""
        mirror = self.rewriter.mirror_of(record.branch)
        if mirror is None and is_hidden(record.branch):
            return None
        root = self.rewriter.root(record.tree_root(), mirror=mirror)
        return None if root == record.tree_root() else root

    def _written(self, live: Found, root: Root) -> PackId:
        """Return the pack with the new record of a commit, put into the session unless an earlier round did."""
        record, known = live.record, (live.record.id, live.record.root.pid)
        if known not in self._new:
            homes = tuple(live.pack if home == SAME_PACK else home for home in record.parent_packs)
            self.session.put_record(replace(record, root=record_root(root), parent_packs=homes))
            self._new[known] = self.session.pack_ids[-1]
            self._unsealed += 1
            if self._unsealed == RECORDS:
                self._seal()
        return self._new[known]

    def _opened(self, entry: OpenEntry) -> OpenEntry:
        root = self.rewriter.root(entry.tree_root())
        return entry if root == entry.tree_root() else replace(entry, root=root_entry(root))

    def _seal(self) -> None:
        self.session.seal()
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
