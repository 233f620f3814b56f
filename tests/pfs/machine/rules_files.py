"""Rules that write files: one-off commits, writers of both processes, open commits."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.pfs.machine import writing
from tests.pfs.machine.base import Machine
from tests.pfs.machine.draws import BRANCHES, BYTES, FILES, FOLDERS, PATHS, PICK, REPOS, TAGS, THERE
from tests.pfs.machine.following import BRANCH, OUT
from tests.pfs.machine.state import SECRET, Files
from tests.pfs.machine.writing import Step


class FileRules(Machine):
    """What changes files."""

    @rule(there=THERE, name=REPOS, branch=BRANCHES, files=FILES)
    def put_files(self, there: bool, name: str, branch: str, files: Files) -> None:
        self.write("put_files", there, (name, branch), [Step("put", path, data) for path, data in files.items()])

    @rule(there=THERE, name=REPOS, branch=BRANCHES, files=FILES, pick=PICK)
    def put_on_parent(self, there: bool, name: str, branch: str, files: Files, pick: int) -> None:
        steps = [Step("put", path, data) for path, data in files.items()]
        parent = self.choose(pick, self.commits(name), lambda one: writing.begin(self.world, name, branch, one))
        self.write("put_on_parent", there, (name, branch), steps, parent)

    @rule(there=THERE, name=REPOS, pick=PICK, path=PATHS, data=BYTES)
    def put_by_id(self, there: bool, name: str, pick: int, path: str, data: bytes) -> None:
        name = self._with_open(name)
        target = self.choose(pick, self.commits(name), lambda one: writing.begin(self.world, name, one))
        assert target is not None
        self.write("put_by_id", there, (name, target), [Step("put", path, data)])

    @rule(there=THERE, name=REPOS, branch=BRANCHES, path=PATHS, data=BYTES)
    def append(self, there: bool, name: str, branch: str, path: str, data: bytes) -> None:
        self.write("append", there, (name, branch), [Step("append", path, data)])

    @rule(there=THERE, name=REPOS, branch=BRANCHES, files=FILES, under=st.sampled_from(["/", "/t"]))
    def put_tree(self, there: bool, name: str, branch: str, files: Files, under: str) -> None:
        self.write("put_tree", there, (name, branch), [Step("tree", under, files=tuple(files.items()))])

    @rule(there=THERE, name=REPOS, branch=BRANCHES, files=FILES, under=st.sampled_from(["/", "/t", "/d"]))
    def mirror(self, there: bool, name: str, branch: str, files: Files, under: str) -> None:
        files = {"/" + path.rsplit("/", 1)[1]: data for path, data in files.items()} if under == "/d" else files
        self.write("mirror", there, (name, branch), [Step("mirror", under, files=tuple(files.items()))])

    @rule(
        there=THERE,
        names=st.permutations(["a", "b", "c"]),
        one=BRANCHES,
        two=BRANCHES,
        files=FILES,
        tag=TAGS,
        pick=PICK,
    )
    def transact(self, there: bool, names: list[str], one: str, two: str, files: Files, tag: str, pick: int) -> None:
        names = sorted(names[:2], key=lambda name: name not in self.world.repos)
        writes = [(name, branch, files) for name, branch in zip(names, (one, two), strict=True)]
        seen = self.repo(names[0]).visible()
        named = (names[0], tag, seen[pick % len(seen)]) if seen and pick % 3 == 0 else None
        self.repo(names[1])
        plan = lambda: writing.transact(self.world, writes, named)  # noqa: E731
        self.do("transact", there, plan, "transact", writes, named)

    @rule(there=THERE, name=REPOS, branch=BRANCHES, pick=PICK)
    def delete_file(self, there: bool, name: str, branch: str, pick: int) -> None:
        branch = branch if self.repo(name).current(branch) else "master"
        paths = [*sorted(self.repo(name).current(branch)), "/d", "/none"]
        path = paths[pick % len(paths)]
        self.write("delete_file", there, (name, branch), [Step("delete", path)])

    @rule(there=THERE, name=REPOS, branch=BRANCHES, folder=FOLDERS)
    def delete_folder(self, there: bool, name: str, branch: str, folder: str) -> None:
        branch = branch if self.repo(name).current(branch) else "master"
        self.write("delete_folder", there, (name, branch), [Step("delete_all", folder)])

    @rule(there=THERE, name=REPOS, branch=BRANCHES, pick=PICK)
    def collide(self, there: bool, name: str, branch: str, pick: int) -> None:
        files = self.repo(name).current(branch)
        ways = [path + "/below" for path in files] + [path.rsplit("/", 1)[0] for path in files if path.count("/") > 1]
        if ways:
            self.write("collide", there, (name, branch), [Step("put", sorted(ways)[pick % len(ways)], b"x")])

    @rule(there=THERE, source=REPOS, pick=PICK, name=REPOS, branch=BRANCHES, to=PATHS)
    def copy_file(self, there: bool, source: str, pick: int, name: str, branch: str, to: str) -> None:
        self._copy("copy_file", there, (source, pick, ""), (name, branch), to)

    @rule(there=THERE, source=REPOS, pick=PICK, name=REPOS, branch=BRANCHES, to=st.sampled_from(["/k", "/k/l", "/"]))
    def copy_folder(self, there: bool, source: str, pick: int, name: str, branch: str, to: str) -> None:
        self._copy("copy_folder", there, (source, pick, "/d"), (name, branch), "/k" if to == "/" else to)

    def _copy(self, rule_name: str, there: bool, source: tuple[str, int, str], place: tuple[str, str], to: str) -> None:
        seen = self.repo(source[0]).visible()
        if seen:
            commit = seen[source[1] % len(seen)]
            path = source[2] or min({*self.repo(source[0]).files(commit)} - {SECRET}, default="/none")
            self.write(rule_name, there, place, [Step("copy", to, source=(source[0], commit, path))])

    @rule(there=THERE, name=REPOS, branch=BRANCHES, files=FILES, deletes=st.lists(PATHS, max_size=2))
    def apply(self, there: bool, name: str, branch: str, files: Files, deletes: list[str]) -> None:
        gone = [path for path in deletes if path not in files]
        self.repo(name)
        plan = lambda: writing.apply(self.world, name, branch, files, gone)  # noqa: E731
        self.do("apply", there, plan, "apply", name, branch, files, gone)

    @rule(there=THERE, name=REPOS, branch=BRANCHES, files=FILES)
    def begin_writer(self, there: bool, name: str, branch: str, files: Files) -> None:
        number = self.begin(there, name, branch)
        if number is not None:
            for path, data in files.items():
                self.stage(number, Step("put", path, data))
            self.done["begin_writer"] += 1

    @rule(pick=PICK, path=PATHS, keep=st.sampled_from([True, True, True, False]))
    def end_writer(self, pick: int, path: str, keep: bool) -> None:
        if self.writers:
            number = sorted(self.writers)[pick % len(self.writers)]
            self.stage(number, Step("delete", path))
            if keep:
                self.finish("end_writer", number)
            else:
                self.give_up(number)

    @rule(name=REPOS, branch=BRANCHES, mine=PATHS, theirs=PATHS, data=BYTES)
    def two_writers(self, name: str, branch: str, mine: str, theirs: str, data: bytes) -> None:
        both = [self.begin(there, name, branch) for there in (False, True)]
        for number, path, content in zip(both, (mine, theirs), (data, b"theirs"), strict=True):
            if number is not None and self.stage(number, Step("put", path, content)):
                self.finish("two_writers", number)
            elif number is not None:
                self.give_up(number)

    # open commits

    @rule(there=THERE, name=REPOS, branch=BRANCHES, parent=st.one_of(st.none(), PICK))
    def start_commit(self, there: bool, name: str, branch: str, parent: int | None) -> None:
        allowed = lambda one: writing.start(self.world, name, branch, one)  # noqa: E731
        above = None if parent is None else self.choose(parent, self.commits(name), allowed)
        plan = lambda: writing.start(self.world, name, branch, above)  # noqa: E731
        self.do("start_commit", there, plan, "start", name, branch, above)

    @rule(
        there=THERE, name=REPOS, branch=BRANCHES, by_id=st.booleans(), error=st.sampled_from([None, None, None, "no"])
    )
    def finish_commit(self, there: bool, name: str, branch: str, by_id: bool, error: str | None) -> None:
        name, ref = self._open_ref(name, branch, by_id)
        plan = lambda: writing.finish(self.world, name, ref, error=error is not None)  # noqa: E731
        self.do("finish_commit", there, plan, "finish", name, ref, error)

    @precondition(lambda self: OUT in self.world.repos)
    @rule(there=THERE, path=PATHS, data=BYTES)
    def fill(self, there: bool, path: str, data: bytes) -> None:
        """Write to the computed branch: into the first commit in line."""
        self.write("fill", there, (OUT, BRANCH), [Step("put", path, data)])

    @precondition(lambda self: OUT in self.world.repos)
    @rule(there=THERE, give_up=st.sampled_from([False, False, False, True]))
    def finish_filled(self, there: bool, give_up: bool) -> None:
        self.repo(OUT)
        if give_up:
            plan = lambda: writing.drop_open(self.world, OUT, BRANCH)  # noqa: E731
            self.do("finish_filled", there, plan, "drop_open", OUT, BRANCH)
        else:
            plan = lambda: writing.finish(self.world, OUT, BRANCH, error=False)  # noqa: E731
            self.do("finish_filled", there, plan, "finish", OUT, BRANCH, None)

    @rule(there=THERE, name=REPOS, branch=BRANCHES, by_id=st.booleans())
    def drop_open(self, there: bool, name: str, branch: str, by_id: bool) -> None:
        name, ref = self._open_ref(name, branch, by_id)
        self.do("drop_open", there, lambda: writing.drop_open(self.world, name, ref), "drop_open", name, ref)

    @rule(there=THERE, name=REPOS, branch=BRANCHES, by_id=st.booleans())
    def clear_commit(self, there: bool, name: str, branch: str, by_id: bool) -> None:
        name, ref = self._open_ref(name, branch, by_id)
        self.do("clear_commit", there, lambda: writing.clear(self.world, name, ref), "clear", name, ref)

    def _open_ref(self, name: str, branch: str, by_id: bool) -> tuple[str, str]:
        """Name an open commit, by its branch or its id; another one if that branch has none."""
        name = self._with_open(name)
        opens = self.repo(name).opens
        there = self.repo(name).open_on(branch) or next(iter(opens), None)
        if there is None:
            return name, branch
        return name, there if by_id else opens[there].branch

    def _with_open(self, name: str) -> str:
        """Return a repo with an open commit, if there is any."""
        found = [one for one, repo in sorted(self.world.repos.items()) if repo.opens and one != OUT]
        return name if name in found or not found else found[0]
