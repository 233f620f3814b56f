"""The files that a command is made of: found by name, copied into the spec's commit, compared before each run.

Every word of ``cmd``, ``err_cmd`` and of the lines of stdin that names a file under the spec's folder counts, and what
``transform.code`` lists. A job runs in a copy of these files, so an edit changes nothing under a running job, and is
seen as a change of the pipeline by the next `pps run`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from blake3 import blake3

from pfs.errors import InvalidInputError, StorageError
from pps.spec.types import Transform

_PIECE = 1 << 20
_LEFT_OUT = frozenset({".pfs", ".git", "__pycache__"})
_LONGEST = 4096
_PARTS = re.compile(
    r"""(?P<end>[ \t\r\n]+|\#[^\n]*+)|'(?P<single>[^']*+)'|"(?P<double>(?:[^"\\]++|\\.)*+)"|\\(?P<escaped>.)"""
    r"""|(?P<plain>[^ \t\r\n\#'"\\]++)""",
    re.DOTALL,
)
"""A piece of a line of shell: what ends a word (white space, a comment), quoted text, or plain text."""


def code_files(transform: Transform, base_dir: Path) -> dict[str, Path]:
    """Return the files of a command: path relative to the spec's folder -> file on disk.

    Raises:
        InvalidInputError: ``transform.code`` names what does not exist, or lies outside the spec's folder.
    """
    top = base_dir.resolve()
    found = {}
    for word in _words(transform):
        relative = _inside(top, word)
        if relative is not None and _is_file(f"{top}/{relative}"):
            found[relative] = top / relative
    for listed in transform.code:
        found.update(_listed(top, listed))
    return dict(sorted(found.items()))


def missing_files(transform: Transform, base_dir: Path, stored: Iterable[str]) -> tuple[str, ...]:
    """Return which of the ``stored`` code files the command still names, though they are not in the spec's folder."""
    top = base_dir.resolve()
    named = {_inside(top, word) for word in (*_words(transform), *transform.code)}
    return tuple(path for path in stored if _is_named(path, named) and not _is_file(f"{top}/{path}"))


def _is_file(path: str) -> bool:
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


def _words(transform: Transform) -> Iterable[str]:
    """Return each word once: a text of megabytes mostly says the same again and again."""
    found: dict[str, None] = {}
    for text in (*transform.cmd, *transform.err_cmd):
        found[text] = None
        found.update(dict.fromkeys(words_of(text)))
    for line in (*transform.stdin, *transform.err_stdin):
        found.update(dict.fromkeys(words_of(line)))
    return found


def words_of(line: str) -> list[str]:
    """Return the words of a line of shell, as far as they can be told apart: as `shlex.split` does, with comments.

    Linear in the length, which `shlex` is not: it is quadratic in the length of a word, and specs of megabytes exist.
    """
    words, pieces, at = [], [], 0
    while at < len(line):
        piece = _PARTS.match(line, at)
        if piece is None:  # a quote without its end, or a backslash with nothing after it
            return line.split()
        at = piece.end()
        if piece["end"] is None:
            pieces.append(_meant(piece))
        elif pieces:
            words.append("".join(pieces))
            pieces = []
    return [*words, "".join(pieces)] if pieces else words


def _meant(piece: re.Match[str]) -> str:
    """Return a piece without its quotes."""
    if piece.lastgroup == "double":
        return re.sub(r'\\(["\\])', r"\1", piece["double"])
    return piece[piece.lastgroup or 0]


def _inside(top: Path, word: str) -> str | None:
    """Return a word as a path relative to ``top``, or None when it cannot be one."""
    if not word or "\0" in word or len(word) > _LONGEST:
        return None
    # Text, not paths: there may be as many words as fit into a spec.
    above = os.path.join(top, "")
    path = os.path.normpath(above + word if word[0] != "/" else word)
    return path[len(above) :] if path.startswith(above) and path != above else None


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
