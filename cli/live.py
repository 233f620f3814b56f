"""The live view of a run: a bar a job on a terminal, else a line an event worth one."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from pps.model.events import RunEvent
    from pps.model.infos import JobInfo
    from pps.model.state import Counters


def counts(counters: Counters) -> str:
    """Return the counters of a job in words, without those that are nought."""
    parts = [
        f"{counters.processed} processed",
        f"{counters.skipped} skipped",
        f"{counters.failed} failed" if counters.failed else "",
        f"{counters.recovered} recovered" if counters.recovered else "",
    ]
    return ", ".join(part for part in parts if part) + f" of {counters.total}"


def describe(event: RunEvent) -> str:
    """Return the line that an event is worth; empty for those that only a bar shows."""
    from pps.model import events

    match event:
        case events.JobStarted(job):
            again = f" again (restart {job.restart})" if job.restart else ""
            return f"{job.pipeline}@{job.id}: started{again}"
        case events.DatumFinished(pipeline=pipeline, job=job, datum=datum, state="failed", reason=reason):
            return f"{pipeline}@{job}: datum {datum} failed: {reason}"
        case events.JobFinished(job):
            return f"{job.pipeline}@{job.id}: {job.state}: {counts(job.counters)}{_why(job)}"
        case events.PipelineUpdated(pipeline, version, files):
            return f"{pipeline}: version {version}, because {', '.join(files)} changed"
        case events.CodeGone(pipeline, files, folder):
            return f"{pipeline}: {', '.join(files)} gone from {folder}: the stored copy runs"
        case events.NothingToSend(pipeline, job, path):
            return f"{pipeline}@{job}: egress: the output has no {path}: nothing of it is sent"
        case events.Stands(pipeline, state, address, reason, again_s):
            where = f" at {address}" if address and state == "running" else ""
            again = f"; started again in {again_s:g} s" if again_s is not None else ""
            return f"{pipeline}: {state}{where}{f': {reason}' if reason else ''}{again}"
        case events.LeftToServe(pipelines):
            return f"left to `pfs serve`, as services and spouts run on: {', '.join(pipelines)}"
        case events.Attached():
            return "a controller runs on this store already, with its own isolation and slots: showing its progress"
        case events.StandingBy(holder):
            return f"standing by: the pipelines are run by {holder}"
        case events.TookOver():
            return "took the pipelines over from a controller that is gone or silent"
        case events.Trouble(pipeline, message):
            return f"{pipeline}: {message}" if pipeline else message
    return ""


def _why(job: JobInfo) -> str:
    return f" ({job.reason})" if job.reason else ""


class LiveView:
    """Shows the events of a run on stderr; call it with each event."""

    def __init__(self) -> None:
        self._bars: Progress | None = None
        self._tasks: dict[tuple[str, str], TaskID] = {}

    def __enter__(self) -> LiveView:
        if sys.stderr.isatty():
            self._bars = _bars()
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def __call__(self, event: RunEvent) -> None:
        """Show an event."""
        line = describe(event)
        if self._bars is None:
            if line:
                print(line, file=sys.stderr, flush=True)
            return
        self._move(event)
        if line and "started" not in line.rsplit(": ", 1)[-1]:
            self._bars.console.print(line, highlight=False, markup=False)

    def _move(self, event: RunEvent) -> None:
        from pps.model import events

        match event:
            case events.JobStarted(job) | events.JobPlanned(job):
                self._show(job.pipeline, job.id, job.counters)
            case events.DatumFinished(pipeline=pipeline, job=job_id, counters=counters):
                self._show(pipeline, job_id, counters)
            case events.JobFinished(job):
                task = self._tasks.pop((job.pipeline, job.id), None)
                if task is not None and self._bars is not None:
                    self._bars.remove_task(task)
            case _:
                pass

    def _show(self, pipeline: str, job: str, counters: Counters) -> None:
        assert self._bars is not None
        key = (pipeline, job)
        if key not in self._tasks:
            self._tasks[key] = self._bars.add_task(pipeline, total=None, words="")
        done = counters.processed + counters.skipped + counters.failed + counters.recovered
        self._bars.update(self._tasks[key], completed=done, total=counters.total or None, words=counts(counters))


def _bars() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[words]}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
