"""The commands of services and spouts that a controller runs now, as files in ``.pfs/run/standing``."""

from __future__ import annotations

import shutil
import uuid
from contextlib import suppress
from pathlib import Path

import msgspec

from pfs.structs import ready
from pps.model.standing import StandingRecord
from pps.scheduling.lease import HolderLocks


class LiveStanding:
    """Files that are replaced whole; an unwritable disk is no error of the command."""

    def __init__(self, run_dir: Path) -> None:
        self._folder = run_dir / "standing"

    def show(self, record: StandingRecord) -> None:
        """Set what others see of a pipeline."""
        draft = self._folder / f".{uuid.uuid4().hex}"
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(msgspec.json.encode(record))
            draft.replace(self._folder / f"{record.pipeline}.json")

    def clear(self, pipeline: str) -> None:
        """Forget a pipeline."""
        with suppress(OSError):
            (self._folder / f"{pipeline}.json").unlink()

    def clear_all(self) -> None:
        """Forget what a dead controller left."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def records(self) -> dict[str, StandingRecord]:
        """Return what is shown, by pipeline."""
        found = {}
        for path in sorted(self._folder.glob("*.json")):
            with suppress(OSError, msgspec.DecodeError):
                record = msgspec.json.decode(path.read_bytes(), type=ready(StandingRecord))
                found[record.pipeline] = record
        return found


def standing_now(run_dir: Path) -> dict[str, StandingRecord]:
    """Return the commands that a controller runs; what a dead one left does not count."""
    records = LiveStanding(run_dir).records()
    return records if records and HolderLocks(run_dir).any_alive() else {}
