"""Commits sent from one store to another: what is missing there, and branches forwards, a swap of refs a repo.

Push and pull are one thing, the other way round. A repo shows nothing of it before all of it is there; what was cut off
finds what it stored when it is run again, as a put does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from pfs.changes.publish import ROUNDS
from pfs.changes.recheck import Needed, Planned, recheck
from pfs.errors import (
    BranchMovedError,
    CommitNotFoundError,
    ConflictError,
    CorruptionError,
    InvalidInputError,
    MissingObjectError,
    PfsError,
)
from pfs.history.linked import Found
from pfs.history.live import is_live
from pfs.ids import ChunkId, CommitId, ManifestId, PackId, PageId, RecordId, chunk_id, new_commit_id
from pfs.moving.plan import Move, RepoPlan, Wish, plan, record_of
from pfs.packs.commit_record import SAME_PACK, CommitRecord, id_of
from pfs.packs.record import RecordType
from pfs.provenance.fire import Firing
from pfs.refs import collection
from pfs.refs.back_off import back_off
from pfs.refs.body import HEAD, BranchEntry, RefsBody, TrashEntry, pointed, with_branch, with_trash
from pfs.refs.read import RefsState
from pfs.trees.page import Page
from pfs.trees.row import EMPTY_ROOT, Root

if TYPE_CHECKING:
    from pfs.files.progress import Progress
    from pfs.packs.pack import SealedPack
    from pfs.packs.session import WriteSession
    from pfs.store import Store

_RECORDS: Final = 4_096
"""Records in one meta pack: some MiB."""
_BYTES: Final = 8 << 20
"""Chunks read at once."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What a repo got; ``chunks`` and ``bytes`` (plain) count what the other store did not have."""

    repo: str
    branches: tuple[str, ...]
    tags: tuple[str, ...]
    commits: int
    chunks: int
    bytes: int


def send(
    source: Store,
    target: Store,
    wishes: Sequence[Wish] = (),
    *,
    force: bool = False,
    progress: Progress | None = None,
) -> list[Sent]:
    """Send branches and tags with all that they need from ``source`` to ``target``; return what moved, by repo.

    A branch moves forwards, or not at all; with ``force`` its old head goes to the trash. What is there already, found
    by its id, is not sent; the id of everything else is computed from its bytes. All is checked before anything is
    sent; each repo is one swap, after those that it was made from. Cost: O(changes); memory: `plan`, and a session.

    Raises:
        InvalidInputError: the stores are one, or cut files into chunks of other sizes.
        ConflictError: as `plan`; or the repo changed meanwhile. CollectedError: something was collected meanwhile.
        CorruptionError: something in ``source`` is damaged. StorageError: repos before this one have it all.
    """
    if source.config.store_uuid == target.config.store_uuid:
        raise InvalidInputError(f"{source.backend.location} and {target.backend.location} are one store")
    if source.config.chunker != target.config.chunker:
        sizes = f"{source.params.avg_bytes} bytes on average here, {target.params.avg_bytes} there"
        raise InvalidInputError(f"chunks have {sizes}, so the same files have other ids: get and put the files instead")
    with _told_apart(source):
        plans = plan(source, target, wishes, force=force)
        return [_Sending(source, target, one, progress).run() for one in plans if not one.is_empty]


@contextmanager
def _told_apart(source: Store) -> Iterator[None]:
    """Tell what was collected in the source meanwhile, with commits that went away there, from what is lost."""
    before = collection.read(source.backend)[0].gen
    try:
        yield
    except (MissingObjectError, CommitNotFoundError) as error:
        if collection.read(source.backend)[0].gen == before:
            raise
        what = error.where if isinstance(error, MissingObjectError) else "a commit"
        what = f"{what} was collected in {source.backend.location} meanwhile"
        raise ConflictError(f"{what}: repos before this one have it all; try again") from error


