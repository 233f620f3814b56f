"""What can be done to a tree: the edits that `pfs.trees.edit` applies."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from operator import lt

from msgspec import Struct

from pfs.errors import InvalidInputError
from pfs.ids import NO_PAGE, TreeId
from pfs.paths import from_key
from pfs.trees.page import MAX_ELEMENT_BYTES, Changed, Kind, unpack_aux
from pfs.trees.put_rows import PutRows
from pfs.trees.row import Row


class Put(Struct, frozen=True):
    """Set a file."""

    key: bytes
    kind: Kind
    size: int
    tid: TreeId
    aux: Mapping[str, object] | None = None
    force: bool = False
    """Mark the row as changed even if nothing in it is."""
    changed: Changed | None = None
    """When the row last changed, if that is not the moment of this edit."""


class Delete(Struct, frozen=True):
    """Remove a file; nothing happens if there is none."""

    key: bytes


class DeleteTree(Struct, frozen=True):
    """Remove a directory and all below it; the empty key is the root."""

    key: bytes


class Graft(Struct, frozen=True):
    """Set a directory to one of any tree whose pages the sink can read: O(log n), no bytes.

    The rows below keep their ``changed``. An inlined directory has no page to graft: :func:`copy_dir` makes the
    right edits for either.
    """

    key: bytes
    row: Row


Edit = Put | Delete | DeleteTree | Graft | PutRows


def puts_of(rows: PutRows) -> list[Put]:
    """Return a put of each file."""
    from pfs.trees.fresh import maps_of

    files, tids = rows.files, rows.files.tids.tobytes()
    columns = zip(rows.names, files.kinds.tolist(), files.sizes.tolist(), maps_of(files), strict=True)
    return [
        Put(rows.key_of(name), Kind(kind), size, TreeId(tids[32 * row : 32 * row + 32]), unpack_aux(packed))
        for row, (name, kind, size, packed) in enumerate(columns)
    ]


def check_edit(one: Edit) -> None:
    """Check one edit by itself.

    Raises:
        InvalidInputError: an empty key, a row that is no file or directory, an element of over 65534 bytes.
    """
    if len(one.key) > MAX_ELEMENT_BYTES and max(map(len, one.key.split(b"/"))) > MAX_ELEMENT_BYTES:
        raise InvalidInputError(f"{from_key(one.key)[:40]}...: an element is over {MAX_ELEMENT_BYTES} bytes")
    if isinstance(one, Graft) and (one.row.kind != Kind.DIR or one.row.pid == NO_PAGE):
        raise InvalidInputError(f"cannot graft {from_key(one.key)}: the row is not a directory with a page")
    if isinstance(one, PutRows):
        _check_rows(one)
    if not isinstance(one, Put):
        return
    if not one.key:
        raise InvalidInputError("cannot put a file with an empty key")
    if one.kind in (Kind.DIR, Kind.SHARD) or len(one.tid) != 32 or not 0 <= one.size < 2**63:
        raise InvalidInputError(f"cannot put {from_key(one.key)}: the row is not that of a file")


def _check_rows(rows: PutRows) -> None:
    names, kinds = rows.names, rows.files.kinds
    if not names or not len(names) == len(kinds) == len(rows.files.sizes) == len(rows.files.tids):
        raise InvalidInputError("the columns of files differ in length, or are empty")
    if any(kind in (Kind.DIR, Kind.SHARD) for kind in set(kinds.tolist())):
        raise InvalidInputError("a row is not that of a file")
    lengths = set(map(len, names))
    if not min(lengths) or max(lengths) > MAX_ELEMENT_BYTES or b"/" in b"".join(names):
        raise InvalidInputError(f"the name of a file is empty, has a slash, or is over {MAX_ELEMENT_BYTES} bytes")
    if not all(map(lt, names, islice(names, 1, None))):
        raise InvalidInputError("the names of files are not in order")
