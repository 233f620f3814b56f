"""Jobs told as OpenLineage events (spec 2-0-2, https://openlineage.io): START, then COMPLETE, FAIL or ABORT.

A run is one job of a pipeline; the job that OpenLineage speaks of is the pipeline; a dataset is a branch, its version a
commit. Events are made from what is stored, so telling a job twice gives the same events with the same ids.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pfs
from pps.lineage.records import Records
from pps.model.catalog import read_version
from pps.model.infos import JobInfo
from pps.model.state import JobState
from pps.spec.node import Plain

if TYPE_CHECKING:
    from pfs.ids import CommitId
    from pfs.store import Store
    from pps.model.records import PipelineRecord
    from pps.spec import Spec

_SPEC = "https://openlineage.io/spec"
_EVENT = f"{_SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent"
_STANDARD = {
    "ParentRunFacet": "1-2-0",
    "ErrorMessageRunFacet": "1-0-1",
    "ProcessingEngineRunFacet": "1-1-1",
    "JobTypeJobFacet": "2-0-4",
    "DocumentationJobFacet": "1-1-0",
    "SourceCodeLocationJobFacet": "1-1-0",
    "DatasourceDatasetFacet": "1-0-1",
    "DatasetVersionDatasetFacet": "1-0-1",
    "OutputStatisticsOutputDatasetFacet": "1-0-2",
}
"""The facets that are used, with the version of each."""
PRODUCER = f"urn:pfs:pps:{pfs.__version__}"
_OWN = "urn:pfs:openlineage:{}:1"
_ENDS = {JobState.SUCCESS: "COMPLETE", JobState.KILLED: "ABORT"}

Event = dict[str, Plain]
"""One event, ready to be written as JSON."""


@dataclass(frozen=True, slots=True)
class Names:
    """Under which names things are told. ``namespace``: of jobs and datasets; ids of runs do not depend on it."""

    store: uuid.UUID
    namespace: str

    @classmethod
    def of(cls, store: Store, namespace: str | None = None) -> Names:
        """Return the names of a store: its namespace is ``pfs://<uuid of the store>`` unless another one is given."""
        own = uuid.UUID(store.config.store_uuid)
        return cls(own, namespace or f"pfs://{own}")

    def run(self, pipeline: str, job: CommitId) -> str:
        """Return the id of a run, the same each time."""
        return str(uuid.uuid5(self.store, f"{pipeline}@{job}"))

    def job_set(self, job: CommitId) -> str:
        """Return the id of the run that stands for all jobs of one id."""
        return str(uuid.uuid5(self.store, f"job set {job}"))


def run_events(store: Store, jobs: Iterable[JobInfo], *, namespace: str | None = None) -> Iterator[Event]:
    """Yield the events of jobs in their order: START, and of a job that has ended how it did.

    ``namespace``: see `Names.of`. Memory: some KiB a version of a pipeline.

    Raises:
        CorruptionError: a record cannot be read.
    """
    teller = _Teller(store, Names.of(store, namespace))
    for job in jobs:
        yield from teller.events(job)