class _Missing(Needed):
    """Looks up what trees of ``source`` need in the other store, and stores there what it lacks."""

    def __init__(self, source: Store, target: Store, session: WriteSession, progress: Progress | None) -> None:
        super().__init__(target, session)
        self._source, self._progress = source, progress

    def get_page(self, pid: PageId) -> Page:
        """Return a page of the source, noting that it is needed."""
        self._add(RecordType.PAGE, pid, 0)
        return self._source.objects.get_page(pid)

    def prefetch(self, pids: Sequence[PageId]) -> None:  # type: ignore[override]
        """Read pages of the source together."""
        self._source.objects.prefetch(pids)

    def _blob(self, mid: ManifestId) -> bytes:
        self._add(RecordType.MANIFEST, mid, 0)
        return self._source.objects.blobs(RecordType.MANIFEST, [mid])[mid]

    def check(self) -> None:
        """Send what is pending and not there."""
        pending, self._pending = self._pending, {}
        held = self._session.holds(list(pending)) if pending else []
        lacking = [(id, *what) for (id, what), there in zip(pending.items(), held, strict=True) if not there]
        for chunks in _batches([(ChunkId(id), size) for id, kind, size in lacking if kind is RecordType.CHUNK]):
            self._send_chunks(chunks)
        for id, kind, _ in lacking:
            if kind is RecordType.PAGE:
                self._session.put_page(self._source.objects.get_page(PageId(id)).data)
            elif kind is RecordType.MANIFEST:
                blob = self._source.objects.blobs(RecordType.MANIFEST, [id])[id]
                self._session.put_manifest_blob(ManifestId(id), blob)

    def _send_chunks(self, wanted: list[tuple[ChunkId, int]]) -> None:
        found = self._source.objects.chunks(wanted, passing=True)
        for (id, _), data in zip(wanted, found, strict=True):
            if chunk_id(data) != id:
                raise CorruptionError(f"chunk {id.hex()[:12]}", f"damaged in {self._source.backend.location}")
        self._session.put_chunks(list(zip((id for id, _ in wanted), found, strict=True)))
        if self._progress is not None:
            self._progress.advance(size=sum(size for _, size in wanted))


def _batches(chunks: list[tuple[ChunkId, int]]) -> Iterator[list[tuple[ChunkId, int]]]:
    batch, total = list[tuple[ChunkId, int]](), 0
    for chunk in chunks:
        if batch and total + chunk[1] > _BYTES:
            yield batch
            batch, total = [], 0
        batch.append(chunk)
        total += chunk[1]
    if batch:
        yield batch


