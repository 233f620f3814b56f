"""Reading the refs of a repo once within one piece of work, where each read is a request.

What the work swaps in the end names the etag of that one read, so that nothing which came in between is overwritten:
the swap fails, and the work is done again on what is there by then.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pfs.refs.read import RefsState


class Windows:
    """What was read within the present piece of work, by thread; states with undecided entries are always read anew."""

    def __init__(self) -> None:
        self._local = threading.local()

    @contextmanager
    def open(self) -> Iterator[None]:
        """Begin a piece of work of this thread; within another one it is part of that."""
        if self._held() is not None:
            yield
            return
        self._local.held = {}
        try:
            yield
        finally:
            self._local.held = None

    def find(self, repo: str) -> RefsState | None:
        """Return what was read of the repo, if anything."""
        held = self._held()
        return None if held is None else held.get(repo)

    def keep(self, state: RefsState) -> None:
        """Note what was read."""
        held = self._held()
        if held is not None and not state.body.prepared:
            held[state.repo] = state

    def drop(self, repo: str) -> None:
        """Let the repo be read again."""
        held = self._held()
        if held is not None:
            held.pop(repo, None)

    def _held(self) -> dict[str, RefsState] | None:
        found: dict[str, RefsState] | None = getattr(self._local, "held", None)
        return found
