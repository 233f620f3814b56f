"""BLAKE3 of very many short texts in derive-key mode, a column of them a call."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from pfs.arrays import I64, np

_Hash = Callable[[bytes, bytes, str], bytes]


def digests_in(context: str, data: bytes, ends: I64) -> bytes:
    """Return the digest of each piece of ``data``, 32 bytes each; a piece begins where the one before ends.

    By the lanes of `pfs._batch` a piece of 150 bytes takes 0.13 us, else 1.5. Any thread; releases the GIL.
    """
    spans = np.empty((len(ends), 2), "<u8")
    spans[1:, 0], spans[:1, 0] = ends[:-1], 0
    spans[:, 1] = ends - spans[:, 0].astype(np.int64)
    return _hash()(data, spans.tobytes(), context)


@cache
def _hash() -> _Hash:
    try:
        from pfs._batch import hash_in
    except ImportError:
        return _one_by_one
    return hash_in


def _one_by_one(data: bytes, spans: bytes, context: str) -> bytes:
    from blake3 import blake3

    start = blake3(derive_key_context=context)
    found = []
    for at, length in np.frombuffer(spans, "<u8").reshape(-1, 2).tolist():
        one = start.copy()
        one.update(data[at : at + length])
        found.append(one.digest())
    return b"".join(found)
