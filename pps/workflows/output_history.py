"""The output of a task through its runs, with what was kept of each job: what life cycle decides on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple

from pfs.ids import CommitId
from pfs.trees.row import Root
from pfs.trees.tree import Tree
from pps.egress.delivered import target_id
from pps.model.catalog import Pipeline, read_version
from pps.model.records import META_BRANCH
from pps.spec.types import Egress
from pps.workflows.expiry import Version

if TYPE_CHECKING:
    from pfs.packs.commit_record import CommitRecord
    from pfs.store import Store


class Left(NamedTuple):
    """A commit of ``.meta``: what it has, and the output commit that it tells of.

    Of a job that failed or has not ended, that of the job after it; None: there is none.
    """

    id: CommitId
    root: Root
    of: CommitId | None


@dataclass
class OutputHistory:
    """One task's output, as it is when it is first asked. One thread; memory: some 300 bytes a run."""

    store: Store
    pipeline: Pipeline

    @cached_property
    def versions(self) -> Sequence[Version]:
        """The commits of the output branch that succeeded, the newest first; one look-up and one listing each."""
        return [Version(one.id, one.finished_ns, self._outputs(one)) for one in self._chain()]

    @cached_property
    def left(self) -> Sequence[Left]:
        """The commits of ``.meta``, the newest first."""
        if self.pipeline.meta is None:
            return []
        outputs = {one.commit for one in self.versions}
        records = self.store.history.first_parents(self.pipeline.name, self.pipeline.meta)
        found: list[Left] = []
        last: CommitId | None = None
        for record in takewhile(lambda one: one.branch == META_BRANCH, records):
            last = next((parent for parent in record.parents if parent in outputs), last)
            found.append(Left(record.id, record.tree_root(), last))
        return found

    @cached_property
    def deliveries(self) -> dict[str, Egress]:
        """Where versions of the task delivered to, by the name of the target."""
        spec = self.store.history.first_parents(self.pipeline.name, self.pipeline.spec_commit)
        versions = (read_version(self.store, self.pipeline.name, one.id)[0] for one in spec)
        places = (egress for version in versions for egress in version.egresses if isinstance(egress, Egress))
        return {target_id(egress): egress for egress in places}

    def targets_at(self, commit: CommitId) -> frozenset[str]:
        """Return the targets that the version delivered to which made a commit; the present ones if that is gone."""
        job = None if commit == self.pipeline.output else self.pipeline.jobs.find(commit)
        spec_commit = self.pipeline.spec_commit if job is None else job.spec_commit
        if spec_commit not in self._targets:
            spec, _ = read_version(self.store, self.pipeline.name, spec_commit)
            found = frozenset(target_id(one) for one in spec.egresses if isinstance(one, Egress))
            self._targets[spec_commit] = found
        return self._targets[spec_commit]

    def tree(self, root: Root) -> Tree:
        """Return a tree of the repo."""
        return Tree(self.store.objects, root)

    def output(self, commit: CommitId) -> Tree:
        """Return what an output commit has."""
        return self.tree(self.store.history.get(self.pipeline.name, commit).tree_root())

    @cached_property
    def _targets(self) -> dict[CommitId, frozenset[str]]:
        return {}

    def _chain(self) -> Iterator[CommitRecord]:
        if self.pipeline.output is not None:
            yield from self.store.history.first_parents(self.pipeline.name, self.pipeline.output)

    def _outputs(self, record: CommitRecord) -> frozenset[str]:
        rows = self.tree(record.tree_root()).list()
        return frozenset(row.key.decode(errors="replace") for row in rows if row.is_dir and row.count)


def output_of(egress: Egress) -> str:
    """Return the output that a delivery is of; empty for one of all of them."""
    return egress.path.strip("/").partition("/")[0]
