"""The logs of a job: from the store once it is over, from the worker's files while it runs."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pfs.errors import NotFoundError
from pfs.ids import CommitId
from pfs.trees.tree import Tree
from pps.datums.table import Entry
from pps.jobs.datums import find_datum, job_datums
from pps.model.catalog import Catalog, Pipeline
from pps.model.infos import LogLine
from pps.model.job_records import read_row
from pps.model.records import JobRecord, log_key
from pps.scheduling.lease import HolderLocks
from pps.workers.log_follower import Follower, live_logs
from pps.workers.logs import Line, parse

if TYPE_CHECKING:
    from pfs.store import Store

POLL_S = 0.1
_STREAMS: dict[str, Literal["stdout", "stderr", "system"]] = {"O": "stdout", "E": "stderr"}


class LogReader:
    """Reads the logs of one job. One thread."""

    def __init__(self, store: Store, run_dir: Path, job: JobRecord) -> None:
        self._store, self._run_dir, self._job = store, run_dir, job
        self._folder = run_dir / "logs" / job.pipeline / job.id
        self._followers: dict[str, Follower] = {}
        self._told: dict[str, int] = {}

    def lines(self, datum: str | None, *, follow: bool, tail: int | None) -> Iterator[LogLine]:
        """Yield the lines, datum by datum in the order of ids; those of a running job as they come.

        Raises:
            NotFoundError: at once, when the job has no such datum.
        """
        wanted = None if datum is None else self._full_id(datum)
        is_over = self._job.state.is_final
        found = self._stored(wanted) if is_over else self._running(wanted, follow=follow)
        return found if tail is None or follow else iter(deque(found, maxlen=tail))

    def of_inputs(self, paths: Collection[str]) -> Iterator[LogLine]:
        """Yield the lines of datums with one of these files or directories as input, something below, or what it is in.

        Those of skipped datums are in the job that ran them. Of a job that runs, datums count that were saved as done.
        """
        pipeline = self._pipeline()
        tree = Tree(self._store.objects, pipeline.meta_root)
        for entry in job_datums(self._store, pipeline, self._job):
            if _has_input(entry, paths):
                name = entry.id.hex()
                row = tree.stat(log_key(entry.result.ran_in or self._job.id, name), want="file")
                if row is not None:
                    yield from (self._line(name, line) for line in parse(read_row(self._store, row)))

    def _full_id(self, datum: str) -> str:
        live = [name for name in self._live_datums() if name.startswith(datum)]
        if len(live) == 1:
            return live[0]
        return find_datum(self._store, self._pipeline(), self._job, datum).id.hex()

    def _pipeline(self) -> Pipeline:
        return Catalog(self._store).get(self._job.pipeline)

    def _stored(self, wanted: str | None) -> Iterator[LogLine]:
        """Yield stored lines beyond those that were told while the job ran."""
        pipeline = self._pipeline()
        tree = Tree(self._store.objects, pipeline.meta_root)
        job = self._job.id if wanted is None else self._ran_in(pipeline, wanted)
        folder = log_key(job, "").rstrip(b"/")
        for row in tree.list(folder):
            name = row.key.rpartition(b"/")[2].decode()
            if wanted in (None, name):
                data = read_row(self._store, row)[self._told.get(name, 0) :]
                yield from (self._line(name, line) for line in parse(data))

    def _ran_in(self, pipeline: Pipeline, datum: str) -> CommitId:
        return find_datum(self._store, pipeline, self._job, datum).result.ran_in or self._job.id

    def _running(self, wanted: str | None, *, follow: bool) -> Iterator[LogLine]:
        try:
            while True:
                yield from self._poll(wanted)
                if not follow:
                    break
                if self._is_over():
                    yield from self._stored(wanted)
                    break
                time.sleep(POLL_S)
        finally:
            for follower in self._followers.values():
                follower.pause()

    def _poll(self, wanted: str | None) -> Iterator[LogLine]:
        for name, pieces in sorted(live_logs(self._folder).items()):
            if wanted in (None, name):
                follower = self._followers.setdefault(name, Follower(self._folder / f"{name}.log"))
                data = b"" if follower.is_current(pieces) else read_all(follower)
                if not data:
                    follower.pause()  # open are those that grow; of all datums it might be too many
                self._told[name] = self._told.get(name, 0) + len(data)
                yield from (self._line(name, line) for line in parse(data))

    def _live_datums(self) -> list[str]:
        return sorted(live_logs(self._folder))

    def _is_over(self) -> bool:
        """Say whether the job ended, or nobody runs it any more; takes its final record."""
        try:
            jobs = self._pipeline().jobs
        except NotFoundError:
            return True
        stored = jobs.find(self._job.id)
        if stored is not None and stored.state.is_final:
            self._job = stored
            return True
        return not HolderLocks(self._run_dir).any_alive()

    def _line(self, datum: str, line: Line) -> LogLine:
        return log_line(self._job.pipeline, self._job.id, datum, line)


def log_line(pipeline: str, job: CommitId, datum: str, line: Line) -> LogLine:
    """Return the public value of a line."""
    return LogLine(pipeline, job, datum, line.time, _STREAMS.get(line.tag.upper(), "system"), line.text)


def read_all(follower: Follower) -> bytes:
    """Return all that came since the last call, from however many pieces; at most the bounded whole of a log."""
    return b"".join(iter(follower.read, b""))


def _has_input(entry: Entry, paths: Collection[str]) -> bool:
    own = [given.path.rstrip("/") + "/" for given in entry.inputs]
    asked = [path.rstrip("/") + "/" for path in paths]
    return any(one.startswith(two) or two.startswith(one) for one in own for two in asked)
