"""What collection starts from: everything that refs, uploads and transactions in the making lead to.

Commits live when heads, tags, trash or open commits lead to them by all parents, as `edges` of refs have these. Beside
them there are the trees of open commits, parts of multipart uploads, and the states of deleted repos for as long as
they can be had back, also where there is a new repo of the name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from pfs.errors import CorruptionError, MissingObjectError, NotFoundError
from pfs.gc.mark import Marker
from pfs.gc.uploads import uploaded_parts
from pfs.history.linked import Found
from pfs.history.reachable import live_commits
from pfs.ids import CommitId, RecordId
from pfs.packs.commit_record import CommitRecord, decode_record, id_of
from pfs.packs.pack import RecordType, pack_name, read_footer
from pfs.refs.body import RefsBody
from pfs.refs.buried import buried
from pfs.refs.prepared import possible
from pfs.refs.read import RefsState
from pfs.transactions.roots import staged_roots

if TYPE_CHECKING:
    from pfs.store import Store

_BATCH = 1024


Wanted = Callable[[RefsBody, CommitRecord], bool]
"""Says of a live commit, and the body that it is live in, whether it counts."""


def _all(_: RefsBody, __: CommitRecord) -> bool:
    return True


def add_roots(
    store: Store, marker: Marker, states: Iterable[RefsState], *, wanted: Wanted = _all
) -> dict[str, set[CommitId]]:
    """Add what refs bodies, tombstones included, uploads and drafts lead to; return the live commits by repo.

    ``wanted``: of finished commits only those that it says; for a look at a part of the store.

    Uploads and drafts are listed here: to be asked for after the generation of a re-mark is published.

    Raises:
        CorruptionError: something of it cannot be read.
        StorageError: a pack cannot be read.
    """
    live: dict[str, set[CommitId]] = {}
    for state in states:
        live.setdefault(state.repo, set())
        for body in bodies(store, state.body):
            live[state.repo] |= _add_body(store, marker, RefsState(state.repo, body, state.etag), wanted)
    for part in uploaded_parts(store.backend):
        marker.file(part.kind, part.tid)
    for staged in staged_roots(store.backend):
        marker.tree(staged.root)
    return live


def bodies(store: Store, body: RefsBody) -> Iterator[RefsBody]:
    """Yield all that a body may be: with what transactions prepared, and what `undelete` brings back of the repo."""
    now_ns, names = store.clock_ns(), dict[str, None]()
    for one in possible(body):
        names |= dict.fromkeys(state.last for state in buried(one, now_ns))
        if not one.gone:
            yield one
    yield from (_last(store, name) for name in names)


def _last(store: Store, name: str) -> RefsBody:
    try:
        return store.refs.decode(store.backend.get(name), where=name)
    except NotFoundError as error:
        raise MissingObjectError(name, "the last state of a deleted repo is missing") from error


def _add_body(store: Store, marker: Marker, state: RefsState, wanted: Wanted) -> set[CommitId]:
    live, batch = set[CommitId](), list[Found]()
    for entry in state.body.open.values():
        marker.tree(entry.tree_root())
    for found in live_commits(store.history, state):
        if not wanted(state.body, found.record):
            continue
        live.add(found.record.id)
        marker.tree(found.record.tree_root())
        batch.append(found)
        if len(batch) == _BATCH:
            _add_records(store, marker, batch)
            batch.clear()
    _add_records(store, marker, batch)
    return live


def _add_records(store: Store, marker: Marker, batch: list[Found]) -> None:
    ids: list[RecordId] = [id_of(found.record) for found in batch]
    for found, id, place in zip(batch, ids, store.index.find(ids), strict=True):
        # What a newer release wrote has fields that this one leaves out, and so another id than it makes of it.
        for known in [id] if place is not None else _records_in_pack(store, found):
            marker.record(known)


def _records_in_pack(store: Store, found: Found) -> list[bytes]:
    """Return the ids of the records of a commit in the pack that should have it."""
    name, commit = pack_name(found.pack, "m"), found.record.id
    try:
        entries = read_footer(store.backend, name).entries
    except NotFoundError as error:
        raise MissingObjectError(f"commit {found.record.repo}@{commit}", f"its pack {name} is gone") from error
    ids = []
    for entry in entries[entries["type"] == RecordType.COMMIT]:
        record = store.objects.record_at(name, int(entry["off"]))
        if decode_record(record.payload, where=name).id == commit:
            ids.append(record.id)
    if not ids:
        raise CorruptionError(name, f"the record of commit {found.record.repo}@{commit} is not in it")
    return ids
