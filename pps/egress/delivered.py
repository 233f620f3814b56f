"""What was delivered where: a note for each file, in ``.meta`` below ``/delivered/<target>/<path>``.

The notes of one target are a tree of their own while a job sends, and a directory of ``.meta`` once it ended. A note is
the row of an empty file, whose metadata have it under ``d`` (docs/format/tree.md).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from pfs.files.ingest import put_stream
from pfs.ids import NO_PAGE, CommitId
from pfs.trees.edit import Edit, Put, copy_dir, edit
from pfs.trees.row import EMPTY_ROOT, Root, Row
from pfs.trees.tree import Tree
from pps.spec.types import Egress
from pps.spec.write import levers_document

if TYPE_CHECKING:
    from pfs.store import Store

DELIVERED: Final = b"delivered"
_FIELD: Final = "d"
_BATCH: Final = 1024


@dataclass(frozen=True, slots=True)
class Note:
    """One file as it was left: where, what the place says of it, and what it is a copy of.

    ``content``: `content_id` of the file. ``job``: the one that sent it. ``version``: of the object, empty without.
    """

    url: str
    etag: str
    version: str
    size: int
    content: str
    job: CommitId


def target_id(egress: Egress) -> str:
    """Return the name of a target: another one as soon as anything of its spec is other."""
    document = {"url": egress.url, "secret": egress.secret, "path": egress.path, **levers_document(egress.levers)}
    return hashlib.blake2b(json.dumps(document, sort_keys=True).encode(), digest_size=8).hexdigest()


def content_id(row: Row) -> str:
    """Return what tells a file's content, and what the store says of it, from others."""
    said = {name: value for name, value in (row.aux or {}).items() if name in {"m", "u"}}
    if not said:
        return row.tid.hex()
    return hashlib.blake2b(row.tid + json.dumps(said, sort_keys=True).encode(), digest_size=32).hexdigest()


def note_of(row: Row) -> Note | None:
    """Return the note that a row holds; None for one that is none."""
    try:
        url, etag, version, size, content, job = msgspec.convert(
            (row.aux or {}).get(_FIELD), tuple[str, str, str, int, str, str]
        )
    except msgspec.ValidationError:
        return None
    return Note(url, etag, version, size, content, CommitId(job))


def noted(note: Note) -> dict[str, object]:
    """Return the metadata of a row that hold a note."""
    return {_FIELD: [note.url, note.etag, note.version, note.size, note.content, note.job]}


def find_delivered(meta: Tree) -> Iterator[tuple[str, str, Note]]:
    """Yield target, path below the part that was sent, and note, of all that a pipeline's ``.meta`` tree knows."""
    for row in meta.walk(DELIVERED):
        _, target, path = row.key.split(b"/", 2)
        note = note_of(row)
        if note is not None:
            yield target.decode(), path.decode(errors="replace"), note


class Notes:
    """The notes of one target while it is sent to; one thread. ``meta``: what the last job left, None for nothing."""

    def __init__(self, store: Store, meta: Tree | None, target: str) -> None:
        import io

        self.session = store.session()
        self.key = DELIVERED + b"/" + target.encode()
        self._empty = put_stream(self.session, store.params, io.BytesIO(b""), jobs=1)
        self._waiting: dict[bytes, Edit] = {}
        self._root = EMPTY_ROOT if meta is None else self._taken(meta)
        self.has_news = False

    def _taken(self, meta: Tree) -> Root:
        row = meta.stat(self.key, want="dir")
        if row is None:
            return EMPTY_ROOT
        if row.pid != NO_PAGE:
            return Root(row.pid, row.tid, row.size, row.count)
        rows = ((one, one.key[len(self.key) + 1 :]) for one in meta.walk(self.key))
        puts = [Put(path, one.kind, one.size, one.tid, one.aux) for one, path in rows]
        return edit(self.session, EMPTY_ROOT, puts, changed=None, collisions="allow")

    def walk(self) -> Iterator[tuple[bytes, Note]]:
        """Yield the notes in the order of their paths, as they are now."""
        self._flush()
        for row in Tree(self.session, self._root).walk():
            note = note_of(row)
            if note is not None:
                yield row.key, note

    def add(self, path: bytes, note: Note) -> None:
        """Note a file."""
        ref = self._empty
        self._waiting[path] = Put(path, ref.kind, ref.size, ref.tid, noted(note))
        self.has_news = True
        if len(self._waiting) >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        edits = list(self._waiting.values())
        self._waiting = {}
        if edits:
            self._root = edit(self.session, self._root, edits, changed=None, collisions="allow")

    def edits(self) -> list[Edit]:
        """Return what puts the notes into ``.meta``, for a session that has adopted this one's."""
        self._flush()
        return copy_dir(Tree(self.session, self._root), b"", self.key)
