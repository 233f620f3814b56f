"""What a running job needs beside the store, from the scheduler that runs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pps.executor import Executor
from pps.model import events
from pps.scheduling.queue import Due

if TYPE_CHECKING:
    from pfs.store import Store


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a job needs beside the store. ``executor`` makes the executor when the first datum runs.

    ``run_dir``: where running jobs are shown. ``fence`` raises if the job may not be committed any more, as another
    controller took over. ``wake`` is called, in any thread, when `JobRun.look` has something to do.
    """

    store: Store
    executor: Callable[[], Executor]
    code_dir: Callable[[Due], Path]
    on_event: events.OnEvent
    next_unit: Callable[[], int]
    run_dir: Path
    fence: Callable[[], None] = lambda: None
    wake: Callable[[], object] = lambda: None
