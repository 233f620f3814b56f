"""What a check found, and what it costs: collected while walking, so that each damage names commits and paths."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from pfs.errors import CorruptionError, PfsError, StorageError

DamageKind = Literal[
    "pack", "record", "missing", "index", "refs", "commit", "tree", "provenance", "transaction", "collection", "segment"
]
PLACES = 20
"""Commits and paths named for one damage; more are not listed."""


@dataclass(frozen=True, slots=True)
class Damage:
    """One damaged object.

    ``commits`` (``repo@commit``) and ``paths`` are those that need it, at most 20 each. Of files that several commits
    share, the path is that in the commit that was looked at first. A path that ends in ``/`` means all below it.
    ``complete``: none was left out.
    """

    kind: DamageKind
    object: str
    detail: str
    commits: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    complete: bool = True


class Taint(NamedTuple):
    """A damaged object, and the path that needs it, relative to where one is.

    Empty: all below the directory where one is. None: a whole commit.
    """

    object: str
    path: bytes | None


def reason(error: PfsError, *, where: bool = True) -> str:
    """Return what an error says, without advice to run a check; ``where``: with the place that it names."""
    match error:
        case CorruptionError():
            return f"{error.where}: {error.detail}" if where else error.detail
        case StorageError():
            return error.reason
    return str(error)


@dataclass(slots=True)
class Damages:
    """All damages of one check, each once, in the order in which they were met."""

    _found: dict[str, tuple[DamageKind, str]] = field(default_factory=dict)
    _commits: dict[str, dict[str, None]] = field(default_factory=dict)
    _paths: dict[str, dict[str, None]] = field(default_factory=dict)

    _cut: set[str] = field(default_factory=set)

    def add(self, kind: DamageKind, object: str, detail: str) -> str:
        """Note a damage; return the object's name, by which `affect` knows it."""
        self._found.setdefault(object, (kind, detail))
        return object

    def affect(self, taints: Iterable[Taint], place: str) -> None:
        """Note that the commit ``repo@id`` needs damaged objects."""
        for taint in taints:
            self._note(self._commits, taint.object, place)
            if taint.path is not None:
                self._note(self._paths, taint.object, "/" + taint.path.decode(errors="backslashreplace"))

    def _note(self, places: dict[str, dict[str, None]], object: str, place: str) -> None:
        known = places.setdefault(object, {})
        if len(known) < PLACES:
            known[place] = None
        elif place not in known:
            self._cut.add(object)

    def __contains__(self, object: str) -> bool:
        return object in self._found

    def __bool__(self) -> bool:
        return bool(self._found)

    def __iter__(self) -> Iterator[Damage]:
        for object, (kind, detail) in self._found.items():
            commits, paths = self._commits.get(object, {}), self._paths.get(object, {})
            yield Damage(kind, object, detail, tuple(commits), tuple(paths), complete=object not in self._cut)
