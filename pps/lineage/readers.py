"""One step down: from a file to the datums that read it, and from a datum to the files that it wrote."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from pps.datums.readset import Read, decode_reads
from pps.datums.table import Entry, entries
from pps.lineage.before import Before
from pps.lineage.model import FileRef, How
from pps.model.records import out_key

if TYPE_CHECKING:
    import pyarrow as pa

    from pps.lineage.model import DatumNode
    from pps.lineage.records import Records
    from pps.model.records import JobRecord


_LOOKED_AT = 1000


class Reader(NamedTuple):
    """A datum that read a file or something below a directory."""

    entry: Entry
    how: How


class Readers:
    """The datums of a job that read a file, or anything below a directory, in the order of their ids.

    One that was taken over read what the job read that ran it: it counts where that is the same as in this commit, as
    it need not be of a reference, or of an input over S3. Cost: a scan of the columns of the job's table, a look at the
    file in each job that ran some of them; a row each of those that are asked for.
    """

    def __init__(self, records: Records, job: JobRecord, ref: FileRef, *, folder: bool) -> None:
        sources = job.input_commits()
        self._leaves = [at for at, one in enumerate(sources) if (one.repo, one.commit) == (ref.repo, ref.commit)]
        self._table, self._ref, self._folder = records.table(job), ref, folder
        self._before = Before(records, job, ref)
        some = bool(self._leaves) and len(self._table) > 0
        rows = _rows(self._table, self._leaves, ref, folder=folder) if some else []
        self._rows = deque(
            _without(self._table, rows, self._before.strangers(_ran_in(self._table, rows), self._leaves))
        )
        self._over_s3 = self._is_mixed = False

    def __iter__(self) -> Iterator[Reader]:
        """Yield those that were not yielded yet."""
        while self._rows:
            entry = next(entries(self._table.slice(self._rows.popleft(), 1)))
            self._over_s3 |= entry.result.reads is not None
            self._is_mixed |= self._folder and self._before.is_older(entry)
            leaves = self._before.leaves(entry, self._leaves)
            how = _how(entry, leaves, self._ref, folder=self._folder) if leaves else None
            if how is not None:
                yield Reader(entry, how)

    @property
    def left(self) -> int | None:
        """How many are left; None if only looking at each would tell, and they are many or have read over S3."""
        if self._rows and (self._over_s3 or (self._is_mixed and len(self._rows) > _LOOKED_AT)):
            return None
        if not self._is_mixed:
            return len(self._rows)
        left = (next(entries(self._table.slice(row, 1))) for row in self._rows)
        return sum(1 for entry in left if self._before.leaves(entry, self._leaves))


def _ran_in(table: pa.Table, rows: list[int]) -> list[str | None]:
    """Return the jobs that ran these rows, each once."""
    return list(table.column("ran_in").take(rows).unique().to_pylist()) if rows else []


def _without(table: pa.Table, rows: list[int], jobs: Collection[str]) -> list[int]:
    """Return the rows that none of these jobs ran."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if not jobs:
        return rows
    ran = pc.is_in(table.column("ran_in").take(rows), pa.array(sorted(jobs), type=pa.string()))
    return list(np.asarray(rows)[~np.asarray(ran)].tolist())


def _rows(table: pa.Table, leaves: list[int], ref: FileRef, *, folder: bool) -> list[int]:
    """Return the rows with an input of these leaves that covers a path, or with ``folder`` lies below it."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    inputs = table.column("inputs").combine_chunks()
    given = pc.list_flatten(inputs)
    path = pc.struct_field(given, "path")
    covers = pc.is_in(path, pa.array(_covering(ref.path), type=pa.string()))
    if folder:
        below = ref.path if ref.path.endswith("/") else ref.path + "/"
        covers = pc.or_(covers, pc.starts_with(path, below))
    of_leaf = pc.is_in(pc.struct_field(given, "leaf"), pa.array(leaves, type=pa.int16()))
    rows = pc.list_parent_indices(inputs).filter(pc.and_(covers, of_leaf))
    return list(np.unique(np.asarray(rows)).tolist())


def _covering(path: str) -> list[str]:
    """Return a path and the directories that it lies in, the root too."""
    parts = path.strip("/").split("/")
    return ["/", *("/" + "/".join(parts[:size]) for size in range(1, len(parts) + 1))]


def _how(entry: Entry, leaves: list[int], ref: FileRef, *, folder: bool) -> How | None:
    """Say how a datum read a file that one of its inputs covers; None if it did not, as its notes on S3 show."""
    if entry.result.reads is None:
        return "read"
    known = decode_reads(entry.result.reads)
    names = {one.name for one in entry.inputs if one.leaf in leaves}
    if any(name not in known or known[name].observed is None for name in names):
        return "read"
    found = [_over_s3(known[name], ref.key, folder=folder) for name in names]
    return "looked-up" if "looked-up" in found else "listed" if "listed" in found else None


def _over_s3(read: Read, key: bytes, *, folder: bool) -> How | None:
    assert read.observed is not None, "asked only where there are notes"
    below = key + b"/" if key else b""
    if read.observed.found.get(key):
        return "looked-up"
    if folder and any(content and one.startswith(below) for one, content in read.observed.found.items()):
        return "looked-up"
    if any(_was_listed(one.prefix, key, folder=folder) for one in read.observed.listings):
        return "listed"
    return None


def _was_listed(prefix: bytes, key: bytes, *, folder: bool) -> bool:
    return key.startswith(prefix) or (folder and prefix.startswith(key))


def outputs_of(records: Records, node: DatumNode, *, limit: int) -> tuple[list[FileRef], int]:
    """Return the first files that a datum wrote into the output commit of its job, and how many more there are."""
    job = records.job(node.ref.pipeline, node.ref.job)
    output = None if job is None else records.tree(job.pipeline, job.id)
    if job is None or output is None:
        return [], 0
    results, folder = records.results(job), out_key(node.ref.datum)
    top = results.stat(folder, want="dir")
    keys = [row.key[len(folder) + 1 :] for row in islice(results.walk(folder), limit)]
    there = [FileRef(job.pipeline, job.id, key) for key in keys if output.stat(key, want="file") is not None]
    return there, max(0, (0 if top is None else top.count) - len(keys))
