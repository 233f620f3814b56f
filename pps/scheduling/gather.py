"""From the results of datums to one output commit: rows move, bytes do not.

The output tree is changed by what differs between two ``/out`` directories, that of the job before and that of this
one, so the cost is that of the changed datums. A path belongs to one datum: two that write the same path make the job
fail. What differs comes in the order of datums, and is sorted by path outside memory: then two datums with one path
are neighbours, and a tree is made or changed from its one end to the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from pfs.errors import FailedError, FileCollisionError
from pfs.paths import from_key, to_key
from pfs.rows.sorting import RUN_BYTES, Spills, sorted_rows
from pfs.trees.bulk import RowBatch, build_columns
from pfs.trees.diff import diff
from pfs.trees.edit import Delete, Edit, Put
from pfs.trees.page import Changed, Kind, pack_aux, unpack_aux
from pfs.trees.row import EMPTY_ROOT, Root, Row
from pfs.trees.tree import Tree
from pps.model.records import OUT_DIR
from pps.scheduling.parts import edit_in_parts

if TYPE_CHECKING:
    import pyarrow as pa

    from pfs.trees.row import PageSink

_PREFIX = OUT_DIR + b"/"
_BATCH = 8192


@dataclass(frozen=True, slots=True)
class Before:
    """The state to start from: the output tree, and the ``.meta`` tree whose ``/out`` it was made from."""

    output: Root
    meta: Root


Collisions = Literal["refuse", "allow"]
"""Whether a path may be both a file and a directory in the end."""


class Way(NamedTuple):
    """How outputs are put together: what changed rows get, and where rows go that are more than ``run_bytes``."""

    changed: Changed
    collisions: Collisions
    scratch: Path
    run_bytes: int = RUN_BYTES


def gather(pages: PageSink, before: Before, meta: Root, way: Way) -> Root:
    """Return the output tree for the results in ``meta``'s ``/out``.

    Cost: O(changed files); memory is that of two runs of the sort, 64 MiB, and a part of the edits.

    Raises:
        FailedError: two datums wrote the same path, or one a file where another has a directory; names all three.
        StorageError: the disk does not take what is sorted.
    """
    change = _Change(pages, before, meta)
    try:
        with closing(Spills(way.scratch, run_bytes=way.run_bytes)) as spills:
            return change.root(spills, way)
    except FileCollisionError as error:
        raise FailedError(change.explain_collision(error)) from error


class _Change:
    def __init__(self, pages: PageSink, before: Before, meta: Root) -> None:
        self._pages, self._before, self._meta = pages, before, meta
        self._output = Tree(pages, before.output)
        self._is_new = before.output == EMPTY_ROOT
        self._gone: list[bytes] = []

    def root(self, spills: Spills, way: Way) -> Root:
        """Return the output tree."""
        puts = self._puts(sorted_rows(self._differences(), ("key", "put", "datum"), spills))
        if self._is_new:
            columns = map(RowBatch.from_arrow, puts)
            return build_columns(self._pages, columns, changed=way.changed, collisions=way.collisions)
        # What is gone goes first, so that a path may pass from one datum to another; it is known in the end.
        held = _held(puts, spills)
        edits = chain(map(Delete, self._gone), _edits(held))
        root = self._before.output
        return edit_in_parts(self._pages, root, edits, changed=way.changed, collisions=way.collisions)

    def _differences(self) -> Iterator[pa.RecordBatch]:
        """Yield the files that the output is to lose and to get, of each datum the lost ones too if they come again."""
        rows = self._changed_rows()
        while part := list(islice(rows, _BATCH)):
            yield _batch(part)

    def _changed_rows(self) -> Iterator[tuple[int, Row]]:
        for change in diff(self._pages, self._before.meta, self._pages, self._meta, prefix=_PREFIX):
            if change.old is not None:
                yield 0, change.old
            if change.new is not None:
                yield 1, change.new

    def _puts(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield the rows to be put, sorted by path, and note the paths that are gone; refuse what two datums wrote."""
        import pyarrow.compute as pc

        path, writer, is_gone = b"", b"", False
        for batch in batches:
            keys, puts, datums = (batch.column(name).to_pylist() for name in ("key", "put", "datum"))
            for key, put, datum in zip(keys, puts, datums, strict=True):
                if key != path:
                    self._note(path, is_gone and not writer)
                    path, writer, is_gone = key, b"", False
                if not put:
                    is_gone = True
                    continue
                if writer:
                    raise FailedError(_two_wrote(path, writer, datum))
                writer = datum
                if not is_gone and not self._is_new and self._output.stat(path, want="file") is not None:
                    raise FailedError(self._same_path(path, datum))
            yield batch.filter(pc.equal(batch.column("put"), 1))
        self._note(path, is_gone and not writer)

    def _note(self, path: bytes, is_gone: bool) -> None:
        if is_gone:
            self._gone.append(path)

    def _same_path(self, path: bytes, datum: bytes) -> str:
        other = next(iter(self._writers(path) - {datum}), None)
        if other is None:
            return f"datum {datum.decode()[:12]} wrote {from_key(path)}, which is in the output and of no datum"
        return _two_wrote(path, other, datum)

    def explain_collision(self, error: FileCollisionError) -> str:
        """Return which datum wrote the file, and which one a file below it, of two paths that cannot both be."""
        below, file = to_key(error.path), to_key(error.existing)
        found: dict[bool, str] = {}
        for row in Tree(self._pages, self._meta).walk(OUT_DIR):  # all results, for this message only
            datum, path = _split(row.key)
            if path in (file, below) or (below == file and path.startswith(file + b"/")):
                found.setdefault(path == file, f"{from_key(path)} of datum {datum.decode()[:12]}")
        above, under = found.get(True, error.existing), found.get(False, error.path)
        return f"{above} and {under} cannot both exist: a path is either a file or a directory"

    def _writers(self, *paths: bytes) -> set[bytes]:
        """Return the datums that wrote one of the paths or below it; a scan of all results, for messages only."""
        folders = tuple(path + b"/" for path in paths)
        found = set[bytes]()
        for row in Tree(self._pages, self._meta).walk(OUT_DIR):
            datum, path = _split(row.key)
            if path in paths or path.startswith(folders):
                found.add(datum)
        return found


