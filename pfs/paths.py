"""Names, paths and addresses: what is allowed, and how it is written.

A *path* of the file API is a cleaned ``/``-separated str that starts with ``/``. A *key* is the same as UTF-8 bytes
without the leading slash: what trees and S3 use. Trees hold any key (``a//b``, ``..``, a trailing slash); the file API
takes only paths that a file system can hold, so that nothing odd ever reaches a disk.
"""

from __future__ import annotations

import re

from msgspec import Struct

from pfs.errors import InvalidAddressError, InvalidNameError, InvalidPathError
from pfs.shorten import quoted

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_SLASHES = re.compile("//+")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
MAX_KEY_BYTES = 1024
"""S3's limit; the file API takes longer paths, up to MAX_PATH_BYTES."""
MAX_PATH_BYTES = 4096
MAX_NAME_BYTES = 255
"""Limit of one path element on the usual file systems, and of repo and branch names."""


def check_name(what: str, name: str) -> str:
    """Return ``name`` if it may name a repo, branch, tag or pipeline; ``what`` is for the message.

    Raises:
        InvalidNameError: it has other characters than ``[A-Za-z0-9_-]`` or is empty or over 255 bytes.
    """
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME_BYTES:
        raise InvalidNameError(what, name)
    return name


def clean_path(path: str) -> str:
    """Return ``path`` in the one spelling: leading slash, no trailing or doubled slashes; ``""`` gives ``/``.

    Raises:
        InvalidPathError: it has ``.`` or ``..`` elements, control characters, lone surrogates, or is too long.
    """
    elements = [element for element in path.split("/") if element]
    cleaned = "/" + "/".join(elements)
    reason = _why_not_a_path(cleaned, elements)
    if reason:
        raise InvalidPathError(_SLASHES.sub("/", path), reason)
    return cleaned


def _why_not_a_path(cleaned: str, elements: list[str]) -> str | None:
    if any(ord(char) < 0x20 or ord(char) == 0x7F for char in cleaned):
        return "control characters are not allowed"
    if any(element in {".", ".."} for element in elements):
        return "'.' and '..' are not allowed as elements"
    try:
        encoded = cleaned.encode()
    except UnicodeEncodeError:
        return "it is not valid UTF-8"
    if len(encoded) > MAX_PATH_BYTES:
        return f"it is over {MAX_PATH_BYTES} bytes"
    if any(len(element.encode()) > MAX_NAME_BYTES for element in elements):
        return f"an element is over {MAX_NAME_BYTES} bytes"
    return None


def to_key(path: str) -> bytes:
    """Return the tree key of a file-API path (cleaned first); the root gives ``b""``."""
    return clean_path(path).encode()[1:]


def from_key(key: bytes) -> str:
    """Return a tree key as a path for people: ``/`` in front, bytes that are no UTF-8 escaped."""
    return "/" + key.decode(errors="backslashreplace")


def is_disk_name(name: bytes) -> bool:
    """Say whether one element may be made on a disk: not empty, ``.``, ``..``, or with control characters."""
    return name not in {b"", b".", b".."} and len(name) <= MAX_NAME_BYTES and _CONTROL.search(name) is None


class Address(Struct, frozen=True):
    """``repo@ref:/path``; ``ref`` is a branch, tag, commit id or ancestry expression; ``path`` is as typed."""

    repo: str
    ref: str | None = None
    path: str | None = None

    def __str__(self) -> str:
        text = self.repo + (f"@{self.ref}" if self.ref else "")
        return text + (f":{self.path}" if self.path is not None else "")


def parse_address(text: str) -> Address:
    """Parse ``[default/]repo[@ref[:path]]``; the path is kept as typed (its trailing slash has meaning for put-file).

    Pachyderm's project ``default`` is accepted and means nothing; another is refused.

    Raises:
        InvalidAddressError: no repo, an empty ref, a project, a path without ``@ref``.
        InvalidNameError: the repo has characters that names do not have.
    """
    place, colon, path = text.partition(":")
    repo, at, ref = place.partition("@")
    if "/" in repo:
        project, _, repo = repo.partition("/")
        if project != "default":
            hint = "(only 'default' is accepted)"
            raise InvalidAddressError(text, f"there are no projects; {quoted(project)} is none {hint}")
    if not repo:
        raise InvalidAddressError(text, "the repo is missing, as in repo@branch:/path")
    check_name("repo", repo)
    if at and not ref:
        raise InvalidAddressError(text, "the branch or commit after '@' is missing")
    if colon and not at:
        raise InvalidAddressError(text, "the branch or commit is missing, as in repo@branch:/path")
    return Address(repo, ref or None, path if colon else None)
