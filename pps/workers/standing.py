"""The command of a service or a spout: put in place, run, and put in place again for its next run."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from pps.executor import WorkUnit
from pps.workers.command import run_command, why_failed
from pps.workers.forward import reachable
from pps.workers.logs import LogWriter, log_path
from pps.workers.scratch import Scratch, remove_tree
from pps.workers.setting import Setting
from pps.workers.stop import Stop
from pps.workers.surroundings import Surroundings, surroundings


class StandingCommand:
    """See `pps.executor.Standing`. ``scratch`` is a directory for this command alone, removed with `finish`."""

    def __init__(self, setting: Callable[[], Setting], unit: WorkUnit, *, log_dir: Path, scratch: Path) -> None:
        """``setting`` may take long: it may pull an image."""
        self._setting, self._unit, self._scratch = setting, unit, scratch
        self._stop = Stop()
        path = log_path(log_dir, unit.pipeline, unit.job, datum=unit.datums[0].id)
        # Pieces of the log of a controller that was killed: a reader would take them for those of this one.
        shutil.rmtree(path.parent, ignore_errors=True)
        self._log = LogWriter(path)

    @contextmanager
    def ready(self) -> Iterator[Callable[[], str | None]]:
        """Put in place what one run needs; as `pps.executor.Standing.ready`."""
        self._stop.check()
        scratch, task = Scratch.make(self._scratch), self._unit.datums[0]
        try:
            with surroundings(self._setting(), self._unit, task, scratch=scratch) as around:
                self._log.hide(around.mask)
                yield partial(self._run, around)
        finally:
            # What cannot be cleared stays behind, and the next run works beside it.
            with suppress(OSError):
                scratch.clear()

    def _run(self, around: Surroundings) -> str | None:
        transform = self._unit.transform
        with reachable(self._unit.service, note=self._log.note):
            ended = run_command(
                around, transform.cmd, transform.stdin, on_output=self._log.write, stop=self._stop, timeout_s=None
            )
        reason = why_failed(ended, transform.accept_return_code, timeout_s=None)
        return None if reason is None else around.mask.text(reason)

    def stop(self, grace_s: float) -> None:
        """End the command, and begin no other."""
        self._stop.set(grace_s)

    def note(self, text: str) -> None:
        """Add a word to the log."""
        self._log.note(text)

    @property
    def tail(self) -> str:
        """The end of what the command wrote."""
        return self._log.tail

    def finish(self) -> Path | None:
        """End the log; the scratch directory goes."""
        with suppress(OSError):
            remove_tree(self._scratch)
        return self._log.finish()
