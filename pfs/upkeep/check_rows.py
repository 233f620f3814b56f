"""Do the index's rows of commits say what packs and refs say?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pfs.errors import CorruptionError, MissingObjectError, StorageError
from pfs.history.linked import Found
from pfs.refs.read import RefsState
from pfs.upkeep.damage import Damages, Taint

if TYPE_CHECKING:
    from pfs.store import Store


class CommitRows:
    """Checks the rows of one repo's commits; a look-up a commit."""

    def __init__(self, store: Store, state: RefsState, damages: Damages) -> None:
        self._store, self._state, self._damages = store, state, damages

    def check(self, found: Found) -> None:
        """Compare the row of a commit to which refs lead with its record as packs have it."""
        detail = self._fault(found)
        if detail is not None and self._is_present():
            place = f"{self._state.repo}@{found.record.id}"
            name = self._damages.add("index", f"index row of commit {place}", f"{detail}: run `pfs recover`")
            self._damages.affect([Taint(name, None)], place)

    def _fault(self, found: Found) -> str | None:
        repo, commit = self._state.repo, found.record.id
        try:
            known = self._store.history.locate(repo, commit)  # an index that lags learns it now
            if known is None:
                return "it is missing, though refs lead to the commit"
            if known.record != found.record:
                return "it has another record than the commit's pack"
            if known.pack != found.pack and not self._store.index.is_condemned(known.pack):
                self._store.objects.record(known.pack, repo, commit)
        except MissingObjectError:
            return "it names a pack that does not have the commit's record"
        except CorruptionError as error:
            return error.detail
        except StorageError:
            return None  # the pack's damage, if it is any
        return None

    def _is_present(self) -> bool:
        """Say whether refs are as they were: what was removed meanwhile may have lost its row, and moved another."""
        try:
            now = self._store.refs.find(self._state.repo)
        except (CorruptionError, StorageError):
            return False
        return now is not None and now.etag == self._state.etag
