"""The folder of a workflow as the code of its tasks: all of it, but for what is no code."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pfs.errors import InvalidInputError, StorageError
from pfs.glob import Glob
from pps.pipelines.code import code_digests
from pps.pipelines.versions import Code
from pps.workflows.looks import is_workflow_file
from pps.workflows.types import Workflow

IGNORE_FILE: Final = ".pfsignore"
_LEFT_OUT: Final = frozenset({".pfs", ".git", ".hg", ".svn", "__pycache__", ".venv", "node_modules"})
_MARKS_ENVIRONMENT: Final = "pyvenv.cfg"
_MOST_FILES: Final = 100_000
_MOST_BYTES: Final = 20 << 30


@dataclass(frozen=True, slots=True)
class Ignored:
    """What ``.pfsignore`` names: a glob a line, relative to its folder; one without a slash counts at any depth.

    Lines that are empty or begin with ``#`` say nothing; one that ends in ``/`` counts for folders alone.
    """

    patterns: tuple[tuple[Glob, bool], ...] = ()

    def covers(self, relative: str, *, is_folder: bool) -> bool:
        """Say whether a file or folder is left out."""
        return any(glob.match(f"/{relative}") and (is_folder or not folders) for glob, folders in self.patterns)


def read_ignored(folder: Path) -> Ignored:
    """Return what the ``.pfsignore`` of a folder names; nothing where there is none.

    Raises:
        InvalidInputError: a line is no pattern; says which. StorageError: it cannot be read.
    """
    file = folder / IGNORE_FILE
    try:
        lines = file.read_text().splitlines() if file.is_file() else []
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"read {file}", getattr(error, "strerror", "") or str(error)) from error
    found = []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        body = text.rstrip("/")
        patterns = [f"/{body.lstrip('/')}"] if "/" in body else [f"/{body}", f"/**/{body}"]
        try:
            found += [(Glob(pattern), text.endswith("/")) for pattern in patterns]
        except InvalidInputError as error:
            raise InvalidInputError(f"{file}:{number}:1: {error}") from error
    return Ignored(tuple(found))


@dataclass(slots=True)
class Folder:
    """The folder of a workflow; what its tasks have of it is read once. ``left_out``: paths that are no code."""

    path: Path
    left_out: Sequence[Path] = ()
    _known: dict[tuple[str, ...], Code] = field(default_factory=dict)
    _digests: dict[str, str] = field(default_factory=dict)

    def code(self, listed: Sequence[str] | None) -> Code:
        """Return the files of a task: those that are ``listed``, and what is in listed folders; None: all.

        All is without other workflow files beside the one: a new one of these is no change of the tasks.
        Bytes are read in pieces. What cannot be read is an error, but for sockets, pipes and broken links, which are
        left out.

        Raises:
            InvalidInputError: one that is listed is not there or outside; there is too much of it.
            StorageError: a file cannot be read.
        """
        key = (".",) if listed is None else tuple(listed)
        if key not in self._known:
            files = dict(sorted((name, file) for one in key for name, file in self._files(one)))
            if listed is None:
                files = {name: file for name, file in files.items() if "/" in name or not is_workflow_file(file)}
            self._check_size(files)
            fresh = {name: file for name, file in files.items() if name not in self._digests}
            self._digests |= code_digests(fresh)
            self._known[key] = Code(files, {name: self._digests[name] for name in files})
        return self._known[key]

    def _files(self, listed: str) -> Iterator[tuple[str, Path]]:
        top = self.path.resolve()
        place = _place(top, listed)
        if place.is_file():
            yield place.relative_to(top).as_posix(), place
        else:
            yield from self._below(top, place)

    def _below(self, top: Path, place: Path) -> Iterator[tuple[str, Path]]:
        ignored, left_out = read_ignored(top), {one.resolve() for one in self.left_out}
        for at, folders, files in os.walk(place, onerror=_unreadable):
            here = Path(at)
            folders[:] = sorted(
                name
                for name in folders
                if name not in _LEFT_OUT
                and not (here / name / _MARKS_ENVIRONMENT).is_file()
                and (here / name).resolve() not in left_out
                and not ignored.covers(_relative(top, here / name), is_folder=True)
            )
            for name in files:
                file, relative = here / name, _relative(top, here / name)
                if file.is_file() and file not in left_out and not ignored.covers(relative, is_folder=False):
                    yield relative, file

    def _check_size(self, files: dict[str, Path]) -> None:
        if len(files) > _MOST_FILES:
            self._refuse(f"{len(files)} files")
        try:
            size = sum(file.stat().st_size for file in files.values())
        except OSError as error:
            raise StorageError(f"read the code in {self.path}", error.strerror or str(error)) from error
        if size > _MOST_BYTES:
            self._refuse(f"{size >> 30} GiB")

    def _refuse(self, what: str) -> None:
        advice = f"name what is data in {IGNORE_FILE} there, or give tasks their 'code'"
        raise InvalidInputError(f"the folder {self.path}, which is the code of the workflow, has {what}: {advice}")


def missing_code(workflow: Workflow, folder: Path) -> list[InvalidInputError]:
    """Return an error, with the place of the task, for each that tasks list as code and that is not in a folder."""
    errors = []
    for task in workflow.tasks:
        for listed in task.code or ():
            try:
                _place(folder.resolve(), listed)
            except InvalidInputError as error:
                errors.append(task.place.error(str(error)))
    return errors


def _place(top: Path, listed: str) -> Path:
    """Return the file or folder that is listed as code; raises InvalidInputError where there is none in ``top``."""
    place = Path(os.path.normpath(top / listed))
    if not place.is_relative_to(top):
        raise InvalidInputError(f"code: {listed!r} is outside the workflow's folder {top}")
    if not (place.is_file() or place.is_dir()):
        raise InvalidInputError(f"code: there is no file or folder {listed!r} in {top}")
    return place


def _relative(top: Path, path: Path) -> str:
    return path.relative_to(top).as_posix()


def _unreadable(error: OSError) -> None:
    raise StorageError(f"read the folder {error.filename}", error.strerror or str(error)) from error
