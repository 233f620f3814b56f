"""Where the record of a commit is, from what its child's record or refs say of it.

They name a meta pack, and that may be gone: collection copies what lives in it to other packs. The id of the record,
which children know too, then leads there over the index.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from pfs.errors import MissingObjectError, NotFoundError
from pfs.ids import CommitId, PackId
from pfs.packs.commit_record import NO_RECORD, CommitRecord, RecordLink, decode_record, encode_record
from pfs.packs.index import Index
from pfs.packs.objects import Objects
from pfs.packs.pack import pack_name
from pfs.refs.body import RefsBody
from pfs.refs.edges import record_home


class Found(Struct, frozen=True):
    """A commit record, and the meta pack it was read from."""

    record: CommitRecord
    pack: PackId

    def row(self) -> tuple[str, CommitId, bytes]:
        """Return the index row: the pack's 16 bytes, then the record."""
        return self.record.repo, self.record.id, self.pack + encode_record(self.record)


class Linked:
    """Reads records of a repo by links; ``learn`` indexes all packs that are unknown yet, once at most."""

    def __init__(self, objects: Objects, index: Index, repo: str, *, learn: Callable[[], object]) -> None:
        self._repo, self._objects, self._index, self._learn = repo, objects, index, learn
        self._learned = False

    def read(self, body: RefsBody, link: RecordLink) -> Found:
        """Return the record of a commit: what refs say of its place counts, else what the link says.

        Raises:
            MissingObjectError: it is in no pack.
            CorruptionError: it is damaged.
            StorageError: it cannot be read.
        """
        rewritten = record_home(body, link.commit)
        pack = link.pack if rewritten is None else rewritten
        try:
            return Found(self._objects.record(pack, self._repo, link.commit), pack)
        except MissingObjectError:
            moved = None if rewritten is not None or link.record == NO_RECORD else self._find(link)
            if moved is None:
                raise
            return moved

    def _find(self, link: RecordLink) -> Found | None:
        place = self._index.find([link.record])[0]
        if place is None and not self._learned:
            self._learned = True
            self._learn()
            place = self._index.find([link.record])[0]
        if place is None:
            return None
        pack, kind = self._index.pack(place.pack_no)
        name = pack_name(pack, kind)
        try:
            found = self._objects.record_at(name, place.offset)
        except NotFoundError as error:
            raise MissingObjectError(f"commit {link.commit[:12]}", f"its pack {name} is gone") from error
        return None if found.id != link.record else Found(decode_record(found.payload, where=name), pack)
