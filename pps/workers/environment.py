"""The environment of user code: a little of the caller's, the spec's, and the names that say what it works on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pps.executor import DatumTask, WorkUnit
from pps.job_gateway import without_foreign

INHERITED: Final = ("PATH", "LANG", "LC_ALL", "TZ")
"""What is taken over from the process that runs pps; PATH so that ``python3`` is the one that its user means."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where things are, as the command sees them."""

    pfs: str
    home: str
    tmp: str


def inherited(source: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return what commands inherit of ``source``, by default of this process, as starting any process does."""
    found = os.environ if source is None else source
    return {"PATH": os.defpath, **{name: found[name] for name in INHERITED if name in found}}


def environment(
    unit: WorkUnit, task: DatumTask, *, base: Mapping[str, str], places: Places, s3: Mapping[str, str]
) -> dict[str, str]:
    """Return all variables of a datum's command; ``s3`` are those of its way to the gateway of the job, if it has one.

    Later ones win: inherited, HOME and TMPDIR, the transform's, the datum's, ours. Each of ours that Pachyderm has
    under ``PACH_`` is there under ``PFS_`` too. The path of an input with several matches is that of the last one. A
    task without an id is no datum in particular; a spout has no job and no datum.
    """
    found = {**base, "HOME": places.home, "TMPDIR": places.tmp, **unit.transform.env, **task.env}
    found = {**beside_s3(found, s3), **s3}
    found |= {"PFS": places.pfs, "PPS_PIPELINE_NAME": unit.pipeline}
    if unit.spout:
        return found
    if not unit.s3_out and not unit.stands:
        found["PFS_OUT"] = f"{places.pfs}/out"
    for prefix in ("PACH", "PFS"):
        found[f"{prefix}_JOB_ID"] = found[f"{prefix}_OUTPUT_COMMIT_ID"] = unit.job
        if task.id:
            found[f"{prefix}_DATUM_ID"] = task.id
    for given in task.inputs:
        found[given.name] = f"{places.pfs}/{given.name}{given.path}".rstrip("/")
        found[f"{given.name}_COMMIT"] = given.commit
        for what, text in (("JOIN_ON", given.join_on), ("GROUP_BY", given.group_by)):
            if text:
                found[f"PACH_DATUM_{given.name}_{what}"] = found[f"PFS_DATUM_{given.name}_{what}"] = text
    return found


def beside_s3(env: Mapping[str, str], s3: Mapping[str, str]) -> Mapping[str, str]:
    """Return what of an environment stays where a command is given these variables of S3."""
    return without_foreign(env) if "AWS_ENDPOINT_URL" in s3 else env
