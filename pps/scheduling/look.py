"""One look after another at what is due: derived again only where refs moved that it depends on."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import TYPE_CHECKING

from pps.model.catalog import DAMAGE, Pipeline
from pps.scheduling.queue import Due, InputRefs, due_of

if TYPE_CHECKING:
    from pfs.errors import PfsError
    from pfs.refs.mirror import Mirror
    from pfs.store import Store

_Basis = tuple[object, ...]


class Looks:
    """What was due at the last look, and what that was derived from: the same objects mean the same. One thread."""

    def __init__(self, store: Store, mirror: Mirror) -> None:
        self._store, self._mirror = store, mirror
        self._known: dict[str, tuple[_Basis, list[Due]]] = {}

    def due(self, pipelines: Sequence[Pipeline], damaged: MutableMapping[str, PfsError]) -> dict[str, list[Due]]:
        """Return what `pps.scheduling.queue.due_jobs` does, of the refs as the mirror has them."""
        by_name = {pipeline.name: pipeline for pipeline in pipelines}
        refs = InputRefs(self._mirror.states, self._mirror.damaged)
        known, self._known = self._known, {}
        found: dict[str, list[Due]] = {}
        for pipeline in pipelines:
            name, basis = pipeline.name, self._basis(pipeline, by_name)
            before, due = known.get(name, ((), []))
            if not _same(before, basis):
                try:
                    due = due_of(self._store, refs, pipeline, pipelines=by_name)
                except DAMAGE as error:
                    found[name] = []
                    damaged[name] = error
                    continue
            self._known[name] = basis, due
            found[name] = due
        return found

    def _basis(self, pipeline: Pipeline, pipelines: dict[str, Pipeline]) -> _Basis:
        """Return all that the jobs of a pipeline are derived from: it, and what it reads with whoever writes that."""
        repos = [head.repo for head in pipeline.record.baseline]
        sources = ((self._mirror.states.get(repo), pipelines.get(repo)) for repo in repos)
        return (pipeline, *(one for pair in sources for one in pair))


def _same(old: _Basis, new: _Basis) -> bool:
    return len(old) == len(new) and all(before is after for before, after in zip(old, new, strict=True))
