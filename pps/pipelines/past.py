"""The versions that a pipeline had: one commit of ``.spec`` each, and more where it was stopped, started or rerun."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from pfs.errors import NotFoundError
from pfs.history.graph import Graph
from pps.model.catalog import Pipeline, read_version

if TYPE_CHECKING:
    from pfs.store import Store


def versions(store: Store, pipeline: Pipeline) -> Iterator[Pipeline]:
    """Yield a pipeline as it was in each version, the present one first, with the jobs of that version alone.

    Raises:
        CorruptionError: a version cannot be read.
    """
    seen: set[int] = set()
    for info in Graph(store, store.refs.read(pipeline.name)).walk([pipeline.spec_commit]):
        spec, record = read_version(store, pipeline.name, info.id)
        if record.version not in seen:
            seen.add(record.version)
            jobs = pipeline.jobs.of_version(record.version)
            yield replace(pipeline, spec=spec, record=record, spec_commit=info.id, jobs=jobs)


def at_version(store: Store, pipeline: Pipeline, version: int) -> Pipeline:
    """Return a pipeline as it was in one version.

    Raises:
        NotFoundError: it had no such version.
    """
    found = next((one for one in versions(store, pipeline) if one.record.version == version), None)
    if found is None:
        name, last = pipeline.name, pipeline.record.version
        raise NotFoundError(f"pipeline {name!r} has no version {version}: the last one is {last}")
    return found
