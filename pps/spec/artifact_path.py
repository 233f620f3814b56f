"""Where artifacts may be put and taken: below the working directory, below ``/tmp``, or in a folder of their own."""

from __future__ import annotations

import posixpath
from typing import Final

from pfs.errors import InvalidInputError
from pfs.glob import Glob
from pfs.paths import clean_path
from pfs.shorten import quoted
from pps.spec.template import parse_template

_TMP: Final = "/tmp"
_OURS: Final = ("/pfs", "/proc", "/sys", "/dev")
"""What the command needs as it is."""
_SYSTEM: Final = ("/bin", "/boot", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/run", "/sbin", "/usr", "/var/run")
"""What programs need as it is."""
_HINT: Final = "give one below the working directory, below /tmp or in a folder of your own"


def check_artifact_path(path: str, kind: str) -> str:
    """Return the path of an artifact (``kind``: file, directory or glob) in one spelling, which is the same path.

    Relative ones stay relative; a ``/`` at the end of a file's, which means the folder for it, stays.

    Raises:
        InvalidInputError: it is none; leads out of the working directory; or is, or lies in, a folder that cannot be
            private to one command: the root, those of the system and of pps.
    """
    if not path:
        raise InvalidInputError("the path of an artifact is empty")
    if kind == "glob":
        return _glob(path)
    made = posixpath.normpath(path)
    made = "/" + made.lstrip("/") if made.startswith("/") else made
    _check_spelling(path, made)
    if not made.startswith("/"):
        if made == "." and not (kind == "file" and path.endswith("/")):
            raise InvalidInputError(f"the path {quoted(path)} is the working directory itself: {_HINT}")
    else:
        is_folder = kind == "directory" or path.endswith("/")
        _check_place(path, made, kind=kind, folder=made if is_folder else posixpath.dirname(made))
    return f"{made}/" if kind == "file" and path.endswith("/") and made != "/" else made


def check_name_below(text: str) -> None:
    """Check what is written in a template for a name below the directory of an output; references may be any name.

    Raises:
        InvalidInputError: it leads out of that directory, or no file can be called so. TemplateError: it is none.
    """
    shown = parse_template(text).render(lambda _: "x")
    try:
        clean_path(shown)
    except InvalidInputError as error:
        raise InvalidInputError(f"{quoted(text)} is no name below the directory of the output: {error}") from error


def fixed_folder(pattern: str) -> str:
    """Return the folder of a glob (absolute or relative) that all its matches lie in; ``""``: the working directory.

    Raises:
        InvalidInputError: the pattern is malformed.
    """
    prefix = Glob(pattern).literal_prefix
    folder = prefix.rpartition("/")[0]
    return (folder or "/") if pattern.startswith("/") else folder.lstrip("/")


def escaped(text: str) -> str:
    """Return a text as a pattern that matches it alone."""
    return "".join(f"\\{char}" if char in "*?[]{}()!@+|,^-\\" else char for char in text)


def _glob(path: str) -> str:
    if any(part in {".", ".."} for part in path.split("/")):
        raise InvalidInputError(f"the pattern {quoted(path)} has '.' or '..' as a name: {_HINT}")
    folder = fixed_folder(path)
    if path.startswith("/"):
        _check_place(path, clean_path(folder), kind="glob", folder=clean_path(folder))
    return path


def _check_spelling(path: str, made: str) -> None:
    """Refuse names that no file can have, and what leads out of the working directory."""
    if made.split("/")[0] == "..":
        raise InvalidInputError(f"the path {quoted(path)} leads out of the working directory: {_HINT}")
    clean_path("" if made == "." else made)


def _check_place(path: str, made: str, *, kind: str, folder: str) -> None:
    """Refuse an absolute path whose ``folder`` cannot be private to one command."""
    for closed in (*_OURS, *_SYSTEM):
        if made == closed or made.startswith(f"{closed}/"):
            whose = "pps and the system" if closed in _OURS else "the system"
            raise InvalidInputError(f"the path {quoted(path)} is in {closed}, which is of {whose}: {_HINT}")
    if folder == "/":
        raise InvalidInputError(f"the path {quoted(path)} has no folder but the root: {_HINT}")
    if kind == "directory" and made == _TMP:
        raise InvalidInputError(f"the path {quoted(path)} is the folder of all temporary files: name one in it")
