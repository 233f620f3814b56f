"""The attempts that the datums of a unit take, one after the other, for who works on them without a call in between."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pps.workers.attempt import Attempt, Datum
from pps.workers.feeder import Feeder
from pps.workers.logs import LogWriter
from pps.workers.progress import Emit, Progress


@dataclass(slots=True)
class Due:
    """An attempt that has begun and not ended; it was in the command's hands since ``handed_s``, None: not yet."""

    datum: Datum
    progress: Progress
    download_s: float = 0.0
    handed_s: float | None = None
    feeder: Feeder | None = None


class Attempts:
    """Begins one attempt at a time, and closes a datum when it needs no other. One thread."""

    def __init__(self, datums: Iterable[Datum], emit: Emit) -> None:
        self._datums, self._emit = iter(datums), emit
        self._progress: Progress | None = None
        self.open: Due | None = None
        """The attempt that has begun, if one has."""

    @property
    def log(self) -> LogWriter | None:
        """Where to write what a command says now."""
        return None if self._progress is None else self._progress.log

    def due(self) -> Due | None:
        """Return the attempt that is under way, else begin the next; None when none is left.

        The datum before is closed then; the last one stays open for what is still written to its log, until `finish`.

        Raises:
            PfsError: the session is broken, with results of other datums in it.
        """
        if self.open is None:
            if self._progress is None or not self._progress.may_try:
                datum = next(self._datums, None)
                if datum is None:
                    return None
                self.finish()
                self._datum, self._progress = datum, Progress(datum, self._emit)
            self._progress.begin()
            self.open = Due(self._datum, self._progress)
        return self.open

    def end(self, this: Attempt) -> None:
        """Take how the attempt that is under way went."""
        assert self._progress is not None
        self.open = None
        self._progress.end(this)

    def drop(self) -> None:
        """Give up the datum that is not closed."""
        if self._progress is not None:
            self._progress.drop()

    def finish(self) -> None:
        """Close the datum that is at its end.

        Raises:
            PfsError: the session is broken, with results of other datums in it.
        """
        progress, self._progress = self._progress, None
        if progress is not None:
            progress.finish()
