"""The tree format written a second time, as plainly as possible: rebuild everything from a dict of files."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import NamedTuple

from blake3 import blake3
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from pfs.ids import PageId, TreeId
from pfs.trees.cutrule import FORMAT, TreeParams
from pfs.trees.edit import Put
from pfs.trees.page import Cell, Changed, Kind, encode_cells
from pfs.trees.tree import Root

TINY = TreeParams(3, 3, 2)
SMALL = TreeParams(4, 3, 4)
STEPS = st.sampled_from([b"", b"a", b"b", b"a-", b"c.txt", b".", b"\xff", *(b"n%d" % n for n in range(40))])
KEYS = st.lists(STEPS, min_size=1, max_size=4).map(b"/".join).filter(bool)
TEXTS = st.sampled_from([b"", b"x", b"yy"])
FILES = st.dictionaries(KEYS, TEXTS, max_size=120)


def put(key: bytes, text: bytes = b"x") -> Put:
    return Put(key, Kind.FILE, len(text), TreeId(blake3(text).digest()))


class File(NamedTuple):
    kind: int
    size: int
    tid: bytes
    changed: Changed | None = None
    aux: bytes | None = None


class Dir(NamedTuple):
    tid: bytes
    size: int
    files: int
    changed: Changed | None
    pid: bytes
    rows: list[Cell]


def reference_root(files: Mapping[bytes, File], params: TreeParams = FORMAT) -> Root:
    made = _dir(dict(files), params)
    page = encode_cells(0, made.rows)
    pid = _page_id(page) if made.pid == bytes(32) else made.pid
    return Root(PageId(pid), TreeId(made.tid), made.size, made.files)


def _dir(files: dict[bytes, File], params: TreeParams) -> Dir:
    groups = _groups(files, params)
    pages = _cut(groups, 0, params)
    level = 0
    while len(pages) > 1:
        shards = [_shard(level, page) for page in pages]
        level += 1
        pages = _cut([[shard] for shard in shards], level, params)
    page = pages[0]
    shard = _shard(level, page)
    rows = [cell for group in page for cell in group]
    if level == 0 and len(rows) <= params.inline:
        return Dir(shard.tid, shard.size, shard.files, shard.changed, bytes(32), rows)
    return Dir(shard.tid, shard.size, shard.files, shard.changed, shard.pid, [] if level or rows else rows)


def _groups(files: dict[bytes, File], params: TreeParams) -> list[list[Cell]]:
    groups: dict[bytes, list[Cell]] = {}
    below: dict[bytes, dict[bytes, File]] = {}
    for key, file in files.items():
        step, slash, rest = key.partition(b"/")
        if slash:
            below.setdefault(step + b"/", {})[rest] = file
        else:
            groups[step] = [Cell(step, file.kind, 0, file.size, file.tid, 1, bytes(32), file.changed, file.aux)]
    for name, inner in below.items():
        made = _dir(inner, params)
        top = Cell(name, Kind.DIR, 0, made.size, made.tid, made.files, made.pid, made.changed)
        inside = [cell._replace(name=name + cell.name, depth=cell.depth + 1) for cell in made.rows]
        groups[name] = [top, *inside]
    return [groups[name] for name in sorted(groups)]


def _cut(groups: list[list[Cell]], level: int, params: TreeParams) -> list[list[list[Cell]]]:
    target = 2 ** (params.fan_bits if level else params.leaf_bits)
    pages: list[list[list[Cell]]] = [[]]
    rows = 0
    for group in groups:
        weight = len(group)
        rows += weight
        pages[-1].append(group)
        hashed = xxh3_64_intdigest(group[0].name, seed=level)
        soft, hard = weight * 2**64 // (2 * target), 4 * weight * 2**64 // target
        cut = target // 4 <= rows < target and hashed < soft
        if cut or (rows >= target and hashed < hard) or rows >= 16 * target:
            pages.append([])
            rows = 0
    if len(pages) > 1 and not pages[-1]:
        pages.pop()
    return pages


def _shard(level: int, page: list[list[Cell]]) -> Cell:
    top = [group[0] for group in page]
    cells = [cell for group in page for cell in group]
    text = b"".join(struct.pack("<H", len(cell.name)) for cell in top)
    text += b"".join(cell.name for cell in top) + bytes([level]) + bytes(cell.kind for cell in top)
    text += b"".join(struct.pack("<Q", cell.size) for cell in top) + b"".join(cell.tid for cell in top)
    tid = blake3(text, derive_key_context="pfs tid v1").digest()
    size, count = sum(cell.size for cell in top), sum(cell.files for cell in top)
    stamps = [cell.changed for cell in cells if cell.changed is not None]
    changed = max(stamps, key=lambda stamp: (stamp.finished_ns, stamp.commit)) if stamps else None
    name = top[-1].name if top else b""
    return Cell(name, Kind.SHARD, 0, size, tid, count, _page_id(encode_cells(level, cells)), changed)


def _page_id(page: bytes) -> bytes:
    return blake3(page, derive_key_context="pfs page v1").digest()
