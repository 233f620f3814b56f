"""Having archived files back: which packs they need, and asking for all of these at once.

A reader asks for each pack when it comes to it, and each takes hours; so whoever knows what will be read asks first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from pfs.backends.base import Entry
from pfs.backends.classes import ARCHIVES
from pfs.errors import NotFoundError
from pfs.gc.idset import IdSet, Scratch, prefixes
from pfs.gc.mark import Marker
from pfs.gc.survey import footers
from pfs.packs.pack import SealedPack
from pfs.packs.tiers import note_tiers
from pfs.parallel import at_once
from pfs.tiers.choose import DATA

if TYPE_CHECKING:
    from pfs.backends.base import Backend
    from pfs.files.progress import Progress
    from pfs.refs.tiering import Rule
    from pfs.store import Store
    from pfs.view import View

_SCRATCH = "tmp"


@dataclass(frozen=True, slots=True)
class Thawing:
    """Packs that what was asked for needs out of archives: how many can be read now, and how many bytes it all is."""

    packs: int
    ready: int
    bytes: int

    @property
    def done(self) -> bool:
        """Whether everything can be read."""
        return self.ready == self.packs


def archived_packs(store: Store, view: View, path: str, *, progress: Progress | None = None) -> list[Entry]:
    """Return the archived packs that a file or directory needs; as `needed_packs`.

    Raises:
        PathNotFoundError: there is none. CorruptionError: damage in the way. StorageError: it cannot be read.
    """
    view.row(path)
    return needed_packs(store, partial(_mark, view, path), progress=progress)


def needed_packs(store: Store, mark: Callable[[Marker], None], *, progress: Progress | None = None) -> list[Entry]:
    """Return the archived packs with something of what ``mark`` marks; reads pages, and footers of archived packs.

    Nothing but a listing is read where nothing is archived. Raises CorruptionError, StorageError.
    """
    listed = list(store.backend.entries(DATA))
    note_tiers(store.index, listed)
    archived = [entry for entry in listed if entry.storage_class in ARCHIVES]
    if not archived:
        return []
    with Scratch(store.path / _SCRATCH) as scratch:
        marker = Marker(store.objects, scratch, progress=progress)
        mark(marker)
        marker.walk()
        return [entry for entry, pack in footers(store, archived, []) if _is_needed(store, pack, marker.live)]


def _mark(view: View, path: str, marker: Marker) -> None:
    row = view.row(path)
    if row.key == b"":
        marker.tree(view.info.root)
        return
    for file in view.tree.walk(row.key) if row.is_dir else (row,):
        marker.file(file.kind, file.tid)


def thaw(store: Store, packs: list[Entry], rule: Rule) -> Thawing:
    """Ask for packs to be restored, as far as nobody did; to be called again until it is done. Raises StorageError."""
    ready = at_once(store.backend.parallel, partial(_ask, store.backend, rule), [entry.name for entry in packs])
    return Thawing(len(packs), sum(ready), sum(entry.size for entry in packs))


def _ask(backend: Backend, rule: Rule, name: str) -> bool:
    try:
        return backend.thaw(name, days=rule.restore_days, speed=rule.restore_speed)
    except NotFoundError:
        return True  # collected meanwhile: what it held is elsewhere


def _is_needed(store: Store, pack: SealedPack, live: IdSet) -> bool:
    """Say whether something of a set is read from this pack, as far as this machine knows."""
    ids = pack.entries["id"][live.contains(prefixes(pack.entries["id"]))].tolist()
    places = store.index.find(ids) if ids else []
    return any(place is None or store.index.pack(place.pack_no)[0] == pack.pack_id for place in places)
