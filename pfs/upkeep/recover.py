"""Building the index again from the objects alone, whatever became of the old one.

The new index is made in a folder of its own and put in the old one's place when it is complete; objects are
only read, apart from a state of collection that was lost. Of a pack whose frame is damaged all whole records are
indexed, and of its whole blocks what the old index knows of them.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pfs.backends.base import Backend, Entry
from pfs.backends.durable import storage_errors
from pfs.config import check_encryption, open_objects, read_config, read_local_config
from pfs.errors import (
    ArchivedError,
    ConflictError,
    CorruptionError,
    InvalidInputError,
    MissingObjectError,
    NotFoundError,
    PfsError,
)
from pfs.history.reading import afresh, forget_unlisted, history_of
from pfs.history.records import History
from pfs.ids import PackId
from pfs.packs.footer import in_batches
from pfs.packs.index import Index, Location
from pfs.packs.pack import SealedPack, parse_pack_name, read_footer
from pfs.packs.salvage import salvage
from pfs.packs.tiers import note_tiers
from pfs.parallel import at_once
from pfs.refs.collection import GC_STATE
from pfs.refs.collector_lock import alone
from pfs.refs.level import level
from pfs.refs.read import refs_name
from pfs.refs.renew import lost_detail, renew
from pfs.refs.swap import Refs
from pfs.rootkey import make_root_key
from pfs.store import INDEX

if TYPE_CHECKING:
    from pfs.encryption.unlock import Unlock
    from pfs.files.progress import Progress

DRAFTS = "tmp"
_ID_NAME = len(".pack") + 32
"""Length of the end of a pack's name that begins with its id, and so with the time when it was begun."""


@dataclass(frozen=True, slots=True)
class RecoverReport:
    """What was found; ``size_bytes``: of all packs that are indexed.

    ``damaged``: objects that are left out, and refs or commits that cannot be read, by name. ``salvaged``: packs with a
    damaged frame whose whole records are indexed; what else they held is lost. ``renewed``: objects that were lost or
    damaged, and were written anew, so that nothing of them is missed: the state of collection.
    """

    packs: int
    chunks: int
    repos: int
    commits: int
    size_bytes: int
    damaged: tuple[str, ...]
    salvaged: tuple[str, ...] = ()
    renewed: tuple[str, ...] = ()


