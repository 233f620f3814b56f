"""Artifacts taken after a command: files, directories and what patterns match, with their names in the output."""

from __future__ import annotations

import difflib
import os
import posixpath
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from pfs.errors import FailedError
from pfs.files.described import described
from pfs.glob import Glob
from pfs.paths import clean_path
from pps.executor import OutputFile
from pps.spec.artifact_path import fixed_folder
from pps.spec.task import ArtifactOut, Task
from pps.workers.artifact_covers import Site
from pps.workers.artifacts_put import site
from pps.workers.layout import World
from pps.workers.outputs import Inputs, Place, take_places
from pps.workers.scene import Scene

if TYPE_CHECKING:
    from pfs.packs.session import WriteSession
    from pfs.store import Store

_NEAR: Final = 3
_ODD: Final = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}


class NotMadeError(FailedError):
    """A task did not make an output that it declares: ``(message)``."""

    kind = "output-not-made"


class Taken(NamedTuple):
    """The files of a task's outputs, in the order of their keys; ``notes`` is for its log."""

    files: tuple[OutputFile, ...]
    notes: tuple[str, ...]


def take_artifacts(
    store: Store,
    session: WriteSession,
    world: World,
    task: Task,
    *,
    inputs: Inputs,
    check: Callable[[], None] = lambda: None,
) -> Taken:
    """Return what a task has left where its outputs are; what was new is in ``session``.

    Raises:
        NotMadeError: an output that must be there is not.
        FailedError, StorageError, InvalidPathError: as `take_outputs`.
        InvalidInputError: a type or metadata that no object can have.
    """
    places: list[Place] = []
    aux: dict[bytes, Mapping[str, object]] = {}
    with _told_as_in_the_task(world):
        for one in task.outputs:
            aux[one.name.encode()] = described(one.content_type or None, one.metadata)
            places += _places(world, one)
        found = take_places(store, session, world.scene, places, inputs=inputs, check=check)
    files = tuple(_with_aux(file, aux[file.key.split(b"/", 1)[0]]) for file in found)
    _check_twice(files)
    return Taken(files, (*_missing(world, task, files), *_left(world)))


@contextmanager
def _told_as_in_the_task(world: World) -> Iterator[None]:
    """Let what is told of paths in the working directory begin there, as the paths of the task do."""
    try:
        yield
    except FailedError as error:
        if type(error) is not FailedError:
            raise
        raise FailedError(str(error).replace(f"{world.cwd.rstrip('/')}/", "")) from error


def _with_aux(file: OutputFile, aux: Mapping[str, object]) -> OutputFile:
    return file._replace(aux={**(file.aux or {}), **aux}) if aux else file


def _check_twice(files: Sequence[OutputFile]) -> None:
    """Refuse two files of one name: they are neighbours."""
    for one, two in pairwise(files):
        if one.key == two.key:
            raise FailedError(f"two files would be {two.key.decode()} of the output")


def _missing(world: World, task: Task, files: Sequence[OutputFile]) -> list[str]:
    """Return a note for each output that is not there and should be; raises NotMadeError."""
    counts = Counter(file.key.split(b"/", 1)[0].decode() for file in files)
    absent = [one for one in task.outputs if not counts[one.name] and one.missing != "ignore"]
    told = {one.name: f"output {one.name!r} was not made: {_why(world, one)}" for one in absent}
    fatal = [told[one.name] for one in absent if one.missing == "fail"]
    if fatal:
        raise NotMadeError("; ".join(fatal))
    return list(told.values())


def _left(world: World) -> list[str]:
    out = f"{world.places.pfs}/out"
    try:
        place = world.scene.find(out)
        there = place is not None and os.path.isdir(place) and bool(os.listdir(place))
    except (OSError, FailedError):
        return []
    return [f"what it left in {out} is dropped: a task's outputs are those that it declares"] if there else []


