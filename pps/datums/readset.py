"""What a datum read over S3, kept with its result: it need not run again while it would read the same.

Of each S3 input there is the content id of the whole as it was, and what was asked of it (`pfs.trees.observed`). An
input whose content is the same answers the same; of one that changed, the very questions are asked again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from pfs.errors import CorruptionError
from pfs.trees.observed import Observed

if TYPE_CHECKING:
    from pfs.trees.tree import Tree


class Read(msgspec.Struct, frozen=True, array_like=True):
    """One input: ``tid`` of all of it, and what was read; None where that cannot be compared."""

    tid: bytes
    observed: Observed | None


def encode_reads(reads: Mapping[str, Read]) -> bytes:
    """Return the stored form, msgpack by the name of the input: at most 128 KiB an input."""
    return msgspec.msgpack.encode(dict(sorted(reads.items())))


def decode_reads(data: bytes) -> dict[str, Read]:
    """Parse the stored form; raises CorruptionError."""
    try:
        return msgspec.msgpack.decode(data, type=dict[str, Read])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CorruptionError("a datum table", f"not what a datum has read ({error})") from error


def difference(reads: bytes | None, trees: Mapping[str, Tree]) -> str | None:
    """Say what a datum would read otherwise in ``trees``, by the name of the input; None when all is the same.

    ``reads`` None: nothing is known of what it read, so it counts as all.
    """
    if reads is None:
        return "what it read, of which no record was kept,"
    known = decode_reads(reads)
    for name, tree in trees.items():
        read = known.get(name)
        if read is not None and read.tid == tree.root.tid:
            continue
        if read is None or read.observed is None:
            return f"{name}, of which it read what cannot be compared,"
        where = read.observed.difference(tree)
        if where is not None:
            return f"{name}:{where}" if where.startswith("/") else f"{where} in {name}"
    return None
