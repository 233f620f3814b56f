"""What becomes of delivered files of one task: deleted with their version, moved to another class after some days."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from pfs.errors import FailedError, PfsError
from pfs.ids import CommitId
from pfs.lifecycle.revising import revise
from pfs.trees.edit import Delete, Put
from pps.egress.delivered import Note, note_of, noted
from pps.model.records import META_BRANCH
from pps.scheduling.deliveries import settings_of
from pps.transfers.aftercare import Aftercare, Left, open_aftercare
from pps.workflows.expiry import Expiry
from pps.workflows.left_notes import Addresses, Found, Shared, all_left, living
from pps.workflows.output_history import OutputHistory
from pps.workflows.types import Keep

if TYPE_CHECKING:
    from pfs.lifecycle.revising import Edits, Strip
    from pfs.packs.commit_record import CommitRecord
    from pfs.trees.edit import Edit
    from pfs.trees.tree import Tree

_BATCH: Final = 1024
_PARALLEL: Final = 16
_DAY_NS: Final = 86_400 * 10**9
_CLASS: Final = "s"
"""In the metadata of a note: the storage class that the object was moved to; empty: it was not ours to move."""


class Done(NamedTuple):
    """What became of one file; ``reason``: why it is trouble, with a ``storage_class`` that of moving it there."""

    what: Literal["object", "class", "trouble"]
    found: Found
    storage_class: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Change:
    """What becomes of a note, and what to tell of it; ``after`` None: the note goes."""

    found: Found
    done: Done | None
    after: Note | None = None
    storage_class: str = ""
    is_settled: bool = True
    """Whether the note is to change; not after trouble, nor for what is only looked at."""


class DeliveredLife:
    """One task's delivered files. ``keep``: how long an output stays.

    ``others`` yields what all other pipelines noted as theirs, which may be in the same places. An object that another
    one noted too stays as it is: the last one whose note it is deletes it.
    What was done is noted after each 1,024 files, so that it is not looked at again.
    """

    def __init__(
        self,
        history: OutputHistory,
        expiry: Expiry,
        keep: Callable[[str], Keep],
        *,
        others: Callable[[], Iterator[Note]],
        now_ns: int,
        dry_run: bool,
    ) -> None:
        self._history, self._expiry, self._keep, self._others = history, expiry, keep, others
        self._now_ns, self._dry_run = now_ns, dry_run
        self._shared = Shared((), ())
        self._open: dict[str, Aftercare] = {}
        self._closed: dict[str, str] = {}
        """Why places cannot be asked at all."""
        self._finished: dict[CommitId, int | None] = {}

    def run(self) -> Iterator[Done]:
        """Do it, and yield what was done. Memory: that of `Addresses`, and what is under way."""
        outputs = {found.path.strip("/") for found in self._history.deliveries.values()}
        keeps = [self._keep(output) for output in outputs]
        try:
            if any(keep.delivered == "delete" for keep in keeps):
                self._shared = self._shared_of(self._late())
                yield from self._in_batches(self._late(), self._deleted)
            if any(keep.class_days for keep in keeps):
                self._shared = self._shared_of(self._aged())
                aged = (found for found in self._aged() if not self._shared.has(found.note))
                yield from self._in_batches(aged, self._moved)
        finally:
            for one in self._open.values():
                one.close()

    def _shared_of(self, founds: Iterator[Found]) -> Shared:
        return Shared((found.note for found in founds), self._others())

    def _late(self) -> Iterator[Found]:
        """Yield what was left by versions that are gone or expired."""
        staying = Addresses(found.note for found in living(self._history, self._expiry))
        for found in all_left(self._history):
            if self._keep(found.output).delivered == "delete" and not staying.has(found.note):
                yield found

    def _aged(self) -> Iterator[Found]:
        met = set[Note]()
        for found in living(self._history, self._expiry):
            keep = self._keep(found.output)
            at_ns = self._finished_ns(found.note.job)
            is_due = keep.class_days and at_ns is not None and at_ns < self._now_ns - keep.class_days * _DAY_NS
            is_done = found.note in met or _CLASS in (found.row.aux or {})
            if is_due and found.note.url.startswith("s3:") and not is_done:
                met.add(found.note)  # versions share notes
                yield found

    def _finished_ns(self, job: CommitId) -> int | None:
        if job not in self._finished:
            record = self._history.store.history.find(self._history.pipeline.name, job)
            self._finished[job] = None if record is None else record.finished_ns
        return self._finished[job]

    def _in_batches(self, founds: Iterator[Found], act: Callable[[Found], _Change]) -> Iterator[Done]:
        with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="life") as pool:
            while batch := list(islice(founds, _BATCH)):
                for found in batch:
                    self._care(found)
                first, others = _by_object(batch)
                changes = list(pool.map(act, first))
                # What two targets left in one place is done once, and both notes know of it.
                changes += map(act, () if self._dry_run else others)
                settled = [one for one in changes if one.is_settled]
                if settled and not self._dry_run:
                    revise(self._history.store, self._history.pipeline.name, _noting(settled))
                yield from (one.done for one in changes if one.done is not None)

    def _care(self, found: Found) -> None:
        """Open the place of a file, as the egress says, once; what is wrong with it is met by each file."""
        key = self._key(found)
        if key in self._open or key in self._closed:
            return
        try:
            secret = settings_of(self._history.store, found.egress)
            self._open[key] = open_aftercare(found.note.url, found.egress.levers, secret, below=found.egress.url)
        except PfsError as error:
            self._closed[key] = str(error)

    def _place(self, found: Found) -> Aftercare:
        key = self._key(found)
        if key in self._closed:
            raise FailedError(self._closed[key])
        return self._open[key]

    def _key(self, found: Found) -> str:
        return found.key.split(b"/", 2)[1].decode()

    def _deleted(self, found: Found) -> _Change:
        if self._shared.has(found.note):
            return _Change(found, None)
        try:
            care = self._place(found)
            is_ours = care.is_left(_left(found)) if self._dry_run else care.delete(_left(found))
        except PfsError as error:
            return _Change(found, Done("trouble", found, reason=str(error)), is_settled=False)
        return _Change(found, Done("object", found) if is_ours else None)

    def _moved(self, found: Found) -> _Change:
        wanted = self._keep(found.output).storage_class
        try:
            care = self._place(found)
            if self._dry_run:
                done = Done("class", found, wanted) if care.is_left(_left(found)) else None
                return _Change(found, done, is_settled=False)
            moved = care.move(_left(found), wanted)
        except PfsError as error:
            return _Change(found, Done("trouble", found, wanted, str(error)), is_settled=False)
        if moved is None:
            return _Change(found, None, found.note)
        note = found.note
        after = Note(note.url, moved.etag, moved.version, note.size, note.content, note.job)
        return _Change(found, Done("class", found, wanted), after, wanted)


def _by_object(batch: Iterable[Found]) -> tuple[list[Found], list[Found]]:
    """Return one note of each object, and those that tell of one of these again."""
    first: dict[tuple[str, str], Found] = {}
    others = []
    for found in batch:
        key = (found.note.url, found.note.version)
        if key in first:
            others.append(found)
        first.setdefault(key, found)
    return list(first.values()), others


def _left(found: Found) -> Left:
    note = found.note
    return Left(note.url, note.etag, note.version, note.size)


def _noting(changes: Iterable[_Change]) -> Edits:
    """Return what drops or changes notes wherever they are the same."""
    by_key: dict[bytes, list[_Change]] = {}
    for one in changes:
        by_key.setdefault(one.found.key, []).append(one)

    def edits(record: CommitRecord, tree: Tree, strip: Strip) -> Iterator[Edit]:
        for key, several in by_key.items() if record.branch == META_BRANCH else ():
            row = tree.stat(key, want="file")
            note = None if row is None else note_of(row)
            one = next((one for one in several if one.found.note == note), None)
            if row is None or one is None:
                continue
            if one.after is None:
                yield Delete(key)
            else:
                aux = {**noted(one.after), _CLASS: one.storage_class}
                yield Put(key, row.kind, row.size, row.tid, aux, changed=row.changed)

    return edits
