"""Machines over one object store, for tests of collection beside writers and readers (`test_collection_model`)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import replace

import pfs
from pfs.backends.local import LocalBackend
from pfs.backends.memory import MemoryBackend
from pfs.changes.landing import How
from pfs.changes.merge import Resolution
from pfs.changes.replay import merge
from pfs.gc.collect import collect
from pfs.ids import CommitId
from pfs.store import Store
from pfs.upkeep.check import fsck
from tests.pfs.interleave import Actor, Gate

DEAD = b"what nothing leads to any more " * 9
START_NS = 1_800_000_000_000_000_000


def body(name: str) -> bytes:
    """The content of a file; what names begin with decides whether it compresses."""
    return (name.encode() + b" ") * 40


class World:
    """One object store in memory, as it was prepared, and machines that use it."""

    def __init__(self, prepared: Prepared, directory: Path) -> None:
        self.backend = MemoryBackend(clock_ns=lambda: self.now_ns)
        self.now_ns = START_NS
        self.directory, self._prepared = directory, prepared
        for name, data in prepared.objects.items():
            self.backend.put_new(name, data)
        self.machines: dict[str, Machine] = {}

    def machine(self, name: str) -> Machine:
        """A machine of that name; its index knows what was prepared."""
        if name not in self.machines:
            place = self.directory / name
            shutil.copytree(self._prepared.folder, place)
            self.machines[name] = Machine(self, place)
        return self.machines[name]

    def close(self) -> None:
        for machine in self.machines.values():
            machine.close()

    def check(self, *, index: Path) -> list[str]:
        """Return what is wrong, seen by a machine that knows nothing yet."""
        index.mkdir()
        shutil.copy(self._prepared.folder / "config.json", index / "config.json")
        with Store(index, backend=self.backend, clock_ns=lambda: self.now_ns) as store:
            return [f"{damage.object}: {damage.detail}" for damage in fsck(store, deep=True)]


class Machine:
    """A store with an index of its own; what it does can be an `Actor`."""

    def __init__(self, world: World, place: Path) -> None:
        self.gate = Gate(world.backend)
        self.store = Store(place, backend=self.gate, clock_ns=lambda: world.now_ns)

    def close(self) -> None:
        self.store.close()

    def reboot(self) -> None:
        """Begin anew with what is on the disk of this machine."""
        path, clock = self.store.path, self.store.clock_ns
        self.store.close()
        self.store = Store(path, backend=self.gate, clock_ns=clock)

    def put(self, path: str, content: bytes, *, branch: str = "master", message: str = "") -> CommitId:
        with self.store.repo("r").commit(branch, message=message) as commit:
            commit.put_file(path, content)
        return commit.id

    def append(self, path: str, content: bytes, *, message: str) -> CommitId:
        with self.store.repo("r").commit("master", message=message) as commit:
            commit.put_file(path, content, append=True)
        return commit.id

    def put_in_steps(self, path: str, content: bytes, *, message: str) -> CommitId:
        """An open commit of a branch of its own, which is then merged into master."""
        repo, branch = self.store.repo("r"), f"b{message}"
        repo.start_commit(branch, parent="master")
        with repo.commit(branch) as commit:
            commit.put_file(path, content)
        repo.finish_commit(branch)
        return merge(self.store, "r", branch, "master", how=How(Resolution("theirs"), message)).id

    def drop(self) -> CommitId:
        return self.store.repo("r").drop_commit("master").id

    def back(self, name: str, steps: int) -> None:
        """A branch at an ancestor of master's head."""
        self.store.repo("r").create_branch(name, head=f"master~{steps}")

    def tag(self, name: str) -> None:
        self.store.repo("r").create_tag(name, "master")

    def copy(self, path: str, *, message: str = "") -> CommitId:
        repo = self.store.repo("r")
        source = self.store.repo("other")["master"]
        with repo.commit("master", message=message) as commit:
            commit.copy(source, "/x", path)
        return commit.id

    def read(self, ref: str = "master", repo: str = "r") -> dict[str, bytes]:
        view = self.store.repo(repo)[ref]
        return {info.path: view.read(info.path) for info in view.list(recursive=True) if info.type == "file"}

    def collect(self) -> None:
        collect(self.store, pause=lambda _: None)

    def act(self, name: str, *args: object, **options: object) -> Actor:
        """Begin one of the verbs above as an actor of the same name."""
        return Actor(name, self.gate, lambda: getattr(self, name)(*args, **options))


class Prepared:
    """Repo ``r`` with a history on ``master`` and content `DEAD` that nothing leads to; repo ``other``."""

    def __init__(self, directory: Path) -> None:
        with pfs.init(directory) as store:
            self.folder = store.path
            repo = store.create_repo("r")
            for name in ("a", "b"):
                _put(store, "r", name, body(name))
            repo.create_branch("gone", head=None)
            with repo.commit("gone") as commit:
                commit.put_file("/dead", DEAD)
            repo.delete_branch("gone")
            store.refs.update("r", lambda refs: replace(refs, trash={}))
            store.create_repo("other")
            _put(store, "other", "x", body("x"))
            assert isinstance(store.backend, LocalBackend)
            self.objects = {entry.name: store.backend.get(entry.name) for entry in store.backend.entries("")}


def _put(store: Store, repo: str, name: str, content: bytes) -> None:
    with store.repo(repo).commit("master") as commit:
        commit.put_file(f"/{name}", content)


@contextmanager
def world_of(prepared: Prepared, directory: Path) -> Iterator[World]:
    made = World(prepared, directory)
    try:
        yield made
    finally:
        made.close()
