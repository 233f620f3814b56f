"""The files that a command is made of: found by name, copied into the spec's commit, compared before each run.

Every word of ``cmd``, ``err_cmd`` and of the lines of stdin that names a file under the spec's folder counts, and what
``transform.code`` lists. A job runs in a copy of these files, so an edit changes nothing under a running job, and is
seen as a change of the pipeline by the next `pps run`.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from blake3 import blake3

from pfs.errors import InvalidInputError, StorageError
from pps.spec.types import Transform

_PIECE = 1 << 20
_LEFT_OUT = frozenset({".pfs", ".git", "__pycache__"})


def code_files(transform: Transform, base_dir: Path) -> dict[str, Path]:
    """Return the files of a command: path relative to the spec's folder -> file on disk.

    Raises:
        InvalidInputError: ``transform.code`` names what does not exist, or lies outside the spec's folder.
    """
    top = base_dir.resolve()
    found = {}
    for word in _words(transform):
        relative = _inside(top, word)
        if relative is not None and _is_file(top / relative):
            found[relative] = top / relative
    for listed in transform.code:
        found.update(_listed(top, listed))
    return dict(sorted(found.items()))


def missing_files(transform: Transform, base_dir: Path, stored: Iterable[str]) -> tuple[str, ...]:
    """Return which of the ``stored`` code files the command still names, though they are not in the spec's folder."""
    top = base_dir.resolve()
    named = {_inside(top, word) for word in (*_words(transform), *transform.code)}
    return tuple(path for path in stored if _is_named(path, named) and not _is_file(top / path))


def _is_file(path: Path) -> bool:
    """Say whether there is a file; what no system takes for a path, such as a name of 256 bytes, is none."""
    return os.path.isfile(path)


def _is_named(path: str, named: Collection[str | None]) -> bool:
    return path in named or any(one is not None and path.startswith(f"{one}/") for one in named)


def code_digests(files: Mapping[str, Path]) -> dict[str, str]:
    """Return the digest of each file, in hex: of its bytes and whether it is executable.

    Raises:
        StorageError: a file cannot be read.
    """
    return {name: _digest(path) for name, path in files.items()}


def _words(transform: Transform) -> Iterator[str]:
    for text in (*transform.cmd, *transform.err_cmd):
        yield text
        yield from _split(text)
    for line in (*transform.stdin, *transform.err_stdin):
        yield from _split(line)


def _split(line: str) -> Iterable[str]:
    """Return the words of a line of shell, as far as they can be told apart."""
    try:
        return shlex.split(line, comments=True)
    except ValueError:
        return line.split()


def _inside(top: Path, word: str) -> str | None:
    """Return a word as a path relative to ``top``, or None when it cannot be one."""
    if not word or "\0" in word or len(word) > 4096:
        return None
    path = Path(os.path.normpath(top / word))
    if not path.is_relative_to(top) or path == top:
        return None
    return path.relative_to(top).as_posix()


def _listed(top: Path, listed: str) -> dict[str, Path]:
    relative = "." if os.path.normpath(top / listed) == str(top) else _inside(top, listed)
    if relative is None:
        raise InvalidInputError(f"transform.code: {listed!r} is outside the spec's folder {top}")
    path = top / relative
    if path.is_file():
        return {relative: path}
    if not path.is_dir():
        raise InvalidInputError(f"transform.code: there is no file or folder {listed!r} in {top}")
    return {file.relative_to(top).as_posix(): file for file in _walk(path)}


def _walk(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _LEFT_OUT)
        yield from (Path(place, name) for name in sorted(files) if Path(place, name).is_file())


def _digest(path: Path) -> str:
    hasher = blake3()
    try:
        with path.open("rb") as file:
            while data := file.read(_PIECE):
                hasher.update(data)
        hasher.update(b"x" if path.stat().st_mode & 0o111 else b"-")
    except OSError as error:
        raise StorageError(f"read the code file {path}", error.strerror or str(error)) from error
    return hasher.hexdigest()
