"""What a command left in /pfs/out, taken into the store.

Files are ingested; a symlink to an untouched input becomes a reference to the same chunks, without reading a byte;
other symlinks stand for what they lead to. Empty directories, named pipes, sockets and devices are passed over.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pfs.errors import FailedError, InvalidPathError
from pfs.files.ingest import FileRef, put_files, put_stream
from pfs.packs.session import WriteSession
from pfs.paths import clean_path, from_key
from pfs.store import Store
from pfs.trees.page import Kind
from pfs.trees.tree import Row
from pps.executor import DatumInput, OutputFile
from pps.workers.scene import Scene
from pps.workers.staging import Staging

_MAX_LINKS = 64
_SHOWN = 400


class Inputs(NamedTuple):
    """The inputs of a datum, to find rows in: ``pfs`` is where the command sees them."""

    pfs: str
    given: tuple[DatumInput, ...]
    staging: Staging


class Place(NamedTuple):
    """Something to take: ``path`` as the command sees it, ``key`` its name, ``links`` followed to get there."""

    path: str
    key: bytes
    links: int = 0


class Watched:
    """Asks ``check`` whether to go on as bytes are taken, however large a file claims to be. A `Progress`."""

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check

    def total(self, files: int, size: int) -> None:
        """Pass over what there will be."""

    def advance(self, *, files: int = 0, size: int = 0) -> None:
        """Ask."""
        self._check()


def take_outputs(
    store: Store, session: WriteSession, scene: Scene, *, inputs: Inputs, check: Callable[[], None] = lambda: None
) -> tuple[OutputFile, ...]:
    """Return all output files in the order of their keys; what was new is in ``session``.

    ``check`` is called again and again while it goes on; what it raises ends it.

    Raises:
        InvalidPathError: a name that the store does not take.
        FailedError: /pfs/out is no directory, something in it cannot be read, a symlink leads nowhere, in circles, or
            to what the command could not see.
        StorageError: a file cannot be read, or the store not written.
    """
    out = Place(f"{inputs.pfs}/out", b"")
    if not _is_directory(scene, out.path):
        raise FailedError(f"{out.path} is no directory any more: the command removed or replaced it")
    return take_places(store, session, scene, [out], inputs=inputs, check=check)


def take_places(
    store: Store,
    session: WriteSession,
    scene: Scene,
    places: Sequence[Place],
    *,
    inputs: Inputs,
    check: Callable[[], None] = lambda: None,
) -> tuple[OutputFile, ...]:
    """Return all files at and below some places, as `take_outputs` does those of /pfs/out; errors likewise."""
    found = _Walk(store, session, scene, inputs, check).run(places)
    paths = [(key, content) for key, content in found if isinstance(content, Path)]
    outputs = [OutputFile(*put) for put in put_files(session, store.params, paths, jobs=1, progress=Watched(check))]
    outputs += [content for _, content in found if isinstance(content, OutputFile)]
    return tuple(sorted(outputs))


def _is_directory(scene: Scene, path: str) -> bool:
    """Say whether a path is still a directory, with no link on the way to it."""
    try:
        place = scene.find(path) if scene.resolve(path) == path else None
        return place is not None and stat.S_ISDIR(os.lstat(place).st_mode)
    except FailedError:
        return False
    except OSError as error:
        raise FailedError(f"cannot read {path}: {error.strerror}") from error


class _Walk:
    """Finds the output files of one datum. It keeps its own stack: user code decides how deep the directories are."""

    def __init__(
        self, store: Store, session: WriteSession, scene: Scene, inputs: Inputs, check: Callable[[], None]
    ) -> None:
        self._store, self._session, self._check = store, session, check
        self._scene, self._inputs = scene, inputs
        self._own: tuple[str, ...] = ()
        self._waiting: list[Place] = []
        self._found: list[tuple[bytes, Path | OutputFile]] = []

    def run(self, places: Sequence[Place]) -> list[tuple[bytes, Path | OutputFile]]:
        """Return key and content of each file: where it is on disk, or the output that it is already."""
        self._own = tuple(f"{place.path}/" for place in places)
        self._waiting += places
        while self._waiting:
            place = self._waiting.pop()
            self._check()
            try:
                self._take(place)
            except OSError as error:
                raise FailedError(f"cannot read {_short(place.key)}: {error.strerror}") from error
        return self._found

    def _take(self, place: Place) -> None:
        where = self._scene.find(place.path)
        if where is None:
            raise FailedError(f"{_short(place.key)} was there and is gone")
        mode = os.lstat(where).st_mode
        if f"{place.path}/".startswith(self._own):
            _open_up(where, mode)
        if stat.S_ISLNK(mode):
            self._follow(place)
        elif self._scene.layer(place.path) is None:
            self._take_from_outside(place)
        elif stat.S_ISDIR(mode) and self._scene.is_of_host(place.path):
            return  # of the interpreter, say, which is shown below /tmp: no output because /tmp is linked to
        elif stat.S_ISDIR(mode):
            names = map(os.fsencode, self._scene.names(place.path))
            self._waiting += [_below(place, name) for name in names]
        elif stat.S_ISREG(mode):
            self._found.append((_checked(place.key), Path(where)))
        elif stat.S_ISFIFO(mode):
            self._take_pipe(place)

    def _follow(self, place: Place) -> None:
        target = self._scene.resolve(place.path)
        if target is None:
            raise FailedError(f"{_short(place.key)} in the output is a symlink that leads to nothing")
        if place.links > _MAX_LINKS:
            raise FailedError(f"{_short(place.key)} in the output is a symlink that leads in circles")
        rows = _input_rows(self._scene, target, self._inputs)
        if rows is None:
            self._waiting.append(Place(target, place.key, place.links + 1))
            return
        for rest, row in rows:
            self._refer(place.key + b"/" + rest if rest else place.key, row)

    def _take_pipe(self, place: Place) -> None:
        """Take the file that a pipe of a lazy input stands for, by reference; any other pipe is passed over."""
        name, _, rest = place.path.removeprefix(self._inputs.pfs + "/").partition("/")
        given = next((one for one in self._inputs.given if one.name == name and one.lazy), None)
        if given is None or not place.path.startswith(self._inputs.pfs + "/"):
            return
        row = self._inputs.staging.tree(given).stat(os.fsencode(rest), want="file")
        if row is None:
            raise FailedError(f"{_short(place.key)} is a pipe that the command moved: it stands for no file any more")
        self._refer(place.key, row)

    def _refer(self, key: bytes, row: Row) -> None:
        """Take the content of a stored file as an output, without reading it."""
        executable = bool(row.aux and row.aux.get("x"))
        self._found.append((_checked(key), OutputFile(key, FileRef(row.kind, row.size, row.tid), executable)))

    def _take_from_outside(self, place: Place) -> None:
        """Take a file of the host that a link leads to, such as one in /usr."""
        key = _checked(place.key)
        with self._scene.open_outside(place.path) as file:
            ref = put_stream(self._session, self._store.params, file, jobs=1, progress=Watched(self._check))
            executable = bool(os.fstat(file.fileno()).st_mode & 0o111)
        self._found.append((key, OutputFile(key, ref, executable)))


def _below(place: Place, name: bytes) -> Place:
    return Place(f"{place.path}/{os.fsdecode(name)}", place.key + b"/" + name if place.key else name, place.links)


def _short(key: bytes) -> str:
    """Return a key as a path for messages: of one that goes on and on, its beginning and its end."""
    path = from_key(key)
    return path if len(path) <= _SHOWN else f"{path[: _SHOWN // 2]}…{path[-_SHOWN // 2 :]}"


def _open_up(place: str, mode: int) -> None:
    """Let this user read what its command made unreadable; links and what is readable stay as they are."""
    needed = 0o700 if stat.S_ISDIR(mode) else 0o400
    if not stat.S_ISLNK(mode) and mode & needed != needed:
        os.chmod(place, stat.S_IMODE(mode) | needed)


def _input_rows(scene: Scene, path: str, inputs: Inputs) -> list[tuple[bytes, Row]] | None:
    """Return the files that an untouched input has at or below ``path``, None if it is no such path."""
    name, _, rest = path.removeprefix(inputs.pfs + "/").partition("/")
    given = next((given for given in inputs.given if given.name == name), None)
    if given is None or not path.startswith(inputs.pfs + "/"):
        return None
    at = scene.layer(path)
    untouched = at is not None and at[0].seen == f"{inputs.pfs}/{name}" and not at[0].is_changed
    if not untouched and not given.empty_files:
        return None
    wanted = os.fsencode(rest)
    files = [row for shown in given.rows for row in _files(given, shown, wanted, staging=inputs.staging)]
    # Only plain content is shared by reference; a link is followed on disk instead.
    if any(row.kind not in {Kind.FILE, Kind.CHUNKED} for row in files):
        return None
    return [(row.key[len(wanted) :].lstrip(b"/"), row) for row in files]


def _files(given: DatumInput, shown: Row, wanted: bytes, *, staging: Staging) -> Iterator[Row]:
    """Yield the files that both the row ``shown`` and the path ``wanted`` cover."""
    if _covers(wanted, shown.key):
        yield from staging.tree(given).walk(shown.key) if shown.is_dir else [shown]
    elif shown.is_dir and _covers(shown.key, wanted):
        row = staging.tree(given).stat(wanted)
        if row is not None:
            yield from staging.tree(given).walk(wanted) if row.is_dir else [row]


def _covers(folder: bytes, key: bytes) -> bool:
    return not folder or folder == key or key.startswith(folder + b"/")


def _checked(key: bytes) -> bytes:
    try:
        text = key.decode()
    except UnicodeDecodeError:
        raise InvalidPathError(from_key(key), "the output's name is not valid UTF-8") from None
    clean_path("/" + text)
    return key
