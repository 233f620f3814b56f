"""What a command finds around it: inputs, secrets, variables and S3, put in place for one attempt or one long run."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Final

from pfs.errors import FailedError, PfsError
from pps.executor import DatumTask, WorkUnit
from pps.job_gateway import JobGateway
from pps.secret_store import Secrets
from pps.workers.artifacts import Artifacts
from pps.workers.artifacts_put import Bench, with_artifacts
from pps.workers.environment import environment
from pps.workers.layout import World, make_world, places
from pps.workers.mask import Mask
from pps.workers.new_file import write_new
from pps.workers.over_s3 import S3Access, s3_access
from pps.workers.scratch import Scratch
from pps.workers.secrets import GivenSecrets, given_secrets, with_secrets
from pps.workers.setting import Setting
from pps.workers.why import refuse_full, why

_STAGE: Final = "stage the input of a datum"


class UnpreparedError(FailedError):
    """What a command needs cannot be put in place: ``(reason)``."""

    kind = "unprepared"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is in place for the commands of ``task``; ``mask`` hides its secrets."""

    setting: Setting
    unit: WorkUnit
    task: DatumTask
    scratch: Scratch
    world: World
    access: S3Access
    mask: Mask
    env: Mapping[str, str]
    """The variables that the command has beside what it inherits."""

    def of(self, task: DatumTask) -> Surroundings:
        """Return the same for another datum."""
        env = environment(self.unit, task, base={}, places=self.world.places, s3=self.access.env)
        return replace(self, task=task, env=env)

    def show_variables(self) -> None:
        """Write /pfs/.env, the datum's variables as Pachyderm shows them: a line each, a value as it is."""
        lines = "".join(f"{name}={value}\n" for name, value in self.env.items())
        data, place = os.fsencode(lines), f"{self.scratch.pfs}/.env"
        if write_new(place, data):
            self.scratch.wrote("cwd/pfs/.env")
        elif not _write_over(place, data):
            made = f"{self.scratch.top}/env"
            with open(made, "wb", buffering=0) as file:
                file.write(data)
            os.rename(made, place)


def _write_over(place: str, data: bytes) -> bool:
    """Write a plain file anew where it is; say whether it was one: a command that is alive may have put a link there.

    Renaming over a file makes some file systems write the new one to the disk at once, and so does truncating it to
    nothing first.
    """
    try:
        file = os.open(place, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            return False
        os.pwrite(file, data, 0)
        if found.st_size > len(data):
            os.ftruncate(file, len(data))
        return True
    finally:
        os.close(file)


def mount_places(setting: Setting, unit: WorkUnit, task: DatumTask) -> tuple[str, ...]:
    """Return the directories, as paths in a scratch, that `surroundings` wants in it beside the usual ones."""
    return places(unit, task, isolation=setting.isolation, path=_path(setting, unit))


def _path(setting: Setting, unit: WorkUnit) -> str:
    return unit.transform.env.get("PATH", setting.base_env["PATH"])


@contextmanager
def surroundings(
    setting: Setting, unit: WorkUnit, task: DatumTask, *, scratch: Scratch, artifacts: Artifacts | None = None
) -> Iterator[Surroundings]:
    """Put in place what the commands of ``task`` need, in a fresh ``scratch``; let go of it at the end.

    ``artifacts``: those of a datum of a workflow's task.

    Raises:
        UnpreparedError: the spec, the store or the disk do not let it.
        StorageFullError: there is no room for its inputs. ArchivedError: one is in an archive.
        OSError: the scratch directory cannot be written.
    """
    with ExitStack() as uses:
        secrets = _secrets(setting, unit)
        world = _world(setting, unit, task, scratch=scratch, secrets=secrets, uses=uses)
        if artifacts is not None:
            world = _put(world, artifacts, Bench(scratch, setting.isolation, setting.staging, uses))
        gateway = _gateway(setting, unit, task)
        of_task = None if artifacts is None else unit.transform
        access = uses.enter_context(
            s3_access(gateway, task, scratch.home, home_seen=world.places.home, of_task=of_task)
        )
        env = environment(unit, task, base={}, places=world.places, s3=access.env)
        around = Surroundings(setting, unit, task, scratch, world, access, secrets.mask, env)
        around.show_variables()
        yield around


def _secrets(setting: Setting, unit: WorkUnit) -> GivenSecrets:
    try:
        return given_secrets(Secrets(setting.store), unit.transform.secrets)
    except PfsError as error:
        raise UnpreparedError(f"its secrets cannot be given: {error}") from error


def _world(
    setting: Setting, unit: WorkUnit, task: DatumTask, *, scratch: Scratch, secrets: GivenSecrets, uses: ExitStack
) -> World:
    path, isolation, staging = _path(setting, unit), setting.isolation, setting.staging
    try:
        world = make_world(unit, task, scratch, isolation=isolation, staging=staging, uses=uses, path=path)
        return with_secrets(world, secrets, scratch, isolation)
    except PfsError as error:
        refuse_full(error, _STAGE)
        raise UnpreparedError(f"its input cannot be staged: {error}") from error
    except OSError as error:
        refuse_full(error, _STAGE)
        raise UnpreparedError(f"its input cannot be staged: {why(error)}") from error


def _put(world: World, artifacts: Artifacts, bench: Bench) -> World:
    try:
        return with_artifacts(world, artifacts, bench)
    except PfsError as error:
        refuse_full(error, _STAGE)
        raise UnpreparedError(f"its artifacts cannot be put in place: {error}") from error
    except OSError as error:
        refuse_full(error, _STAGE)
        raise UnpreparedError(f"its artifacts cannot be put in place: {why(error)}") from error


def _gateway(setting: Setting, unit: WorkUnit, task: DatumTask) -> JobGateway | None:
    own = unit.s3_out or unit.spout or unit.transform.task is not None
    if not own and not any(given.s3 for given in task.inputs):
        return None
    try:
        return setting.gateway(unit)
    except PfsError as error:
        raise UnpreparedError(f"its S3 gateway cannot be had: {error}") from error
