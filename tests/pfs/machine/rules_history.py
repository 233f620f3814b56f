"""Rules that change history, and those that ask about it."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import rule

from pfs.errors import PfsError
from tests.pfs.machine import replays, verbs, writing
from tests.pfs.machine.base import Machine
from tests.pfs.machine.draws import BRANCHES, FILES, NO_COMMIT, PATHS, PICK, REPOS, SIDES, THERE
from tests.pfs.machine.replays import Side
from tests.pfs.machine.state import Files, Refused, below, listing
from tests.pfs.machine.writing import Step, Writer


class HistoryRules(Machine):
    """What changes commits, and questions."""

    @rule(there=THERE, name=REPOS, pick=PICK)
    def squash(self, there: bool, name: str, pick: int) -> None:
        commit = self.choose(pick, self.commits(name), lambda one: verbs.squash(self.world, name, one))
        assert commit is not None
        self.do("squash", there, lambda: verbs.squash(self.world, name, commit), "squash", name, commit)

    @rule(there=THERE, name=REPOS, pick=PICK)
    def drop(self, there: bool, name: str, pick: int) -> None:
        commit = self.choose(pick, self.commits(name), lambda one: verbs.drop(self.world, name, one))
        assert commit is not None
        self.do("drop", there, lambda: verbs.drop(self.world, name, commit), "drop", name, commit)

    @rule(there=THERE, source=REPOS, pick=PICK, name=REPOS, branch=BRANCHES, files=FILES)
    def derive(self, there: bool, source: str, pick: int, name: str, branch: str, files: Files) -> None:
        """Make a commit from one of another repo, with its id, as jobs do."""
        seen = self.repo(source).visible()
        repo = self.repo(name)
        if not seen or source == name or name not in self.world.repos or repo.open_on(branch):
            return
        id = seen[pick % len(seen)]
        if id in repo.commits or id in repo.opens or branch in repo.tags:
            return

        def plan() -> Writer:
            writer = writing.begin(self.world, name, branch)
            writer.made_from = ((source, id),)
            return writer

        number = self._begin(there, plan, (name, branch, None), (source, self.repo(source).commits[id].branch, id))
        assert number is not None
        for path, data in files.items():
            self.stage(number, Step("put", path, data))
        self.finish("derive", number)

    @rule(there=THERE, pick=PICK, squashing=st.booleans())
    def end_set(self, there: bool, pick: int, squashing: bool) -> None:
        sets = [id for name in list(self.world.repos) for id in self.repo(name).visible()]
        shared = [id for id in dict.fromkeys(sets) if sets.count(id) > 1] or sets or [NO_COMMIT]
        allowed = lambda one: verbs.end_set(self.world, one, squashing=squashing)  # noqa: E731
        commit = self.choose(pick, shared, allowed)
        assert commit is not None
        plan = lambda: verbs.end_set(self.world, commit, squashing=squashing)  # noqa: E731
        self.do("end_set", there, plan, "end_set", commit, squashing)

    def _replay(self, verb: str, there: bool, place: tuple[str, str], pick: int, side: Side | None) -> None:
        name, branch = place
        commit = self.choose(pick, self.commits(name), lambda one: self._changes(verb, name, one, branch, side))
        assert commit is not None
        plan = lambda: replays.VERBS[verb](self.world, name, commit, branch, side)  # noqa: E731
        self.do(verb, there, plan, "replay", verb, name, commit, branch, side)

    def _changes(self, verb: str, name: str, commit: str, branch: str, side: Side | None) -> None:
        if replays.VERBS[verb](self.world, name, commit, branch, side) is verbs.nothing:
            raise Refused(PfsError)

    @rule(there=THERE, name=REPOS, branch=BRANCHES, pick=PICK, side=SIDES)
    def merge(self, there: bool, name: str, branch: str, pick: int, side: Side | None) -> None:
        self._replay("merge", there, (name, branch), pick, side)

    @rule(there=THERE, name=REPOS, branch=BRANCHES, pick=PICK, side=SIDES)
    def revert(self, there: bool, name: str, branch: str, pick: int, side: Side | None) -> None:
        self._replay("revert", there, (name, branch), pick, side)

    @rule(there=THERE, name=REPOS, branch=BRANCHES, pick=PICK, side=SIDES)
    def cherry_pick(self, there: bool, name: str, branch: str, pick: int, side: Side | None) -> None:
        self._replay("cherry_pick", there, (name, branch), pick, side)

    @rule(there=THERE, name=REPOS, branch=BRANCHES, pick=PICK, side=SIDES)
    def rebase(self, there: bool, name: str, branch: str, pick: int, side: Side | None) -> None:
        self._replay("rebase", there, (name, branch), pick, side)

    # questions

    @rule(there=THERE, name=REPOS, branch=BRANCHES, steps=st.integers(0, 3))
    def ancestry(self, there: bool, name: str, branch: str, steps: int) -> None:
        repo = self.repo(name)
        chain = [commit.id for commit in repo.chain(repo.branches.get(branch))]
        if not chain:
            return
        opened = repo.open_on(branch)
        assert self.ask(there, "log", name, branch) == ([opened] if opened else []) + chain
        nth, back = 1 + steps % len(chain), steps % len(chain)
        assert self.ask(there, "resolve", name, f"{branch}.{nth}") == chain[-nth]
        for ref in (f"{branch}^{back}", branch + "~" * back, chain[0] + "^" * back):
            assert self.ask(there, "resolve", name, ref) == chain[back]
        self.done["ancestry"] += 1

    @rule(there=THERE, name=REPOS, pick=PICK, other=PICK)
    def diff(self, there: bool, name: str, pick: int, other: int) -> None:
        seen = self.repo(name).visible()
        if seen:
            new, old = seen[pick % len(seen)], seen[other % len(seen)]
            after, before = self.repo(name).files(new), self.repo(name).files(old)
            changed = [path for path in {*after, *before} if after.get(path) != before.get(path)]
            what = {path: "added" if path not in before else "modified" for path in changed if path in after}
            deleted = dict.fromkeys((path for path in changed if path not in after), "deleted")
            assert self.ask(there, "diff", name, new, old) == {**what, **deleted}
            self.done["diff"] += 1

    @rule(there=THERE, name=REPOS, pick=PICK, path=PATHS)
    def find_commit(self, there: bool, name: str, pick: int, path: str) -> None:
        seen = self.repo(name).visible()
        if seen:
            commit = seen[pick % len(seen)]
            assert self.ask(there, "find_commit", name, commit, path) == self.repo(name).touching(commit, path)
            self.done["find_commit"] += 1

    @rule(there=THERE, name=REPOS, pick=PICK)
    def glob(self, there: bool, name: str, pick: int) -> None:
        seen = self.repo(name).visible()
        if seen:
            files = self.repo(name).files(seen[pick % len(seen)])
            found = self.ask(there, "glob", name, seen[pick % len(seen)], "/d/**")
            assert found == [path for path, _ in listing({path: files[path] for path in below(files, "/d")})][1:]
            self.done["glob"] += 1
