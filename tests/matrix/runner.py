"""Breaks every write of a scenario in every way: old state or new state, never a third, and it can be done again."""

from __future__ import annotations

import errno
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from pfs.errors import PfsError
from pfs.testing.faults import FaultyBackend, How
from pfs.testing.passing import REQUESTS, WRITES
from pfs.testing.syscalls import GROWS, Syscalls
from pfs.upkeep.check import fsck
from tests.matrix.place import Place, Prepared, Style, steady
from tests.matrix.scenario import Scenario
from tests.matrix.state import State, differences, known_ids


@dataclass(frozen=True)
class Way:
    """A way to fail: ``how`` of a backend's call, or ``code`` of a system call."""

    name: str
    says: str
    styles: tuple[Style, ...]
    how: How = How.BEFORE
    code: int = 0
    dead: bool = False
    """Nothing works afterwards, as nobody is there any more."""
    stays: bool = False
    lost: Callable[[random.Random], bool] | None = None
    """The power is cut, and this says of what was not synced whether it is lost."""
    calls: frozenset[str] = WRITES | {"writev", "fdatasync", "fsync", "link", "replace", "unlink", "mkdir"}


def _all(_: random.Random) -> bool:
    return True


def _half(rng: random.Random) -> bool:
    return rng.random() < 0.5


SYNCS = frozenset({"fdatasync", "fsync"})
TEARS = frozenset({"write", "delete_many", "set_tier"})
WAYS = (
    Way("failed", "the call fails and did nothing", ("local", "bucket")),
    Way("reply lost", "it did its work, and the caller sees an error", ("local", "bucket"), How.AFTER),
    Way("torn", "half of it is done, and the process is dead", ("local", "bucket"), How.MIDDLE, dead=True, calls=TEARS),
    Way("killed", "it did its work, and the process is dead", ("local", "bucket"), How.AFTER, dead=True),
    Way("disk full", "half of it is done; from then on nothing but deleting works", ("local",), How.FULL, stays=True),
    Way("read-only", "no write works from the first on", ("local",), How.READ_ONLY, stays=True),
    Way(
        "I/O error", "a system call, fsync too, fails once; then the power is cut", ("disk",), code=errno.EIO, lost=_all
    ),
    Way(
        "no space",
        "no system call that needs room works any more",
        ("disk",),
        code=errno.ENOSPC,
        stays=True,
        calls=GROWS,
    ),
    Way(
        "power cut",
        "before a sync: what was not synced is gone, the index with it",
        ("disk",),
        code=errno.EIO,
        dead=True,
        lost=_all,
        calls=SYNCS,
    ),
    Way(
        "power cut, some kept",
        "before a sync: of what was not synced half is gone",
        ("disk",),
        code=errno.EIO,
        dead=True,
        lost=_half,
        calls=SYNCS,
    ),
)


@dataclass(frozen=True)
class Point:
    """The ``number``-th write (from 1), and how it fails."""

    number: int
    call: str
    way: Way

    def __str__(self) -> str:
        return f"write {self.number} ({self.call}): {self.way.name}"


@dataclass
class Attempt:
    """What came of doing it: ``error`` None is an acknowledgement. ``calls``: its writes."""

    error: PfsError | None
    calls: list[str]
    cut: Callable[[Callable[[], bool]], None] | None = None

    @property
    def outcome(self) -> object:
        return type(self.error)


def attempt(scenario: Scenario, place: Place, point: Point | None = None) -> Attempt:
    """Do it, with one write broken if a point is given."""
    if place.style == "disk":
        return _on_disk(scenario, place, point)
    way = None if point is None else point.way
    backend = FaultyBackend(
        place.objects,
        counted=_counted(place),
        fail_at=None if point is None else point.number,
        how=How.BEFORE if way is None else way.how,
        dead_after=way is not None and way.dead,
        stays=way is not None and way.stays,
    )
    error = _tried(lambda: scenario.act(place, backend))
    return Attempt(error, [call.partition(" ")[0] for call in backend.log if call.partition(" ")[0] in _counted(place)])


def known_ids_of(place: Place) -> frozenset[str]:
    """Return the ids of all commits of the store, if there is one."""
    if not place.has_store:
        return frozenset()
    with place.open() as store:
        return known_ids(store)


def _counted(place: Place) -> frozenset[str]:
    return REQUESTS if place.style == "bucket" else WRITES


def _on_disk(scenario: Scenario, place: Place, point: Point | None) -> Attempt:
    way = None if point is None else point.way
    calls = Syscalls(
        place.folder / "objects",
        fail_at=None if point is None else point.number,
        code=errno.EIO if way is None else way.code,
        stays=way is not None and (way.stays or way.dead),
    )
    with calls:
        error = _tried(lambda: scenario.act(place, place.objects))
    return Attempt(error, calls.calls, calls.cut)


