"""Commands in a container: how docker or podman are asked to run one.

The engine's client is the command that the spawner starts; the container has the inputs, /pfs/out and /tmp of the datum
as volumes, and nothing else of the host. Ending the client ends the container (it is attached, with an init inside).
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

ENGINES = ("docker", "podman")
_ANSWER_S = 10.0


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


def run_argv(
    engine: str,
    image: str,
    argv: Sequence[str],
    *,
    name: str,
    env: Mapping[str, str],
    cwd: str | None,
    volumes: Sequence[tuple[Path, str, bool]],
    user: str | None = None,
    on_host_network: bool = False,
    passed: Collection[str] = (),
) -> tuple[str, ...]:
    """Return the command line that runs ``argv`` in a new container that is removed when it ends.

    ``volumes`` are (directory here, path in the container, writable). ``cwd`` None keeps that of the image. PATH of
    ``env`` is that of the host and is left out. ``on_host_network``: what listens on this host's loopback is reached.
    ``passed``: variables that the engine takes from its own environment, as what is in a command line is seen by all.
    """
    flags = ["run", "--rm", "--interactive", "--init", "--name", name]
    for source, target, writable in volumes:
        flags += ["--volume", f"{source}:{target}:{'rw' if writable else 'ro'}"]
    for key, value in env.items():
        if key != "PATH":
            flags += ["--env", f"{key}={value}"]
    if on_host_network:
        flags += ["--network", "host"]
    for key in passed:
        flags += ["--env", key]
    if cwd is not None:
        flags += ["--workdir", cwd]
    if user is not None:
        flags += ["--user", user]
    return (engine, *flags, image, *argv)


def kill(engine: str, name: str) -> None:
    """End a container whose client is gone; one that has ended already is fine."""
    _answers([engine, "kill", name])
