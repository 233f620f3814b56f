"""What all workers of an executor share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pfs.store import Store
from pps.executor import WorkUnit
from pps.job_gateway import JobGateway
from pps.sandbox.isolation import Isolation
from pps.sandbox.spawner import Spawner
from pps.workers.staging import Staging


def _all_cpus(_count: int) -> tuple[int, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class Setting:
    """What all workers of an executor share. ``engine``: the container program where a container is used.

    ``cpus`` gives the processors of a command that may use so many, none for all.
    ``gateway`` gives the S3 gateway of a unit's job, None if it needs none; raises PfsError.
    """

    store: Store
    spawner: Spawner
    staging: Staging
    isolation: Isolation
    base_env: Mapping[str, str]
    log_dir: Path
    gateway: Callable[[WorkUnit], JobGateway | None]
    engine: str | None = None
    cpus: Callable[[int], Sequence[int]] = _all_cpus