def _tried(work: Callable[[], object]) -> PfsError | None:
    try:
        with steady():
            work()
    except PfsError as error:
        return error
    return None


def points_of(scenario: Scenario, style: Style, calls: list[str]) -> Iterator[Point]:
    """Yield every point, given the writes of a run without a fault."""
    for way in WAYS if style == "disk" else ():
        if way.lost is not None and way.dead:  # what was acknowledged outlives it
            yield Point(len(calls) + 1, "end", way)
    for number in range(1, len(calls) + 1, scenario.disk_step if style == "disk" else 1):
        for way in WAYS:
            once = way.how is not How.READ_ONLY or number == 1
            if style in way.styles and calls[number - 1] in way.calls and once:
                yield Point(number, calls[number - 1], way)


class Bench:
    """One scenario in one style: what it does without a fault, and points of it."""

    def __init__(self, scenario: Scenario, prepared: Prepared, directory: Path) -> None:
        self.scenario, self._prepared, self._directory = scenario, prepared, directory
        self._numbers = count()
        with self._fresh() as place:
            self._known = known_ids_of(place)
            self.old = self.shown(place)
        with self._fresh() as place:
            done = attempt(scenario, place)
            if done.error is not None:
                raise done.error
            self.calls, self.style = done.calls, place.style
            self.new = self.shown(place)
            second = attempt(scenario, place)
            self._again, self.twice = second.outcome, self.shown(place)
        assert self.old != self.new or scenario.unit == "nothing", "it changes nothing that can be seen"

    def points(self) -> list[Point]:
        return list(points_of(self.scenario, self.style, self.calls))

    def _fresh(self) -> _Gone:
        return _Gone(self._prepared.fresh(self._directory / f"{next(self._numbers)}"))

    def shown(self, place: Place, *, deep: bool = True) -> State:
        """Return what a new process sees; all that is stored is whole. Where there is no store yet, nothing."""
        if not place.has_store:
            return {}
        with place.open() as store:
            found = self.scenario.show(store, self._known)
            damages = [one for one in fsck(store, deep=deep) if one.object != self.scenario.lost]
        assert damages == [], damages
        return found

    def run(self, point: Point) -> str:
        """Break one write; return whether the state afterwards was ``old``, ``new`` or ``parts``."""
        with self._fresh() as place:
            tried = attempt(self.scenario, place, point)
            if point.way.lost is not None and tried.cut is not None:
                rng = random.Random(f"{self.scenario.name} {point}")
                tried.cut(lambda: point.way.lost(rng))  # type: ignore[misc]  # it is one
                place.forget_index()
            after = place.reboot()
            found = self.shown(after)
            outcome = self._compared(found)
            assert tried.error is not None or found == self.new, f"{point}: acknowledged, and {outcome} is there"
            # Who lost the reply to a swap can ask what became of it; other calls are repeated by the backend itself.
            asked = point.way.how is How.AFTER and not point.way.dead and point.call == "swap"
            assert tried.error is None or not asked, f"{point}: it landed, and {tried.error!r} was said"
            self._do_again(after, found, point)
            return outcome

    def _compared(self, found: State) -> str:
        if found in (self.old, self.new):
            return "old" if found == self.old else "new"
        third = [name for name in self._names(found) if found.get(name) not in self._either(name)]
        if self.scenario.unit != "repo" or third:
            unlike_old, unlike_new = ("\n  ".join(differences(found, one)) for one in (self.old, self.new))
            raise AssertionError(f"a third state {third}; not old:\n  {unlike_old}\nnot new:\n  {unlike_new}")
        return "parts"

    def _names(self, found: State) -> set[str]:
        return found.keys() | self.old.keys() | self.new.keys()

    def _either(self, name: str) -> tuple[object, object]:
        return self.old.get(name), self.new.get(name)

    def _do_again(self, place: Place, found: State, point: Point) -> None:
        again = attempt(self.scenario, place)
        shown = self.shown(place, deep=False)
        if found == self.new:
            assert again.outcome is self._again, f"{point}: done again, it says {again.error!r}"
            wanted = self.twice
        else:
            assert again.error is None, f"{point}: done again, it says {again.error!r}"
            wanted = self.new
        assert shown == wanted, "\n  ".join([f"{point}: done again", *differences(shown, wanted)])


class _Gone:
    """A place that is removed at the end."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def __enter__(self) -> Place:
        return self._place

    def __exit__(self, *_: object) -> None:
        for top in (self._place.top, self._place.top.with_name(f"{self._place.top.name}-new")):
            shutil.rmtree(top, ignore_errors=True)
