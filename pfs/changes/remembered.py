"""What one commit's writer knows of local files and directories that were put before, and what the next one will."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pfs.changes.staging import Staging
from pfs.files.ingest_local import Skip
from pfs.files.seen import SeenFiles
from pfs.ids import NO_PAGE, PageId
from pfs.trees.row import Row
from pfs.trees.tree import Tree

if TYPE_CHECKING:
    from pfs.files.seen_folders import SeenFolders
    from pfs.packs.session import WriteSession
    from pfs.store import Store


class Remembered:
    """Files and directories that are put through one staging to one branch."""

    def __init__(self, store: Store, session: WriteSession, staging: Staging, *, place: str) -> None:
        """``place`` names the branch."""
        self._index, self._session, self._staging, self._place = store.index, session, staging, place
        self.files = SeenFiles(store.index, session, clock_ns=store.machine_clock_ns)
        self._folders: SeenFolders | None = None

    def skip(self, skipped: Callable[[int, int], None]) -> Skip:
        """Return how to pass over files that show no change; ``skipped`` is told how many files and bytes.

        The rest must be staged as it comes, without metadata of its own, by this thread. When another one stages
        anything meanwhile, directories are not remembered.
        """
        from pfs.files.seen_folders import SeenFolders

        if self._folders is None:
            self._folders = SeenFolders(self._index, self._session, place=self._place)
        return Skip(self._folders, self._pids_alone(), skipped)

    def _pids_alone(self) -> Callable[[bytes], PageId]:
        """Return what tells the pid of a directory as long as no other thread stages anything; NO_PAGE from then on."""
        staging = self._staging
        before = staging.calls_of_others()

        def pid_of(key: bytes) -> PageId:
            with staging.lock:
                return NO_PAGE if staging.calls_of_others() != before else _pid(staging.stat(key, want="dir"))

        return pid_of

    def rows(self) -> dict[bytes, bytes]:
        """Return the rows for the index, and forget them; all is put into the tree."""
        tree = Tree(self._session, self._staging.changes().ours)
        if self._folders is None:
            return self.files.take()
        folders = self._folders.take(lambda key: _pid(tree.stat(key, want="dir")), unsteady=self.files.unsteady)
        return self.files.take() | folders


def _pid(row: Row | None) -> PageId:
    return NO_PAGE if row is None else row.pid
