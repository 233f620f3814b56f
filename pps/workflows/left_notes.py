"""Which delivered files are those of versions that stay, and which were left by others: the notes, read side by side.

A place may be the same for many versions and targets, so what is not to be deleted is known by its address: 16 bytes
for each file that stays.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from pfs.ids import NO_PAGE
from pfs.trees.diff import diff
from pfs.trees.row import EMPTY_ROOT
from pps.egress.delivered import DELIVERED, Note, note_of
from pps.egress.send import Part
from pps.workflows.noted import folder_of, noted_files
from pps.workflows.output_history import OutputHistory, output_of

if TYPE_CHECKING:
    from pfs.trees.row import Row
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
    newer = EMPTY_ROOT
    for left in history.left:
        objects = history.store.objects
        for change in diff(objects, newer, objects, left.root, prefix=DELIVERED + b"/"):
            row = change.new
            note = None if row is None else note_of(row)
            egress = None if row is None else history.deliveries.get(row.key.split(b"/", 2)[1].decode())
            if row is not None and note is not None and egress is not None:
                yield Found(row.key, row, note, egress)
        newer = left.root


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


def _word(*texts: str) -> int:
    return int.from_bytes(blake2b("\0".join(texts).encode(), digest_size=8).digest(), "little")


def _sorted(words: array[int]) -> npt.NDArray[np.uint64]:
    return np.unique(np.frombuffer(words, np.uint64)) if words else np.empty(0, np.uint64)


def _is_in(words: npt.NDArray[np.uint64], word: int) -> bool:
    at = int(np.searchsorted(words, np.uint64(word)))
    return at < len(words) and int(words[at]) == word
