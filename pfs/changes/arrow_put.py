"""Files given as columns of path, size and id, put into a commit: a tree of their own is built and hung in.

Content is not moved, it is looked up. Where a directory stands already, only what differs goes into it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from pfs.changes.staging import PENDING, Staging
from pfs.files.arrow_files import file_rows, in_order
from pfs.files.arrow_source import ArrowFiles, batches_of, is_kept
from pfs.files.known import KnownContent
from pfs.paths import from_key, to_key
from pfs.trees import columns
from pfs.trees.bulk import RowBatch, build_columns
from pfs.trees.diff import Change, diff
from pfs.trees.edit import Delete, Edit, Put
from pfs.trees.page import Kind
from pfs.trees.row import Root, root_row
from pfs.trees.shape import Keys
from pfs.trees.span import Files
from pfs.trees.tree import Tree

if TYPE_CHECKING:
    import pyarrow as pa

    from pfs.packs.session import WriteSession
    from pfs.store import Store

_SORTED_BY: Final = ("key", "row")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrowPut:
    """How files are put.

    ``presorted``: they come in byte order of their paths; else, where that cannot be seen by reading them twice, they
    are sorted on the disk of the store. ``replace``: what is below the path and not among them goes.
    ``external``: content that the store does not have is no error; such files are listed and cannot be read.
    """

    presorted: bool = False
    replace: bool = False
    external: bool = False


class Taken(NamedTuple):
    """What was put: files and their bytes, how many others went, and whether anything is another than before."""

    files: int
    size_bytes: int
    deleted: int
    changed: bool


def put_arrow(
    store: Store, session: WriteSession, staging: Staging, what: tuple[ArrowFiles, str], how: ArrowPut
) -> Taken:
    """Stage the files of a source below a path; return what was done. Memory: some batches of 65,536 rows.

    Raises:
        InvalidInputError: a column is missing or of another type; a size is not that of the content; one path twice,
            or, ``presorted``, out of order.
        InvalidPathError: a path that the file API does not take.
        NotFoundError: the store does not have a content.
        FileCollisionError: a path would be both a file and a directory.
        StorageError: a file cannot be read, or what is sorted is not taken by the disk.
    """
    source, target = what[0], to_key(what[1])
    session.flush_data()
    session.seal_data()
    known = KnownContent(store.backend, store.index, session, external=how.external)
    with _ordered(source, how, store.path / "tmp") as rows:
        root = build_columns(session, _looked_up(rows, session, known), changed=staging.changed)
    with staging.lock:
        before = staging.changes().ours
        deleted = _place(session, staging, target, root, replace=how.replace)
        return Taken(root.count, root.size, deleted, changed=staging.changes().ours != before)


@contextmanager
def _ordered(source: ArrowFiles, how: ArrowPut, scratch: Path) -> Iterator[Iterator[pa.RecordBatch]]:
    """Give the rows in the order of their keys."""
    if how.presorted or (is_kept(source) and in_order(batches_of(source))):
        yield file_rows(batches_of(source))
        return
    from pfs.rows.sorting import Spills, sorted_rows

    with closing(Spills(scratch)) as spills:
        yield sorted_rows(_numbered(file_rows(batches_of(source))), _SORTED_BY, spills)


def _numbered(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield rows with their number, since what is sorted by must be unique; of equal keys both come."""
    import pyarrow as pa

    row = 0
    for batch in batches:
        numbers = pa.array(np.arange(row, row + batch.num_rows))
        yield pa.RecordBatch.from_arrays([*batch.columns, numbers], names=[*batch.schema.names, "row"])
        row += batch.num_rows


def _looked_up(batches: Iterator[pa.RecordBatch], session: WriteSession, known: KnownContent) -> Iterator[RowBatch]:
    """Yield the rows as columns of a tree, when their content was looked up."""
    for batch in batches:
        keys, ids = columns.keys(batch.column("key")), columns.digests(batch.column("id"))
        sizes = columns.numbers(batch.column("size")).astype(np.uint64, copy=False)
        kinds = known.kinds(ids, sizes, partial(_path_of, keys))
        links = np.asarray(batch.column("link").to_numpy(zero_copy_only=False))
        kinds[links & (kinds == Kind.FILE)] = Kind.SYMLINK
        yield RowBatch(keys, Files(kinds, sizes, ids, columns.maps(batch.column("aux"))))
        session.keep_lease()


def _path_of(keys: Keys, row: int) -> str:
    return from_key(keys.key(row))


def _place(session: WriteSession, staging: Staging, target: bytes, root: Root, *, replace: bool) -> int:
    """Put a tree into the staged one at ``target``; return how many files went."""
    there, new = staging.stat(target, want="dir"), Tree(session, root)
    base = target + b"/" if target else b""
    if there is None or not there.count:
        first = next(new.walk(), None)
        if first is not None:
            staging.graft(target, root_row(session, root), first=base + first.key)
        return 0
    deleted = 0
    edits = _difference(session, staging.changes().ours, base, new) if replace else _puts(new, base)
    while batch := list(islice(edits, PENDING)):
        staging.add(batch)
        deleted += sum(isinstance(one, Delete) for one in batch)
    return deleted


def _puts(new: Tree, base: bytes) -> Iterator[Edit]:
    for row in new.walk():
        yield Put(base + row.key, row.kind, row.size, row.tid, row.aux)


def _difference(session: WriteSession, old: Root, base: bytes, new: Tree) -> Iterator[Edit]:
    """Yield the edits that make the old directory the new one: what goes first, so that a file may make room."""

    def changes() -> Iterator[Change]:
        return diff(session, old, session, new.root, old_base=base)

    yield from (Delete(base + change.key) for change in changes() if change.new is None)
    for change in changes():
        if change.new is not None:
            row = change.new
            yield Put(base + row.key, row.kind, row.size, row.tid, row.aux)
