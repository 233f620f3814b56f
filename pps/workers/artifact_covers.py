"""Folders of the host, or of an image, that are covered for one command, so that artifacts in them are its own.

The nearest folder that exists is covered. Around a file it shows what it held, but for what the artifact is called; a
directory that is an artifact itself, or is named for a file, begins empty. In a container every folder begins empty:
what the image has there is not known here.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from pfs.errors import FailedError, InvalidInputError
from pfs.glob import Glob
from pps.spec.artifact_path import check_artifact_path, fixed_folder

_LINKS: Final = "it leads through symlinks to"


class Site(NamedTuple):
    """Where an artifact is, as its command sees it: an absolute path, of a glob the pattern; ``kind`` is its type."""

    path: str
    kind: str

    @property
    def folder(self) -> str:
        """The folder that has to be there for it."""
        if self.kind == "glob":
            return fixed_folder(self.path).rstrip("/")
        if self.kind == "directory" or self.path.endswith("/"):
            return self.path.rstrip("/")
        return posixpath.dirname(self.path)


@dataclass(slots=True)
class Cover:
    """A folder to cover; ``shows``: what it holds is seen too, but for the names in ``hidden``."""

    folder: str
    shows: bool
    hidden: set[str] = field(default_factory=set)


def settled(site: Site) -> Site:
    """Return a site on the host without symlinks in its folder.

    Raises:
        FailedError: a file is in its way. InvalidInputError: it leads to a folder that cannot be private.
    """
    base = _nearest(site.folder)
    real = os.path.realpath(base)
    if real == base:
        return site
    made = real.rstrip("/") + site.path[len(base.rstrip("/")) :]
    try:
        check_artifact_path(made, site.kind)
    except InvalidInputError as error:
        raise FailedError(f"the path {site.path} cannot be had: {_LINKS} {made}; {error}") from error
    return Site(made, site.kind)


def covers_on_host(sites: Iterable[Site]) -> list[Cover]:
    """Return what is to be covered for settled sites, each folder once, those around others first."""
    found: dict[str, Cover] = {}
    for cover in map(_cover, sites):
        known = found.setdefault(cover.folder, cover)
        known.shows &= cover.shows
        known.hidden |= cover.hidden
    return _needed(list(found.values()))


def covers_in_image(sites: Iterable[Site]) -> list[Cover]:
    """Return what is to be covered in a container: the folder of each site, none inside another."""
    return _needed([Cover(folder, shows=False) for folder in {site.folder for site in sites}])


def _needed(covers: Sequence[Cover]) -> list[Cover]:
    """Leave out what lies in a folder that begins empty."""
    made: list[Cover] = []
    for cover in sorted(covers, key=lambda one: len(one.folder)):
        if not any(not other.shows and cover.folder.startswith(f"{other.folder}/") for other in made):
            made.append(cover)
    return made


def _nearest(folder: str) -> str:
    while not os.path.isdir(folder):
        if os.path.lexists(folder):
            raise FailedError(f"there is a file in the way: {folder} is no folder")
        folder = posixpath.dirname(folder)
    return folder


def _cover(site: Site) -> Cover:
    base = _nearest(site.folder)
    rest = site.path[len(base.rstrip("/")) :].strip("/")
    first = rest.split("/")[0]
    if base == "/":
        return Cover(f"/{first}", shows=False)
    if base == site.folder and (site.kind == "directory" or site.path.endswith("/")):
        return Cover(base, shows=False)
    if base == site.folder and site.kind == "glob":
        return Cover(base, True, _matching(base, rest))
    return Cover(base, True, {first} - {""})


def _matching(folder: str, pattern: str) -> set[str]:
    """Return the names in a folder that could lead to a match."""
    glob = Glob(pattern)
    names = set(os.listdir(folder))
    return names if glob.segments[0].deep else {name for name in names if glob.levels[0].matches(name)}
