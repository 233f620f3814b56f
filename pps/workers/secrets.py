"""What a datum's command is given of secrets: variables, and files that exist for it alone."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pfs.errors import InvalidInputError, NotFoundError
from pps.sandbox.isolation import Isolation
from pps.secret_store import Secrets
from pps.spec.types import SecretUse
from pps.workers.layout import World
from pps.workers.mask import Mask
from pps.workers.scratch import Scratch


@dataclass(frozen=True, slots=True)
class GivenSecrets:
    """Values in the clear, for one attempt: never written anywhere, never shown.

    ``env``: variables; ``files``: what is below each mount path, by name.
    """

    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    files: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict, repr=False)
    mask: Mask = field(default_factory=Mask, repr=False)


NONE = GivenSecrets()


def check_secrets(secrets: Secrets, uses: Sequence[SecretUse]) -> None:
    """Check that there is what a spec wants of secrets, without reading values.

    Raises:
        NotFoundError: there is no such secret, or no such key in it.
    """
    for use in uses:
        found = secrets.inspect(use.name)
        if use.key and use.key not in found.keys:
            raise NotFoundError(f"secret {use.name!r} has no key {use.key!r}: it has {', '.join(found.keys)}")


def given_secrets(secrets: Secrets, uses: Sequence[SecretUse]) -> GivenSecrets:
    """Return what a transform's command is given.

    Raises:
        NotFoundError: a secret or key is gone. CorruptionError: it cannot be decrypted.
        InvalidInputError: a value cannot be a variable.
    """
    if not uses:
        return NONE
    check_secrets(secrets, uses)
    env: dict[str, str] = {}
    files: dict[str, dict[str, bytes]] = {}
    hidden: list[bytes] = []
    for use in uses:
        values = secrets.values(use.name)
        taken = {use.key: values[use.key]} if use.key else values
        hidden += taken.values()
        if use.env_var:
            env[use.env_var] = _as_variable(use, values[use.key])
        if use.mount_path:
            files.setdefault(use.mount_path, {}).update(taken)
    return GivenSecrets(env, files, Mask(hidden))


def _as_variable(use: SecretUse, value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise InvalidInputError(f"key {use.key!r} of secret {use.name!r} is no text: give it with mount_path")
    return text


def with_secrets(world: World, given: GivenSecrets, scratch: Scratch, isolation: Isolation) -> World:
    """Return a world in which the command has its secrets: as variables, and as files at their mount paths.

    With namespaces they are in memory, in a file system that only the command sees; for a container, in the scratch
    directory until the attempt ends.

    Raises:
        InvalidInputError: the command sees the host as it is, so that there is no place for them.
        OSError: they cannot be written.
    """
    world = replace(world, secret_env=given.env)
    if not given.files:
        return world
    for place in given.files:
        world.scene.close(place)
    if isolation.kind == "namespace":
        proc = [step for step in world.mounts if step == ("proc",)]
        others = [step for step in world.mounts if step != ("proc",)]
        return replace(world, mounts=(*others, *_steps(given), *proc))
    if isolation.kind == "container":
        return replace(world, volumes=(*world.volumes, *_volumes(given, scratch)))
    where = ", ".join(given.files)
    raise InvalidInputError(
        f"secrets cannot be mounted at {where} without namespaces or a container, which this command does not have "
        "(see --isolation and `pfs doctor`): give them with env_var"
    )


def _steps(given: GivenSecrets) -> list[tuple[str, ...]]:
    steps = []
    for place, files in given.files.items():
        pairs = (part for name, value in files.items() for part in (name, b64encode(value).decode()))
        steps.append(("files", place, *pairs))
    return steps


def _volumes(given: GivenSecrets, scratch: Scratch) -> list[tuple[Path, str, bool]]:
    volumes: list[tuple[Path, str, bool]] = []
    for number, (place, files) in enumerate(given.files.items()):
        folder = scratch.top / "secrets" / str(number)
        folder.mkdir(parents=True)  # readable by whoever the container's command runs as; nobody else gets this far
        for name, value in files.items():
            (folder / name).write_bytes(value)
        volumes.append((folder, place, False))
    return volumes
