"""Distinct types for ids.

``NewType`` over ``bytes`` and ``str``, no wrapper classes: ids pass by the million through NumPy columns and LMDB
keys, where a wrapper costs 0.2 us each; mypy still rejects a ChunkId where a PageId is wanted.

Domains are separated (docs/format/): a plain chunk is plain BLAKE3, everything else has a derive-key context, so that
the bytes of a page uploaded as a file can never pass for that page.
"""

from __future__ import annotations

import os
import re
import time
import uuid
from typing import NewType

from blake3 import blake3

ChunkId = NewType("ChunkId", bytes)
"""32 bytes: BLAKE3 of the chunk's plaintext."""
ManifestId = NewType("ManifestId", bytes)
"""32 bytes: BLAKE3 ``pfs manifest v1`` of a chunk manifest."""
PageId = NewType("PageId", bytes)
"""32 bytes (`pid`): BLAKE3 ``pfs page v1`` of the encoded page: its storage address."""
TreeId = NewType("TreeId", bytes)
"""32 bytes (`tid`): logical content id of a file (chunk or manifest id) or directory (``pfs tid v1``)."""
RecordId = NewType("RecordId", bytes)
"""32 bytes: BLAKE3 ``pfs commit v1`` of an encoded commit record."""
PackId = NewType("PackId", bytes)
"""16 bytes: UUIDv7 of a pack."""
CommitId = NewType("CommitId", str)
"""32 lower-case hex digits of a random UUID; unique within a repo, shared by all that one change causes."""
Etag = NewType("Etag", str)
"""Opaque version of a mutable backend object, for compare-and-swap."""

EMPTY_CHUNK = ChunkId(blake3(b"").digest())
NO_PAGE = PageId(bytes(32))
"""The pid of an inlined directory."""

TREE_CONTEXT = "pfs tid v1"
"""Of a `TreeId` of a directory."""

_COMMIT_ID = re.compile(r"[0-9a-f]{32}")


def chunk_id(data: bytes | memoryview | bytearray) -> ChunkId:
    """Return the id of a chunk: plain BLAKE3-256; releases the GIL for large buffers."""
    return ChunkId(blake3(data).digest())


def page_id(data: bytes) -> PageId:
    """Return the storage address of an encoded page."""
    return PageId(blake3(data, derive_key_context="pfs page v1").digest())


def manifest_id(data: bytes) -> ManifestId:
    """Return the id of an encoded chunk manifest."""
    return ManifestId(blake3(data, derive_key_context="pfs manifest v1").digest())


def record_id(data: bytes) -> RecordId:
    """Return the id of an encoded commit record."""
    return RecordId(blake3(data, derive_key_context="pfs commit v1").digest())


def tree_id(data: bytes | memoryview) -> TreeId:
    """Return the logical id of a directory or shard from its canonical serialisation (docs/format/tree.md)."""
    return TreeId(blake3(data, derive_key_context=TREE_CONTEXT).digest())


def new_commit_id() -> CommitId:
    """Return a fresh random commit id."""
    return CommitId(uuid.uuid4().hex)


def is_commit_id(text: str) -> bool:
    """Say whether ``text`` is a full commit id (it may still not exist)."""
    return _COMMIT_ID.fullmatch(text) is not None


def new_pack_id() -> PackId:
    """Return a fresh UUIDv7 (RFC 9562): 48 bits of milliseconds, then 74 random bits."""
    millis = time.time_ns() // 1_000_000
    raw = bytearray(millis.to_bytes(6, "big") + os.urandom(10))
    raw[6] = (raw[6] & 0x0F) | 0x70
    raw[8] = (raw[8] & 0x3F) | 0x80
    return PackId(bytes(raw))
