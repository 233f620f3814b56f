"""Which services and spouts run: compared with the store at each look of the scheduler, kept by keepers (keeper.py).

Nothing is queued here either: a killed controller loses no service, the next one finds it in the store.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from pfs.errors import PfsError
from pfs.ids import CommitId
from pps.executor import Executor
from pps.model import events
from pps.model.catalog import Pipeline
from pps.model.state import JobState
from pps.scheduling.backoff import Backoff
from pps.scheduling.jobcause import why_broken
from pps.scheduling.keeper import Grounds, Keeper, Post
from pps.scheduling.newest import newest_due
from pps.scheduling.orders import StopJob
from pps.scheduling.queue import Due, ready
from pps.scheduling.servicejob import ServiceJob

if TYPE_CHECKING:
    from pfs.store import Store

ServicesFactory = Callable[[Callable[[], Executor]], "Services"]
"""Makes them with what gives the executor, once one is needed."""


class Services:
    """The commands that a controller keeps. One thread: that of the scheduler."""

    def __init__(
        self,
        store: Store,
        executor: Callable[[], Executor],
        *,
        run_dir: Path,
        on_event: events.OnEvent,
        backoff: Backoff,
        fence: Callable[[], object],
    ) -> None:
        """``on_event`` and ``fence``, which raises when another is the controller, are called in keepers' threads."""
        self._store, self._executor = store, executor
        self._grounds = Grounds(store, run_dir, on_event, backoff, fence)
        self._kept: dict[str, Keeper] = {}
        self._numbers = count(1)

    def want(
        self, pipelines: Sequence[Pipeline], due: Mapping[str, Sequence[Due]], busy: Mapping[str, Collection[CommitId]]
    ) -> None:
        """Start and end commands so that they fit what is in the store; waits for none of them.

        ``pipelines`` in topological order; ``due`` and ``busy``: jobs of all others, for whose causes services wait.

        Raises:
            PfsError: the store cannot be read.
        """
        self._kept = {name: keeper for name, keeper in self._kept.items() if not keeper.is_over}
        present = {pipeline.name: pipeline for pipeline in pipelines}
        for name in self._kept:
            self._end_if_outdated(self._kept[name], present.get(name))
        if any(pipeline.spec.runs_on for pipeline in pipelines):
            for post in self._posts(pipelines, due, busy):
                self._keep(post)

    def _end_if_outdated(self, keeper: Keeper, present: Pipeline | None) -> None:
        if present is None and self._store.refs.find(keeper.name) is None:
            keeper.end(None, "the pipeline was deleted")
        elif present is None:
            return  # its records are damaged, which is no fault of its command
        elif present.record.stopped:
            keeper.end(JobState.KILLED, "the pipeline was stopped")
        elif present.spec_commit != keeper.post.pipeline.spec_commit:
            keeper.end(JobState.KILLED, "the pipeline was updated")

    def _posts(
        self, pipelines: Sequence[Pipeline], due: Mapping[str, Sequence[Due]], busy: Mapping[str, Collection[CommitId]]
    ) -> list[Post]:
        """Return what is to run and may begin."""
        spouts = [Post(one, None) for one in pipelines if one.spec.spout and not one.record.stopped]
        newest = newest_due(self._store, pipelines, {})
        by_name = {pipeline.name: pipeline for pipeline in pipelines}
        waiting: dict[str, Sequence[Due]] = {**due, **{name: [one] for name, one in newest.items()}}
        may_begin = ready(self._store, waiting, by_name, busy=busy)
        return [*spouts, *(Post(one.pipeline, one) for one in may_begin if one.pipeline.name in newest)]

    def _record(self, due: Due) -> None:
        """Store that newer data cannot be served, as it failed; what is served stays."""
        job = ServiceJob(self._store, due, fence=self._grounds.fence)
        try:
            record = job.end(JobState.UNRUNNABLE, why_broken(due))
        except PfsError as error:
            self._grounds.on_event(events.Trouble(due.pipeline.name, str(error)))
        else:
            self._grounds.on_event(events.JobFinished(record.info()))

    def _keep(self, post: Post) -> None:
        if post.due is not None and post.due.broken:
            self._record(post.due)
            return
        kept = self._kept.get(post.pipeline.name)
        if kept is not None and kept.post.key == post.key:
            return
        try:
            keeper = Keeper(self._grounds, post, executor=self._executor(), number=next(self._numbers), before=kept)
        except PfsError as error:
            self._grounds.on_event(events.Trouble(post.pipeline.name, str(error)))
            return
        self._kept[post.pipeline.name] = keeper
        keeper.start()

    def stop_job(self, order: StopJob) -> None:
        """End the job of a service as killed; it has another one when its inputs have newer data."""
        keeper = self._kept.get(order.pipeline)
        if keeper is not None and keeper.job == order.job:
            keeper.end(JobState.KILLED, "it was stopped")

    def close(self) -> None:
        """End all commands; their jobs are left for the next controller. Idempotent."""
        for keeper in self._kept.values():
            keeper.end(None, "")
        for keeper in self._kept.values():
            keeper.join()
        self._kept = {}
