"""Where the results of a unit go, also after something could not be stored."""

from __future__ import annotations

from pfs.errors import PfsError
from pfs.store import Store


class Sessions:
    """The session of a unit. One that failed takes nothing any more, and nothing in it counts."""

    def __init__(self, store: Store, *, alone: bool) -> None:
        self._store, self._alone = store, alone
        self.now = store.session()

    def renew(self) -> None:
        """After an error: if it ended the session, begin a new one for the only datum of the unit.

        Raises:
            PfsError: what ended it, when other datums have their results in there.
        """
        try:
            self.now.holds([])
        except PfsError:
            if not self._alone:
                raise
            self.now.abandon()
            self.now = self._store.session()
