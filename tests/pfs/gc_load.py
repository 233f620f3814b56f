"""Processes for collection under load: writers that say what they made durable, and collectors that fail and die.

``python -m tests.pfs.gc_load write STORE SEED SECONDS`` prints a JSON line for each commit once it is acknowledged, and
one before it takes a commit away; with ``12x`` in the place of SECONDS it does so many things. ``... collect STORE SEED
FATE`` collects with a fault at a random call, or kills PFS_TEST_DAYS: how far its clock is off.
``... move STORE SEED`` moves data packs to another storage class._TEST_DAYS: how far its clock is off.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import pfs
from pfs.config import open_objects
from pfs.errors import ConflictError, StorageError
from pfs.gc.collect import collect
from pfs.refs.tiering import Rule
from pfs.repo import Repo
from pfs.store import Store
from pfs.testing.faults import READS, WRITES, FaultyBackend, How
from pfs.tiers.tier import tier

if "PFS_TEST_DAYS" in os.environ:
    _real_ns, _off_ns = time.time_ns, int(float(os.environ["PFS_TEST_DAYS"]) * 86400 * 10**9)
    time.time_ns = lambda: _real_ns() + _off_ns
CALLS = 90
"""About as many calls as a collection makes."""


def content(key: int) -> bytes:
    """Return what a file with this key holds: some text, some random, of one chunk or several."""
    rng = random.Random(key)
    if key % 3 == 0:
        return b"".join(b"%d %d\n" % (key, rng.randrange(9)) for _ in range(rng.randrange(1, 2000)))
    return rng.randbytes(rng.choice([1, 500, 30_000, 200_000, 900_000 if key % 20 == 1 else 5_000]))


class Writer:
    """One process that writes to a branch of its own, reads back, and takes commits away."""

    def __init__(self, store: Store, seed: int) -> None:
        self._store, self._rng = store, random.Random(seed)
        self._repo, self._branch = store.repo(f"r{seed % 2}"), f"w{seed}"
        self._seed = seed
        self._files: dict[str, int] = {}
        self._made: list[tuple[str, dict[str, int]]] = []
        self._number = 0

    def step(self) -> None:
        """Do one thing; collections may make it fail for now, but never make it lose anything."""
        try:
            match self._rng.randrange(10):
                case 0 | 1 if len(self._made) > 2:
                    self._squash()
                case 2 if self._made:
                    self._check()
                case 3:
                    self._open_and_finish()
                case 4 if self._made:
                    self._copy()
                case _:
                    self._commit()
        except ConflictError:
            return
        except StorageError:  # it may have landed: what the branch holds is not known any more
            self._number += 1
            self._branch, self._files = f"w{self._seed}-{self._number}", {}

    def _commit(self) -> None:
        files = dict(self._files)
        with self._repo.commit(self._branch) as commit:
            for _ in range(self._rng.randrange(1, 4)):
                self._put(commit, files)
        self._acknowledge(commit.id, files)

    def _open_and_finish(self) -> None:
        files = dict(self._files)
        opened = self._repo.start_commit(self._branch)
        try:
            for _ in range(2):
                with self._repo.commit(self._branch) as commit:
                    self._put(commit, files)
            self._repo.finish_commit(opened.id)
        except ConflictError:
            self._repo.drop_open(opened.id)
            raise
        self._acknowledge(opened.id, files)

    def _copy(self) -> None:
        source, copied = self._rng.choice(self._made)
        files = {path: key for path, key in self._files.items() if not path.startswith("/old/")}
        with self._repo.commit(self._branch) as commit:
            if any(path.startswith("/old/") for path in self._files):
                commit.delete_file("/old", recursive=True)
            for path in sorted(copied)[:3]:
                if not path.startswith("/old/"):
                    commit.copy(self._repo[source], path, f"/old{path}")
                    files[f"/old{path}"] = copied[path]
        self._acknowledge(commit.id, files)

    def _put(self, commit: object, files: dict[str, int]) -> None:
        self._number += 1
        again = self._rng.random() < 0.4 and self._number > 2
        number = self._rng.randrange(1, self._number) if again else self._number
        shared = again and self._rng.random() < 0.3
        key, path = number * 100 + (0 if shared else self._seed), f"/{self._rng.randrange(8)}/x"
        commit.put_file(path, content(key))  # type: ignore[attr-defined]
        files[path] = key

    def _acknowledge(self, commit: str, files: dict[str, int]) -> None:
        self._files = files
        self._made.append((commit, files))
        tell({"repo": self._repo.name, "branch": self._branch, "commit": commit, "files": files})

    def _squash(self) -> None:
        commit, _ = self._made.pop(self._rng.randrange(len(self._made) - 1))
        tell({"repo": self._repo.name, "gone": commit})
        self._repo.squash_commit(commit)

    def _check(self) -> None:
        commit, files = self._rng.choice(self._made)
        check(self._repo, commit, files)


def check(repo: Repo, commit: str, files: dict[str, int]) -> None:
    """See that a commit has exactly these files, byte by byte."""
    view = repo.view(commit)
    found = {info.path for info in view.list(recursive=True) if info.type == "file"}
    assert found == files.keys(), (repo.name, commit)
    for path, key in files.items():
        assert view.read(path) == content(key), (repo.name, commit, path)


def tell(line: dict[str, object]) -> None:
    """Print a line, at once: what was printed is durable."""
    print(json.dumps(line), flush=True)


def write(place: str, seed: str, until: str) -> None:
    """Write until the time is over, or so many times."""
    times = int(until.removesuffix("x")) if until.endswith("x") else None
    end = time.monotonic() + (0 if times is not None else float(until))
    with pfs.open(place) as store:
        writer, done = Writer(store, int(seed)), 0
        while time.monotonic() < end if times is None else done < times:
            writer.step()
            done += 1


class Mortal(FaultyBackend):
    """Kills its process at the chosen call."""

    def _next(self, method: str, name: str) -> How | None:
        how = super()._next(method, name)
        if how is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return how


def collect_badly(place: str, seed: str, fate: str) -> None:
    """Collect with a fate: ``whole``, ``fault`` or ``kill``."""
    rng, path = random.Random(int(seed)), Path(place) / ".pfs"
    kind = Mortal if fate == "kill" else FaultyBackend
    at = None if fate == "whole" else rng.randrange(1, CALLS)
    counted = rng.choice([WRITES, READS | WRITES])
    objects, how, dead = open_objects(path), rng.choice(list(How)), rng.random() < 0.5
    backend = kind(objects, fail_at=at, how=how, counted=counted, dead_after=dead)
    try:
        with Store(path, backend=backend) as store:
            collect(store)
    except ConflictError as error:
        assert objects.parallel > 1, error  # noqa: PT017 - another machine collects
    except StorageError as error:
        assert objects.parallel > 1 or f"({how.value})" in error.reason, error  # noqa: PT017


def move(place: str, seed: str) -> None:
    """Move all that there is in data packs to the cold, or back."""
    rule = Rule(older_ns=0, storage_class=random.Random(int(seed)).choice(["STANDARD_IA", "STANDARD_IA", "STANDARD"]))
    with pfs.open(place) as store, suppress(StorageError):  # replies are lost
        print(tier(store, rule).packs, file=sys.stderr)


if __name__ == "__main__":
    {"write": write, "collect": collect_badly, "move": move}[sys.argv[1]](*sys.argv[2:])
