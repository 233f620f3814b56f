"""What goes wrong again and again while it is tried again: told once, and that it is over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pfs.errors import PfsError


class Trouble:
    """The trouble of one piece of work that is tried for ever; for one thread."""

    def __init__(self, what: str, tell: Callable[[str], object]) -> None:
        self._what, self._tell = what, tell
        self._last: str | None = None

    @contextmanager
    def told(self) -> Iterator[None]:
        """Run one attempt: an error ends it, not the work, and is told unless it was the last attempt's as well."""
        try:
            yield
        except PfsError as error:
            self._note(str(error))
        except Exception as error:  # a bug of ours must not end the work for good
            self._note(f"internal error: {type(error).__name__}: {error}")
        else:
            if self._last is not None:
                self._tell(f"{self._what}: works again")
            self._last = None

    def _note(self, text: str) -> None:
        if text != self._last:
            self._tell(f"{self._what}: {text}")
        self._last = text
