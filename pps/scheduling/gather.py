"""From the results of datums to one output commit: rows move, bytes do not.

The output tree is changed by what differs between two ``/out`` directories, that of the job before and that of this
one, so the cost is that of the changed datums. A path belongs to one datum: two that write the same path make the job
fail.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pfs.errors import FailedError, FileCollisionError
from pfs.paths import from_key, to_key
from pfs.trees.diff import diff
from pfs.trees.edit import Delete, Edit, Put, edit
from pfs.trees.page import Changed
from pfs.trees.row import Root, Row
from pfs.trees.tree import Tree
from pps.model.records import OUT_DIR

if TYPE_CHECKING:
    from pfs.trees.row import PageSink

_PREFIX = OUT_DIR + b"/"


@dataclass(frozen=True, slots=True)
class Before:
    """The state to start from: the output tree, and the ``.meta`` tree whose ``/out`` it was made from."""

    output: Root
    meta: Root


Collisions = Literal["refuse", "allow"]
"""Whether a path may be both a file and a directory in the end."""


def gather(pages: PageSink, before: Before, meta: Root, *, changed: Changed, collisions: Collisions = "refuse") -> Root:
    """Return the output tree for the results in ``meta``'s ``/out``.

    Cost: O(changed files), memory too.

    Raises:
        FailedError: two datums wrote the same path, or one a file where another has a directory; names all three.
    """
    change = _Change(pages, before, meta)
    edits = change.edits()
    try:
        return edit(pages, before.output, edits, changed=changed, collisions=collisions)
    except FileCollisionError as error:
        raise FailedError(change.explain_collision(error)) from error


class _Change:
    def __init__(self, pages: PageSink, before: Before, meta: Root) -> None:
        self._pages, self._before, self._meta = pages, before, meta
        self._output = Tree(pages, before.output)
        self._owners: dict[bytes, bytes] = {}

    def edits(self) -> list[Edit]:
        """Return the edits of the output: what is gone first, so that a path may pass from one datum to another."""
        gone: set[bytes] = set()
        put: dict[bytes, Edit] = {}
        for old, new in self._differences():
            if old is not None:
                gone.add(_split(old.key)[1])
            if new is not None:
                datum, path = _split(new.key)
                self._claim(path, datum)
                put[path] = Put(path, new.kind, new.size, new.tid, new.aux)
        for path, datum in self._owners.items():
            if path not in gone and self._output.stat(path, want="file") is not None:
                raise FailedError(self._same_path(path, datum))
        self._owners.clear()
        deletes: list[Edit] = [Delete(path) for path in sorted(gone - put.keys())]
        return deletes + [put[path] for path in sorted(put)]

    def _differences(self) -> Iterator[tuple[Row | None, Row | None]]:
        for change in diff(self._pages, self._before.meta, self._pages, self._meta, prefix=_PREFIX):
            yield change.old, change.new

    def _claim(self, path: bytes, datum: bytes) -> None:
        other = self._owners.setdefault(path, datum)
        if other != datum:
            raise FailedError(_two_wrote(path, other, datum))

    def _same_path(self, path: bytes, datum: bytes) -> str:
        other = next(iter(self._writers(path) - {datum}), None)
        if other is None:
            return f"datum {datum.decode()[:12]} wrote {from_key(path)}, which is in the output and of no datum"
        return _two_wrote(path, other, datum)

    def explain_collision(self, error: FileCollisionError) -> str:
        """Return which datums wrote the two paths of which one is a file and the other lies below it."""
        paths = (to_key(error.path), to_key(error.existing))
        names = sorted({datum.decode()[:12] for path in paths for datum in self._writers(path)})
        return f"{error.path} and {error.existing} cannot both exist: written by datums {' and '.join(names)}"

    def _writers(self, path: bytes) -> set[bytes]:
        """Return the datums that wrote a path or below it; looks at every datum, for messages only."""
        tree = Tree(self._pages, self._meta)
        folders = (row.key for row in tree.list(OUT_DIR))
        return {_split(key + b"/")[0] for key in folders if tree.stat(key + b"/" + path) is not None}


def _split(key: bytes) -> tuple[bytes, bytes]:
    """Return datum and path of a key below ``/out``."""
    datum, _, path = key.removeprefix(_PREFIX).partition(b"/")
    return datum, path


def _two_wrote(path: bytes, one: bytes, two: bytes) -> str:
    first, second = sorted((one.decode()[:12], two.decode()[:12]))
    return f"datums {first} and {second} both wrote {from_key(path)}: each path may come from one datum only"