def recover(directory: Path | str, *, unlock: Unlock | None = None, progress: Progress | None = None) -> RecoverReport:
    """Build the index of the store in the ``.pfs`` folder ``directory`` again; nothing may have the store open.

    Makes a new root key if that file is gone (other keys must then be created again). ``unlock``: as `pfs.open`.

    Raises:
        StoreNotFoundError, CorruptionError: there is no store, or its config is lost.
        ConflictError: another recovery of the store is at work, or a collection whose state is lost.
        StorageError: the new index cannot be written; the old one is as it was.
    """
    folder = Path(directory)
    backend = open_objects(folder, unlock=unlock)
    try:
        with storage_errors(f"recover {folder}"), _alone(folder):
            _remove_drafts(folder / DRAFTS)
            config = read_config(backend)
            check_encryption(folder, config)
            return _rebuild(backend, folder, config.store_uuid, progress)
    finally:
        backend.close()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the lock of recoveries; a process that dies lets go of it."""
    place = folder / "run"
    place.mkdir(exist_ok=True)
    fd = os.open(place / "recover", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise ConflictError(f"another `pfs recover` of {folder} is at work: wait until it is done") from error
    finally:
        os.close(fd)


def _remove_drafts(drafts: Path) -> None:
    """Remove what recoveries left that were killed; the lock says that none is at work."""
    drafts.mkdir(exist_ok=True)
    for draft in drafts.glob("index-*"):
        shutil.rmtree(draft, ignore_errors=True)


def _rebuild(backend: Backend, folder: Path, store_uuid: str, progress: Progress | None) -> RecoverReport:
    fresh = folder / DRAFTS / f"index-{uuid.uuid4().hex}"
    try:
        index = Index.open(fresh, store_uuid=store_uuid, freeze_at=read_local_config(folder).index_rows)
        try:
            renewed = _renew(backend, folder, store_uuid)
            level(backend, index)
            refs = Refs(backend)
            history = history_of(folder, backend, index, refs=refs)
            broken = _add_packs(backend, history, index, progress=progress)
            salvaged = _add_salvaged(backend, index, broken, old=_old_rows(folder / INDEX, store_uuid, broken))
            lost = [name for name in broken if name not in salvaged]
            found = _learn_commits(refs, history)
            size = sum(entry.size for entry in backend.entries("packs/") if entry.name not in lost)
            report = _report(index, found, size=size, lost=lost, salvaged=salvaged)
        finally:
            index.close()
        _put_in_place(fresh, folder / INDEX)
        make_root_key(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return replace(report, renewed=renewed)


def _renew(backend: Backend, folder: Path, store_uuid: str) -> tuple[str, ...]:
    """Begin the state of collection anew where it is lost, damaged or too old; return its name then."""
    refs = Refs(backend)
    if lost_detail(backend, refs) is None:
        return ()
    with alone(folder):  # what a collector is about to delete, it knows by the state that is lost
        return (GC_STATE,) if renew(backend, refs, index_gen=_old_generation(folder / INDEX, store_uuid)) else ()


def _old_generation(place: Path, store_uuid: str) -> int:
    """Return the generation that the old index has seen; 0 where it cannot be read."""
    if (place / "data.mdb").is_file():
        with suppress(PfsError), closing(Index.open(place, store_uuid=store_uuid)) as index:
            return index.generation()
    return 0


class _Found(NamedTuple):
    """How many repos and commits there are, and the names of what cannot be read."""

    repos: int
    commits: int
    damaged: list[str]


def _learn_commits(refs: Refs, history: History) -> _Found:
    """Learn the commits of all repos."""
    repos, commits, damaged = 0, 0, list[str]()
    for repo in refs.names():
        try:
            state = refs.find(repo)
            if state is not None:
                commits += sum(1 for _ in history.records(repo))
                repos += 1
                history.refuse_lost(state)
        except MissingObjectError as error:
            damaged.append(f"{refs_name(repo)}: {error.where}")
        except (CorruptionError, InvalidInputError):
            damaged.append(refs_name(repo))
    return _Found(repos, commits, damaged)


def _report(index: Index, found: _Found, *, size: int, lost: list[str], salvaged: list[str]) -> RecoverReport:
    rows, packs, _ = index.stats()
    damaged = (*lost, *found.damaged)
    return RecoverReport(packs, rows, found.repos, found.commits, size, damaged, tuple(salvaged))


def _old_rows(place: Path, store_uuid: str, names: Sequence[str]) -> Mapping[PackId, Sequence[tuple[bytes, Location]]]:
    """Return what the old index, where it can be read, knows of the packs."""
    parsed = (parse_pack_name(name) for name in names)
    packs = [pack[0] for pack in parsed if pack is not None]
    if not packs or not (place / "data.mdb").is_file():
        return {}
    with suppress(PfsError), closing(Index.open(place, store_uuid=store_uuid)) as index:
        return index.rows_of(packs)
    return {}


def _add_salvaged(
    backend: Backend, index: Index, names: Sequence[str], *, old: Mapping[PackId, Sequence[tuple[bytes, Location]]]
) -> list[str]:
    """Index the whole records of damaged packs; return the names of those that have any."""
    salvaged = []
    for name in names:
        parsed = parse_pack_name(name)
        known = () if parsed is None else old.get(parsed[0], ())
        with suppress(NotFoundError, CorruptionError, ArchivedError):
            pack = salvage(backend, name, known=known)
            if len(pack.entries):
                index.add([pack])
                salvaged.append(name)
    return salvaged


def _add_packs(backend: Backend, history: History, index: Index, *, progress: Progress | None) -> list[str]:
    """Index every whole pack, older ones first, many out of index segments; return the names of the others.

    What was stored again, since an older record of it was damaged, is then found where it is whole. Memory: a segment,
    or a million entries and the footers that are read ahead, and 0.5 KiB a pack.
    """
    reading, damaged, done = afresh(history.reading), list[str](), set[str]()

    def footer(entry: Entry) -> SealedPack | None:
        try:
            return None if parse_pack_name(entry.name) is None else read_footer(reading, entry.name)
        except (CorruptionError, NotFoundError, ArchivedError):
            damaged.append(entry.name)
            return None

    def told(entry: Entry) -> None:
        done.add(entry.name)
        if progress is not None:
            progress.advance(files=1, size=entry.size)

    entries = sorted(backend.entries("packs/"), key=lambda entry: entry.name[-_ID_NAME:])
    forget_unlisted(reading, [entry.name for entry in entries])
    if progress is not None:
        progress.total(len(entries), sum(entry.size for entry in entries))
    by_pack = {parsed[0]: entry for entry in entries if (parsed := parse_pack_name(entry.name)) is not None}
    for batch in in_batches(history.segments.footers({pack: entry.size for pack, entry in by_pack.items()})):
        index.add(batch)
        for pack in batch:
            told(by_pack[pack.pack_id])
    rest = [entry for entry in entries if entry.name not in done]
    for batch in in_batches(_each(rest, at_once(backend.parallel, footer, rest), told)):
        index.add(batch)
    note_tiers(index, entries)
    return sorted(damaged)


def _each(
    entries: Sequence[Entry], packs: Iterator[SealedPack | None], told: Callable[[Entry], None]
) -> Iterator[SealedPack]:
    for entry, pack in zip(entries, packs, strict=True):
        told(entry)
        if pack is not None:
            yield pack


def _put_in_place(fresh: Path, place: Path) -> None:
    """Replace the index by the fresh one; a crash in between leaves none, and the next `open` builds it."""
    old = fresh.with_name(f"{fresh.name}-old")
    with suppress(FileNotFoundError):
        place.rename(old)
    fresh.rename(place)
    shutil.rmtree(old, ignore_errors=True)
