"""What a datum is, and by which digests it is known from job to job.

The *id* says which input paths: it is the same in every job that sees these paths, whatever is in them. The *hash* says
what was in them and what would be done with them: a datum with the id and hash of one that succeeded need not run
again. Both are BLAKE3-256 in derive-key mode; every part is preceded by its length, so that no two lists of parts read
alike.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import chain, pairwise
from typing import TYPE_CHECKING, NamedTuple

from blake3 import blake3
from msgspec import Struct

from pfs.arrays import np, npt
from pfs.digests import digests_in
from pfs.glob import Glob
from pfs.ids import CommitId
from pfs.paths import from_key
from pps.spec.types import PfsInput, Transform
from pps.spec.write import transform_document

if TYPE_CHECKING:
    from pfs.trees.tree import Row

ID_CONTEXT = "pfs datum id v1"
HASH_CONTEXT = "pfs datum hash v1"
TRANSFORM_CONTEXT = "pfs transform v1"
_DIGEST_LENGTH = (32).to_bytes(8, "big")


class Item(Struct, frozen=True, gc=False):
    """What one leaf of the input gives to a datum: a file or directory of a commit. They come by the million."""

    leaf: PfsInput
    commit: CommitId
    row: Row

    @property
    def join_on(self) -> str:
        """What it is joined by; empty outside joins."""
        return _filled(self.leaf.glob, self.leaf.join_on, self.path)

    @property
    def has_empty_key(self) -> bool:
        """Whether nothing was captured of what it is joined by: all such files have the same text."""
        return self.join_on == _bare(self.leaf.join_on)

    @property
    def group_by(self) -> str:
        """What it is grouped by; empty outside groups."""
        return _filled(self.leaf.glob, self.leaf.group_by, self.path)

    @property
    def path(self) -> str:
        """The path as people write it."""
        return from_key(self.row.key)


Datum = tuple[Item, ...]
"""One unit of skipping and redoing: its items in the order of the input's leaves; a group has several of one leaf."""


def _filled(glob: str, template: str, path: str) -> str:
    return _glob(glob).replace(template, path) if template else ""


@lru_cache(maxsize=256)
def _bare(template: str) -> str:
    return Glob.bare(template)


@lru_cache(maxsize=256)
def _glob(pattern: str) -> Glob:
    return Glob(pattern)


def datum_id(datum: Datum) -> bytes:
    """Return the 32 bytes that say which paths a datum is made of, independent of content and commits."""
    parts: list[bytes] = []
    for item in datum:
        leaf = item.leaf
        parts += [leaf.name.encode(), leaf.repo.encode(), leaf.branch.encode(), item.row.key]
    return _digest(ID_CONTEXT, parts)


def datum_hash(identity: bytes, datum: Datum, *, transform: bytes, salt: str) -> bytes:
    """Return the 32 bytes that decide whether a datum is unchanged; ``reference`` inputs do not count.

    Nor do those that are read over S3: what was read of them is kept with the result and compared (`datums.readset`).

    ``transform`` is the digest of `transform_digest`; sizes and times of the inputs play no part, their content ids do.
    """
    parts = [
        identity,
        *(item.row.tid for item in datum if not (item.leaf.reference or item.leaf.s3)),
        transform,
        salt.encode(),
    ]
    return _digest(HASH_CONTEXT, parts)


class _Leaf(NamedTuple):
    """What the digests of all its files share."""

    names: bytes
    counts: bool
    """Whether content counts."""
    leaf: PfsInput


class DatumDigests:
    """Gives `datum_id` and `datum_hash` of many datums; what all of one leaf share is put together once. One thread."""

    def __init__(self, *, transform: bytes, salt: str) -> None:
        """Arguments as of `datum_hash`."""
        self._end = _framed(transform) + _framed(salt.encode())
        self._leaves: dict[int, _Leaf] = {}

    def of(self, datums: Sequence[Datum]) -> tuple[bytes, bytes]:
        """Return ids and hashes, 32 bytes of each datum one behind the other; 1 us a datum."""
        items = list(chain.from_iterable(datums))
        leaves = [self._leaves.get(id(item.leaf)) or self._add(item.leaf) for item in items]
        keys = [item.row.key for item in items]
        named = [leaf.names + len(key).to_bytes(8, "big") + key for leaf, key in zip(leaves, keys, strict=True)]
        stops = np.cumsum(np.fromiter(map(len, datums), np.int64, len(datums)))
        ends = np.concatenate(([0], _ends(named)))[stops]
        ids = digests_in(ID_CONTEXT, b"".join(named), ends)
        tids = [_DIGEST_LENGTH + item.row.tid if leaf.counts else b"" for leaf, item in zip(leaves, items, strict=True)]
        if len(items) != len(datums) or not all(datums):
            tids = [b"".join(tids[start:stop]) for start, stop in pairwise([0, *stops.tolist()])]
        end = self._end
        bodies = [_DIGEST_LENGTH + ids[32 * at : 32 * at + 32] + tid + end for at, tid in enumerate(tids)]
        return ids, digests_in(HASH_CONTEXT, b"".join(bodies), _ends(bodies))

    def _add(self, leaf: PfsInput) -> _Leaf:
        """Note a leaf; by identity, as its hash costs more than all else, and so it is kept."""
        names = b"".join(_framed(part.encode()) for part in (leaf.name, leaf.repo, leaf.branch))
        known = self._leaves[id(leaf)] = _Leaf(names, not (leaf.reference or leaf.s3), leaf)
        return known


def _ends(texts: Sequence[bytes]) -> npt.NDArray[np.int64]:
    return np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)))


def transform_digest(transform: Transform, code: Mapping[str, bytes]) -> bytes:
    """Return the digest of a command with all that it is made of: its spec and the content id of each code file.

    But for secrets: another one, or another value, is no reason to do work again.
    """
    text = json.dumps(transform_document(replace(transform, secrets=())), sort_keys=True, separators=(",", ":"))
    parts = [text.encode()]
    for path in sorted(code):
        parts += [path.encode(), code[path]]
    return _digest(TRANSFORM_CONTEXT, parts)


def _digest(context: str, parts: Iterable[bytes]) -> bytes:
    return blake3(b"".join(map(_framed, parts)), derive_key_context=context).digest()


def _framed(part: bytes) -> bytes:
    return len(part).to_bytes(8, "big") + part
