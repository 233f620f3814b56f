"""What a task wrote to buckets goes to the repos of their names, in one publication with the end of its job.

The output holds it, a directory each (`BUCKETS`). A bucket gets what differs there from the output before, and what it
has lost since: so an object that was deleted comes again, although its datum was skipped. Where the head of the bucket
is the one that the last job left or looked at, which ``.meta`` has noted, nothing was lost, and nothing is looked for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from pfs.changes.publish import Publication
from pfs.changes.rebase import same_file
from pfs.changes.refusal import refuse_output
from pfs.errors import ConflictError, FailedError, NotFoundError, RepoNotFoundError
from pfs.files.reader import iter_range
from pfs.ids import CommitId, new_commit_id
from pfs.model import NewCommit, Provenance
from pfs.refs.body import BranchEntry, OpenEntry, RefsBody
from pfs.spout import CODE_BRANCH
from pfs.structs import ready
from pfs.trees.diff import diff
from pfs.trees.edit import Put
from pfs.trees.page import Changed
from pfs.trees.row import EMPTY_ROOT, Root, Row
from pfs.trees.tree import Tree
from pps.model.records import MARKS_DIR
from pps.scheduling.parts import edit_in_parts
from pps.spec.task import BUCKETS

if TYPE_CHECKING:
    from pfs.packs.session import WriteSession
    from pfs.refs.read import RefsState
    from pfs.store import Store
    from pps.model.records import JobRecord

BRANCH: Final = "master"
_TOP: Final = BUCKETS.encode()


class Mark(msgspec.Struct, frozen=True):
    """The head of a bucket that has all that its task wrote; ``born_ns``: when its repo was made. Stored as JSON."""

    born_ns: int
    head: CommitId


class Outputs(NamedTuple):
    """The output of a pipeline before a job and after it, and ``.meta`` before it; trees that a session can read."""

    before: Root
    after: Root
    meta: Root


class _Place(NamedTuple):
    """A bucket as it is: ``root`` is what its branch shows, ``open`` its open commit."""

    body: RefsBody
    head: CommitId | None
    root: Root
    open: CommitId | None


class Due(NamedTuple):
    """A bucket that gets ``root`` in the place of what it has; ``commit`` is the id that says so."""

    bucket: str
    place: _Place
    root: Root
    commit: CommitId


class BucketWrites:
    """What one job writes to buckets. One thread."""

    def __init__(self, session: WriteSession, outputs: Outputs, job: CommitId, *, changed: Changed) -> None:
        self._session, self._outputs, self._job, self._changed = session, outputs, job, changed
        after = Tree(session, outputs.after)
        self.names = tuple(row.key[len(_TOP) + 1 :].decode() for row in after.list(_TOP) if row.is_dir)
        """The buckets, by name."""

    def refuse(self, store: Store, inputs: Collection[str]) -> None:
        """Refuse buckets that no task may write to; the gateway has looked before, but repos change.

        Raises:
            FailedError: one is an input of the job, or computed by something else.
        """
        for bucket in self.names:
            if bucket in inputs:
                raise FailedError(f"bucket {bucket} cannot be written: it is an input of the job")
            with suppress(RepoNotFoundError):
                _refuse(bucket, store.refs.read(bucket).body)

    def due(self, store: Store) -> list[Due]:
        """Return the buckets that lack something, as they are in a store; what they get is in the session."""
        found = []
        for bucket in self.names:
            place = _place(store, bucket)
            puts = self._puts(store, bucket, place)
            root = edit_in_parts(self._session, place.root, puts, changed=self._changed, collisions="allow")
            if root != place.root:
                found.append(Due(bucket, place, root, self._commit_id(store, bucket, place)))
        return found

    def marks(self, store: Store, due: Collection[Due]) -> dict[bytes, bytes]:
        """Return what ``.meta`` is to note of all buckets, once those that are due have what they get."""
        heads = {one.bucket: (None if one.place.open else one.commit) for one in due}
        found = {}
        for bucket in self.names:
            place = _place(store, bucket)
            head = heads.get(bucket, place.head)
            if head is not None:
                found[MARKS_DIR + b"/" + bucket.encode()] = msgspec.json.encode(Mark(place.body.created, head))
        return found

    def publish(self, store: Store, due: Collection[Due], record: JobRecord, made_from: tuple[Provenance, ...]) -> None:
        """Put what is due on its branches, as made from some commits.

        The repos are there, and what the session holds is durable.
        """
        for one in due:
            # Some of it is of earlier jobs, whose results were taken over.
            self._session.borrow(None)
            publication = Publication(store, one.bucket, self._session)
            if one.place.open is not None:
                publication.update_open(one.place.open, partial(_root_for, one))
            else:
                publication.commit(partial(_just, _commit(one, record, made_from)))

    def _commit_id(self, store: Store, bucket: str, place: _Place) -> CommitId:
        """Return the job's id, so that what follows has it too; another one where the repo has a commit of that."""
        if place.open is not None:
            return place.open
        taken = self._job in place.body.open or store.history.find(bucket, self._job) is not None
        return new_commit_id() if taken else self._job

    def _puts(self, store: Store, bucket: str, place: _Place) -> Iterator[Put]:
        top, there = _TOP + b"/" + bucket.encode() + b"/", Tree(self._session, place.root)
        before, after = (Tree(self._session, root) for root in (self._outputs.before, self._outputs.after))
        for change in diff(self._session, before.root, self._session, after.root, prefix=top):
            row = change.new
            if row is not None and not same_file(there.stat(row.key[len(top) :], want="file"), row):
                yield _put(row, top)
        for row in self._lost(store, bucket, place, top):
            if same_file(before.stat(row.key, want="file"), row):  # else it was met above
                yield _put(row, top)

    def _lost(self, store: Store, bucket: str, place: _Place, top: bytes) -> Iterator[Row]:
        """Yield the task's objects that the bucket does not have."""
        after, mark = Tree(self._session, self._outputs.after), self._mark(store, bucket)
        if mark is not None and mark.born_ns == place.body.created and place.open is None:
            if mark.head == place.head:
                return
            marked = store.history.find(bucket, mark.head)
            if marked is not None:
                for change in diff(self._session, marked.tree_root(), self._session, place.root):
                    row = after.stat(top + change.key, want="file") if change.new is None else None
                    if row is not None:
                        yield row
                return
        there = Tree(self._session, place.root)
        for row in after.scan_prefix(top):
            if there.stat(row.key[len(top) :], want="file") is None:
                yield row

    def _mark(self, store: Store, bucket: str) -> Mark | None:
        row = Tree(self._session, self._outputs.meta).stat(MARKS_DIR + b"/" + bucket.encode(), want="file")
        if row is None:
            return None
        data = b"".join(iter_range(store.objects, row, jobs=1))
        with suppress(msgspec.DecodeError):
            return msgspec.json.decode(data, type=ready(Mark))
        return None


