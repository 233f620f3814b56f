"""Artifacts put in place for a command: below its working directory, below /tmp, or in folders that are private to it.

A directory is an overlay over files that all datums share, where there are overlays; else, and for single files, the
bytes are written where they belong, once. So a command may change what it was given without harm to others.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

from pfs.errors import FailedError
from pfs.shorten import quoted
from pfs.trees.page import Kind
from pfs.trees.row import Row
from pps.executor import DatumInput
from pps.sandbox.isolation import Isolation
from pps.spec.artifact_path import check_artifact_path
from pps.spec.task import ArtifactIn
from pps.workers.artifact_covers import Cover, Site, covers_in_image, covers_on_host, settled
from pps.workers.artifacts import Artifacts
from pps.workers.layout import World, let_all_write
from pps.workers.scene import layer
from pps.workers.scratch import Scratch, remove_tree
from pps.workers.staging import Staging

_TMP: Final = "/tmp"
_ODD_FOR_OVERLAYS: Final = frozenset(",:\\")
_NO_PRIVATE: Final = (
    "without namespaces or a container, which this command does not have (see --isolation and `pfs doctor`), only "
    "paths below the working directory are private"
)


@dataclass(frozen=True, slots=True)
class Bench:
    """What the worlds of one worker are made with; ``uses`` keeps the views until it is closed."""

    scratch: Scratch
    isolation: Isolation
    staging: Staging
    uses: ExitStack


class _Part(NamedTuple):
    """Files of an input: ``row`` is one of them, called ``name``, or the directory of all."""

    name: str
    row: Row


def with_artifacts(world: World, artifacts: Artifacts, bench: Bench) -> World:
    """Return a world with the input artifacts of a datum in place.

    Of outputs nothing is made, so that a command may make their folders itself; what is not private is covered.

    Raises:
        FailedError: an input has not the files that its type wants; a path cannot be private here, or something is in
            its way.
        PfsError, OSError: it cannot be restored.
    """
    return _Putting(world, artifacts, bench).done()


def site(world: World, path: str, kind: str) -> Site:
    """Return where an artifact is, as the command sees it; its path is that of the task."""
    made = posixpath.normpath(posixpath.join(world.cwd or "/", path)) if kind != "glob" else _joined(world.cwd, path)
    return Site(f"{made}/" if kind == "file" and path.endswith("/") else made, kind)


def _joined(cwd: str, pattern: str) -> str:
    return pattern if pattern.startswith("/") else f"{cwd.rstrip('/')}/{pattern}"


class _Putting:
    """One world in the making."""

    def __init__(self, world: World, artifacts: Artifacts, bench: Bench) -> None:
        self._world, self._artifacts, self._bench = world, artifacts, bench
        self._scene = world.scene
        self._steps: list[tuple[str, ...]] = []
        self._volumes: list[tuple[Path, str, bool]] = []

    def done(self) -> World:
        task = self._artifacts.task
        inputs = [self._site(one.path, one.type) for one in task.inputs]
        outputs = [self._site(one.path, one.type) for one in task.outputs]
        self._cover([*inputs, *outputs])
        # A directory comes before what is put into it.
        for one, place in sorted(zip(task.inputs, inputs, strict=True), key=lambda pair: pair[1].path):
            self._put(one, place)
        return replace(
            self._world,
            mounts=_with_steps(self._world.mounts, self._steps),
            volumes=(*self._world.volumes, *self._volumes),
        )

    def _site(self, path: str, kind: str) -> Site:
        found = site(self._world, path, kind)
        at = self._scene.layer(found.folder)
        if at is None:
            check_artifact_path(found.path, kind)
            return settled(found) if self._bench.isolation.kind == "namespace" else found
        if at[0].of_host or at[0].seen == self._world.places.pfs:
            raise FailedError(f"the path {found.path} cannot be an artifact's: {at[0].seen} has what commands need")
        return found

    def _cover(self, sites: Sequence[Site]) -> None:
        """Make private what no layer shows yet."""
        open_sites = [one for one in sites if self._scene.layer(one.folder) is None]
        kind = self._bench.isolation.kind
        if open_sites and kind == "none":
            raise FailedError(f"the path {open_sites[0].path} cannot be had: {_NO_PRIVATE}")
        covers = covers_in_image(open_sites) if kind == "container" else covers_on_host(open_sites)
        for number, cover in enumerate(covers):
            self._cover_one(cover, self._bench.scratch.private / str(number))

    def _cover_one(self, cover: Cover, source: Path) -> None:
        source.mkdir(parents=True)
        mirrors = cover.shows and self._bench.isolation.kind == "namespace"
        if not cover.shows and any(one.seen.startswith(f"{cover.folder}/") for one in self._scene.layers):
            raise FailedError(f"the directory {cover.folder} cannot be an artifact: the command's own files are in it")
        if self._bench.isolation.kind == "container":
            self._volumes.append((source, cover.folder, True))
            let_all_write(source)
        elif mirrors:
            self._steps.append(("mirror", str(source), cover.folder, *sorted(cover.hidden)))
        else:
            self._steps.append(("private", str(source), cover.folder))
        made = layer(cover.folder, source)
        self._scene.add(replace(made, shows=frozenset(os.listdir(cover.folder)) - cover.hidden) if mirrors else made)

    def _make_folder(self, folder: str) -> str:
        """Make a folder that the command sees, and return where it is on disk.

        Raises:
            FailedError: there is a file in its way.
        """
        found = self._scene.layer(folder)
        assert found is not None, "what no layer shows was covered"
        shown, parts = found
        here = shown.lower if shown.upper is None else shown.upper
        for depth, part in enumerate(parts, 1):
            there = shown.find(parts[:depth])
            if there is not None and os.path.lexists(there) and (os.path.islink(there) or not os.path.isdir(there)):
                path = self._short(posixpath.join(shown.seen, *parts[:depth]))
                raise FailedError(f"{path} is in the way of an artifact: it is no folder")
            here = os.path.join(here, part)
            if not os.path.isdir(here):
                os.mkdir(here)
                if self._bench.isolation.kind == "container":
                    os.chmod(here, 0o777)
        return here

    def _short(self, path: str) -> str:
        """Return a path as it is in the task, for messages."""
        return path.removeprefix(f"{self._world.cwd.rstrip('/')}/")

    def _put(self, one: ArtifactIn, place: Site) -> None:
        given = self._artifacts.inputs[one.name]
        parts = _parts(given, one, self._bench.staging)
        if not parts and one.optional:
            return
        if one.type == "file":
            self._put_file(one, place, given, parts)
        elif not parts:
            raise FailedError(f"input {one.name!r} has no files for {one.path}")
        else:
            self._put_directory(one, place, given, parts)

    def _put_file(self, one: ArtifactIn, place: Site, given: DatumInput, parts: Sequence[_Part]) -> None:
        count = sum(part.row.count for part in parts)
        if count != 1:
            hint = "such an input is a directory" if count else "give `optional: true` if that is so"
            raise FailedError(f"input {one.name!r} has {count} files, and {one.path} is for exactly one: {hint}")
        row = parts[0].row
        if row.is_dir:
            row = next(self._bench.staging.tree(given).walk(row.key))
        folder = Path(self._make_folder(place.folder))
        name = _name(row) if place.path.endswith("/") else posixpath.basename(place.path)
        target = folder / name
        shown = self._scene.find(f"{place.folder}/{name}")
        if shown is not None and os.path.isdir(shown) and not os.path.islink(shown):
            path = self._short(f"{place.folder}/{name}")
            raise FailedError(f"{path} is in the way of an artifact: it is a folder")
        self._bench.staging.put(given, row, target)
        self._let_write(target)

    def _put_directory(self, one: ArtifactIn, place: Site, given: DatumInput, parts: Sequence[_Part]) -> None:
        target = Path(self._make_folder(place.path))
        whole = parts[0].row if len(parts) == 1 and not parts[0].name else None
        names = [part.name for part in parts]
        if len(names) != len(set(names)):
            raise FailedError(f"input {one.name!r} has two files of one name for {one.path}")
        if whole is not None and self._overlay(place.path, given, whole):
            return
        shown = self._scene.layer(place.path)
        if shown is not None and shown[0].upper is not None:
            _hide_what_is_below(target)
        else:
            remove_tree(target)
            target.mkdir()
        for part in parts:
            self._bench.staging.put(given, part.row, target / part.name if part.name else target)
        self._let_write(target)

    def _overlay(self, seen: str, given: DatumInput, row: Row) -> bool:
        """Show a directory of an input by an overlay; say whether that is possible."""
        if self._bench.isolation.kind != "namespace" or not self._bench.isolation.overlay:
            return False
        view = self._bench.uses.enter_context(self._bench.staging.view(replace(given, rows=(row,))))
        lower = view / row.key.decode() if row.key else view
        if _ODD_FOR_OVERLAYS & set(str(lower)):
            return False
        upper, work = self._bench.scratch.layer(f"a{len(self._steps)}")
        target = f"{self._bench.scratch.tmp}{seen[len(_TMP) :]}" if seen.startswith(f"{_TMP}/") else seen
        self._steps.append(("overlay", str(lower), str(upper), str(work), target))
        self._scene.add(layer(seen, lower, upper))
        return True

    def _let_write(self, target: Path) -> None:
        if self._bench.isolation.kind == "container":
            let_all_write(target)
            if not target.is_dir() and not target.is_symlink():
                target.chmod(target.stat().st_mode | 0o666)


def _with_steps(mounts: tuple[tuple[str, ...], ...], more: Sequence[tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
    """Return the steps with some more, before /tmp is covered: what they show may lie below the old one."""
    at = next((number for number, step in enumerate(mounts) if step[0] == "tree"), len(mounts))
    return (*mounts[:at], *more, *mounts[at:])


def _parts(given: DatumInput, one: ArtifactIn, staging: Staging) -> list[_Part]:
    """Return what of an input an artifact is made of: the one directory, or single files and directories."""
    rows = [row for row in given.rows if row.kind != Kind.REMOVED and (row.count or not row.is_dir)]
    if not one.part:
        return [_Part("", rows[0])] if len(rows) == 1 and rows[0].is_dir else [_Part(_name(row), row) for row in rows]
    wanted, found = one.part.encode()[1:], list[_Part]()
    for row in rows:
        if row.key.startswith(wanted + b"/"):
            found.append(_Part(row.key[len(wanted) + 1 :].decode(), row))
        elif row.key == wanted:
            found.append(_Part("" if row.is_dir else _name(row), row))
        elif row.is_dir and (not row.key or wanted.startswith(row.key + b"/")):
            below = staging.tree(given).stat(wanted)
            found += [] if below is None else [_Part("" if below.is_dir else _name(below), below)]
    return found


def _name(row: Row) -> str:
    try:
        return row.key.rpartition(b"/")[2].decode()
    except UnicodeDecodeError:
        raise FailedError(f"no disk holds a file called {quoted(str(row.key))}") from None


def _hide_what_is_below(upper: Path) -> None:
    """Let a directory of an upper layer show nothing of the one that it covers."""
    os.setxattr(upper, "user.overlay.opaque", b"y")
