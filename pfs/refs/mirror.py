"""The refs of all repos, kept in memory as they were together: a look reads only what moved since the last one.

For who looks again and again and wants all of them, such as a controller with thousands of pipelines. What is kept of
a body is what says where branches are; facts about commits, trash and the like are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from pfs.model import ChangeToken
from pfs.refs.body import RefsBody
from pfs.refs.read import PREFIX, RefsState

if TYPE_CHECKING:
    from pfs.errors import PfsError
    from pfs.store import Store

_ROUNDS: Final = 10


class Mirror:
    """``states``: of each repo that exists, by name, the same object as long as it has not moved. One thread.

    ``damaged``: what cannot be read. What is read together here is together as `Refs.snapshot` has it.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._token: ChangeToken | None = None
        self._pending: set[str] = set()
        self.states: dict[str, RefsState] = {}
        self.damaged: dict[str, PfsError] = {}

    def refresh(self) -> bool:
        """Bring all up to date; False if nothing moved since the last time. Costs a listing, and reads what moved.

        Raises:
            ConflictError: transactions came in between again and again. StorageError.
        """
        token = self._store.changes(self._token)
        if token == self._token:
            return False
        # Of a transaction over repos of which one was read before it and one after it, the first has moved since: so
        # all is read that moved, until nothing does.
        for _ in range(_ROUNDS):
            self._read(_moved(self._token, token) | self._pending)
            self._token, before = token, token
            token = self._store.changes(before)
            if token == before:
                return True
        self._read(None)
        self._token = before
        return True

    def _read(self, names: set[str] | None) -> None:
        """Read some repos anew, or all."""
        damaged: dict[str, PfsError] = {}
        found = {state.repo: state for state in self._store.refs.snapshot(names, damaged=damaged)}
        for table in (self.states, self.damaged):
            for name in list(table) if names is None else names:
                table.pop(name, None)
        self.states |= {name: _slim(state) for name, state in found.items()}
        self.damaged |= damaged
        self._pending -= set(self._pending) if names is None else names
        self._pending |= {name for name, state in found.items() if state.body.prepared}


def _moved(old: ChangeToken | None, new: ChangeToken) -> set[str]:
    """Return the repos whose objects are other ones."""
    before = set(() if old is None else old.refs)
    names = [name for name, *_ in before.symmetric_difference(new.refs)]
    return {name.removeprefix(PREFIX).removesuffix(".json") for name in names if name.startswith(PREFIX)}


def _slim(state: RefsState) -> RefsState:
    body, none = state.body, RefsBody()
    slim = replace(
        body,
        recent=(),
        edges=none.edges,
        records=none.records,
        squashed=none.squashed,
        older=(),
        notes=none.notes,
        trash=none.trash,
        extra=none.extra,
        shelf=None,
    )
    return RefsState(state.repo, slim, state.etag)
