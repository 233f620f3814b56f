"""Addresses of the fsspec file system: ``pfs://repo@ref/path``, and inside of fsspec the same without ``pfs://``."""

from __future__ import annotations

from typing import Final, NamedTuple

from pfs.errors import InvalidAddressError
from pfs.paths import check_name, clean_path

PROTOCOL: Final = "pfs"


class Place(NamedTuple):
    """A file or directory: ``ref`` is a branch, commit id or ancestry expression, ``path`` starts with a slash."""

    repo: str
    ref: str
    path: str

    @property
    def top(self) -> str:
        """The name of the root directory of the commit, as fsspec spells it."""
        return f"{self.repo}@{self.ref}"

    @property
    def key(self) -> bytes:
        """The key in the tree."""
        return self.path[1:].encode()


def strip(url: str) -> str:
    """Return fsspec's name for a URL: no protocol, no slashes at the ends or doubled, no colon behind the ref.

    The name of the root is empty; patterns pass through unharmed.
    """
    for prefix in (f"{PROTOCOL}://", f"{PROTOCOL}::"):
        url = url.removeprefix(prefix)
    top, *rest = [part for part in url.split("/") if part] or [""]
    return "/".join([top.removesuffix(":"), *rest])


def parse(name: str) -> Place:
    """Return the place that a stripped name means.

    Raises:
        InvalidAddressError: the ref is missing. InvalidNameError, InvalidPathError: as in other addresses.
    """
    top, _, path = name.partition("/")
    repo, _, ref = top.partition("@")
    if not repo or not ref:
        raise InvalidAddressError(name, "the repo or the branch is missing, as in pfs://repo@master/path")
    return Place(check_name("repo", repo), ref, clean_path(path))
