"""What `pps run-workflow` says of the tasks that failed: where they stand in the file, which item, and their log."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from cli.output import printable
from cli.workflow_view import brief

if TYPE_CHECKING:
    from pfs.store import Store
    from pps.model.infos import DatumInfo, LogLine
    from pps.workflows.infos import TaskInfo
    from pps.workflows.types import TaskDef, Workflow

_TAIL: Final = 20
"""Lines of the log of a task that failed."""
_MOST_OF_LINE: Final = 2000
"""Characters of such a line."""


def failure_lines(store: Store, workflow: Workflow, info: TaskInfo) -> Iterator[str]:
    """Yield what is to be said of a task that failed, with the end of the log of the first datum that did.

    Of the job, where it was not a datum.
    """
    from pfs.errors import PfsError
    from pps.jobs.jobs import Jobs
    from pps.model.state import DatumState

    assert info.job is not None
    jobs, job, task = Jobs(store), info.job.id, workflow.task(info.task)
    try:
        bad = next(jobs.datums(info.pipeline, job, states=[DatumState.FAILED]), None)
        lines = jobs.logs(info.pipeline, job=job, datum=None if bad is None else bad.id, tail=_TAIL)
        log = [_cut(line.message) for line in lines if not _is_outcome(line)]
    except PfsError as error:
        bad, log = None, [f"(its log cannot be read: {error})"]
    reason = brief(info.job.reason) if bad is None or not bad.reason else bad.reason
    yield printable(f"{_place(task, reason)}task {info.task} failed: {_item(task, info, bad)}{reason}")
    yield from (f"  {printable(line)}" for line in log)


def _is_outcome(line: LogLine) -> bool:
    """Say whether a line of a log is the reason once more."""
    return line.stream == "system" and line.message.startswith("attempt ")


def _cut(text: str) -> str:
    more = len(text) - _MOST_OF_LINE
    return text if more <= 0 else f"{text[:_MOST_OF_LINE]}... and {more} more characters"


def _place(task: TaskDef, reason: str) -> str:
    """Return where the output of which a reason tells stands in the file, else where the task does."""
    place = next((one.place for one in task.outputs if f"output {one.name!r}" in reason), task.place)
    return f"{place.source}:{place.line}:{place.column}: " if place.source else ""


def _item(task: TaskDef, info: TaskInfo, bad: DatumInfo | None) -> str:
    """Return the item that failed first, and how many did; empty for a task that runs once."""
    each = task.for_each
    if each is None or bad is None or info.job is None:
        return ""
    # Items of a list have files in the repo of the runs, else what the task runs for is an input.
    files = [one for one in bad.inputs if (one.name == "workflow") != each.is_of_files]
    wanted = next((one for one in files if one.name == each.input), files[0] if files else None)
    name = "" if wanted is None else f"item {wanted.path.rstrip('/').rpartition('/')[2]!r}: "
    counters = info.job.counters
    return f"{counters.failed} of {counters.total} items failed: {name}" if counters.failed > 1 else name
