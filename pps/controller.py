"""The controller: does what is due, once (`pps run`) or for as long as the daemon lives (`pfs serve`).

One controller works on a store at a time (pps/scheduling/lease.py); `run_pending` beside a running one shows that
one's progress instead.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pfs.changes.ticks import tick
from pfs.errors import ConflictError, PfsError, StorageFullError
from pfs.refs.watch import CHECK_S, Watch
from pps.executor import Executor
from pps.job_gateway import OpenGateway
from pps.model import events
from pps.model.catalog import Catalog, upstream
from pps.model.events import OnEvent, RunReport
from pps.pipelines.pipelines import Pipelines
from pps.scheduling.attach import Watcher
from pps.scheduling.backoff import Backoff
from pps.scheduling.lease import SILENCE_S, ControllerLease, LeaseLostError
from pps.scheduling.orders import orders_folder
from pps.scheduling.scheduler import Scheduler
from pps.scheduling.services import Services, ServicesFactory
from pps.workers.why import is_full, why
from pps.workflows.schedule import TickerThread, WorkflowTicker

if TYPE_CHECKING:
    from pfs.store import Store

ExecutorFactory = Callable[[str], Executor]
"""Makes an executor for an isolation: ``auto``, ``namespace``, ``container`` or ``none``."""
CHECKPOINT_S = 30.0
_TURN_S = 0.2
BACKOFF = Backoff()
_RETRY_S = 10.0
_PATIENCE_S = 1.0
"""How long `pps run` may take to end before a daemon is refused, or says that it stands by."""
_SCHEDULES_S = 30.0
"""How long after it was installed the schedule of a workflow may go unnoticed."""
_LOOK_S = 0.1
"""How often who waits looks whether the controller is gone."""


def local_executors(
    store: Store, *, slots: int | None = None, gateways: OpenGateway | None = None, gpus: Sequence[str] = ()
) -> ExecutorFactory:
    """Return the factory of executors that run commands on this machine; ``slots``: one for each CPU by default.

    ``gateways`` starts the S3 gateways of jobs; without it, datums of pipelines that use S3 fail. ``gpus``: ids to hand
    out.
    """
    run_dir = store.path / "run"

    def make(isolation: str) -> Executor:
        from pps.executors.local import LocalExecutor

        return LocalExecutor(
            store,
            slots=slots or os.cpu_count() or 1,
            isolation=isolation,
            work_dir=run_dir / "work",
            log_dir=run_dir / "logs",
            gateways=gateways,
            gpus=gpus,
        )

    return make


class Controller:
    """Runs jobs on a store. The executor is made when the first datum has to run."""

    def __init__(
        self,
        store: Store,
        executors: ExecutorFactory,
        *,
        isolation: str = "auto",
        checkpoint_s: float = CHECKPOINT_S,
        silence_s: float = SILENCE_S,
        backoff: Backoff = BACKOFF,
    ) -> None:
        """``silence_s``: how long a controller that lives is silent before this one takes over.

        ``backoff``: the pauses before the command of a service or spout that ended is started again.
        """
        self._store, self._executors, self._isolation = store, executors, isolation
        self._checkpoint_s, self._backoff = checkpoint_s, backoff
        self._run_dir: Path = store.path / "run"
        self._lease = ControllerLease(store, silence_s=silence_s)

    def run_pending(
        self, pipelines: Sequence[str] = (), *, frozen: bool = False, on_event: OnEvent = events.ignore
    ) -> RunReport:
        """Do everything that is due, of the named pipelines and those upstream of them (none named: of all).

        Code files that were edited since they were stored make a new version of their pipeline first; with ``frozen``
        they are refused; files that are gone are told as `events.CodeGone`. Beside a running controller: waits until
        that one has nothing due any more, and tells what it does; isolation and slots are those of that one.

        Raises:
            NotFoundError: there is no pipeline of that name.
            ConflictError: ``frozen``, and a code file was edited.
            IsolationUnavailableError: the isolation that was asked for does not work here.
            StorageError: a job could not go on; it stays due.
            CorruptionError: a named pipeline is damaged. Others that are damaged are told as `events.Trouble`, passed
                over and named in the report.
        """
        chosen = self._chosen(pipelines)
        if frozen:
            self._refuse_edits(chosen)
        self._take_edits(chosen, on_event)
        watcher = Watcher(self._store, self._run_dir, pipelines, on_event)
        while not self._lease.acquire():
            if watcher.wait(_TURN_S):
                return watcher.report()
        try:
            before = watcher.ended()
            with _telling_where(self._run_dir):
                here = self._run_here(pipelines, on_event)
            return RunReport((*before, *here.jobs), here.damaged)
        finally:
            self._lease.release()

    def _chosen(self, names: Sequence[str]) -> list[str]:
        """Return the named pipelines and those upstream of them; all, if none is named."""
        catalog = Catalog(self._store)
        by_name = {pipeline.name: pipeline for pipeline in catalog.all()}
        wanted = {above for name in names for above in (catalog.get(name).name, *upstream(name, by_name))}
        return [name for name in by_name if name in wanted or not names]

    def _refuse_edits(self, names: Sequence[str]) -> None:
        for name in names:
            edited = ", ".join(Pipelines(self._store).changed_code(name))
            if edited:
                raise ConflictError(
                    f"code of pipeline {name!r} was edited: {edited}; run without --frozen to take it over"
                )

    def _take_edits(self, names: Sequence[str], on_event: OnEvent) -> None:
        face = Pipelines(self._store)
        for name in names:
            edited = face.refresh_code(name)
            if edited:
                on_event(events.PipelineUpdated(name, face.inspect(name).version, edited))
            gone, folder = face.missing_code(name)
            if gone:
                on_event(events.CodeGone(name, gone, str(folder)))

    def _run_here(self, pipelines: Sequence[str], on_event: OnEvent) -> RunReport:
        tick(self._store)
        WorkflowTicker(self._store, on_event).run()
        with self._watch() as watch, closing(self._scheduler(on_event, watch, retry_s=None)) as scheduler:
            try:
                scheduler.begin()
                scheduler.start_due(pipelines)
                while not scheduler.is_idle:
                    watch.wait(scheduler.patience_s(CHECK_S))
                    scheduler.turn()
                    scheduler.start_due(pipelines)
            except KeyboardInterrupt:
                scheduler.save()
                raise
            return RunReport(tuple(scheduler.ended), tuple(sorted(scheduler.damaged)))

    def _watch(self) -> Watch:
        """Return where the controller waits: for refs, orders, its executor and whoever wants it to stop."""
        return self._store.watch([orders_folder(self._run_dir)])

    def _scheduler(
        self, on_event: OnEvent, watch: Watch, *, retry_s: float | None, services: ServicesFactory | None = None
    ) -> Scheduler:
        return Scheduler(
            self._store,
            lambda: self._executors(self._isolation),
            run_dir=self._run_dir,
            on_event=on_event,
            checkpoint_s=self._checkpoint_s,
            retry_s=retry_s,
            services=services,
            wake=watch.wake,
            lease=self._lease,
        )

    def _services(self, on_event: OnEvent) -> ServicesFactory:
        return lambda executor: Services(
            self._store,
            executor,
            run_dir=self._run_dir,
            on_event=on_event,
            backoff=self._backoff,
            fence=self._lease.check,
        )

    def serve(self, stop: threading.Event, *, standby: bool = False, on_event: OnEvent = events.ignore) -> None:
        """Run jobs as commits arrive, services and spouts all the time, until ``stop`` is set.

        What runs then is saved and goes on with the next start. A job that cannot go on (full disk, damage) is told as
        `events.Trouble` and tried again later; the others go on. When another took over, as this one was silent for too
        long, that is told, and it waits for its turn. ``standby``: it waits at the beginning too. ``on_event`` is
        called in several threads.

        Raises:
            ConflictError: another controller runs on this store at the beginning.
        """
        while not stop.is_set():
            if not self._take_over(stop, standby=standby, on_event=on_event):
                if stop.is_set():
                    return
                raise ConflictError(
                    f"another controller runs on {self._store.path} ({self._lease.holder()}): stop it, wait for your"
                    " turn with `pfs serve --standby`, or use `pps run` beside it"
                )
            try:
                self._serve(stop, on_event)
            except LeaseLostError as error:
                standby = True
                on_event(events.Trouble("", str(error)))

    def _serve(self, stop: threading.Event, on_event: OnEvent) -> None:
        try:
            with ExitStack() as uses:
                watch = uses.enter_context(self._watch())
                uses.enter_context(TickerThread(self._store, on_event, _SCHEDULES_S))
                made = self._scheduler(on_event, watch, retry_s=_RETRY_S, services=self._services(on_event))
                scheduler = uses.enter_context(closing(made))
                self._lease.on_lost = watch.wake
                threading.Thread(target=_wake_at, args=(stop, watch), name="controller-stop", daemon=True).start()
                scheduler.begin()
                while not stop.is_set():
                    self._serve_once(scheduler, watch, stop=stop, on_event=on_event)
                scheduler.save()
        finally:
            self._lease.release()

    def _take_over(self, stop: threading.Event, *, standby: bool, on_event: OnEvent) -> bool:
        """Acquire the lease; False: another has it, or ``stop`` was set."""
        end = time.monotonic() + _PATIENCE_S
        told = False
        while not self._lease.acquire():
            late = time.monotonic() > end
            if late and not standby:
                return False
            if late and not told:
                told = True
                on_event(events.StandingBy(self._lease.holder()))
            if stop.wait(_LOOK_S):
                return False
        if self._lease.after_crash:
            on_event(events.TookOver())
        return True

    def _serve_once(self, scheduler: Scheduler, watch: Watch, *, stop: threading.Event, on_event: OnEvent) -> None:
        try:
            with _telling_where(self._run_dir):
                scheduler.start_due()
                watch.wait(scheduler.patience_s(CHECK_S))
                scheduler.turn()
        except LeaseLostError:
            raise
        except PfsError as error:
            on_event(events.Trouble("", str(error)))
            stop.wait(_RETRY_S)


@contextmanager
def _telling_where(place: Path) -> Iterator[None]:
    """Raise what says that no room is left as StorageFullError, with where that was: most likely at ``place``."""
    try:
        yield
    except OSError as error:
        if not is_full(error):
            raise
        raise StorageFullError(f"write in {error.filename or place}", why(error)) from error


def _wake_at(stop: threading.Event, watch: Watch) -> None:
    stop.wait()
    watch.wake()
