"""Pipelines that are left alone for a while, as their job could not go on: a full disk, damage."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from pps.model.records import JobRecord
from pps.scheduling.live import LiveJobs

FOREVER_NS = 1 << 63


class Resting:
    """Which pipelines rest and until when; their jobs stay visible, with the reason. One thread."""

    def __init__(self, live: LiveJobs) -> None:
        self._live = live
        self._until_ns: dict[str, int] = {}
        self._jobs: dict[str, str] = {}
        self._stops: dict[str, str] = {}

    def __contains__(self, pipeline: object) -> bool:
        """Whether a pipeline rests."""
        return pipeline in self._until_ns

    @property
    def ends_ns(self) -> Iterable[int]:
        """When rests are over."""
        return self._until_ns.values()

    def begin(self, pipeline: str, *, until_ns: int) -> None:
        """Let a pipeline rest."""
        self._until_ns[pipeline] = until_ns

    def show(self, record: JobRecord, why: str) -> None:
        """Have others see the job as what it is: one that the controller goes on with, and why it does not now."""
        self._jobs[record.pipeline] = record.id
        self._live.show(replace(record, reason=why))

    def end_over(self, now_ns: int) -> bool:
        """End the rests that are over; say whether there were any."""
        over = [name for name, until_ns in self._until_ns.items() if until_ns < now_ns]
        for name in over:
            del self._until_ns[name]
            self._hide(name)
        return bool(over)

    def stop(self, pipeline: str, job: str) -> None:
        """Note that a job shall stop: it goes on at once, to end; of one that does not rest nothing is noted."""
        if self._jobs.get(pipeline) == job:
            self._stops[pipeline] = job
            self._until_ns[pipeline] = 0

    def is_stopped(self, pipeline: str, job: str) -> bool:
        """Say whether a job was to stop while it rested."""
        return self._stops.get(pipeline) == job

    def hide_all(self) -> None:
        """Show none of the jobs any more."""
        for name in list(self._jobs):
            self._hide(name)

    def _hide(self, pipeline: str) -> None:
        if pipeline in self._jobs:
            self._live.clear(pipeline, self._jobs.pop(pipeline))
