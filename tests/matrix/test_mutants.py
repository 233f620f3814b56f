"""The matrix can fail: stores with one step of a protocol missing, each of which some of its points find."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pfs.backends.base import Backend
from pfs.backends.local import LocalBackend
from pfs.errors import PfsError, StorageError
from pfs.gc.collector import Collector
from pfs.gc.owner import Ownership
from pfs.gc.survey import PackFacts
from pfs.ids import Etag
from pfs.refs.swap import Refs
from pfs.refs.transactions import Transactions
from pfs.testing.passing import PassingBackend
from tests.matrix.place import Place, Prepared, Style
from tests.matrix.runner import Bench, Point
from tests.matrix.scenarios import SCENARIOS

Mutate = Callable[[pytest.MonkeyPatch], None]


def without_read_back(patch: pytest.MonkeyPatch) -> None:
    """Nobody looks whether a swap landed whose reply was lost."""
    patch.setattr(Refs, "_find_landed", lambda *_: None)


def answered_too_early(patch: pytest.MonkeyPatch) -> None:
    """A swap that fails counts as done."""
    swap = Refs._swap

    def careless(self: Refs, repo: str, old: Etag | None, body: object) -> object:
        try:
            return swap(self, repo, old, body)  # type: ignore[arg-type]  # passed on
        except StorageError:
            return self.raw(repo)

    patch.setattr(Refs, "_swap", careless)


class Hasty(PassingBackend):
    """Packs appear once refs were swapped."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self._late: list[Callable[[], object]] = []

    def run(self, method: str, name: str, *, whole: Callable[[], object], half: Callable[[], object]) -> object:  # type: ignore[override]
        if method == "publish" and name.startswith("packs/"):
            self._late.append(whole)
            return True
        done = whole()
        while method == "swap" and self._late:
            self._late.pop(0)()
        return done


def refs_before_packs(patch: pytest.MonkeyPatch) -> None:
    """What refs lead to is made durable after them."""
    opened = Place.open
    patch.setattr(Place, "open", lambda self, backend=None: opened(self, None if backend is None else Hasty(backend)))


def bytes_not_synced(patch: pytest.MonkeyPatch) -> None:
    """A pack gets its name before its bytes are on the disk."""
    patch.setattr("pfs.backends.local.sync_file", lambda _: None)


def names_not_synced(patch: pytest.MonkeyPatch) -> None:
    """A swap returns before its directory is on the disk."""
    patch.setattr("pfs.backends.local.sync_directory", lambda _: None)


def a_failed_sync_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    """After an fsync that failed the object is read as if nothing had happened."""
    patch.setattr(LocalBackend, "read", LocalBackend._read)


def packs_go_before_the_fence(patch: pytest.MonkeyPatch) -> None:
    """A collection deletes what it copied, and then tells everybody where it is."""
    publish = Collector._publish

    def sweep_first(self: Collector, owner: Ownership, condemned: Sequence[PackFacts]) -> None:
        publish(self, owner, condemned)
        self._store.backend.delete_many([facts.name for facts in condemned])

    patch.setattr(Collector, "_publish", sweep_first)


def prepared_is_committed(patch: pytest.MonkeyPatch) -> None:
    """What a transaction has prepared in one repo counts, whatever becomes of the others."""
    patch.setattr(Transactions, "verdict", lambda *_: "committed")


CASES: list[tuple[Mutate, str, Style, str]] = [
    (without_read_back, "put-file", "bucket", "reply lost"),
    (answered_too_early, "put-file", "local", "disk full"),
    (refs_before_packs, "put-file", "bucket", "killed"),
    (bytes_not_synced, "put-file", "disk", "power cut"),
    (names_not_synced, "create-tag", "disk", "power cut"),
    (a_failed_sync_is_forgotten, "create-tag", "disk", "I/O error"),
    (packs_go_before_the_fence, "gc after a purge", "bucket", "killed"),
    (prepared_is_committed, "transaction over several repos", "bucket", "killed"),
]


@pytest.mark.parametrize(("mutate", "name", "style", "way"), CASES, ids=lambda one: getattr(one, "__name__", None))
def test_some_point_finds_it(tmp_path: Path, mutate: Mutate, name: str, style: Style, way: str) -> None:
    scenario = next(one for one in SCENARIOS if one.name == name)
    bench = Bench(scenario, Prepared(style, tmp_path / "prepared", scenario.prepare), tmp_path)
    points = [point for point in bench.points() if point.way.name == way]
    with pytest.MonkeyPatch.context() as patch:
        mutate(patch)
        with pytest.raises((AssertionError, PfsError)):
            _run(bench, points)


def _run(bench: Bench, points: Sequence[Point]) -> None:
    for point in points:
        bench.run(point)
