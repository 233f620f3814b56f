"""From a datum and an isolation to what is mounted where: the command's world, and how to find its files afterwards."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from pfs.paths import is_disk_name
from pfs.trees.page import Kind
from pps.executor import DatumInput, DatumTask, WorkUnit
from pps.sandbox.isolation import Isolation
from pps.workers.environment import Places
from pps.workers.scene import Layer, Scene, layer
from pps.workers.scratch import Scratch
from pps.workers.staging import Staging

_TMP = "/tmp"
_CODE = "/code"
_COPIED_FILES, _COPIED_BYTES = 16, 1 << 20
_KERNEL = ("/proc", "/sys", "/dev")
"""What a process sees there is its own, or the machine's: never an output."""


@dataclass(frozen=True, slots=True)
class World:
    """One attempt's surroundings; ``secret_env``: variables beside those that `environment` makes, and are shown.

    ``shares_pids``: the command is in no PID namespace of its own.
    """

    places: Places
    scene: Scene
    cwd: str
    mounts: tuple[tuple[str, ...], ...] = ()
    volumes: tuple[tuple[Path, str, bool], ...] = ()
    secret_env: Mapping[str, str] = field(default_factory=dict, repr=False)
    shares_pids: bool = False


@lru_cache(maxsize=64)
def _real(path: Path | str) -> str:
    """Return a path of ours without symlinks: a version's code, or /tmp."""
    return os.path.realpath(path)


def shown_from_tmp(path: str) -> list[str]:
    """Return the directories below /tmp that commands need: of Python, pps and PATH; none inside another."""
    below = [c for c in _wanted_from_tmp(path) if os.path.isdir(c)]
    return [c for c in below if not any(c.startswith(other + "/") for other in below)]


@lru_cache(maxsize=64)
def _wanted_from_tmp(path: str) -> tuple[str, ...]:
    candidates = [sys.prefix, sys.base_prefix, str(Path(__file__).parents[2]), *path.split(os.pathsep)]
    return tuple(sorted({os.path.normpath(c) for c in candidates if c.startswith(_TMP + "/")}))


def places(unit: WorkUnit, task: DatumTask, *, isolation: Isolation, path: str) -> tuple[str, ...]:
    """Return the directories that `make_world` wants in a scratch, as paths in it: the same for many datums of a job.

    They are where something is mounted, and those that hold the files of inputs that are written for each attempt.
    """
    if isolation.kind != "namespace":
        return ()
    shown = [f"tmp{below[len(_TMP) :]}" for below in shown_from_tmp(path)]
    if unit.code_dir is not None and (code := _real(unit.code_dir)).startswith(_TMP + "/"):
        shown.append(f"tmp{code[len(_TMP) :]}")
    parts = (one.split("/") for one in shown)
    inside = sorted({"/".join(names[:depth]) for names in parts for depth in range(2, len(names) + 1)})
    copied = (given for given in task.inputs if _is_copied(unit, given, isolation))
    folders = (f"cwd/pfs/{given.name}/{folder}" for given in copied for folder in _folders(given))
    return (*(f"cwd/pfs/{given.name}" for given in task.inputs), *folders, *inside)


def _folders(given: DatumInput) -> list[str]:
    """Return the directories that the files of an input lie in, each after those above it; none if no disk has them."""
    below = {row.key.rpartition(b"/")[0] for row in given.rows}
    return sorted(set().union(*map(_down_to, below)))


@lru_cache(maxsize=1024)
def _down_to(folder: bytes) -> tuple[str, ...]:
    """Return a folder and those above it, as paths; none if no disk can hold it."""
    names = folder.split(b"/")
    if not folder or not all(map(is_disk_name, names)):
        return ()
    return tuple(b"/".join(names[:depth]).decode() for depth in range(1, len(names) + 1))


