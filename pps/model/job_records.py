"""The jobs of one pipeline as its ``.meta`` tree holds them, read only as far as somebody asks.

``/order`` has an empty file for each job, named by its number and id, so that the newest are found without the others.
A tree that an older release wrote has none: its records are all read once, and the next job puts their names there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Final, overload

from pfs.ids import CommitId, TreeId
from pfs.lru import Lru
from pfs.trees.tree import Tree
from pps.model.records import DELETED_DIR, JOBS_DIR, META_BRANCH, ORDER_DIR, JobRecord, decode_job, id_of, job_key

if TYPE_CHECKING:
    from pfs.store import Store
    from pfs.trees.row import Root, Row

_KEPT_BYTES: Final = 16 << 20

RecordCache = Lru[TreeId, JobRecord]
"""Records by their content, weighed by their bytes."""


def record_cache() -> RecordCache:
    """Return an empty cache."""
    return Lru(_KEPT_BYTES)


class JobRecords(Sequence[JobRecord]):
    """Jobs, the oldest first. Going backwards reads one record a step, everything else but `find` reads all.

    ``version``: only the jobs of that version. Immutable; any thread.
    """

    def __init__(self, store: Store, repo: str, root: Root, *, cache: RecordCache, version: int | None = None) -> None:
        self._store, self._repo, self._root, self._cache = store, repo, root, cache
        self._version = version

    def of_version(self, version: int) -> JobRecords:
        """Return the jobs of one version alone."""
        return JobRecords(self._store, self._repo, self._root, cache=self._cache, version=version)

    def __iter__(self) -> Iterator[JobRecord]:
        """Yield all, the oldest first."""
        if not self.is_ordered:
            return iter(self._unordered())
        return self._counted(self._read(id_of(row)) for row in self._tree.list(ORDER_DIR))

    def __reversed__(self) -> Iterator[JobRecord]:
        """Yield all, the newest first; each is read when it is asked for."""
        if not self.is_ordered:
            return reversed(self._unordered())
        rows = self._tree.list_back(ORDER_DIR)
        return self._counted(self._read(id_of(row)) for row in rows)

    def __len__(self) -> int:
        """Return how many there are."""
        return sum(1 for _ in self)

    def __bool__(self) -> bool:
        """Whether there are any; reads one."""
        return next(reversed(self), None) is not None

    @overload
    def __getitem__(self, index: int) -> JobRecord: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[JobRecord]: ...

    def __getitem__(self, index: int | slice) -> JobRecord | Sequence[JobRecord]:
        """Return some; the last one without reading the others."""
        if index == -1 and (newest := self.newest) is not None:
            return newest
        return list(self)[index]

    @property
    def newest(self) -> JobRecord | None:
        """The job of the highest number."""
        return next(reversed(self), None)

    @property
    def next_number(self) -> int:
        """The number that the next job gets."""
        newest = self.newest
        return 1 if newest is None else newest.number + 1

    def find(self, job: CommitId) -> JobRecord | None:
        """Return one by its id."""
        found = self._read(job)
        return None if found is None or not self._counts(found) else found

    @cached_property
    def deleted(self) -> frozenset[str]:
        """The jobs that were deleted, and whose records later ones go on from; nobody is shown them."""
        names = (row.key.rpartition(b"/")[2] for row in self._tree.list(DELETED_DIR))
        return frozenset(name.decode() for name in names)

    @property
    def newest_shown(self) -> JobRecord | None:
        """The job of the highest number that was not deleted."""
        return next((job for job in reversed(self) if job.id not in self.deleted), None)

    def beginning(self, ref: str) -> Iterator[JobRecord]:
        """Yield jobs whose id begins like that, in the order of ids."""
        for row in self._tree.scan_prefix(b"%s/%s" % (JOBS_DIR, ref.encode())):
            folder, _, name = row.key.rpartition(b"/")
            if name == b"job.json" and (found := self.find(CommitId(folder.rpartition(b"/")[2].decode()))) is not None:
                yield found

    @property
    def is_ordered(self) -> bool:
        """Whether the names in ``/order`` are there; also of no jobs at all."""
        tree = self._tree
        return tree.stat(ORDER_DIR, want="dir") is not None or tree.stat(JOBS_DIR, want="dir") is None

    @property
    def _tree(self) -> Tree:
        return Tree(self._store.objects, self._root)

    def _counts(self, record: JobRecord) -> bool:
        return self._version is None or record.version == self._version

    def _counted(self, records: Iterator[JobRecord | None]) -> Iterator[JobRecord]:
        return (record for record in records if record is not None and self._counts(record))

    def _unordered(self) -> list[JobRecord]:
        ids = [CommitId(row.key.rpartition(b"/")[2].decode()) for row in self._tree.list(JOBS_DIR)]
        return sorted(self._counted(map(self._read, ids)), key=lambda job: job.number)

    def _read(self, job: CommitId) -> JobRecord | None:
        row = self._tree.stat(job_key(job), want="file")
        if row is None:
            return None
        known = self._cache.get(row.tid)
        if known is None:
            data = read_row(self._store, row)
            known = decode_job(data, where=f"{self._repo}@{META_BRANCH}:/{row.key.decode()}")
            self._cache.put(row.tid, known, weight=len(data))
        return known


def read_row(store: Store, row: Row) -> bytes:
    """Return the bytes of a file by its row."""
    from pfs.files.reader import FileReader

    with FileReader(store.objects, row) as reader:
        return reader.readall()
