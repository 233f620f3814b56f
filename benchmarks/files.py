"""Files in and out, beside other programs that keep versions, and beside copying and hashing them.

In each round every contestant works all cases of a data set once, in an order that rotates, each command in a cold
process; the data are in the page cache, what was written before is on the disk, and the store is new. What was restored
is compared with the data afterwards. A ratio is the median of the rounds' own ratios.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from benchmarks import data
from benchmarks.contestants import ALL, CONTESTANTS, Contestant, Dataset, environment, sh
from benchmarks.history import allocated
from benchmarks.measure import CommandFailedError, Cost, measure
from benchmarks.options import Need, Options
from benchmarks.results import Results, Sample

GIB = 1 << 30
SIZES = {"tiny": 100, "medium": GIB // 2, "text": 2 * GIB, "large": 4 * GIB}
SMALL_FILES = 100_000
INSERTIONS = 100
_FILE = "data.bin"
_SECONDS = {"tiny": 8, "medium": 45, "text": 240, "small": 900, "large": 700}
"""A round of all contestants, about, on two cores."""


def need(options: Options) -> Need:
    """Return what the suite will take."""
    scale, chosen = options.scale, _datasets(options)
    one = {name: int(SIZES[name] * scale) for name in chosen if name != "small"}
    small = int(SMALL_FILES * scale) * 12 * 1024 if "small" in chosen else 0
    disk = max([small * 6, *(size * (8 if name == "large" else 5) for name, size in one.items())])
    seconds = sum(_SECONDS[name] * (1 if name == "tiny" else max(scale, 0.02)) for name in chosen) * options.rounds
    return Need(disk + 64 * data.MIB, seconds)


def results(options: Options) -> Iterator[Results]:
    """Yield all rounds of one data set after the other.

    What a contestant fails at is said in a line, and it takes no further part.
    """
    for name in _datasets(options):
        found = Results()
        with tempfile.TemporaryDirectory(prefix="pfs-bench-", dir=options.place) as folder:
            _Rounds(name, Path(folder), options, found).run()
        yield found


def _datasets(options: Options) -> list[Dataset]:
    return [name for name in ALL if not options.datasets or name in options.datasets]


class _Rounds:
    """All rounds of one data set."""

    def __init__(self, dataset: Dataset, place: Path, options: Options, found: Results) -> None:
        self._dataset, self._options, self._found = dataset, options, found
        self._source = _Source(dataset, place / "source", options.scale)
        self._work = place / "work"
        wanted = options.contestants
        here = [one for one in CONTESTANTS if dataset in one.datasets and (not wanted or one.name in wanted)]
        self._contestants = [one for one in here if one.is_here]

    def run(self) -> None:
        print(f"{self._dataset}: making the data", file=sys.stderr, flush=True)
        self._found.facts |= self._source.make()
        for turn in range(self._options.rounds):
            for contestant in rotated(self._contestants, turn):
                self._turn(contestant, turn)

    def _turn(self, contestant: Contestant, turn: int) -> None:
        self._work.mkdir()
        load = os.getloadavg()[0]
        try:
            one = _Turn(contestant, self._source, self._work)
            for step, cost, (stored, added) in one.steps():
                case = f"{self._dataset}/{step}"
                print(f"{case:20} {contestant.name:16} {cost.seconds:9.3f} s, load {load:.1f}", file=sys.stderr)
                numbers = (cost.seconds, cost.cpu_s, cost.peak_mib, cost.anon_mib)
                sample = Sample("files", case, contestant.name, turn, *numbers, stored=stored, added=added)
                self._found.samples.append(sample)
        except (CommandFailedError, WrongDataError) as error:
            print(f"{contestant.name} is out: {error}", file=sys.stderr)
            self._contestants.remove(contestant)
        finally:
            self._source.reset()
            shutil.rmtree(self._work)


class WrongDataError(RuntimeError):
    """What was restored is not what was stored."""


def rotated(items: list[Contestant], turn: int) -> list[Contestant]:
    """Return them in the order of a round: over the rounds each has each place."""
    at = turn % len(items) if items else 0
    return items[at:] + items[:at]


@dataclass(slots=True)
class _Source:
    """The data as it is now, in a folder; changes are undone by `reset`."""

    dataset: Dataset
    place: Path
    scale: float
    flipped: list[tuple[range, int]] | None = None

    @property
    def count(self) -> int:
        return max(int(SMALL_FILES * self.scale), data.DIRECTORIES)

    @property
    def folder(self) -> Path:
        return self.place / "first"

    @property
    def changed(self) -> Path:
        return self.place / "second"

    def make(self) -> dict[str, float]:
        """Write it, and return its size and number of new bytes."""
        self.folder.mkdir(parents=True)
        name, file = self.dataset, self.folder / _FILE
        facts: dict[str, float] = {}
        if name == "small":
            data.small_files(self.folder, self.count, seed=4)
            facts[f"{name}/files"] = self.count
        else:
            size = SIZES[name] if name == "tiny" else int(SIZES[name] * self.scale)
            write = data.csv_file if name == "text" else data.noise_file
            write(file, size, seed=ALL.index(name))
        if name == "large":
            self.changed.mkdir()
            spots = max(int(INSERTIONS * self.scale), 1)
            facts[f"{name}/new"] = data.changed_copy(file, self.changed / _FILE, insertions=spots, seed=9)
        files = [one for one in self.folder.rglob("*") if one.is_file()]
        return {**facts, f"{name}/bytes": sum(one.stat().st_size for one in files)}

    def flip(self, place: Path, numbers: range, mask: int) -> None:
        """Change a byte of some small files below ``place``; kept in mind if that is the source itself."""
        data.flip_small(place, numbers, self.count, mask=mask)
        if place == self.folder:
            self.flipped = [*(self.flipped or []), (numbers, mask)]

    def reset(self) -> None:
        for numbers, mask in self.flipped or []:
            data.flip_small(self.folder, numbers, self.count, mask=mask)
        self.flipped = None


_Step = tuple[str, Cost, tuple[int | None, int | None]]


class _Turn:
    """One contestant with a store of its own, through all cases of a data set."""

    def __init__(self, contestant: Contestant, source: _Source, place: Path) -> None:
        self._contestant, self._source, self._place = contestant, source, place
        self._data = place / "tree" / "data" if contestant.in_place else source.folder
        self._version = self._stored = 0
        self._environment = environment(place) | {"Z": "1" if source.dataset in {"text", "small"} else "0"}
        self._file = _FILE
        (place / "home").mkdir()
        self._do(contestant.prepare)
        if contestant.in_place:
            shutil.copytree(source.folder, self._data)

    def steps(self) -> Iterator[_Step]:
        one, dataset = self._contestant, self._source.dataset
        if dataset == "tiny" and one.idle:
            yield "start", self._do(one.idle), (None, None)
        yield self._store("store")
        for step, change in self._changes().items():
            if step not in one.skips:
                change()
                yield self._store(step, one.one if step == "one named" else "")
        if one.restore and dataset != "medium":
            yield self._restore()

    def _changes(self) -> dict[str, Callable[[], None]]:
        """Return what is done to the data before it is stored again, by case."""
        if self._source.dataset == "large":
            return {"again": lambda: os.utime(self._data / _FILE), "changed": self._take_second}
        if self._source.dataset != "small":
            return {}
        return {
            "again": lambda: None,
            "100 changed": lambda: self._source.flip(self._data, range(0, self._source.count, 1000), 1),
            "one changed": lambda: self._flip(777, 2),
            "one named": lambda: self._flip(1234, 4),
        }

    def _take_second(self) -> None:
        if self._contestant.in_place:
            (self._data / _FILE).unlink()
            shutil.copy(self._source.changed / _FILE, self._data / _FILE)
        else:
            self._data = self._source.changed

    def _flip(self, number: int, mask: int) -> None:
        number %= self._source.count
        self._source.flip(self._data, range(number, number + 1), mask)
        self._file = str(data.small_file(Path(), number, self._source.count))

    def _store(self, step: str, line: str = "") -> _Step:
        if step in {"store", "changed"}:
            self._free_memory()
        _read_all(self._data)
        self._version += 1
        cost = self._do(line or self._contestant.store)
        if not self._contestant.kept:
            return step, cost, (None, None)
        before, self._stored = self._stored, allocated(self._place / self._contestant.kept)
        return step, cost, (self._stored, self._stored - before)

    def _restore(self) -> _Step:
        wanted = digest(self._data)
        (self._place / "out").mkdir()
        self._do(self._contestant.before_restore)
        self._free_memory()
        cost = self._do(self._contestant.restore)
        restored = self._contestant.restored.replace("$OUT", f"{self._place}/out").replace("$PLACE", str(self._place))
        if digest(Path(restored)) != wanted:
            raise WrongDataError(f"{self._source.dataset}: what it restored is not what it stored")
        return "restore", cost, (None, None)

    def _free_memory(self) -> None:
        """Free as many pages as the data have: in a virtual machine those cost less than what the host took back.

        Who came behind one that removed much, or removes a working copy before it restores, would have them alone.
        """
        os.sync()
        spare, zeros = self._place / "spare", bytes(4 * data.MIB)
        left = sum(file.stat().st_size for file in self._data.rglob("*") if file.is_file())
        with spare.open("wb", buffering=0) as out:
            while left > 0:
                left -= out.write(zeros[:left])
        spare.unlink()

    def _do(self, line: str) -> Cost:
        os.sync()
        own = {"SRC": str(self._data), "N": str(self._version), "FILE": self._file}
        return measure(sh(line), cwd=self._place, env=self._environment | own)


def digest(folder: Path) -> bytes:
    """Return a hash over the paths and contents of all files below a folder."""
    whole, buffer = blake3(), memoryview(bytearray(4 * data.MIB))
    for file in sorted(one for one in folder.rglob("*") if one.is_file()):
        whole.update(f"{file.relative_to(folder)}\0{file.stat().st_size}\0".encode())
        with file.open("rb", buffering=0) as stream:
            while size := stream.readinto(buffer):
                whole.update(buffer[:size])
    return whole.digest()


def _read_all(folder: Path) -> None:
    """Bring files into the page cache."""
    buffer = memoryview(bytearray(4 * data.MIB))
    for file in folder.rglob("*"):
        if file.is_file() and not file.is_symlink():
            with file.open("rb", buffering=0) as stream:
                while stream.readinto(buffer):
                    pass
