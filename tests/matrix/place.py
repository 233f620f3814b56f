"""Where a scenario happens: a machine's folder and an object store, made once and copied for each point."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Final, Literal
from unittest.mock import patch

import pfs
from pfs.backends.base import Backend
from pfs.backends.local import LocalBackend
from pfs.config import FOLDER, LOCAL_OBJECTS, OBJECT_CONFIG
from pfs.store import INDEX, Store
from pfs.testing.bucket import BucketBackend

Style = Literal["local", "disk", "bucket"]
"""A folder whose calls fail; one whose system calls do; a bucket."""
HOUR_NS: Final = 3_600_000_000_000


@dataclass
class Ticks:
    """A clock that begins now, as files are dated by now, and goes on by a microsecond whenever it is looked at."""

    now_ns: int = field(default_factory=time.time_ns)

    def __call__(self) -> int:
        self.now_ns += 1_000
        return self.now_ns


@dataclass
class Place:
    """One machine, ``top``, and the object store that it uses; other folders in ``top`` are a scenario's own."""

    style: Style
    top: Path
    objects: Backend
    clock: Ticks = field(default_factory=Ticks)

    @property
    def folder(self) -> Path:
        return self.top / FOLDER

    @property
    def has_store(self) -> bool:
        return self.objects.read(OBJECT_CONFIG) is not None

    @contextmanager
    def open(self, backend: Backend | None = None) -> Iterator[Store]:
        """Open the store, over another backend if one is given."""
        with Store(self.folder, backend=backend or self.objects, clock_ns=self.clock) as store:
            yield store

    def reboot(self) -> Place:
        """Return who finds what was left, an hour later: the same machine, or, of a bucket, a new one without an index.

        So does the same machine after its power was cut, whose index is not to be trusted.
        """
        self.clock.now_ns += HOUR_NS
        return self.machine("new") if self.style == "bucket" else self

    def machine(self, name: str) -> Place:
        """Return another machine over the same objects, with what was prepared on this one but the index."""
        top = self.top.with_name(f"{self.top.name}-{name}")
        if not top.exists():
            shutil.copytree(self.top, top, ignore=shutil.ignore_patterns(INDEX, "cache", "run"))
        return Place(self.style, top, self.objects, self.clock)

    def forget_index(self) -> None:
        shutil.rmtree(self.folder / INDEX, ignore_errors=True)


class _InOrder:
    """Stands in for `os` where pack ids are made: they come in the order of making, and each pack has its own folder.

    What collection writes depends on the order of packs, and what a disk is asked for on their folders.
    """

    def __init__(self) -> None:
        self._numbers = count(1)

    def urandom(self, size: int) -> bytes:
        return next(self._numbers).to_bytes(size, "big")


_IN_ORDER: Final = _InOrder()


def steady() -> AbstractContextManager[object]:
    """Return what makes two runs of the same work write the same, call by call, while it is entered."""
    return patch("pfs.ids.os", _IN_ORDER)


class Prepared:
    """A place as it is before a scenario; `fresh` copies it."""

    def __init__(self, style: Style, top: Path, prepare: Callable[[Store, Path], object]) -> None:
        """``prepare`` gets the store and the folder of the machine."""
        self._top = top
        pfs.init(top).close()
        bucket = BucketBackend()
        if style == "bucket":
            bucket.put_new(OBJECT_CONFIG, _objects(top).get(OBJECT_CONFIG))
            shutil.rmtree(top / FOLDER / LOCAL_OBJECTS)
        self._place = Place(style, top, bucket if style == "bucket" else _objects(top))
        bucket._clock_ns = self._place.clock
        with steady(), self._place.open() as store:
            prepare(store, top)
        self._place.clock.now_ns += HOUR_NS

    def fresh(self, top: Path) -> Place:
        """Return a copy, in a folder that is not there yet."""
        shutil.copytree(self._top, top)
        made = Place(self._place.style, top, self._place.objects, Ticks(self._place.clock.now_ns))
        if isinstance(made.objects, BucketBackend):
            made.objects = made.objects.copy()
            made.objects._clock_ns = made.clock
        else:
            made.objects = _objects(top)
        return made


def _objects(top: Path) -> LocalBackend:
    return LocalBackend(top / FOLDER / LOCAL_OBJECTS)
