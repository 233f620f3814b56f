"""Starting a command in its surroundings and following it until nothing of it is left."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from pps.sandbox import container
from pps.sandbox.limits import Limits
from pps.sandbox.running import Exit, OnOutput, Running, Watched
from pps.sandbox.spawner import Command, SpawnerLostError
from pps.spec.resources import size_text
from pps.spec.types import NOTHING, Resources
from pps.workers.environment import beside_s3
from pps.workers.scratch import Scratch
from pps.workers.stop import CancelledError, Stop
from pps.workers.surroundings import Surroundings

Watch = Callable[[Running], Watched]
_SPAWNER_TRIES: Final = 3


def run_command(
    around: Surroundings,
    argv: Sequence[str],
    stdin: Sequence[str],
    *,
    on_output: OnOutput,
    stop: Stop,
    timeout_s: float | None,
    watch: Watch | None = None,
) -> Exit:
    """Run ``argv`` with the lines ``stdin`` and return how it ended; after ``timeout_s`` it is killed.

    ``watch`` is told what runs and says what is to be watched beside its output; what that raises is raised here.

    Raises:
        CancelledError: ``stop`` was set.
        SpawnerLostError: the process that starts commands cannot be kept alive.
        OSError: ``stdin`` cannot be written.
    """
    command, name = _command(around, argv)
    fd = _stdin(around.scratch, stdin)
    try:
        ended = _follow(around, command, fd, on_output=on_output, stop=stop, timeout_s=timeout_s, watch=watch)
    except BaseException:
        _end_container(around, name)
        raise
    finally:
        os.close(fd)
    if ended.timed_out or ended.cancelled or ended.killed:
        _end_container(around, name)
    if ended.cancelled or stop.is_set:
        raise CancelledError("cancelled")
    return ended


def why_failed(
    ended: Exit, accepted: Sequence[int], *, timeout_s: float | None, limits: Resources = NOTHING
) -> str | None:
    """Return in words why a command failed, None if it did not; ``accepted``: exit codes that count as 0."""
    if ended.timed_out:
        return f"the command ran longer than datum_timeout ({timeout_s:g} s) and was killed"
    if ended.exceeded is not None:
        limit = limits.memory if ended.exceeded == "memory" else limits.disk
        return f"the command used more than resource_limits.{ended.exceeded} ({size_text(limit)})"
    if ended.killed is not None and ended.code != 0:
        return ended.killed
    if ended.error is not None:
        return f"the command could not be started: {ended.error}"
    if ended.signal is not None:
        return f"the command was ended by signal {ended.signal}"
    return None if ended.code == 0 or ended.code in accepted else f"the command ended with exit code {ended.code}"


def _follow(
    around: Surroundings,
    command: Command,
    stdin: int,
    *,
    on_output: OnOutput,
    stop: Stop,
    timeout_s: float | None,
    watch: Watch | None,
) -> Exit:
    for _ in range(_SPAWNER_TRIES):
        running = around.setting.spawner.start(command, stdin=stdin)
        with stop.over(running):
            watched = None if watch is None else watch(running)
            ended = running.wait(on_output, timeout_s=timeout_s, watched=watched)
        if ended is not None:
            return ended
        os.lseek(stdin, 0, os.SEEK_SET)
    raise SpawnerLostError("the process that starts commands ends again and again")


def _command(around: Surroundings, argv: Sequence[str]) -> tuple[Command, str | None]:
    """Return what the spawner is to run, and the name of the container if it is one."""
    setting, world = around.setting, around.world
    env = {**beside_s3(setting.base_env, around.access.env), **around.env}
    if setting.isolation.kind != "container":
        variables, limits = {**world.secret_env, **env}, _limits(around)
        shares = world.shares_pids
        return Command(tuple(argv), variables, world.cwd, world.mounts, limits, shares_pids=shares), None
    name = container.new_name()
    outer = _container_argv(around, argv, name=name, env=env)
    return Command(outer, {**container.engine_env(), **world.secret_env}, "/"), name


def _end_container(around: Surroundings, name: str | None) -> None:
    if name is not None:
        container.remove(around.setting.engine or "", name)


def _container_argv(around: Surroundings, argv: Sequence[str], *, name: str, env: Mapping[str, str]) -> tuple[str, ...]:
    transform, world = around.unit.transform, around.world
    if "PATH" not in transform.env:  # that of the host says nothing in there
        env = {key: value for key, value in env.items() if key != "PATH"}
    return container.run_argv(
        around.setting.engine or "",
        transform.image or "",
        argv,
        name=name,
        store=str(around.setting.store.path),
        env=env,
        cwd=world.cwd or None,
        volumes=world.volumes,
        user=transform.user,
        on_host_network=bool(around.access.env) or around.unit.stands,
        passed=[name for name in world.secret_env if name not in env],
        cpu=around.unit.limits.cpu,
        memory=around.unit.limits.memory,
    )


def _limits(around: Surroundings) -> Limits | None:
    """Return what the init of the command looks after, None if nothing."""
    wanted = around.unit.limits
    cpus = around.setting.cpus(math.ceil(wanted.cpu)) if wanted.cpu else ()
    if not (wanted.memory or wanted.disk or cpus):
        return None
    # Not the one that holds them: from there one comes into what is mounted below /tmp.
    scratch = around.scratch
    folders = [str(folder) for folder in (scratch.cwd, scratch.tmp, scratch.layers)]
    folders += [str(scratch.private)] if scratch.private.exists() else []
    return Limits(memory=wanted.memory, disk=wanted.disk, folders=folders, cpus=list(cpus))


def _stdin(scratch: Scratch, lines: Sequence[str]) -> int:
    if not lines:
        return os.open(os.devnull, os.O_RDONLY)
    path = scratch.top / "stdin"
    # Another file than that of a command that runs, which may not have read all of its own yet.
    path.unlink(missing_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    scratch.wrote("stdin")
    return os.open(path, os.O_RDONLY)
