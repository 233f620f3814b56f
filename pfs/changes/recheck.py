"""Step 5 of the commit protocol: before a swap, what a commit relies on must be out of reach of every collection.

What the commit's tree shares with a tree that is live in the body being replaced is safe: collection sees it. All else
was stored by the session, or found stored in packs that were on no list up to ``session.seen_gen``. If a generation was
published since, or content was taken over without looking it up, each such object is looked up again, and stored again
where only condemned packs have it. Cost: one read of ``gc/state.json``; O(changes) look-ups in that rare case.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from msgspec import Struct

from pfs.errors import CollectedError, MissingObjectError
from pfs.history.live import is_live
from pfs.ids import EMPTY_CHUNK, ChunkId, ManifestId, PageId, TreeId
from pfs.packs.manifest import Manifest
from pfs.packs.record import RecordType
from pfs.refs.collection import Collection as State
from pfs.refs.level import level
from pfs.trees.page import Kind, Page
from pfs.trees.row import Root

if TYPE_CHECKING:
    from pfs.files.fileref import Content
    from pfs.packs.session import WriteSession
    from pfs.refs.read import RefsState
    from pfs.store import Store

_BATCH = 4_096
"""Ids that are looked up together."""


class Planned(Struct, frozen=True):
    """A tree that is about to become live, and one that is live already, as near to it as there is."""

    live: Root
    new: Root


def recheck(store: Store, session: WriteSession, state: RefsState | None, planned: Sequence[Planned]) -> bool:
    """Make sure of all that the new trees need; say whether ``session`` may have more to seal.

    ``state`` is what the swap will replace, read before this call; None where the trees are kept by other means.

    Raises:
        CollectedError: something is nowhere any more. StorageError, CorruptionError: it cannot be told.
    """
    if not session.keeps:
        return False
    owed = not _all_live(store, session, state)
    moved = False
    while True:
        collection = level(store.backend, store.index)
        if collection.gen == session.seen_gen and not owed:
            return moved
        _take_back(store, session, collection)
        for one in planned:
            Needed(store, session).tree(one)
        if owed:
            session.borrowed.clear()
        session.seen_gen = collection.gen
        owed, moved = False, True


def recheck_content(store: Store, session: WriteSession, contents: Sequence[Content]) -> bool:
    """Make sure of all that a session stored or relies on, where that is just these files; as `recheck`."""
    moved = False
    while True:
        collection = level(store.backend, store.index)
        if collection.gen == session.seen_gen and not session.borrowed:
            return moved
        _take_back(store, session, collection)
        needed = Needed(store, session)
        for content in contents:
            needed.file(content)
        needed.check()
        session.borrowed.clear()
        session.seen_gen = collection.gen
        moved = True


def take_over(store: Store, session: WriteSession, contents: Sequence[Content]) -> None:
    """Let a session that holds nothing else take over files by reference: they are looked up at once.

    Raises as `recheck`.
    """
    session.borrow(None)
    recheck_content(store, session, contents)


def _all_live(store: Store, session: WriteSession, state: RefsState | None) -> bool:
    """Say whether all that was taken over belongs to commits that are live, or open, in ``state``."""
    for source in session.borrowed:
        if source is None or state is None or source[0] != state.repo:
            return False
        if source[1] not in state.body.open and not is_live(store, state, source[1]):
            return False
    return True


def _take_back(store: Store, session: WriteSession, collection: State) -> None:
    if not collection.reaches(session.seen_gen):
        raise CollectedError("what this write began with, too many collections ago")
    session.store_again(store.index.condemned_since(session.seen_gen))


class Needed:
    """Looks up objects, and stores those again that no pack is sure to keep; memory: a batch of ids.

    As a source of pages it gives those of the new tree.
    """

    def __init__(self, store: Store, session: WriteSession) -> None:
        self._store, self._session = store, session
        self._pending: dict[bytes, tuple[RecordType, int]] = {}

    def tree(self, planned: Planned) -> None:
        """Make sure of every page and file of the new tree that the live one has not at the same path."""
        from pfs.trees.diff import diff  # where others wrote meanwhile alone

        for change in diff(self._session, planned.live, self, planned.new):
            if change.new is not None:
                self.file(change.new)
        self.check()

    def file(self, content: Content) -> None:
        """Make sure of the content of a file, now or with the next `check`."""
        if content.kind in (Kind.FILE, Kind.SYMLINK):
            self._add(RecordType.CHUNK, content.tid, content.size)
        elif content.kind == Kind.CHUNKED:
            with _collected(_name(content.tid)):
                manifest = Manifest(self._blob(ManifestId(content.tid)), load=self._blob, where=_name(content.tid))
                for chunk in manifest.chunks():
                    self._add(RecordType.CHUNK, chunk.id, chunk.size)

    def get_page(self, pid: PageId) -> Page:
        """Return a page of the new tree, noting that it is needed."""
        self._add(RecordType.PAGE, pid, 0)
        with _collected(_name(pid)):
            return self._session.get_page(pid)

    def prefetch(self, pids: Collection[PageId]) -> None:
        """Read pages together."""
        self._session.prefetch(pids)

    def _blob(self, mid: ManifestId) -> bytes:
        self._add(RecordType.MANIFEST, mid, 0)
        return self._session.manifest_blob(mid)

    def _add(self, type: RecordType, id: bytes, size: int) -> None:
        if id != EMPTY_CHUNK:
            self._pending[id] = type, size
        if len(self._pending) >= _BATCH:
            self.check()

    def check(self) -> None:
        """Store again what is pending and in no pack that stays."""
        pending, self._pending = self._pending, {}
        held = self._session.holds(list(pending)) if pending else []
        for (id, (type, size)), there in zip(pending.items(), held, strict=True):
            if not there:
                with _collected(_name(id)):
                    self._store_again(type, id, size)

    def _store_again(self, type: RecordType, id: bytes, size: int) -> None:
        if type is RecordType.PAGE:
            self._session.put_page(self._session.get_page(PageId(id)).data)
        elif type is RecordType.MANIFEST:
            self._session.put_manifest_blob(ManifestId(id), self._session.manifest_blob(ManifestId(id)))
        else:
            data = self._store.objects.chunk(ChunkId(id), size, verify=True)
            self._session.put_chunks([(ChunkId(id), data)])


@contextmanager
def _collected(what: str) -> Iterator[None]:
    try:
        yield
    except MissingObjectError as error:
        raise CollectedError(what) from error


def _name(id: bytes | TreeId) -> str:
    return f"object {id.hex()[:12]}"
