"""Why a datum ran or was skipped, in one sentence, and against which job.

The hash of a datum is made of its paths, the content of its inputs, the command with its code, and the salt
(`pps.datums.datum`). So what differs between two jobs is found by looking at these one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pfs.errors import PfsError
from pfs.ids import CommitId
from pfs.paths import to_key
from pps.datums.readset import decode_reads, difference
from pps.datums.table import Entry, Source
from pps.jobs.datums import find_datum
from pps.model.catalog import Pipeline
from pps.model.records import PIPELINE_JSON, JobRecord, PipelineRecord, decode_pipeline
from pps.model.state import DatumState
from pps.scheduling.jobplan import CommitMatches, s3_trees
from pps.scheduling.livedatums import RUNS_NOW
from pps.spec.types import Reprocess

if TYPE_CHECKING:
    from pfs.store import Store
    from pfs.trees.tree import Tree

Why = str
"""One of ``skipped new input read command reprocess every-job retried waiting results-gone``."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """``against``: the job that this datum was compared with, None where there is none; ``why`` is a stable word."""

    pipeline: str
    job: CommitId
    datum: str
    state: DatumState
    why: Why
    against: CommitId | None
    text: str


def explain(store: Store, pipeline: Pipeline, job: JobRecord, ref: str) -> Explanation:
    """Explain one datum of a job, named by its id or the beginning of it.

    Raises:
        NotFoundError, InvalidInputError: as `find_datum`.
    """
    entry = find_datum(store, pipeline, job, ref)
    why, against, text = _Case(store, pipeline, job, entry).answer()
    return Explanation(pipeline.name, job.id, entry.id.hex(), entry.result.state, why, against, text)


class _Case:
    def __init__(self, store: Store, pipeline: Pipeline, job: JobRecord, entry: Entry) -> None:
        self._store, self._pipeline, self._job, self._entry = store, pipeline, job, entry

    def answer(self) -> tuple[Why, CommitId | None, str]:
        """Return the word, the job compared with, and the sentence."""
        result = self._entry.result
        if result.state == DatumState.SKIPPED:
            text = f"it was skipped: job {result.ran_in} processed it with the same inputs, command and code"
            return "skipped", result.ran_in, text + self._though()
        if result.state == DatumState.STARTING and self._job.state.is_final:
            return "waiting", None, "it did not run: the job ended before its turn came"
        if result.state == DatumState.STARTING and not result.reason:
            return "waiting", None, "it has not begun: it waits for its turn"
        why, against, text = self._why_it_ran()
        return why, against, text.replace("it ran", RUNS_NOW, 1) if result.state == DatumState.STARTING else text

    def _why_it_ran(self) -> tuple[Why, CommitId | None, str]:
        before = self._before()
        if before is None:
            return "new", None, "it ran because no earlier job had a datum of these paths"
        job, old = before
        if old.hash != self._entry.hash:
            return self._differs(job, old)
        if old.result.state in {DatumState.FAILED, DatumState.RECOVERED, DatumState.STARTING}:
            how = {"failed": "failed", "recovered": "was recovered"}.get(old.result.state, "had no turn")
            return (
                "retried",
                job.id,
                f"it ran again because it {how} in job {job.id}: only what succeeded is taken over",
            )
        if self._pipeline.spec.reprocess == Reprocess.EVERY_JOB:
            return "every-job", job.id, "it ran because reprocess_spec is every_job: nothing is ever taken over"
        read = self._read_otherwise(old)
        if read is not None:
            return "read", job.id, f"it ran because {read} changed since job {job.id}, which read it over S3"
        return "results-gone", job.id, f"it ran though nothing differs from job {job.id}, whose results are gone"

    def _though(self) -> str:
        """Return what is to be added for a datum that was skipped though an input changed that it reads over S3."""
        reads, trees = self._entry.result.reads, self._s3_trees()
        if reads is None:
            return ""
        known = decode_reads(reads)
        changed = [name for name, tree in trees.items() if name in known and known[name].tid != tree.root.tid]
        return f"; {', '.join(changed)} changed, but nothing that it had read over S3" if changed else ""

    def _read_otherwise(self, old: Entry) -> str | None:
        """Return what an earlier run of the datum would read otherwise over S3 in this job, None if nothing."""
        trees = self._s3_trees()
        return difference(old.result.reads, trees) if trees else None

    def _s3_trees(self) -> dict[str, Tree]:
        inputs = {(repo, branch): CommitId(commit) for _, repo, branch, commit in self._job.inputs}
        try:
            return s3_trees(self._pipeline, CommitMatches(self._store, inputs))
        except (PfsError, KeyError):
            return {}

    def _before(self) -> tuple[JobRecord, Entry] | None:
        """Return the last job before this one that had the datum, and what it had."""
        for job in reversed(self._pipeline.jobs):
            if not job.state.is_final or job.number >= self._job.number:
                continue
            try:
                return job, find_datum(self._store, self._pipeline, job, self._entry.id.hex())
            except PfsError:
                continue
        return None

    def _differs(self, job: JobRecord, old: Entry) -> tuple[Why, CommitId | None, str]:
        changed = ", ".join(self._changed_inputs(job))
        if changed:
            return "input", job.id, f"it ran because {changed} changed since job {job.id}"
        now, then = self._version(self._job), self._version(job)
        if now.counts_as != then.counts_as:
            files = ", ".join(sorted(set(dict(now.code.items() ^ then.code.items()))))
            what = f"its code changed ({files})" if files else "its command changed"
            text = f"it ran because {what} between version {job.version} and {self._job.version}"
            return "command", job.id, f"{text}; job {job.id} is the last that had it"
        return (
            "reprocess",
            job.id,
            f"it ran because since job {job.id} all datums were to run again (--reprocess)",
        )

    def _changed_inputs(self, job: JobRecord) -> Iterator[str]:
        for given in self._entry.inputs:
            leaf = self._pipeline.leaves[given.leaf]
            if not leaf.reference and self._content(self._job, given) != self._content(job, given):
                yield f"{leaf.repo}:{given.path}"

    def _content(self, job: JobRecord, given: Source) -> bytes | None:
        source = job.input_commits()[given.leaf] if given.leaf < len(job.inputs) else None
        if source is None:
            return None
        try:
            row = self._store.repo(source.repo).view(source.commit).tree.stat(to_key(given.path))
        except PfsError:
            return None
        return None if row is None else bytes(row.tid)

    def _version(self, job: JobRecord) -> PipelineRecord:
        view = self._store.repo(self._pipeline.name).view(job.spec_commit)
        return decode_pipeline(view.read(PIPELINE_JSON), where=f"{self._pipeline.name}@{job.spec_commit}")