class _Sending:
    """What one repo gets, sent and published."""

    def __init__(self, source: Store, target: Store, plan: RepoPlan, progress: Progress | None) -> None:
        self._source, self._target, self._plan, self._progress = source, target, plan, progress
        self._repo = plan.source.repo
        self._session = target.session()
        self._sealed: list[SealedPack] = []
        self._found: dict[CommitId, Found] = {}

    def run(self) -> Sent:
        """Send all of it; returns once it is durable and visible."""
        try:
            self._send_trees()
            if self._plan.target is None:
                self._target.create_repo(self._repo, description=self._plan.source.body.description)
            done = self._publish()
        except BaseException:
            self._session.abandon()
            raise
        self._session.release()
        with suppress(PfsError):  # it has landed: the next reader catches up
            self._target.history.learn(self._sealed, list(self._found.values()), state=done)
        moved, counted = self._plan, self._session
        new = (len(moved.missing), counted.new_chunks, counted.new_bytes)
        return Sent(self._repo, tuple(moved.moves), tuple(moved.tags), *new)

    def _send_trees(self) -> None:
        missing = _Missing(self._source, self._target, self._session, self._progress)
        for commit in self._plan.missing:
            missing.tree(self._planned(commit))
            if self._progress is not None:
                self._progress.advance(files=1)
        self._session.seal_data()

    def _planned(self, commit: CommitId) -> Planned:
        """Return the tree of a commit, and that of its first parent as it is in the other store."""
        record = self._record(commit)
        return Planned(self._root_there(record.parents[0]) if record.parents else EMPTY_ROOT, record.tree_root())

    def _root_there(self, commit: CommitId) -> Root:
        store = self._target if commit in self._plan.known else self._source
        return store.history.get(self._repo, commit).tree_root()

    def _record(self, commit: CommitId) -> CommitRecord:
        return record_of(self._source, self._plan.source, commit)

    def _publish(self) -> RefsState:
        target = self._target
        with target.turns.turn(self._repo):
            for round_no in range(ROUNDS):
                try:
                    with target.refs.read_once():
                        state = target.refs.read(self._repo)
                        return target.refs.swap(state, self._edited(state), seen_gen=self._session.seen_gen)
                except BranchMovedError:
                    back_off(round_no, far=target.backend.parallel > 1)
        raise ConflictError(f"repo {self._repo!r} is being changed too often: try again")

    def _edited(self, state: RefsState) -> RefsBody:
        self._refuse_moved(state)
        planned = [self._planned(commit) for commit in self._plan.missing]
        if recheck(self._target, self._session, state, planned) or not self._found:
            self._put_records(state)
        body = state.body
        for name, move in self._plan.moves.items():
            body = self._moved(state, body, name, move)
        now_ns, tags = self._target.clock_ns(), dict(body.tags)
        for name, commit in self._plan.tags.items():
            tags[name] = BranchEntry(head=commit, pack=self._home(state, commit).hex(), created=now_ns)
        return replace(body, tags=tags)

    def _refuse_moved(self, state: RefsState) -> None:
        """Refuse a state in which not all is as it was planned for."""
        body = state.body
        heads = all(
            body.branches.get(name, BranchEntry()).head == old for name, (old, _, _) in self._plan.moves.items()
        )
        free = not any(name in body.tags or name in body.branches for name in self._plan.tags)
        free = free and not any(name in body.tags or body.open_on(name) for name in self._plan.moves)
        if not heads or not free or not all(is_live(self._target, state, commit) for commit in self._plan.known):
            raise ConflictError(f"repo {self._repo!r} changed in {self._target.backend.location} meanwhile: try again")

    def _put_records(self, state: RefsState) -> None:
        """Store the records of missing commits, as they are but for where their parents' are; parents come first."""
        self._found.clear()
        named = {move.head for move in self._plan.moves.values()} | set(self._plan.tags.values())
        made: dict[CommitId, RecordId] = {}
        missing = self._plan.missing
        for start in range(0, len(missing), _RECORDS):
            batch = dict.fromkeys(missing[start : start + _RECORDS])
            fresh = []
            for commit in batch:
                record = self._made(state, commit, made, batch, is_head=commit in named)
                self._session.put_record(record)
                made[commit] = id_of(record)
                fresh.append(record)
            pack = self._session.pack_ids[-1]
            self._sealed = self._session.seal()
            self._found |= {record.id: Found(record, pack) for record in fresh}

    def _made(
        self,
        state: RefsState,
        commit: CommitId,
        made: dict[CommitId, RecordId],
        batch: dict[CommitId, None],
        *,
        is_head: bool,
    ) -> CommitRecord:
        record = self._record(commit)
        homes = [SAME_PACK if parent in batch else self._home(state, parent) for parent in record.parents]
        ids = [made[parent] if parent in made else self._id_there(parent) for parent in record.parents]
        packs = tuple(self._session.pack_ids) if is_head else ()
        return replace(record, packs=packs, parent_packs=tuple(homes), parent_records=tuple(ids))

    def _id_there(self, commit: CommitId) -> RecordId:
        return id_of(self._target.history.get(self._repo, commit))

    def _home(self, state: RefsState, commit: CommitId) -> PackId:
        found = self._found.get(commit)
        return self._target.history.home_of(state, commit) if found is None else found.pack

    def _moved(self, state: RefsState, body: RefsBody, name: str, move: Move) -> RefsBody:
        now_ns, pack = self._target.clock_ns(), self._home(state, move.head)
        old = body.branches.get(name, BranchEntry(created=now_ns))
        point = BranchEntry(head=move.head, pack=pack.hex())
        other = new_commit_id() if move.forced else None
        body = with_branch(body, name, pointed(old, point, now_ns=now_ns, move=other))
        if move.forced:
            body = with_trash(body, name, TrashEntry(branch=old, deleted=now_ns, kind=HEAD, onto=move.head))
        found = self._found.get(move.head) or Found(self._target.history.get(self._repo, move.head), pack)
        return Firing(self._target, self._repo, list(self._found.values())).after(body, name, found)
