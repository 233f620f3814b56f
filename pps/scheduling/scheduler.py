"""Runs what is due: starts jobs whose turn has come, hands them the executor's events, saves and ends them.

One thread. What is due is derived again whenever refs moved (queue.py), so the scheduler holds nothing that a crash
could lose. Jobs of several pipelines run side by side; those of one pipeline run one after the other.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from pfs.errors import ArchivedError, ConflictError, CorruptionError, NotFoundError, PfsError, StorageFullError
from pfs.provenance.pull import settle_states
from pfs.refs.mirror import Mirror
from pps.executor import Executor, UnitDone, UnitId
from pps.model import events
from pps.model.catalog import Catalog, Pipeline, relevant, upstream
from pps.scheduling.backoff import saving_pause_ns
from pps.scheduling.codedir import drop_other_code, lay_out_code
from pps.scheduling.cron import CronTicker
from pps.scheduling.jobrun import JobRun
from pps.scheduling.lease import ControllerLease, LeaseLostError
from pps.scheduling.live import LiveJobs
from pps.scheduling.livestanding import LiveStanding
from pps.scheduling.look import Looks
from pps.scheduling.orders import Orders, StopJob
from pps.scheduling.queue import Due, ready
from pps.scheduling.resting import FOREVER_NS, Resting
from pps.scheduling.services import ServicesFactory
from pps.scheduling.shown import Shown
from pps.scheduling.surroundings import Surroundings
from pps.scheduling.thawing import REST_NS as THAW_REST_NS

if TYPE_CHECKING:
    from pfs.store import Store
    from pps.model.infos import JobInfo

MOST_JOBS = 4
_LOOK_NS = 1_000_000_000
_NOTE_NS = 1_000_000_000
"""How long a job runs before its record is stored: most jobs are over by then, and pay nothing for it."""
_TURN_S = 0.2
"""How often running jobs are looked at for what time asks for: checkpoints, job timeouts."""


class Scheduler:
    """The jobs that run now.

    ``run_dir``: where code is laid out and live state is shown. ``checkpoint_s``: how often running jobs are saved,
    0: at every turn. ``retry_s``: how long a pipeline is left alone whose job could not go on (full disk, damage),
    which is told as `events.Trouble`. None: a full disk and the like are raised instead, and a pipeline that met damage
    is passed over from then on. ``wake``: called in any thread when there is something for `turn`. ``lease``: what
    says that this is the controller; whoever finds it gone raises LeaseLostError, commits nothing any more and leaves
    what is in ``run_dir`` to the other.
    """

    def __init__(
        self,
        store: Store,
        executor: Callable[[], Executor],
        *,
        run_dir: Path,
        on_event: events.OnEvent,
        checkpoint_s: float,
        retry_s: float | None = None,
        services: ServicesFactory | None = None,
        wake: Callable[[], object] = lambda: None,
        lease: ControllerLease | None = None,
    ) -> None:
        self._store, self._executor_of = store, executor
        self._run_dir, self._on_event = run_dir, on_event
        self._checkpoint_ns = int(checkpoint_s * 1e9)
        self._retry_s, self._wake, self._lease = retry_s, wake, lease
        self._claimed = set[str]()
        self._is_out = False
        self._mirror = Mirror(store)
        self._catalog, self._looks = Catalog(store, self._mirror), Looks(store, self._mirror)
        self._cron = CronTicker(store, on_event)
        self._live = LiveJobs(run_dir)
        self._resting, self._shown = Resting(self._live), Shown(self._live)
        self._orders = Orders(run_dir)
        self._services = None if services is None else services(self._make_executor)
        self._executor: Executor | None = None
        self._active: dict[str, JobRun] = {}
        self._save_ns: dict[str, int] = {}
        self._units = count(1)
        self._seen = False
        self._next_look_ns = 0
        self._is_put_off = False
        self._left: tuple[str, ...] = ()
        self.ended: list[JobInfo] = []
        """Jobs that ended, in that order."""
        self.damaged: dict[str, str] = {}
        """Pipelines that are passed over as they are damaged, with what is wrong; told once as `events.Trouble`."""

    @property
    def is_idle(self) -> bool:
        """Whether no job runs."""
        return not self._active

    def begin(self) -> None:
        """Forget what a dead controller left in the run folder."""
        self._live.clear_all()
        self._orders.clear()
        LiveStanding(self._run_dir).clear_all()

    def start_due(self, chosen: Collection[str] = ()) -> None:
        """Start jobs that are due, of the ``chosen`` pipelines and those upstream of them (none chosen: of all).

        Looks at the store at once when a job ended; else not again before nine times as long went by as the last look
        took, so that looking takes a tenth of a CPU at most while refs move or datums end all the time.

        Raises:
            PfsError: a job could not be started; it is given up, and due again.
        """
        now_ns = self._store.clock_ns()
        if self._resting.end_over(now_ns):
            self._seen = False
        self._is_put_off = self._seen and now_ns < self._next_look_ns
        if self._is_put_off:
            return
        begin_ns = time.monotonic_ns()
        # A job without anything to run has ended when it was started, and the next one may be due because of it.
        while self._look(chosen) and not self._seen:
            pass
        self._next_look_ns = now_ns + min(10 * (time.monotonic_ns() - begin_ns), _LOOK_NS)

    def patience_s(self, most_s: float) -> float:
        """Return how long nothing has to be done, in seconds, unless something happens; ``most_s`` at most."""
        now_ns = self._store.clock_ns()
        times = [*self._resting.ends_ns, now_ns + int((_TURN_S if self._active else most_s) * 1e9)]
        if self._is_put_off:
            times.append(self._next_look_ns)
        if self._cron.next_ns is not None:
            times.append(self._cron.next_ns)
        return min(most_s, max(0.0, (min(times) - now_ns) / 1e9))

    def _look(self, chosen: Collection[str]) -> bool:
        """Derive what is due and start what may start; False if nothing moved since the last look."""
        moved = self._mirror.refresh()
        if not moved and self._seen and not self._cron.is_due():
            return False
        self._check_lease()
        self._seen = True
        try:
            return self._look_at_all(chosen)
        except BaseException:
            self._seen = False
            raise

    def _look_at_all(self, chosen: Collection[str]) -> bool:
        if settle_states(self._store, self._mirror.states.values()):
            self._mirror.refresh()
        pipelines = self._catalog.all()
        if self._stop_outdated(pipelines):
            return True
        by_name = {pipeline.name: pipeline for pipeline in pipelines}
        wanted = _with_upstream(chosen, by_name) if chosen else set(by_name)
        if self._cron.run([by_name[name] for name in wanted if name in by_name], states=self._mirror.states):
            self._seen = False
            return True
        damaged = dict(self._catalog.damaged)
        due = {name: found for name, found in self._looks.due(pipelines, damaged).items() if name in wanted}
        reading = [by_name[one] for one in wanted if one in by_name] if damaged else []
        for name in relevant(damaged, reading, chosen):
            self._note_damage(name, str(damaged[name]))
        busy = {name: {*run.due.ids, run.id} for name, run in self._active.items()}
        if self._services is not None:
            self._services.want(pipelines, due, busy)
        else:
            self._tell_left([by_name[name] for name in wanted if name in by_name])
        for one in ready(self._store, due, by_name, busy=busy):
            if len(self._active) < MOST_JOBS and one.pipeline.name not in self._resting:
                self._start(one)
        return True

    def _check_lease(self) -> None:
        """Raise LeaseLostError if another is the controller by now."""
        if self._lease is not None:
            try:
                self._lease.check()
            except LeaseLostError:
                self._is_out = True
                raise

    def _tell_left(self, pipelines: Collection[Pipeline]) -> None:
        """Tell once which services and spouts are not run here: they never end, and this does."""
        left = tuple(sorted(one.name for one in pipelines if one.spec.runs_on and not one.record.stopped))
        if left != self._left:
            self._left = left
            self._on_event(events.LeftToServe(left))

    def _note_damage(self, name: str, message: str) -> None:
        if self.damaged.get(name) != message:
            self.damaged[name] = message
            self._on_event(events.Trouble(name, message))

    def _stop_outdated(self, pipelines: list[Pipeline]) -> bool:
        """End jobs whose pipeline has a new version or is gone; True if there were any: ``pipelines`` is old then."""
        present = {pipeline.name: pipeline for pipeline in pipelines}
        versions = {name: pipeline.spec_commit for name, pipeline in present.items()}
        outdated = [name for name, run in self._active.items() if versions.get(name) != run.pipeline.spec_commit]
        for name in outdated:
            if name in present:
                why = "stopped" if present[name].record.stopped else "updated"
                self._guard(name, partial(self._active[name].stop, f"the pipeline was {why}"))
            else:
                self._give_up(name)
                if name not in self._catalog.damaged:
                    self._tell_deleted(name)
        return bool(outdated)

    def _start(self, due: Due) -> None:
        name = due.pipeline.name
        number = due.pipeline.jobs.next_number
        around = Surroundings(
            self._store,
            self._make_executor,
            self._code_dir,
            self._tell,
            lambda: next(self._units),
            self._run_dir,
            fence=self._check_lease,
            wake=self._wake,
        )
        try:
            run = JobRun(around, due, number=number)
        except PfsError as error:
            self._meet_trouble(name, error)
            return
        self._active[name] = run
        self._save_ns[name] = self._store.clock_ns() + min(_NOTE_NS, self._checkpoint_ns)
        self._live.show(run.record())
        self._guard(name, partial(self._claim_and_start, run))
        if name in self._active and self._resting.is_stopped(name, run.id):
            self._guard(name, partial(run.stop, "it was stopped"))

    def _claim_and_start(self, run: JobRun) -> None:
        """Start a job; the first of each pipeline after a controller that may still live moves its ``.meta`` before.

        So does one that was interrupted: that it is begun again is stored before it can be interrupted again.
        """
        name = run.pipeline.name
        is_first = self._lease is not None and self._lease.after_crash and name not in self._claimed
        if is_first or run.due.resume is not None:
            run.claim()
            self._claimed.add(name)
        run.start()

    def turn(self) -> None:
        """Take what the executor told and what was ordered, and do what time asks for; waits for nothing.

        Raises:
            PfsError: a job could not go on; it is given up, and due again.
        """
        if self._lease is not None and self._lease.is_lost:
            self._check_lease()
        if self._executor is not None:
            for event in self._executor.events(0.0):
                run = self._active.get(event.unit.pipeline)
                if run is not None and run.awaits(event.unit):
                    self._guard(event.unit.pipeline, partial(run.take, event))
                elif isinstance(event, UnitDone):
                    self._drop(event.unit)
        self._take_orders()
        self._store.keep_leases()
        now_ns = self._store.clock_ns()
        for name, run in list(self._active.items()):
            self._guard(name, partial(run.look, now_ns))
            if name in self._active and now_ns >= self._save_ns[name]:
                self._guard(name, partial(self._checkpoint, run))

    def _checkpoint(self, run: JobRun) -> None:
        """Save a job, and say when it is saved again."""
        if self._checkpoint_ns > _NOTE_NS and not run.is_noted:
            run.note()
            self._save_ns[run.pipeline.name] = self._store.clock_ns() + self._checkpoint_ns
            return
        begin_ns = time.monotonic_ns()
        run.checkpoint()
        pause_ns = saving_pause_ns(self._checkpoint_ns, time.monotonic_ns() - begin_ns)
        self._save_ns[run.pipeline.name] = self._store.clock_ns() + pause_ns

    def _take_orders(self) -> None:
        for order in self._orders.take():
            run = self._active.get(order.pipeline)
            if run is None or run.id != order.job:
                if isinstance(order, StopJob):
                    self._resting.stop(order.pipeline, order.job)
                    if self._services is not None:
                        self._services.stop_job(order)
                continue
            if isinstance(order, StopJob):
                self._guard(order.pipeline, partial(run.stop, "it was stopped"))
            else:
                self._guard(order.pipeline, partial(run.restart, order.datum))

    def _drop(self, unit: UnitId) -> None:
        """Let go of what a unit wrote that nobody waits for any more."""
        if self._executor is not None:
            with suppress(ConflictError):
                self._executor.take_session(unit).abandon()

    def _guard(self, name: str, act: Callable[[], None]) -> None:
        """Act on a job; clear up after it when that ends it or fails."""
        run = self._active[name]
        try:
            act()
        except LeaseLostError:
            raise
        except PfsError as error:
            record = run.record()
            if isinstance(error, StorageFullError | ArchivedError):
                with suppress(PfsError):  # what is small may still have room, and need not run again
                    run.checkpoint()
            self._give_up(name)
            self._meet_trouble(name, error)
            if name in self._resting and self._retry_s is not None:
                thawing = "thawing: " if isinstance(error, ArchivedError) else ""
                self._resting.show(record, f"{thawing}{error}")
        except BaseException:
            self._give_up(name)
            raise
        else:
            if run.is_over:
                self._forget(name)
            else:
                self._shown.show(run, now_ns=self._store.clock_ns())

    def _meet_trouble(self, name: str, error: PfsError) -> None:
        """Let a pipeline rest whose job could not go on; of one that was deleted under its job that is told."""
        if isinstance(error, NotFoundError) and self._store.refs.find(name) is None:
            self._tell_deleted(name)
            return
        if self._retry_s is None and isinstance(error, CorruptionError):
            self._resting.begin(name, until_ns=FOREVER_NS)
            self._note_damage(name, str(error))
            return
        if self._retry_s is None:
            raise error
        rest_ns = int(self._retry_s * 1e9)
        rest_ns = max(rest_ns, THAW_REST_NS) if isinstance(error, ArchivedError) else rest_ns
        self._resting.begin(name, until_ns=self._store.clock_ns() + rest_ns)
        self._on_event(events.Trouble(name, str(error)))

    def _tell_deleted(self, name: str) -> None:
        self._on_event(events.Trouble(name, "the pipeline was deleted, and with it the job that ran"))

    def _give_up(self, name: str) -> None:
        run = self._active.get(name)
        if run is not None:
            run.abandon()
            self._forget(name)

    def _forget(self, name: str) -> None:
        run = self._active.pop(name)
        self._seen = False
        self._save_ns.pop(name, None)
        if self._is_out:  # the job is another's now, under the same name
            return
        self._shown.forget(run)
        shutil.rmtree(self._run_dir / "logs" / name / run.id, ignore_errors=True)

    def _tell(self, event: events.RunEvent) -> None:
        if isinstance(event, events.JobFinished):
            self.ended.append(event.job)
        self._on_event(event)

    def _make_executor(self) -> Executor:
        if self._executor is None:
            self._executor = self._executor_of()
            self._executor.notify(self._wake)
        return self._executor

    def _code_dir(self, due: Due) -> Path:
        place = lay_out_code(self._store, self._run_dir, due.pipeline)
        drop_other_code(place)
        return place

    def save(self) -> None:
        """Save what the running jobs have done so far; only `close` may follow."""
        for name in list(self._active):
            self._guard(name, self._active[name].leave)

    def close(self) -> None:
        """Give up what runs, as a crash would, and end the executor. Idempotent."""
        for name in list(self._active):
            self._give_up(name)
        if not self._is_out:
            self._resting.hide_all()
        if self._services is not None:
            self._services.close()
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.close()


def _with_upstream(chosen: Collection[str], pipelines: dict[str, Pipeline]) -> set[str]:
    return {name for one in chosen for name in (one, *upstream(one, pipelines))}
