"""The pipelines of one file, made or updated together: all are checked before anything changes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pfs.errors import PfsError
from pps.model.infos import PipelineInfo
from pps.pipelines.versions import Making, Planned, will_make
from pps.spec.types import Spec

if TYPE_CHECKING:
    from pps.pipelines.pipelines import Pipelines


def create_all(
    pipelines: Pipelines, specs: Sequence[Spec], *, base_dir: Path, dry_run: bool = False
) -> list[PipelineInfo]:
    """Make pipelines in order, all or none; each may read what those before it make. ``dry_run``: only check.

    When one cannot be made though all are sound, as something changed meanwhile, those before it are deleted again.

    Raises: as `Pipelines.create`.
    """
    checked = [
        pipelines.create(spec, base_dir=base_dir, dry_run=True, making=Making(planned))
        for spec, planned in in_order(specs)
    ]
    if dry_run:
        return checked
    made: dict[str, PipelineInfo] = {}
    try:
        for spec in specs:
            made[spec.name] = pipelines.create(spec, base_dir=base_dir)
    except PfsError:
        for name in reversed(made):
            with suppress(PfsError):
                pipelines.delete(name, force=True)
        raise
    return list(made.values())


def update_all(
    pipelines: Pipelines,
    specs: Sequence[Spec],
    *,
    base_dir: Path,
    reprocess: bool | None = None,
    dry_run: bool = False,
) -> list[PipelineInfo]:
    """Update pipelines in order, or make those that are not there; nothing changes unless all are sound.

    Raises: as `Pipelines.update`.
    """
    checked = [
        pipelines.update(spec, base_dir=base_dir, reprocess=reprocess, dry_run=True, making=Making(planned))
        for spec, planned in in_order(specs)
    ]
    if dry_run:
        return checked
    return [pipelines.update(spec, base_dir=base_dir, reprocess=reprocess) for spec in specs]


def in_order(specs: Iterable[Spec]) -> Iterable[tuple[Spec, Planned]]:
    """Yield each spec with what those before it make."""
    planned: Planned = {}
    for spec in specs:
        yield spec, planned
        planned = {**planned, **will_make(spec)}
