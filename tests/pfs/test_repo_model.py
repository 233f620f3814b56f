"""A repo and a list of dictionaries, driven side by side."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import pfs
from pfs.repo import Repo
from pfs.upkeep.check import fsck

Files = dict[str, bytes]
PATHS = st.sampled_from(["/a", "/b", "/d/a", "/d/b", "/d/e/f", "/g/h"])
SIZES = st.sampled_from([0, 1, 2, 300_000])
"""Bytes of a file; its content follows from its size."""


def content(size: int) -> bytes:
    return bytes(number * 7 % 251 for number in range(size)) if size < 10 else b"x" * size


class RepoModel(RuleBasedStateMachine):
    """``heads`` is the history of master, oldest first; ``draft`` the open commit."""

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp())
        self.store = pfs.init(self.home)
        self.store.create_repo("data")
        self.heads: list[Files] = []
        self.draft: Files | None = None

    @property
    def repo(self) -> Repo:
        return self.store.repo("data")

    def head(self) -> Files:
        return dict(self.heads[-1]) if self.heads else {}

    def changed(self, files: Files) -> None:
        if self.draft is not None:
            self.draft = files
        else:
            self.heads.append(files)

    def current(self) -> Files:
        return self.head() if self.draft is None else dict(self.draft)

    @rule(sizes=st.dictionaries(PATHS, SIZES, max_size=4))
    def put(self, sizes: dict[str, int]) -> None:
        files = {path: content(size) for path, size in sizes.items()}
        with self.repo.commit("master") as commit:
            for path, data in files.items():
                commit.put_file(path, data)
        self.changed(self.current() | files)

    @rule(path=PATHS, size=SIZES)
    def append(self, path: str, size: int) -> None:
        files, data = self.current(), content(size)
        with self.repo.commit("master") as commit:
            commit.put_file(path, data, append=True)
        self.changed(files | {path: files.get(path, b"") + data})

    @rule(folder=st.sampled_from(["/d", "/d/e", "/g", "/"]))
    def delete_folder(self, folder: str) -> None:
        files = self.current()
        below = [path for path in files if path.startswith(folder.rstrip("/") + "/")]
        if not below:
            return
        with self.repo.commit("master") as commit:
            commit.delete_file(folder, recursive=True)
        self.changed({path: data for path, data in files.items() if path not in below})

    @precondition(lambda self: self.draft is None)
    @rule()
    def start(self) -> None:
        self.repo.start_commit("master")
        self.draft = self.head()

    @precondition(lambda self: self.draft is not None)
    @rule()
    def finish(self) -> None:
        self.repo.finish_commit("master")
        assert self.draft is not None
        self.heads.append(self.draft)
        self.draft = None

    @precondition(lambda self: self.draft is None)
    @rule(mine=SIZES, theirs=SIZES)
    def two_writers(self, mine: int, theirs: int) -> None:
        one, two = self.repo.commit("master"), self.repo.commit("master")
        one.put_file("/a", content(theirs))
        two.put_file("/g/h", content(mine))
        one.finish()
        self.heads.append(self.head() | {"/a": content(theirs)})
        two.finish()
        self.heads.append(self.head() | {"/g/h": content(mine)})

    @rule(remove_index=st.booleans())
    def reopen(self, remove_index: bool) -> None:
        self.store.close()
        if remove_index:
            shutil.rmtree(self.home / ".pfs/index.lmdb")
        self.store = pfs.open(self.home)

    @invariant()
    def history_is_that_of_the_model(self) -> None:
        if self.heads:
            assert self.files("master") == self.heads[-1]
        finished = [info for info in self.repo.commits() if not info.open]
        assert len(finished) == len(self.heads)
        assert [info.file_count for info in reversed(finished)] == [len(files) for files in self.heads]
        if self.draft is not None:
            opened = self.repo.branch("master").open_commit
            assert opened is not None
            assert self.files(opened) == self.draft

    def files(self, ref: str) -> Files:
        view = self.repo[ref]
        return {info.path: view.read(info.path) for info in view.list(recursive=True) if info.type == "file"}

    def teardown(self) -> None:
        for number, files in enumerate(self.heads, 1):
            assert self.files(f"master.{number}") == files
        assert list(fsck(self.store, deep=True)) == []
        self.store.close()
        shutil.rmtree(self.home)


TestRepoModel = RepoModel.TestCase
TestRepoModel.settings = settings(
    max_examples=20, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
)
