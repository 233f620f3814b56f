"""Installed workflows with a schedule: a run at each tick, with what they import as it is then.

Nothing is stored about ticks but the runs: the last run says since when the next tick is due. Ticks that nobody was
there for are made up for by one run.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec.structs

from pfs.errors import BranchMovedError, NotFoundError, PfsError
from pfs.ids import CommitId
from pfs.provenance.cron import parse_schedule
from pfs.refs.watch import moved
from pps.model.events import OnEvent, Trouble
from pps.workflows.before import Before, before, run_commit
from pps.workflows.compile import TASKS_DIR, used_params
from pps.workflows.imports import refresh_imports
from pps.workflows.infos import file_of_run, workflow_names
from pps.workflows.parse import parse_workflow
from pps.workflows.plan import values
from pps.workflows.records import RUN_JSON, RunRecord, TaskRecord, encode_run
from pps.workflows.task_files import Told, task_files
from pps.workflows.turns import turn
from pps.workflows.why import NO_CONDITION, NOTHING

if TYPE_CHECKING:
    from pfs.model import ChangeToken
    from pfs.store import Store
    from pps.workflows.types import TaskDef, Workflow

_TURN_S = 0.05
_RETRY_NS = 60 * 1_000_000_000
"""After this a run that could not begin is tried again."""
_BUSY_NS = 1_000_000_000
"""After this a workflow of which another run is beginning is looked at again."""


class WorkflowTicker:
    """Begins the runs of installed workflows as they come due. One thread; `stop` may be set by another."""

    def __init__(self, store: Store, on_event: OnEvent, stop: threading.Event | None = None) -> None:
        self._store, self._on_event, self._stop = store, on_event, stop or threading.Event()
        self._tried: dict[str, int] = {}

    def run(self) -> int | None:
        """Begin what is due; return when the next is due in ns, None: never. What cannot begin is told as trouble."""
        times: list[int] = []
        for name in workflow_names(self._store):
            try:
                following = self._tick(name)
            except PfsError as error:
                following = self._troubled(name, str(error))
            times += [] if following is None else [following]
        return min(times, default=None)

    def _troubled(self, name: str, message: str) -> int:
        self._on_event(Trouble(name, f"its scheduled run cannot begin: {message}"))
        self._tried[name] = self._store.clock_ns()
        return self._tried[name] + _RETRY_NS

    def _tick(self, name: str) -> int | None:
        """Begin a run of one workflow if that is due; return when the next one is."""
        with turn(self._store, name, wait=False) as is_ours:
            return self._tick_in_turn(name) if is_ours else self._store.clock_ns() + _BUSY_NS

    def _tick_in_turn(self, name: str) -> int | None:
        found = before(self._store, name)
        if not found.record.schedule or found.view is None:
            return None
        now_ns = self._store.clock_ns()
        again_ns = self._tried.get(name, 0) + _RETRY_NS
        if name in self._tried and now_ns < again_ns:
            return again_ns
        schedule = parse_schedule(found.record.schedule)
        since_ns = found.record.of_schedule or found.view.info.started_ns
        at_ns = schedule.last_tick(since_ns, now_ns)
        if at_ns is not None:
            begin_tick(self._store, found, at_ns, stop=self._stop)
        self._tried.pop(name, None)
        return schedule.next_tick(since_ns if at_ns is None else at_ns)


def begin_tick(store: Store, found: Before, at_ns: int, *, stop: threading.Event | None = None) -> CommitId | None:
    """Begin the run of a tick: imports anew, params as installed, all else as in the last run.

    None: another run began meanwhile.

    Raises:
        PfsError: it cannot begin; nothing is to be run then.
    """
    assert found.view is not None, "only workflows that ran are installed"
    name, last = found.name, found.record
    workflow = parse_workflow(file_of_run(store, name, found.view.info.id), name=f"{name}.yaml", stored=True)
    # A run by hand may have had a file with other params since.
    params = {one: last.installed_params.get(one, value) for one, value in last.params.items()}
    record = msgspec.structs.replace(last, params=params, of_schedule=at_ns, from_task="")
    refresh_imports(store, workflow, values(record), stop=stop)
    files = {} if values(record) == values(last) else _files(found, workflow, record)
    tasks = {task: _task(one, files.get(task), workflow.task(task)) for task, one in last.tasks.items()}
    record = msgspec.structs.replace(record, tasks=tasks)
    try:
        with run_commit(store, found, message="scheduled run") as commit:
            commit.put_file(RUN_JSON, encode_run(record))
            for task, made in files.items():
                with suppress(NotFoundError):
                    commit.delete_file(f"{TASKS_DIR}/{task}", recursive=True)
                for file, data in made.items():
                    commit.put_file(f"{TASKS_DIR}/{task}/{file}", data)
            return CommitId(commit.finish().id)
    except BranchMovedError:
        return None


def _task(last: TaskRecord, files: Mapping[str, bytes] | None, task: TaskDef) -> TaskRecord:
    """Return the record of a task at a tick; ``files`` None: what it starts from is as it was."""
    is_skipped = last.skipped if files is None else not files
    why = NOTHING if task.when is None else NO_CONDITION
    return msgspec.structs.replace(last, kept=False, skipped=is_skipped, why=why if is_skipped else "")


def _files(found: Before, workflow: Workflow, record: RunRecord) -> dict[str, Mapping[str, bytes]]:
    """Return what tasks start from with the params of a record, by task."""
    made: dict[str, Mapping[str, bytes]] = {}
    for task in workflow.tasks:
        pipeline = found.pipeline(task.name)
        if pipeline is not None:
            again = record.tasks.get(task.name, TaskRecord()).again
            made[task.name] = task_files(workflow, task, Told(values(record), used_params(pipeline.spec), again))
    return made


class TickerThread:
    """Runs a `WorkflowTicker` beside a controller that serves, which learns of runs as of all commits.

    ``most_s``: how often it looks for workflows that were installed. A look costs what it does to see whether any
    refs moved, and a listing of the repos where they did.
    """

    def __init__(self, store: Store, on_event: OnEvent, most_s: float) -> None:
        self._stop = threading.Event()
        self._ticker = WorkflowTicker(store, on_event, self._stop)
        self._store, self._on_event, self._most_s = store, on_event, most_s
        self._thread = threading.Thread(target=self._work, name="workflow-schedule", daemon=True)

    def __enter__(self) -> TickerThread:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        token: ChangeToken | None = None
        following: int | None = None
        while not self._stop.is_set():
            try:
                seen, token = token, self._store.changes(token)
                if seen is None or moved(seen, token) or (following is not None and self._left_s(following) <= 0):
                    following = self._ticker.run()
            except PfsError as error:
                self._on_event(Trouble("", f"schedules of workflows cannot be read: {error}"))
            self._stop.wait(max(_TURN_S, self._left_s(following)))

    def _left_s(self, following: int | None) -> float:
        left_s = self._most_s if following is None else (following - self._store.clock_ns()) / 1e9
        return min(self._most_s, max(0.0, left_s))
