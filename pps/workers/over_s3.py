"""S3 for one attempt at a datum: its variables before, its outputs and what it read afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pps.datums.readset import Read, encode_reads
from pps.executor import DatumTask, OutputFile, WorkUnit
from pps.job_gateway import Admission, JobGateway, Traffic, own_way, variables, write_settings
from pps.spec.task import BUCKETS

if TYPE_CHECKING:
    from pathlib import Path

    from pfs.packs.session import WriteSession
    from pps.spec import Transform

SETTINGS = ".aws"
"""The folder of the clients' settings in the HOME of a command."""


class S3Access:
    """What an attempt has of its job's gateway; nothing at all where the pipeline does not use S3."""

    def __init__(
        self, task: DatumTask, admission: Admission | None, env: Mapping[str, str], *, is_task: bool = False
    ) -> None:
        self._task, self._admission, self._is_task = task, admission, is_task
        self.env = env
        self._traffic: Traffic | None = None

    def _end(self) -> Traffic | None:
        admission, self._admission = self._admission, None
        if admission is not None:
            self._traffic = admission.end()
        return self._traffic

    def take(self, session: WriteSession) -> tuple[OutputFile, ...]:
        """End it, and return the objects that were written as output files; their bytes go to ``session``.

        Those of a task are below `BUCKETS`, by bucket.

        Raises:
            PfsError: they cannot be stored.
        """
        traffic = self._end()
        if traffic is None or traffic.session is None:
            return ()
        session.adopt(traffic.session)
        top = f"{BUCKETS}/".encode() if self._is_task else b""
        return tuple(OutputFile(top + one.key, one.ref, False, one.aux) for one in traffic.written)

    def reads(self) -> bytes | None:
        """End it, and return what was read, as `readset` stores it; None where the pipeline reads nothing over S3."""
        traffic = self._end()
        if traffic is None:
            return None
        roots = {given.name: given.rows[0].tid for given in self._task.inputs if given.s3}
        return encode_reads({name: Read(tid, traffic.reads[name]) for name, tid in roots.items()}) if roots else None

    def drop(self) -> None:
        """End it, and let go of what was not taken."""
        traffic = self._end()
        if traffic is not None and traffic.session is not None:
            traffic.session.abandon()


def uses_s3(unit: WorkUnit) -> bool:
    """Say whether a unit's commands need the gateway of their job."""
    own = unit.s3_out or unit.spout or unit.transform.task is not None
    return own or any(given.s3 for task in unit.datums for given in task.inputs)


@contextmanager
def s3_access(
    gateway: JobGateway | None, task: DatumTask, home: Path, *, home_seen: str, of_task: Transform | None = None
) -> Iterator[S3Access]:
    """Let one attempt in; what it wrote is dropped at the end unless it was taken. ``home_seen``: HOME, to the command.

    ``of_task``: it is a workflow's task, whose objects begin with their bucket, and which may go its own way to S3.

    Raises:
        OSError: its settings cannot be written.
    """
    if gateway is None:
        yield S3Access(task, None, {})
        return
    write_settings(home / SETTINGS)
    admission = gateway.admit()
    env = variables(gateway, admission, folder=f"{home_seen}/{SETTINGS}")
    if of_task is not None:
        env = own_way(env, {*of_task.env, *(use.env_var for use in of_task.secrets)})
    access = S3Access(task, admission, env, is_task=of_task is not None)
    try:
        yield access
    finally:
        access.drop()