def _places(world: World, one: ArtifactOut) -> Iterator[Place]:
    """Yield what there is of an output."""
    here = site(world, one.path, one.type)
    if one.type == "glob":
        yield from _matches(world.scene, here, one)
        return
    mode = _mode(world.scene, here.path)
    if mode is None:
        return
    if stat.S_ISDIR(mode) != (one.type == "directory"):
        found = "a directory" if stat.S_ISDIR(mode) else _ODD.get(stat.S_IFMT(mode), "a file")
        raise FailedError(f"output {one.name!r} is a {one.type}, and at {one.path} is {found}")
    yield Place(here.path, _key(one, posixpath.basename(here.path)))


def _key(one: ArtifactOut, rest: str) -> bytes:
    """Return the name of a file or directory in the output; ``rest``: its own name, or path below the glob's folder."""
    to = one.to
    if one.type == "file":
        to = f"{to}{rest}" if not to or to.endswith("/") else to
    elif one.type == "glob":
        to = f"{to}/{rest}"
    return (one.name + clean_path(to)).rstrip("/").encode(errors="surrogateescape")


def _mode(scene: Scene, path: str) -> int | None:
    """Return what a path is, links followed; a link that leads nowhere is one."""
    at = scene.layer(path)
    try:
        if at is not None and not at[1]:
            place = scene.find(path)  # what is around it may be nobody's business
        else:
            folder = scene.resolve(posixpath.dirname(path))
            place = None if folder is None else scene.find(f"{folder.rstrip('/')}/{posixpath.basename(path)}")
        if place is None:
            return None
        mode = os.lstat(place).st_mode
        target = scene.resolve(path) if stat.S_ISLNK(mode) else None
        led = None if target is None else scene.find(target)
        return mode if led is None else os.stat(led).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None


def _matches(scene: Scene, here: Site, one: ArtifactOut) -> Iterator[Place]:
    """Yield what a pattern matches; of a directory that matches, all is taken."""
    top = scene.resolve(here.folder or "/")
    if top is None:
        return
    folder = fixed_folder(here.path).rstrip("/")
    glob = Glob(here.path[len(folder) :])
    waiting = [(top.rstrip("/"), "", 0)]
    while waiting:
        path, below, depth = waiting.pop()
        for name in _names(scene, path):
            rest = f"{below}{name}"
            level = min(depth, len(glob.levels) - 1)
            tail = "/".join(rest.split("/")[level:])
            last = level == len(glob.levels) - 1
            deep = glob.segments[level].deep
            if last and glob.levels[level].matches(tail):
                yield Place(f"{path}/{name}", _key(one, rest))
            elif (deep or (not last and glob.levels[level].matches(name))) and _is_folder(scene, f"{path}/{name}"):
                waiting.append((f"{path}/{name}", f"{rest}/", depth + 1))


def _names(scene: Scene, path: str) -> list[str]:
    try:
        return [name for name in scene.names(path) if not scene.is_of_host(f"{path}/{name}")]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_folder(scene: Scene, path: str) -> bool:
    place = scene.find(path)
    return place is not None and not os.path.islink(place) and os.path.isdir(place)


def _why(world: World, one: ArtifactOut) -> str:
    """Return the path of an output that is not there, with what is near it."""
    here = site(world, one.path, one.type)
    try:
        if one.type != "file":
            what = "no file matches" if one.type == "glob" else "no file is in"
            return f"{what} {one.path}"
        mode = _mode(world.scene, here.path)
        if mode is not None and not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
            return f"at {one.path} is {_ODD.get(stat.S_IFMT(mode), 'a device')}, which is no file"
        folder = world.scene.resolve(here.folder)
        names = [] if folder is None else _names(world.scene, folder)
    except (OSError, FailedError):
        return one.path
    near = difflib.get_close_matches(posixpath.basename(here.path), names, n=_NEAR)
    return f"{one.path} (there is {', '.join(near)})" if near else one.path
