"""What a run leaves in the repo of its workflow: ``/run.json``, the file as it was given, and a file a datum."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

import msgspec

from pfs.errors import CorruptionError
from pfs.structs import ready

RUN_JSON: Final = "/run.json"
FILES: Final = ("/workflow.yaml", "/workflow.json")
FORMAT: Final = 1


class TaskRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One task of a run. ``after``: the tasks that it waits for. ``again``: how often it was told to run again.

    ``kept``: the run was asked for other tasks, and this one is as it was. ``why``: what was known beforehand of the
    reason for which it runs; empty: nothing. ``skipped``: its condition did not hold.
    """

    after: tuple[str, ...] = ()
    again: int = 0
    kept: bool = False
    why: str = ""
    skipped: bool = False


class RunRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A run of a workflow. ``params`` have the values that they had; ``folder``: where the file was.

    ``from_task``: from where on it was to run again. ``installed``: commits, and the ``schedule``, make runs.
    ``installed_params``: those of the installation, which ticks have; empty: those of the run.
    ``of_schedule``: it is a tick, at this time in ns.
    """

    v: int = FORMAT
    workflow: str
    params: dict[str, msgspec.Raw] = {}
    folder: str = ""
    file: str = ""
    from_task: str = ""
    installed: bool = False
    installed_params: dict[str, msgspec.Raw] = {}
    schedule: str = ""
    of_schedule: int = 0
    tasks: dict[str, TaskRecord] = {}


def encode_run(record: RunRecord) -> bytes:
    """Return the stored JSON of a record, indented for people."""
    return msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"


def decode_run(data: bytes, *, where: str) -> RunRecord:
    """Parse a stored record.

    Raises:
        CorruptionError: it is none; ``where`` names its place.
    """
    try:
        return msgspec.json.decode(data, type=ready(RunRecord))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CorruptionError(where, f"not the record of a run ({error})") from error


def canonical(value: Mapping[str, object]) -> bytes:
    """Return JSON in the one spelling that makes equal values equal bytes."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode() + b"\n"