def _is_copied(unit: WorkUnit, given: DatumInput, isolation: Isolation) -> bool:
    """Say whether an input is written for each attempt anew: a few small files, which take less than an overlay.

    A batch has its inputs for many datums, so what it changes in them must be seen, in an overlay.
    """
    if unit.transform.datum_batching or given.s3 or given.lazy:
        return False
    plain = all(row.kind == Kind.FILE for row in given.rows) and not given.empty_files
    small = len(given.rows) <= _COPIED_FILES and sum(row.size for row in given.rows) <= _COPIED_BYTES
    return isolation.overlay and plain and small


def make_world(
    unit: WorkUnit,
    task: DatumTask,
    scratch: Scratch,
    *,
    isolation: Isolation,
    staging: Staging,
    uses: ExitStack,
    path: str,
) -> World:
    """Put the inputs of ``task`` in place for one attempt; ``uses`` keeps the views until it is closed.

    Raises:
        PfsError: an input cannot be staged.
    """
    if unit.s3_out or unit.stands:
        scratch.out.rmdir()
    if isolation.kind == "namespace":
        # Where nothing is mounted that is this datum's own, the next one with the same places has the same world.
        same = unit.transform.task is None and all(_is_copied(unit, given, isolation) for given in task.inputs)
        if same and scratch.world is not None:
            for given in task.inputs:
                _copy(given, scratch, staging)
            return scratch.world
        world = _namespace(unit, task, scratch, isolation=isolation, staging=staging, uses=uses, path=path)
        scratch.world = world if same else None
        return world
    for given in task.inputs:
        if given.s3:
            (scratch.pfs / given.name).mkdir()
        else:
            staging.fill(given, scratch.pfs / given.name)
    if unit.code_dir is not None:
        shutil.copytree(unit.code_dir, scratch.cwd, dirs_exist_ok=True, symlinks=True)
    if isolation.kind == "container":
        return _container(unit, scratch)
    return _plain(unit, scratch, staging)


def _namespace(
    unit: WorkUnit,
    task: DatumTask,
    scratch: Scratch,
    *,
    isolation: Isolation,
    staging: Staging,
    uses: ExitStack,
    path: str,
) -> World:
    steps: list[tuple[str, ...]] = [("bind", str(scratch.pfs), "/pfs")]
    layers = [layer("/pfs", scratch.pfs), layer(_TMP, scratch.tmp), layer(_real(_TMP), scratch.tmp)]
    for number, given in enumerate(task.inputs):
        if not os.path.isdir(f"{scratch.pfs}/{given.name}"):
            (scratch.pfs / given.name).mkdir(exist_ok=True)
        if given.s3:
            continue
        if given.lazy:
            # Read-only, and no overlay: a pipe is met by those who open the same inode.
            staging.fill(given, scratch.pfs / given.name)
            steps.append(("ro", str(scratch.pfs / given.name), f"/pfs/{given.name}"))
            layers.append(layer(f"/pfs/{given.name}", scratch.pfs / given.name))
            continue
        if _is_copied(unit, given, isolation):
            _copy(given, scratch, staging)
            continue
        view = uses.enter_context(staging.view(given))
        steps.append(_show(view, f"/pfs/{given.name}", scratch=scratch, name=str(number), overlay=isolation.overlay))
        upper = scratch.layer(str(number))[0] if isolation.overlay else None
        layers.append(layer(f"/pfs/{given.name}", view, upper))
    steps.append(("bind", str(scratch.tmp), str(scratch.tmp)))
    for shown in shown_from_tmp(path):
        steps.append(("ro", shown, f"{scratch.tmp}{shown[len(_TMP) :]}"))
        layers.append(Layer(shown, shown, of_host=True))
    if unit.code_dir is not None:
        code = _real(unit.code_dir)
        in_tmp = code.startswith(_TMP + "/")
        target = f"{scratch.tmp}{code[len(_TMP) :]}" if in_tmp else code
        if unit.transform.task is not None and not isolation.overlay:
            # Where artifacts are put and left.
            shutil.copytree(code, scratch.code, dirs_exist_ok=True, symlinks=True)
            steps.append(("bind", str(scratch.code), target))
            layers.append(layer(code, scratch.code))
        elif isolation.overlay and not os.listdir(code):
            steps.append(("bind", str(scratch.code), target))
            layers.append(layer(code, scratch.code))
        else:
            steps.append(_show(Path(code), target, scratch=scratch, name="code", overlay=isolation.overlay))
            layers.append(layer(code, Path(code), scratch.layer("code")[0] if isolation.overlay else None))
    if unit.spout:
        steps += _store_steps(staging.store_path, scratch)
    steps.append(("tree", str(scratch.tmp), _TMP))
    if isolation.pid_namespace and not unit.spout:
        steps.append(("proc",))
    cwd = _working_dir(unit, _TMP if unit.code_dir is None else _real(unit.code_dir))
    places = Places("/pfs", f"{_TMP}/home", _TMP)
    # Processes that open one store tell each other by their ids: LMDB's table of readers, leases.
    return World(places, _scene(layers, staging), cwd, tuple(steps), shares_pids=unit.spout)


