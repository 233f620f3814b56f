"""Shows running jobs to others, not more often than people look."""

from __future__ import annotations

from pps.scheduling.jobrun import JobRun
from pps.scheduling.live import LiveJobs

_SHOW_NS = 200_000_000


class Shown:
    """When each running job was shown last; one thread."""

    def __init__(self, live: LiveJobs) -> None:
        self._live = live
        self._last_ns: dict[str, int] = {}

    def show(self, run: JobRun, *, now_ns: int) -> None:
        """Show a job, and what its datums do from the second time on, unless that was done just now."""
        name = run.pipeline.name
        last_ns = self._last_ns.get(name)
        if last_ns is None or now_ns - last_ns > _SHOW_NS:
            self._last_ns[name] = now_ns
            self._live.show(run.record())
            if last_ns is not None:
                run.show()

    def forget(self, run: JobRun) -> None:
        """Show a job no more."""
        self._last_ns.pop(run.pipeline.name, None)
        self._live.clear(run.pipeline.name, run.id)
        run.live.clear()
