"""A batch of files as the rows of pages: directories that are inlined whole are put in between, with their ids.

All directories of a batch at once: those that begin and end in it and have few rows are as many as there are files,
so none of them may cost a call. What is left are runs of direct children of larger directories.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from pfs.arrays import I64, U8, U64
from pfs.trees.kernel import folder_tids, gather, name_hashes
from pfs.trees.page_row import Kind
from pfs.trees.shape import Keys, Shape

_Value = TypeVar("_Value", bound=np.generic)


class Aux(NamedTuple):
    """Packed metadata of some rows: their numbers, ascending, the maps one behind the other, and where each ends."""

    rows: I64
    offsets: I64
    maps: bytes


class Files(NamedTuple):
    """The columns of a batch beside its keys."""

    kinds: U8
    sizes: U64
    tids: U8
    """32 columns."""
    aux: Aux | None


class Span(NamedTuple):
    """Rows of pages as columns; a group is a depth-0 row with those inlined below it."""

    names: bytes
    """Relative to the directory of the group, one behind the other."""
    offsets: I64
    """Where names begin, and the end."""
    kinds: U8
    depths: U8
    sizes: U64
    tids: U8
    folders: I64
    """Row numbers of directories, ascending; all inlined."""
    counts: U64
    """Files below each."""
    aux: Aux | None
    groups: I64
    """The first row of each group, and the number of rows."""
    runs: I64
    """The first group of each run of children of one directory, and the number of groups."""
    places: I64
    """Of each run: the file that is its first row, or the first below it."""
    bases: I64
    """Of each run: the length of the path of its directory, with the slash, in that file's key."""

    def hashes(self, first: int, last: int) -> U64:
        """Return what decides about cuts behind some groups."""
        rows = self.groups[first:last]
        return name_hashes(self.names, self.offsets[rows], self.offsets[rows + 1], 0)


class _Small(NamedTuple):
    """The directories that are inlined whole, in the order of a walk."""

    starts: I64
    ends: I64
    levels: I64
    cuts: I64
    top: U8
    """Whether the directory above is not one of them."""


def span_of(keys: Keys, shape: Shape, files: Files, *, inline: int) -> Span:
    """Return the rows of all keys but the first; ``shape`` is that of the same keys."""
    count = keys.rows - 1
    small = _small(shape, inline)
    rows, offsets = np.arange(count), keys.offsets[1:]
    above = _above(shape, small)
    bases = shape.bases(rows, above)
    place = rows + np.cumsum(np.bincount(small.starts, minlength=count)) if len(small.starts) else rows
    marker = small.starts + np.arange(len(small.starts))

    def column(of_files: I64, of_folders: I64) -> I64:
        return _interleaved(place, marker, of_files, of_folders)

    sums = np.concatenate((np.zeros(1, np.uint64), np.cumsum(files.sizes, dtype=np.uint64)))
    kinds = _interleaved(place, marker, files.kinds, np.full(len(marker), Kind.DIR, np.uint8))
    sizes = _interleaved(place, marker, files.sizes, sums[small.ends] - sums[small.starts])
    tids = _interleaved(place, marker, files.tids, np.zeros((len(marker), 32), np.uint8))
    begins = column(offsets[:-1] + bases, (offsets[:-1] + bases)[small.starts])
    stops = column(offsets[1:], offsets[small.starts] + small.cuts)
    depths = column(shape.depths - above, small.levels - 1 - above[small.starts])
    if len(marker):
        levels = column(shape.depths, small.levels - 1)
        inner = column(offsets[:-1] + shape.bases(rows, shape.depths), _own_names(offsets, shape, small))
        below = depths > 0
        _fold(keys.data, small, marker, _Inside(below, levels, inner, stops, kinds, sizes, tids))
    first_files = column(rows, small.starts)
    groups = np.flatnonzero(depths == 0)
    tops = first_files[groups]
    fresh = np.concatenate(([True], (above[tops][1:] != above[tops][:-1]) | (shape.shared[tops][1:] < above[tops][1:])))
    runs = np.flatnonzero(fresh)
    aux = None if files.aux is None else files.aux._replace(rows=place[files.aux.rows])
    return Span(
        names=gather(keys.data, begins, stops),
        offsets=np.concatenate(([0], np.cumsum(stops - begins))),
        kinds=kinds,
        depths=depths.astype(np.uint8),
        sizes=sizes,
        tids=tids,
        folders=marker,
        counts=(small.ends - small.starts).astype(np.uint64),
        aux=aux,
        groups=np.append(groups, len(depths)),
        runs=np.append(runs, len(groups)),
        places=tops[runs],
        bases=bases[tops[runs]],
    )


def _small(shape: Shape, inline: int) -> _Small:
    """Return the directories that end in the batch and have few rows below them, all others' inlined rows included."""
    inside = np.searchsorted(shape.starts, shape.ends) - np.arange(len(shape.starts)) - 1
    fits = (shape.ends >= 0) & (shape.ends - shape.starts + inside <= inline)
    starts, ends = shape.starts[fits], shape.ends[fits]
    covered = np.concatenate((np.zeros(1, np.int64), np.maximum.accumulate(ends)))[: len(ends)]
    return _Small(starts, ends, shape.levels[fits], shape.cuts[fits], (starts >= covered).astype(np.uint8))


def _above(shape: Shape, small: _Small) -> I64:
    """Return of each file how many directories are above its group."""
    above = shape.depths.copy()
    top = np.flatnonzero(small.top)
    if len(top):
        lengths = small.ends[top] - small.starts[top]
        before = np.cumsum(lengths) - lengths
        rows = np.arange(int(lengths.sum())) + np.repeat(small.starts[top] - before, lengths)
        above[rows] = np.repeat(small.levels[top] - 1, lengths)
    return above


def _own_names(offsets: I64, shape: Shape, small: _Small) -> I64:
    """Return where the last steps of directories begin."""
    return offsets[small.starts] + shape.bases(small.starts, small.levels - 1)


def _interleaved(
    place: I64, marker: I64, of_files: npt.NDArray[_Value], of_folders: npt.NDArray[_Value]
) -> npt.NDArray[_Value]:
    if not len(marker):
        return of_files
    merged = np.empty((len(place) + len(marker), *of_files.shape[1:]), of_files.dtype)
    merged[place] = of_files
    merged[marker] = of_folders
    return merged


class _Inside(NamedTuple):
    """Rows as directories have them as children."""

    below: npt.NDArray[np.bool_]
    """Whether the row is in an inlined directory."""
    levels: I64
    """The steps of the path of the directory that it is a child of."""
    begins: I64
    """Where its own name begins, and ends."""
    stops: I64
    kinds: U8
    sizes: U64
    tids: U8


def _fold(data: U8, small: _Small, marker: I64, rows: _Inside) -> None:
    """Set the ids of inlined directories, the deepest first."""
    for level in np.unique(small.levels)[::-1]:
        markers = marker[small.levels == level]
        children = np.flatnonzero(rows.below & (rows.levels == level))
        counts = np.diff(np.append(np.searchsorted(children, markers), len(children)))
        begins, stops = rows.begins[children], rows.stops[children]
        columns = rows.kinds[children].tobytes(), rows.sizes[children].tobytes(), rows.tids[children].tobytes()
        rows.tids[markers] = folder_tids(counts, gather(data, begins, stops), stops - begins, columns)
