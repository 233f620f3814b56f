"""What is only known while a controller runs: the state of its jobs, in ``.pfs/run``.

Nothing here is needed after a crash: jobs are derived again from the store (queue.py).
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from msgspec.structs import replace

from pfs.errors import CorruptionError
from pps.model.records import JobRecord, decode_job, encode_json
from pps.scheduling.lease import HolderLocks


class LiveJobs:
    """The records of running jobs as files that are replaced whole; readers see one state or the next."""

    def __init__(self, run_dir: Path) -> None:
        self._top = run_dir / "jobs"

    def show(self, record: JobRecord) -> None:
        """Set the state that others see; an unwritable disk is no error of the job.

        Without the job's events, which nobody looks at while it runs and which are megabytes where units are large.
        """
        path = self._path(record.pipeline, record.id)
        draft = path.with_name(f".{uuid.uuid4().hex}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(encode_json(replace(record, events=())))
            draft.replace(path)
        except OSError:
            with suppress(OSError):
                draft.unlink()

    def clear(self, pipeline: str, job: str) -> None:
        """Forget a job."""
        with suppress(OSError):
            self._path(pipeline, job).unlink()

    def clear_all(self) -> None:
        """Forget what a dead controller left."""
        shutil.rmtree(self._top, ignore_errors=True)

    def records(self) -> Iterator[JobRecord]:
        """Yield the jobs that run now."""
        for path in sorted(_records_below(self._top)):
            with suppress(OSError, CorruptionError):
                yield decode_job(path.read_bytes(), where=str(path))

    def _path(self, pipeline: str, job: str) -> Path:
        return self._top / pipeline / f"{job}.json"


def _records_below(top: Path) -> Iterator[Path]:
    """Yield the records that are there; folders come and go meanwhile, which `Path.glob` does not forgive."""
    with suppress(FileNotFoundError):
        for folder in os.listdir(top):
            with suppress(FileNotFoundError, NotADirectoryError):
                yield from (top / folder / name for name in os.listdir(top / folder) if name.endswith(".json"))


def running_jobs(run_dir: Path) -> Sequence[JobRecord]:
    """Return the jobs that a controller runs; what a dead one left does not count."""
    records = list(LiveJobs(run_dir).records())
    return records if records and HolderLocks(run_dir).any_alive() else []


def of(name: str, records: Sequence[JobRecord]) -> list[JobRecord]:
    """Return the records of one pipeline."""
    return [record for record in records if record.pipeline == name]
