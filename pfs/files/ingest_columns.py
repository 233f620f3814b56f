"""Many small files of one directory, from its listing to the columns of a tree, without a value of Python for each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from pfs.arrays import I64, U8
from pfs.files.ingest_queue import BATCH_BYTES
from pfs.files.ingest_target import LEAST_PART, WHOLE_BYTES, Part, Target, ToRead
from pfs.packs.compress import SMALL_CHUNK
from pfs.sources.batch import ODD, STAMP, Rows, read_files_in
from pfs.sources.walk import Folder, Run
from pfs.spans import Spans, hash_spans
from pfs.trees.kernel import gather
from pfs.trees.page import Kind, pack_aux
from pfs.trees.put_rows import PutRows
from pfs.trees.span import Aux, Files

_FILES: Final = 512
"""Files of a part at most."""
_EXECUTABLE: Final = pack_aux({"x": True}) or b""


def parts_of(folder: Folder, runs: Sequence[Run]) -> tuple[Iterator[Part], list[Run]]:
    """Return the small files among those of a directory that are meant, and what must be read one by one."""
    rows, rest = _chosen(folder, runs)
    if len(rows) < LEAST_PART or not folder.has_plain_names:
        return iter(()), list(runs)
    return _parts(folder, rows), rest


def _chosen(folder: Folder, runs: Sequence[Run]) -> tuple[I64, list[Run]]:
    """Return the numbers of small files in the listing, and of each run the others."""
    small, rows, rest = folder.is_small, [np.zeros(0, np.int64)], []
    for run in runs:
        meant = np.arange(run.stop - run.start) if run.only is None else np.array(run.only, np.int64)
        fits = small[run.start + meant]
        rows.append(run.start + meant[fits])
        if not fits.all():
            rest.append(run._replace(only=tuple(meant[~fits].tolist())))
    return np.concatenate(rows), rest


def _parts(folder: Folder, rows: I64) -> Iterator[Part]:
    stamps = np.frombuffer(folder.listing.stamps, STAMP)
    names = np.frombuffer(folder.listing.names, np.uint8)
    ends = np.flatnonzero(names == 0) + 1
    starts = np.concatenate((np.zeros(1, np.int64), ends[:-1]))
    size = int(stamps["size"][rows].sum())
    for some in np.array_split(rows, max(-(-size // BATCH_BYTES), -(-len(rows) // _FILES))):
        yield Part(folder.key, folder.path, gather(names, starts[some], ends[some]), stamps["ctime"][some])


def store_part(target: Target, part: Part) -> tuple[PutRows | None, list[ToRead]]:
    """Read and store files; return them as columns, and those that must be read one by one: odd, or grown large."""
    names, parts, kept, rest = part.names.split(b"\0")[:-1], list[Files](), list[bytes](), list[ToRead]()
    directory, buffer, done, at = os.fsencode(part.path), target.take_buffer(), 0, 0
    try:
        while done < len(names):
            at_ns = target.clock_ns()
            rows = read_files_in(directory, part.names[at:], buffer, limit=WHOLE_BYTES)
            some, ctimes = names[done : done + len(rows)], part.ctimes[done : done + len(rows)]
            good = (rows["state"] != ODD) & (rows["length"] <= target.params.min_bytes)
            parts.append(_store_rows(target, rows[good], buffer))
            target.note_listed(part.path, rows[good], ctimes[good], at_ns=at_ns)
            kept += some if good.all() else [some[row] for row in np.flatnonzero(good).tolist()]
            rest += [_alone(part, some[row], int(ctimes[row])) for row in np.flatnonzero(~good).tolist()]
            done, at = done + len(rows), at + sum(map(len, some)) + len(some)
    finally:
        target.give_buffer(buffer)
    return PutRows(part.key, kept, _joined(parts)) if kept else None, rest


def _alone(part: Part, name: bytes, ctime_ns: int) -> ToRead:
    key = part.key + b"/" + name if part.key else name
    return ToRead(key, f"{part.path}/{os.fsdecode(name)}", by_folder=True, ctime_ns=ctime_ns)


def _store_rows(target: Target, rows: Rows, buffer: memoryview) -> Files:
    """Store what was read to the buffer, each file as one chunk."""
    offsets, lengths = rows["offset"].astype(np.int64), rows["length"].astype(np.int64)
    tids: U8 = np.frombuffer(hash_spans(buffer, offsets, lengths), np.uint8).reshape(-1, 32)
    chunks = Spans(buffer, offsets, lengths, tids)
    target.session.put_spans(chunks.only((lengths > 0) & (lengths < SMALL_CHUNK)))
    large = chunks.only(lengths >= SMALL_CHUNK)
    target.session.put_chunks(list(zip(large.keys(), large.chunks(), strict=True)))
    kinds = np.full(len(rows), Kind.FILE, np.uint8)
    return Files(kinds, rows["length"].astype(np.uint64), tids, _executable((rows["mode"] & 0o111) != 0))


def _executable(which: npt.NDArray[np.bool_]) -> Aux | None:
    rows = np.flatnonzero(which)
    if not len(rows):
        return None
    return Aux(rows, np.arange(len(rows) + 1) * len(_EXECUTABLE), _EXECUTABLE * len(rows))


def _joined(parts: Sequence[Files]) -> Files:
    if len(parts) == 1:
        return parts[0]
    kinds, sizes, tids = (np.concatenate([part[at] for part in parts]) for at in range(3))
    executable = np.zeros(len(kinds), np.bool_)
    start = 0
    for part in parts:
        if part.aux is not None:
            executable[start + part.aux.rows] = True
        start += len(part.kinds)
    return Files(kinds, sizes, tids, _executable(executable))
