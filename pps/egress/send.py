"""Sending the files of a tree to a target: what changed since the last time, and what is not there any more."""

from __future__ import annotations

import mimetypes
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import tee
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, cast

from pfs.files.reader import FileReader
from pfs.trees.diff import diff
from pfs.trees.page import Kind
from pps.egress.target import Sending, Target

if TYPE_CHECKING:
    from pfs.packs.objects import Objects
    from pfs.trees.row import Row
    from pfs.trees.tree import Tree

PARALLEL = 8
_AHEAD = 4 * PARALLEL


class Sent(NamedTuple):
    """How much was sent, and how many files were there already."""

    files: int
    size: int
    there: int


class Stopped(Exception):  # noqa: N818 - no error: somebody wanted it
    """The sending was stopped half-way."""


def send(objects: Objects, tree: Tree, target: Target, *, before: Tree | None, stop: threading.Event) -> Sent:
    """Send all files of a tree to a target; those that are as in ``before`` and there with their size are left alone.

    ``before``: what was sent there last, None if nothing is known of that. Nothing is deleted there. Several files at a
    time; memory: some MiB for each, and a row for each of those that wait. May be done again after any failure.

    Raises:
        Stopped: ``stop`` was set.
        StorageError, FailedError: of the target; others may have been sent. CorruptionError: a file cannot be read.
    """
    files = size = there = 0
    waiting: deque[Future[int]] = deque()
    with ThreadPoolExecutor(PARALLEL, thread_name_prefix="egress") as pool:
        try:
            for row, wanted in _rows(tree, target, before):
                check(stop)
                if not wanted:
                    there += 1
                    continue
                waiting.append(pool.submit(_send_one, objects, row, target, stop=stop))
                if len(waiting) >= _AHEAD:
                    size += waiting.popleft().result()
                    files += 1
            while waiting:
                size += waiting.popleft().result()
                files += 1
        except BaseException:
            for one in waiting:
                one.cancel()
            raise
    return Sent(files, size, there)


def check(stop: threading.Event) -> None:
    """Raise Stopped if it was set."""
    if stop.is_set():
        raise Stopped


def _rows(tree: Tree, target: Target, before: Tree | None) -> Iterator[tuple[Row, bool]]:
    """Yield each file with whether it has to be sent."""
    rows = (row for row in tree.walk() if row.kind != Kind.REMOVED)
    if before is None:
        yield from ((row, True) for row in rows)
        return
    left, right = tee(rows)
    changes = (one.new.key for one in diff(before.pages, before.root, tree.pages, tree.root) if one.new is not None)
    changed = next(changes, None)
    for row, size in zip(left, target.sizes(row.key for row in right), strict=True):
        while changed is not None and changed < row.key:
            changed = next(changes, None)
        yield row, changed == row.key or size != row.size


class _Watched:
    """A file's bytes, until somebody says stop."""

    def __init__(self, body: FileReader, stop: threading.Event) -> None:
        self._body, self._stop = body, stop

    def read(self, size: int = -1, /) -> bytes:
        check(self._stop)
        pieces: list[bytes] = []
        while size and (piece := self._body.read(size)):
            pieces.append(piece)
            size -= len(piece) if size > 0 else 0
        return b"".join(pieces)


def _send_one(objects: Objects, row: Row, target: Target, *, stop: threading.Event) -> int:
    check(stop)
    aux = row.aux or {}
    mime, metadata = aux.get("m"), aux.get("u")
    sending = Sending(
        row.key,
        row.size,
        mime if isinstance(mime, str) else mimetypes.guess_type(row.key.decode(errors="replace"))[0],
        {str(name): str(value) for name, value in metadata.items()} if isinstance(metadata, dict) else None,
    )
    with FileReader(objects, row) as body:
        target.put(sending, cast("BinaryIO", _Watched(body, stop)))  # it is read, and nothing else
    return row.size
