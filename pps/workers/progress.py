"""A datum on its way to its end: the attempts that count, its log, and the event that closes it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from pfs.errors import PfsError
from pfs.files.ingest import FileRef, put_stream
from pps.executor import Bytes, DatumDone, Event, Seconds, Started
from pps.workers.attempt import Attempt, Datum, attempt
from pps.workers.logs import LogWriter, log_path
from pps.workers.why import why

Emit = Callable[[Event], None]


def run_datum(datum: Datum, emit: Emit) -> None:
    """Try a datum until it succeeds or its tries are used up; errors as `attempt`, after which it has no end."""
    progress = Progress(datum, emit)
    try:
        while progress.may_try:
            progress.begin()
            progress.end(attempt(datum, progress.log))
    except BaseException:
        progress.drop()
        raise
    progress.finish()


class Progress:
    """What became of a datum so far: `begin` and `end` for each attempt, then `finish`; or `drop` at any point."""

    def __init__(self, datum: Datum, emit: Emit) -> None:
        unit, task = datum.unit, datum.task
        self._datum, self._emit = datum, emit
        self._last, self._tries = Attempt("failed"), 0
        self.log = LogWriter(log_path(datum.setting.log_dir, unit.pipeline, unit.job, datum=task.id))

    @property
    def may_try(self) -> bool:
        """Whether another attempt is due."""
        return self._last.state != "success" and self._tries < max(1, self._datum.task.tries)

    def begin(self) -> None:
        """Say that an attempt begins."""
        self._tries += 1
        self._emit(Started(self._datum.unit.id, self._datum.task.id, self._tries))

    def end(self, this: Attempt) -> None:
        """Take how the attempt went."""
        if this.state != "success":
            self.log.note(f"attempt {self._tries} of {max(1, self._datum.task.tries)}: {this.state}: {this.error}")
        if self.log.error is not None and this.error is not None:
            this = replace(this, error=f"{this.error}; its log is cut: {why(self.log.error)}")
        last = self._last
        if self._tries > 1:
            this = replace(this, seconds=_plus(last.seconds, this.seconds), bytes=_sum(last.bytes, this.bytes))
        self._last = this

    def finish(self) -> None:
        """Store the log and say how the datum ended.

        Raises:
            PfsError: the session is broken, with results of other datums in it.
        """
        last, tail = self._last, self.log.tail
        whole = self.log.finish()
        self._emit(
            DatumDone(
                self._datum.unit.id,
                self._datum.task.id,
                last.state,
                last.outputs,
                tries=self._tries,
                exit_code=last.exit.code if last.exit else None,
                signal=last.exit.signal if last.exit else None,
                seconds=last.seconds,
                bytes=last.bytes,
                log_tail=tail,
                log=_store_log(self._datum, self.log, whole),
                error=last.error,
                reads=last.reads,
            )
        )

    def drop(self) -> None:
        """End the log; the datum is given out again by who gave it."""
        self.log.finish()


def _plus(one: Seconds, two: Seconds) -> Seconds:
    return Seconds(one.download + two.download, one.process + two.process, one.upload + two.upload)


def _sum(one: Bytes, two: Bytes) -> Bytes:
    return Bytes(one.download + two.download, one.upload + two.upload)


def _store_log(datum: Datum, log: LogWriter, whole: Path | None) -> FileRef | None:
    if whole is None:
        return None
    try:
        with whole.open("rb") as file:
            return put_stream(datum.sessions.now, datum.setting.store.params, file, jobs=1)
    except (PfsError, OSError):
        datum.sessions.renew()
        return None
    finally:
        if whole != log.path:
            with suppress(OSError):
                whole.unlink()
