"""The repos of cron inputs: made with a pipeline, and never one that holds what users put."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from pfs.errors import ConflictError, NotFoundError
from pps.model.catalog import DAMAGE, Catalog
from pps.spec.input import leaves
from pps.spec.types import PfsInput, Spec
from pps.times import parse_time

if TYPE_CHECKING:
    from pfs.store import Store


def make_cron_repos(store: Store, spec: Spec) -> list[str]:
    """Make the repos of a spec's cron inputs that are not there yet; return their names.

    Raises:
        StorageError: not all of them are made.
    """
    made = []
    for leaf in _crons(spec):
        if store.refs.find(leaf.repo) is None:
            store.create_repo(leaf.repo, description=f"ticks of pipeline {spec.name}", exist_ok=True)
            made.append(leaf.repo)
    return made


def refuse_data(store: Store, spec: Spec) -> None:
    """Refuse cron inputs whose repo holds something else than ticks, which ``overwrite`` would delete.

    Cost: a scan of the names in the repo.

    Raises:
        ConflictError: one does, or it is the output of a pipeline.
    """
    for leaf in _crons(spec):
        state = store.refs.find(leaf.repo)
        entry = None if state is None else state.body.branches.get(leaf.branch)
        if entry is None:
            continue
        what = f"repo {leaf.repo!r} cannot have the ticks of cron input {leaf.name!r}"
        hint = "give another one in 'repo', or none"
        if entry.pipeline:
            raise ConflictError(f"{what}: it is the output of a pipeline; {hint}")
        data = _first_other(store, leaf) if entry.head is not None else None
        if data is not None:
            raise ConflictError(f"{what}: it holds {data}, which is no tick; {hint}")


def _first_other(store: Store, leaf: PfsInput) -> str | None:
    """Return the path of something that no tick made, None if there is nothing."""
    for info in store.repo(leaf.repo).view(leaf.branch).list("/"):
        if info.type != "file" or info.size_bytes or parse_time(info.path.strip("/")) is None:
            return info.path
    return None


def other_schedules(store: Store, spec: Spec) -> Iterator[str]:
    """Yield what is to be told of cron inputs of one repo that are to tick otherwise: only one of them does."""
    for leaf in _crons(spec):
        for name, other in _same_repo(store, spec, leaf):
            if other.cron != leaf.cron:
                who = f"input {other.name!r} of pipeline {name!r}"
                hint = "give them the same spec, overwrite, start and backfill, or each a repo of its own"
                yield f"cron input {leaf.name!r} has the repo of {who}, {leaf.repo!r}, but ticks otherwise: {hint}"
                break


def _same_repo(store: Store, spec: Spec, leaf: PfsInput) -> Iterator[tuple[str, PfsInput]]:
    yield from ((spec.name, other) for other in _crons(spec) if other.repo == leaf.repo)
    state = store.refs.find(leaf.repo)
    entry = None if state is None else state.body.branches.get(leaf.branch)
    for name in sorted({repo for repo, _ in entry.feeds} - {spec.name}) if entry is not None else ():
        with suppress(NotFoundError, *DAMAGE):
            found = Catalog(store).get(name).leaves
            yield from ((name, other) for other in found if other.cron is not None and other.repo == leaf.repo)


def _crons(spec: Spec) -> Iterator[PfsInput]:
    return (leaf for leaf in leaves(spec.input) if leaf.cron is not None)