class _Teller:
    def __init__(self, store: Store, names: Names) -> None:
        self._store, self._names, self._records = store, names, Records(store)
        self._versions: dict[tuple[str, CommitId], tuple[Spec, PipelineRecord] | None] = {}

    def events(self, job: JobInfo) -> Iterator[Event]:
        yield self._event(job, "START", job.started_ns)
        if job.finished_ns is not None and job.state.is_final:
            yield self._event(job, _ENDS.get(job.state, "FAIL"), job.finished_ns)

    def _event(self, job: JobInfo, kind: str, at_ns: int) -> Event:
        ended = kind != "START"
        output = self._output(job, ended=ended)
        inputs = dict.fromkeys((one.repo, one.branch, one.commit) for one in job.inputs)
        return {
            "eventType": kind,
            "eventTime": _time(at_ns),
            "producer": PRODUCER,
            "schemaURL": _EVENT,
            "run": {"runId": self._names.run(job.pipeline, job.id), "facets": self._run_facets(job, ended=ended)},
            "job": {"namespace": self._names.namespace, "name": job.pipeline, "facets": self._job_facets(job)},
            "inputs": [self._dataset(repo, branch, commit) for repo, branch, commit in inputs],
            "outputs": [] if output is None else [output],
        }

    def _run_facets(self, job: JobInfo, *, ended: bool) -> Plain:
        namespace = self._names.namespace
        facets: dict[str, Plain] = {
            "parent": _facet(
                "ParentRunFacet",
                run={"runId": self._names.job_set(job.id)},
                job={"namespace": namespace, "name": "job-set"},
            ),
            "processing_engine": _facet("ProcessingEngineRunFacet", name="pfs", version=pfs.__version__),
            "pfs_run": _own("PfsRunFacet", job=job.id, restart=job.restart, isolation=job.isolation),
        }
        if ended:
            counters = {f"data_{name}": number for name, number in job.counters._asdict().items()}
            facets["pfs_run"] = _own(
                "PfsRunFacet",
                job=job.id,
                restart=job.restart,
                isolation=job.isolation,
                state=job.state.value,
                **counters,
            )
            if job.state != JobState.SUCCESS:
                facets["errorMessage"] = _facet(
                    "ErrorMessageRunFacet", message=job.reason or job.state.value, programmingLanguage="unknown"
                )
        return facets

    def _job_facets(self, job: JobInfo) -> Plain:
        found = self._version(job)
        facets: dict[str, Plain] = {
            "jobType": _facet("JobTypeJobFacet", processingType="BATCH", integration="PFS", jobType="PIPELINE")
        }
        if found is None:
            return facets
        spec, record = found
        where = f"{self._names.namespace}/{job.pipeline}@{job.spec_commit}:/code"
        facets["sourceCodeLocation"] = _facet(
            "SourceCodeLocationJobFacet", type="pfs", url=where, path="/code", version=job.spec_commit
        )
        facets["pfs_pipeline"] = _own(
            "PfsPipelineJobFacet", version=record.version, specCommit=job.spec_commit, codeDigest=record.transform
        )
        if spec.description:
            facets["documentation"] = _facet("DocumentationJobFacet", description=spec.description)
        return facets

    def _version(self, job: JobInfo) -> tuple[Spec, PipelineRecord] | None:
        key = (job.pipeline, job.spec_commit)
        if key not in self._versions:
            there = self._records.commit(*key)
            self._versions[key] = None if there is None else read_version(self._store, *key)
        return self._versions[key]

    def _dataset(self, repo: str, branch: str, commit: CommitId | None) -> dict[str, Plain]:
        namespace = self._names.namespace
        facets: dict[str, Plain] = {
            "dataSource": _facet("DatasourceDatasetFacet", name=repo, uri=f"{namespace}/{repo}@{branch}")
        }
        if commit is not None:
            facets["version"] = _facet("DatasetVersionDatasetFacet", datasetVersion=commit)
        return {"namespace": namespace, "name": f"{repo}@{branch}", "facets": facets}

    def _output(self, job: JobInfo, *, ended: bool) -> dict[str, Plain] | None:
        """Return the output branch; with its new version when the job has made one."""
        found = self._version(job)
        if found is None:
            return None
        succeeded = ended and job.state == JobState.SUCCESS
        dataset = self._dataset(job.pipeline, found[0].output_branch, job.output_commit if succeeded else None)
        commit = self._records.commit(job.pipeline, job.id) if succeeded else None
        if commit is not None:
            root = commit.record.root
            facet = _facet("OutputStatisticsOutputDatasetFacet", size=root.size, fileCount=root.count)
            dataset["outputFacets"] = {"outputStatistics": facet}
        return dataset


def _facet(name: str, /, **fields: Plain) -> Plain:
    schema = f"{_SPEC}/facets/{_STANDARD[name]}/{name}.json#/$defs/{name}"
    return {"_producer": PRODUCER, "_schemaURL": schema, **fields}


def _own(name: str, /, **fields: Plain) -> Plain:
    return {"_producer": PRODUCER, "_schemaURL": _OWN.format(name), **fields}


def _time(at_ns: int) -> str:
    moment = datetime.fromtimestamp(at_ns // 1_000_000_000, UTC).replace(microsecond=at_ns // 1000 % 1_000_000)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
