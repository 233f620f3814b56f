"""The live view of a workflow's run: a table of its tasks on a terminal, else a line an event worth one."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from cli.live import describe
from cli.output import printable

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

    from pps.model.events import RunEvent
    from pps.model.infos import JobInfo
    from pps.model.state import Counters
    from pps.workflows.why import TaskPlan

_CACHED = "cached"
_DATUM = re.compile(r"datum ([0-9a-f]{12})[0-9a-f]{52}")


@dataclass(slots=True)
class _Row:
    """A task as it is shown; ``began``: by the monotonic clock, 0 before it has."""

    plan: TaskPlan
    state: str = "waiting"
    counters: Counters | None = None
    began: float = 0.0
    took_s: float | None = None
    reason: str = ""


def outcome(job: JobInfo) -> str:
    """Return how the job of a task ended, in a word."""
    if job.state != "success":
        return {"failure": "failed"}.get(job.state, job.state)
    if not job.counters.total:
        return "skipped"
    return "ran" if job.counters.processed else _CACHED


def brief(reason: str) -> str:
    """Return a reason with ids of datums that are short enough for a line."""
    return _DATUM.sub(r"datum \1", reason)


def datums(counters: Counters | None) -> str:
    """Return how far a task is: of how many datums how many are done, of which how many were worked on."""
    if counters is None or not counters.total:
        return "-"
    done = counters.processed + counters.skipped + counters.failed + counters.recovered
    ran = f", {counters.processed} ran" if counters.processed and counters.skipped else ""
    return f"{done}/{counters.total}{ran}"


class WorkflowView:
    """Shows the events of one run on stderr; call it with each event. ``run``: the id of the run."""

    def __init__(self, plans: Sequence[TaskPlan], run: str) -> None:
        self._run = run
        self._rows = {plan.pipeline: _Row(plan) for plan in plans}
        self._live: Live | None = None

    def __enter__(self) -> WorkflowView:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            console = Console(stderr=True)
            self._live = Live(get_renderable=self._table, console=console, transient=True, refresh_per_second=4)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, event: RunEvent) -> None:
        """Show an event: one of the run's tasks in its row, another as `pps run` does."""
        from pps.model import events

        match event:
            case events.JobStarted(job) | events.JobPlanned(job) if self._is_ours(job):
                self._started(job, is_start=isinstance(event, events.JobStarted))
            case events.DatumFinished(pipeline=pipeline, job=self._run, counters=counters) if pipeline in self._rows:
                self._rows[pipeline].counters = counters
            case events.JobFinished(job) if self._is_ours(job):
                self._ended(job)
            case _:
                self._say(describe(event))

    def settle(self, jobs: Sequence[JobInfo]) -> None:
        """Show the end of jobs of which no event told."""
        for job in jobs:
            if self._is_ours(job) and job.state.is_final and self._rows[job.pipeline].took_s is None:
                self._ended(job)

    def _is_ours(self, job: JobInfo) -> bool:
        return job.id == self._run and job.pipeline in self._rows

    def _started(self, job: JobInfo, *, is_start: bool) -> None:
        row = self._rows[job.pipeline]
        row.state, row.counters = "running", job.counters
        if is_start and not row.began:
            row.began = time.monotonic()
        if is_start and self._live is None and row.plan.outlook in {"runs", "depends"} and job.state != "unrunnable":
            self._say(f"{row.plan.task}: started")

    def _ended(self, job: JobInfo) -> None:
        row = self._rows[job.pipeline]
        row.state, row.counters = outcome(job), job.counters
        row.took_s = max(0, (job.finished_ns or job.started_ns) - job.started_ns) / 1e9
        row.reason = brief(job.reason)
        if self._live is None:
            self._say(self._line(row))

    def _line(self, row: _Row) -> str:
        # Why a task failed is said at the end, with its place in the file and its log.
        about = "" if row.state in {"failed", "unrunnable"} else row.reason or _why(row)
        took = f", {row.took_s:.1f} s" if row.took_s is not None and row.state not in {_CACHED, "skipped"} else ""
        size = f", {datums(row.counters)}" if row.counters is not None and row.counters.total > 1 else ""
        return f"{row.plan.task}: {row.state}{size}{took}{f' ({about})' if about else ''}"

    def _say(self, line: str) -> None:
        if not line:
            return
        if self._live is None:
            print(printable(line), file=sys.stderr, flush=True)
        else:
            self._live.console.print(printable(line), highlight=False, markup=False)

    def _table(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        table = Table("TASK", "STATE", "DATUMS", "TIME", "WHY", box=None, pad_edge=False)
        for row in list(self._rows.values()):
            cells = (row.plan.task, row.state, datums(row.counters), _time(row), row.reason or _why(row))
            table.add_row(*(Text(printable(cell), style=_STYLES.get(row.state, "")) for cell in cells))
        return table


_STYLES: Mapping[str, str] = {"failed": "red", "unrunnable": "red", "killed": "red", "running": "bold", "ran": "green"}


def _time(row: _Row) -> str:
    if row.took_s is not None:
        return f"{row.took_s:.1f} s"
    return f"{time.monotonic() - row.began:.0f} s" if row.began else "-"


def _why(row: _Row) -> str:
    """Return why a task ended as it did, as `inspect-workflow` says it; before that, what is foreseen."""
    from pps.workflows.why import known_before, why_ended

    plan = row.plan
    if row.state in {"waiting", "running"}:
        return plan.why
    return why_ended(row.state, known_before(plan), kept=plan.outlook == "kept", skipped=plan.outlook == "skipped")