def _batch(rows: list[tuple[int, Row]]) -> pa.RecordBatch:
    import pyarrow as pa

    places = [_split(row.key) for _, row in rows]
    columns = {
        "key": pa.array([path for _, path in places], pa.binary()),
        "put": pa.array([put for put, _ in rows], pa.int8()),
        "datum": pa.array([datum for datum, _ in places], pa.binary()),
        "kind": pa.array([int(row.kind) for _, row in rows], pa.uint8()),
        "size": pa.array([row.size for _, row in rows], pa.uint64()),
        "tid": pa.array([row.tid for _, row in rows], pa.binary(32)),
        "aux": pa.array([pack_aux(row.aux) for _, row in rows], pa.binary()),
    }
    return pa.RecordBatch.from_pydict(columns)


def _held(batches: Iterator[pa.RecordBatch], spills: Spills) -> Iterator[pa.RecordBatch]:
    """Return the batches once more, all of which have come by then: from memory, or from a file if they are large."""
    held: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        held.append(batch)
        size += batch.nbytes
        if size >= spills.run_bytes:
            return spills.read(spills.write(chain(held, batches)))
    return iter(held)


def _edits(batches: Iterator[pa.RecordBatch]) -> Iterator[Edit]:
    for batch in batches:
        columns = [batch.column(name).to_pylist() for name in ("key", "kind", "size", "tid", "aux")]
        for key, kind, size, tid, aux in zip(*columns, strict=True):
            yield Put(key, Kind(kind), size, tid, unpack_aux(aux))


def _split(key: bytes) -> tuple[bytes, bytes]:
    """Return datum and path of a key below ``/out``."""
    datum, _, path = key.removeprefix(_PREFIX).partition(b"/")
    return datum, path


def _two_wrote(path: bytes, one: bytes, two: bytes) -> str:
    first, second = sorted((one.decode()[:12], two.decode()[:12]))
    return f"datums {first} and {second} both wrote {from_key(path)}: each path may come from one datum only"
