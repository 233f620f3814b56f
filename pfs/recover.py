"""Building the index again from the objects alone, whatever became of the old one.

The new index is made in a folder of its own and put in the old one's place when it is complete; objects are
only read.
"""

from __future__ import annotations

import shutil
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pfs.backends.base import Backend
from pfs.backends.registry import open_backend
from pfs.config import read_local_config
from pfs.errors import CorruptionError, InvalidInputError, NotFoundError, StorageError
from pfs.history import History
from pfs.index import Index
from pfs.pack import parse_pack_name, read_footer
from pfs.refs import Refs, refs_name
from pfs.rootkey import make_root_key
from pfs.store import INDEX, read_config

if TYPE_CHECKING:
    from pfs.progress import Progress

BATCH = 64


@dataclass(frozen=True, slots=True)
class RecoverReport:
    """What was found; ``damaged``: objects that are left out, by name; ``size_bytes``: of all whole packs."""

    packs: int
    chunks: int
    repos: int
    commits: int
    size_bytes: int
    damaged: tuple[str, ...]


def recover(directory: Path | str, *, progress: Progress | None = None) -> RecoverReport:
    """Build the index of the store in the ``.pfs`` folder ``directory`` again; nothing may have the store open.

    Makes a new root key if that file is gone (other keys must then be created again).

    Raises:
        StoreNotFoundError, CorruptionError: there is no store, or its config is lost.
        StorageError: the new index cannot be written; the old one is as it was.
    """
    folder = Path(directory)
    backend = open_backend(folder / read_local_config(folder).backend)
    fresh = folder / "tmp" / f"index-{uuid.uuid4().hex}"
    try:
        fresh.parent.mkdir(exist_ok=True)
        config = read_config(backend)
        index = Index.open(fresh, store_uuid=config.store_uuid)
        try:
            report = _fill(backend, index, progress)
        finally:
            index.close()
        _put_in_place(fresh, folder / INDEX)
        make_root_key(folder)
    except OSError as error:
        raise StorageError(f"recover {folder}", error.strerror or str(error)) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        backend.close()
    return report


def _fill(backend: Backend, index: Index, progress: Progress | None) -> RecoverReport:
    damaged = _add_packs(backend, index, progress)
    refs = Refs(backend)
    history = History(backend, index, refs)
    repos = commits = 0
    for repo in refs.names():
        try:
            if refs.find(repo) is not None:
                commits += sum(1 for _ in history.records(repo))
                repos += 1
        except (CorruptionError, InvalidInputError):
            damaged.append(refs_name(repo))
    rows, packs, _ = index.stats()
    size = sum(entry.size for entry in backend.entries("packs/") if entry.name not in damaged)
    return RecoverReport(packs, rows, repos, commits, size, tuple(damaged))


def _add_packs(backend: Backend, index: Index, progress: Progress | None) -> list[str]:
    """Index every whole pack; return the names of the others."""
    entries, damaged, batch = list(backend.entries("packs/")), [], []
    if progress is not None:
        progress.total(len(entries), sum(entry.size for entry in entries))
    for entry in entries:
        try:
            if parse_pack_name(entry.name) is not None:
                batch.append(read_footer(backend, entry.name))
        except (CorruptionError, NotFoundError):
            damaged.append(entry.name)
        if len(batch) == BATCH:
            index.add(batch)
            batch = []
        if progress is not None:
            progress.advance(files=1, size=entry.size)
    index.add(batch)
    return damaged


def _put_in_place(fresh: Path, place: Path) -> None:
    """Replace the index by the fresh one; a crash in between leaves none, and the next `open` builds it."""
    old = fresh.with_name(f"{fresh.name}-old")
    with suppress(FileNotFoundError):
        place.rename(old)
    fresh.rename(place)
    shutil.rmtree(old, ignore_errors=True)