def _copy(given: DatumInput, scratch: Scratch, staging: Staging) -> None:
    """Write the files of an input into the scratch, and note them there."""
    staging.fill(given, scratch.pfs / given.name)
    for row in given.rows:
        scratch.wrote(f"cwd/pfs/{given.name}/{row.key.decode()}")


def _store_steps(store: str, scratch: Scratch) -> list[tuple[str, ...]]:
    """Return what shows the store to a spout where it would be hidden, below /tmp."""
    return [("bind", store, f"{scratch.tmp}{store[len(_TMP) :]}")] if store.startswith(_TMP + "/") else []


def _show(source: Path, target: str, *, scratch: Scratch, name: str, overlay: bool) -> tuple[str, ...]:
    if not overlay:
        return ("ro", str(source), target)
    upper, work = scratch.layer(name)
    return ("overlay", str(source), str(upper), str(work), target)


def _plain(unit: WorkUnit, scratch: Scratch, staging: Staging) -> World:
    places = Places(str(scratch.pfs), str(scratch.home), str(scratch.tmp))
    layers = [layer(str(scratch.cwd), scratch.cwd), layer(str(scratch.tmp), scratch.tmp)]
    return World(places, _scene(layers, staging), _working_dir(unit, str(scratch.cwd)))


def _scene(layers: list[Layer], staging: Staging) -> Scene:
    """Return the scene of a command that saw the host: all but the kernel's folders and the store itself."""
    return Scene(layers, closed=(*_KERNEL, staging.store_path))


def _container(unit: WorkUnit, scratch: Scratch) -> World:
    let_all_write(scratch.cwd)
    let_all_write(scratch.home)
    volumes = [(scratch.pfs, "/pfs", True), (scratch.tmp, _TMP, True)]
    layers = [layer("/pfs", scratch.pfs), layer(_TMP, scratch.tmp)]
    cwd = ""
    if unit.code_dir is not None or unit.transform.task is not None:
        volumes.append((scratch.cwd, _CODE, True))
        layers.append(layer(_CODE, scratch.cwd))
        cwd = _CODE
    # The rest of what it saw was the image's, which is not to be had here: the host's files are others.
    scene = Scene(layers, closed=("/",))
    return World(Places("/pfs", f"{_TMP}/home", _TMP), scene, _working_dir(unit, cwd), volumes=tuple(volumes))


def let_all_write(top: Path) -> None:
    """Open private copies to whichever user an image runs its commands as."""
    for folder, _, names in os.walk(top):
        os.chmod(folder, 0o777)
        for name in names:
            path = os.path.join(folder, name)
            if not os.path.islink(path):
                os.chmod(path, os.stat(path).st_mode | 0o666)


def _working_dir(unit: WorkUnit, default: str) -> str:
    named = unit.transform.working_dir
    return default if named is None else os.path.normpath(os.path.join(default or "/", named))