def make_repos(store: Store, due: Collection[str]) -> None:
    """Make the repos that are not there."""
    for bucket in due:
        store.create_repo(bucket, description="", exist_ok=True)


def _refuse(bucket: str, body: RefsBody) -> None:
    if CODE_BRANCH in body.branches:
        raise FailedError(f"bucket {bucket} cannot be written: it is the output of a pipeline")
    try:
        refuse_output(bucket, body, BRANCH)
    except ConflictError as error:
        raise FailedError(f"bucket {bucket} cannot be written: {error}") from error


def _place(store: Store, bucket: str) -> _Place:
    """Return a bucket as it is; one that is not there is empty.

    Raises:
        FailedError: it became something that no task may write to.
    """
    try:
        body = store.refs.read(bucket).body
    except NotFoundError:
        return _Place(RefsBody(), None, EMPTY_ROOT, None)
    _refuse(bucket, body)
    head, opened = body.branches.get(BRANCH, BranchEntry()).head, body.open_on(BRANCH)
    if opened is not None:
        return _Place(body, head, body.open[opened].tree_root(), opened)
    return _Place(body, head, EMPTY_ROOT if head is None else store.history.get(bucket, head).tree_root(), None)


def _commit(due: Due, record: JobRecord, made_from: tuple[Provenance, ...]) -> NewCommit:
    return NewCommit(
        branch=BRANCH,
        root=due.root,
        id=due.commit,
        started_ns=record.started_ns,
        parents=() if due.place.head is None else (due.place.head,),
        message=f"job of pipeline {record.pipeline}",
        provenance=made_from,
        origin="auto",
    )


def _root_for(due: Due, _: OpenEntry) -> Root:
    return due.root  # of a staged store, which nobody else changes


def _just(commit: NewCommit, _: RefsState) -> list[NewCommit]:
    return [commit]


def _put(row: Row, top: bytes) -> Put:
    return Put(row.key[len(top) :], row.kind, row.size, row.tid, row.aux, force=True)
