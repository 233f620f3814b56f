"""Commands in a container: how docker or podman are asked to run one.

The engine's client is the command that the spawner starts; the container has the inputs, /pfs/out and /tmp of the datum
as volumes, and nothing else of the host. A client that is killed leaves its container behind: `remove` takes it away,
and `remove_leftovers` those of processes that were killed themselves.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

ENGINES = ("docker", "podman")
_ANSWER_S = 10.0
_LABEL = "pfs.store"
_OF_ENGINES = ("CONTAINER", "DOCKER_", "XDG_", "REGISTRY_AUTH_FILE", "SSH_AUTH_SOCK", "PATH", "HOME", "LANG", "TMPDIR")
"""Beginnings of the variables by which engines find their daemon, their images and the credentials of registries."""


def find_engine() -> str | None:
    """Return the program of the first engine that answers, None if there is none; takes up to 10 s an engine."""
    for name in ENGINES:
        program = shutil.which(name)
        if program and _answers([program, "version", "--format", "{{.Server.Version}}"]):
            return program
    return None


def has_image(engine: str, image: str) -> bool:
    """Say whether ``image`` is there or could be pulled now."""
    return _answers([engine, "image", "inspect", image]) or _answers([engine, "pull", "--quiet", image], limit_s=600.0)


def _answers(argv: Sequence[str], *, limit_s: float = _ANSWER_S) -> bool:
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=limit_s, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def engine_env(source: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return what the client of an engine needs of this process's environment (or ``source``); no command sees it."""
    found = os.environ if source is None else source
    return {name: value for name, value in found.items() if name.startswith(_OF_ENGINES)}


def new_name() -> str:
    """Return the name of a container that this process starts; it says so, for `remove_leftovers`."""
    return f"pps-{os.getpid()}-{os.urandom(4).hex()}"


def run_argv(
    engine: str,
    image: str,
    argv: Sequence[str],
    *,
    name: str,
    store: str,
    env: Mapping[str, str],
    cwd: str | None,
    volumes: Sequence[tuple[Path, str, bool]],
    user: str | None = None,
    on_host_network: bool = False,
    passed: Collection[str] = (),
    cpu: float = 0.0,
    memory: int = 0,
) -> tuple[str, ...]:
    """Return the command line that runs ``argv`` in a new container that is removed when it ends.

    ``argv`` is run as it is, whatever entrypoint the image has. ``store`` is the path of the store that it is for.
    ``volumes`` are (directory here, path in the container, writable). ``cwd`` None keeps that of the image. ``user``
    None is the image's; with docker, whose daemon is root, it is the one who runs this, unless that is root: else
    nobody but root could remove what the command wrote. ``on_host_network``: what listens on this host's loopback is
    reached. ``passed``: variables that the engine takes from its own environment, as what is in a command line is seen
    by all. ``cpu`` and ``memory`` (bytes) are limits that the engine keeps, 0 for none.
    """
    flags = ["run", "--rm", "--interactive", "--init", "--name", name, "--label", f"{_LABEL}={store}"]
    for source, target, writable in volumes:
        flags += ["--volume", f"{source}:{target}:{'rw' if writable else 'ro'}"]
    for key, value in env.items():
        flags += ["--env", f"{key}={value}"]
    if cpu:
        flags += ["--cpus", f"{cpu:g}"]
    if memory:
        flags += ["--memory", str(memory)]
    if on_host_network:
        flags += ["--network", "host"]
    for key in passed:
        flags += ["--env", key]
    if cwd is not None:
        flags += ["--workdir", cwd]
    if user is None and os.path.basename(engine) == "docker" and os.getuid() != 0:
        user = f"{os.getuid()}:{os.getgid()}"
    if user is not None:
        flags += ["--user", user]
    return (engine, *flags, "--entrypoint", argv[0], image, *argv[1:])


def remove(engine: str, name: str) -> None:
    """End a container whose client was ended, and forget it; one that is gone already is fine."""
    _answers([engine, "kill", name])
    _answers([engine, "rm", "--force", "--volumes", name])


def remove_leftovers(engine: str, store: str) -> None:
    """Remove the containers for ``store`` of processes that are gone; one call of the engine where there are none."""
    listing = [engine, "ps", "--all", "--filter", f"label={_LABEL}={store}", "--format", "{{.Names}}"]
    try:
        done = subprocess.run(listing, stdin=subprocess.DEVNULL, capture_output=True, timeout=_ANSWER_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return
    for name in done.stdout.decode(errors="replace").split():
        if name.startswith("pps-") and not _is_alive(name.split("-")[1]):
            remove(engine, name)


def _is_alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, ValueError):
        return True
    return True
