"""Which delivered files are those of versions that stay, and which were left by others: the notes, read side by side.

A place may be the same for many versions and targets, so what is not to be deleted is known by its address: 16 bytes
for each file that stays. What other pipelines left too is known by 8 bytes for each file that is late.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from pfs.ids import NO_PAGE
from pfs.trees.diff import diff
from pfs.trees.row import EMPTY_ROOT
from pps.egress.delivered import DELIVERED, Note, note_of
from pps.egress.send import Part
from pps.model.records import META_BRANCH
from pps.workflows.noted import folder_of, noted_files
from pps.workflows.output_history import OutputHistory, output_of

if TYPE_CHECKING:
    from pfs.store import Store
    from pfs.trees.row import Root, Row
    from pps.model.catalog import Pipeline
    from pps.spec.types import Egress
    from pps.workflows.expiry import Expiry


class Found(NamedTuple):
    """A note: its key in ``.meta``, its row, and where the file was delivered to."""

    key: bytes
    row: Row
    note: Note
    egress: Egress

    @property
    def output(self) -> str:
        """The output that the file is of."""
        return output_of(self.egress)


def living(history: OutputHistory, expiry: Expiry) -> Iterator[Found]:
    """Yield the notes of files of versions that stay; where versions share one, it may come again."""
    told, seen = set[str](), set[tuple[str, bytes, bytes]]()
    for left in history.left:
        if left.of is None or left.of in told:
            continue
        told.add(left.of)
        output = history.output(left.of)
        for target in sorted(history.targets_at(left.of) & history.deliveries.keys()):
            egress = history.deliveries[target]
            noted = history.tree(left.root).stat(folder_of(target), want="dir")
            part = output.stat(egress.path.strip("/").encode())
            if noted is None or part is None or left.of in expiry.of(output_of(egress)):
                continue
            shared = (target, bytes(noted.pid), bytes(part.tid))
            if noted.pid != NO_PAGE and shared in seen:
                continue
            seen.add(shared)
            whole = Part(history.store.objects, output, part.key)
            for row, note in noted_files(history.tree(left.root), target, whole, egress):
                yield Found(row.key, row, note, egress)


def all_left(history: OutputHistory) -> Iterator[Found]:
    """Yield every note that was ever taken and not dropped since, each time that it was another; newest first."""
    for row, note in _each(history.store, (left.root for left in history.left)):
        egress = history.deliveries.get(row.key.split(b"/", 2)[1].decode())
        if egress is not None:
            yield Found(row.key, row, note, egress)


def noted_by(store: Store, pipeline: Pipeline) -> Iterator[Note]:
    """Yield every note of a pipeline, of a workflow or not, that was not dropped since; see `all_left`."""
    if pipeline.meta is None:
        return
    records = store.history.first_parents(pipeline.name, pipeline.meta)
    roots = (one.tree_root() for one in takewhile(lambda one: one.branch == META_BRANCH, records))
    for _, note in _each(store, roots):
        yield note


def _each(store: Store, roots: Iterable[Root]) -> Iterator[tuple[Row, Note]]:
    newer = EMPTY_ROOT
    for root in roots:
        for change in diff(store.objects, newer, store.objects, root, prefix=DELIVERED + b"/"):
            note = None if change.new is None else note_of(change.new)
            if change.new is not None and note is not None:
                yield change.new, note
        newer = root


class Addresses:
    """What is at places on behalf of versions that stay."""

    def __init__(self, notes: Iterable[Note]) -> None:
        exact, urls = array("Q"), array("Q")
        for note in notes:
            exact.append(_word(note.url, note.version))
            urls.append(_word(note.url))
        self._exact, self._urls = _sorted(exact), _sorted(urls)

    def has(self, note: Note) -> bool:
        """Say whether what a note tells of, or what replaced it in its place, is one of these.

        Where there are versions, what it tells of is still there when it was replaced.
        """
        if note.version:
            return _is_in(self._exact, _word(note.url, note.version))
        return _is_in(self._urls, _word(note.url))


class Shared:
    """Which of some notes tell of what other pipelines noted as theirs too: the same object, as it is now.

    ``theirs`` is not read where there is none of ``mine``. Two notes of one place that tell of other contents, or of
    other versions, are not of the same object: at most one of them is still true.
    """

    def __init__(self, mine: Iterable[Note], theirs: Iterable[Note]) -> None:
        self._words = _sorted(array("Q", map(_object, mine)))
        self._is_shared = np.zeros(len(self._words), np.bool_)
        for note in theirs if len(self._words) else ():
            word = _object(note)
            if _is_in(self._words, word):
                self._is_shared[np.searchsorted(self._words, np.uint64(word))] = True

    def has(self, note: Note) -> bool:
        """Say whether another pipeline noted what one of these notes tells of."""
        word = _object(note)
        return _is_in(self._words, word) and bool(self._is_shared[np.searchsorted(self._words, np.uint64(word))])


def _object(note: Note) -> int:
    return _word(note.url, note.version, note.etag)


def _word(*texts: str) -> int:
    return int.from_bytes(blake2b("\0".join(texts).encode(), digest_size=8).digest(), "little")


def _sorted(words: array[int]) -> npt.NDArray[np.uint64]:
    return np.unique(np.frombuffer(words, np.uint64)) if words else np.empty(0, np.uint64)


def _is_in(words: npt.NDArray[np.uint64], word: int) -> bool:
    at = int(np.searchsorted(words, np.uint64(word)))
    return at < len(words) and int(words[at]) == word
