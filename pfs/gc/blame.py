"""Saying which pack is damaged, also when its copy was found damaged before and the index knows it no more."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from pfs.errors import MissingObjectError
from pfs.gc.survey import footers

if TYPE_CHECKING:
    from pfs.store import Store


@contextmanager
def blaming(store: Store) -> Iterator[None]:
    """Let an error about a missing object be that of its damaged copy, if a pack has one; reads all footers then.

    Raises:
        CorruptionError: the copy is damaged, as it was told when that was first read.
        MissingObjectError: there is none.
    """
    try:
        yield
    except MissingObjectError as error:
        _read_copies(store, error.where)
        raise


def _read_copies(store: Store, where: str) -> None:
    """Read every record of an object, given as errors name it; raises CorruptionError at a damaged one."""
    match = re.search(r"\b([0-9a-f]{12})\Z", where)
    if match is None:
        return
    start = np.frombuffer(bytes.fromhex(match[1]), np.uint8)
    for entry, pack in footers(store, list(store.backend.entries("packs/")), []):
        ids = np.ascontiguousarray(pack.entries["id"]).view(np.uint8).reshape(-1, 32)
        for row in np.flatnonzero((ids[:, : len(start)] == start).all(axis=1)).tolist():
            store.objects.record_at(entry.name, int(pack.entries["off"][row]))
