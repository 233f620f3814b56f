"""What the command of a spout wrote: it has no job, so its log is only on this disk, of its present version alone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pfs.errors import NotFoundError
from pps.jobs.joblogs import POLL_S, log_line, read_all
from pps.model.catalog import Catalog
from pps.model.infos import LogLine
from pps.scheduling.keeper import SPOUT
from pps.scheduling.lease import HolderLocks
from pps.workers.log_follower import Follower
from pps.workers.logs import log_path, parse

if TYPE_CHECKING:
    from pfs.store import Store


def spout_logs(store: Store, run_dir: Path, pipeline: str, *, follow: bool) -> Iterator[LogLine]:
    """Yield what a spout wrote since its version, or the controller, began; bounded as every log.

    ``follow``: go on until it is deleted or no controller is there; a new version is followed too.
    """
    catalog = Catalog(store)
    with suppress(NotFoundError):
        while True:
            version = catalog.get(pipeline).spec_commit
            with Follower(log_path(run_dir / "logs", pipeline, version, datum=SPOUT)) as follower:
                while catalog.get(pipeline).spec_commit == version:
                    yield from (log_line(pipeline, version, SPOUT, line) for line in parse(read_all(follower)))
                    if not follow or not HolderLocks(run_dir).any_alive():
                        return
                    time.sleep(POLL_S)
