"""What a command left in /pfs/out, taken into the store.

Files are ingested; a symlink to an untouched input becomes a reference to the same chunks, without reading a byte;
other symlinks stand for what they lead to. Empty directories, named pipes, sockets and devices are passed over.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pfs.errors import FailedError, InvalidPathError
from pfs.ingest import FileRef, put_files
from pfs.page import Kind
from pfs.paths import clean_path, from_key
from pfs.session import WriteSession
from pfs.store import Store
from pfs.tree import Row
from pps.executors.base import DatumInput, OutputFile
from pps.scene import Scene
from pps.staging import Staging

_MAX_DEPTH = 64


class Inputs(NamedTuple):
    """The inputs of a datum, to find rows in: ``pfs`` is where the command sees them."""

    pfs: str
    given: tuple[DatumInput, ...]
    staging: Staging


class _Found(NamedTuple):
    key: bytes
    content: Path | OutputFile


def take_outputs(store: Store, session: WriteSession, scene: Scene, *, inputs: Inputs) -> tuple[OutputFile, ...]:
    """Return all output files in the order of their keys; what was new is in ``session``.

    Raises:
        InvalidPathError: a name that the store does not take.
        FailedError: a symlink leads nowhere or in circles.
        StorageError: a file cannot be read, or the store not written.
    """
    found = list(_walk(scene, f"{inputs.pfs}/out", key=b"", inputs=inputs, depth=0))
    paths = [(item.key, item.content) for item in found if isinstance(item.content, Path)]
    outputs = [OutputFile(*put) for put in put_files(session, store.params, paths, jobs=1)]
    outputs += [item.content for item in found if isinstance(item.content, OutputFile)]
    return tuple(sorted(outputs))


def _walk(scene: Scene, folder: str, *, key: bytes, inputs: Inputs, depth: int) -> Iterator[_Found]:
    if depth > _MAX_DEPTH * 16:
        raise FailedError(f"{from_key(key)} in the output is nested too deeply")
    for name in scene.names(folder):
        path = f"{folder}/{name}"
        yield from _take(
            scene, path, key=key + b"/" + os.fsencode(name) if key else os.fsencode(name), inputs=inputs, depth=depth
        )


def _take(scene: Scene, path: str, *, key: bytes, inputs: Inputs, depth: int) -> Iterator[_Found]:
    place = scene.find(path)
    if place is None:
        return
    mode = os.lstat(place).st_mode
    if path.startswith(f"{inputs.pfs}/out/"):
        _open_up(place, mode)
    if stat.S_ISDIR(mode):
        yield from _walk(scene, path, key=key, inputs=inputs, depth=depth + 1)
    elif stat.S_ISREG(mode):
        yield _Found(_checked(key), Path(place))
    elif stat.S_ISLNK(mode):
        yield from _follow(scene, path, key=key, inputs=inputs, depth=depth)


def _open_up(place: str, mode: int) -> None:
    """Let this user read what its command made unreadable; links and what is readable stay as they are."""
    needed = 0o700 if stat.S_ISDIR(mode) else 0o400
    if not stat.S_ISLNK(mode) and mode & needed != needed:
        os.chmod(place, stat.S_IMODE(mode) | needed)


def _follow(scene: Scene, path: str, *, key: bytes, inputs: Inputs, depth: int) -> Iterator[_Found]:
    target = scene.resolve(path)
    if target is None:
        raise FailedError(f"{from_key(key)} in the output is a symlink that leads to nothing")
    if depth > _MAX_DEPTH:
        raise FailedError(f"{from_key(key)} in the output is a symlink that leads in circles")
    rows = _input_rows(scene, target, inputs)
    if rows is None:
        yield from _take(scene, target, key=key, inputs=inputs, depth=depth + 1)
        return
    for rest, row in rows:
        full = _checked(key + b"/" + rest if rest else key)
        executable = bool(row.aux and row.aux.get("x"))
        yield _Found(full, OutputFile(full, FileRef(row.kind, row.size, row.tid), executable))


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
