"""How the machine works: operations here or in the other process, and what the model says of them.

The model says beforehand whether an operation is refused, and by which error. After each step the repos that it was
about are compared with the model; at the end everything is.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from typing import ClassVar

from hypothesis.stateful import RuleBasedStateMachine, invariant

import pfs
from pfs.errors import NotFoundError, PfsError
from tests.pfs.machine import following, verbs, writing
from tests.pfs.machine.draws import NO_COMMIT
from tests.pfs.machine.driver import Driver, Listed, Seen, call
from tests.pfs.machine.following import OUT
from tests.pfs.machine.state import Files, Purged, Refused, Repo, World, listing
from tests.pfs.machine.verbs import Done
from tests.pfs.machine.worker import Worker
from tests.pfs.machine.writing import Step, Writer


@cache
def other_process() -> Worker:
    """Return the one process beside this one, for all machines."""
    return Worker()


def ended() -> None:
    """End the other process."""
    if other_process.cache_info().currsize:
        other_process().close()
        other_process.cache_clear()


class Machine(RuleBasedStateMachine):
    """``done`` and ``refused`` count what each rule came to, over all machines."""

    done: ClassVar[Counter[str]] = Counter()
    refused: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.home = tempfile.mkdtemp()
        pfs.init(self.home, chunk_avg=65_536).close()
        self.here = Driver(self.home)
        self.world = World()
        self.writers: dict[int, tuple[bool, Writer]] = {}
        self.numbers = 0
        self.touched: set[str] = set()
        self.hashes: dict[bytes, str] = {}
        self.sound = False
        """Whether the last step was checked; what failed is not to be hidden by what fails because of it."""
        self._begin_history()

    def _begin_history(self) -> None:
        """Give every rule something to work on."""
        for name in ("a", "b"):
            self.act(False, verbs.create_repo(self.world, name), "create_repo", name)
            for number, branch in enumerate(("master", "dev", "master", "master", "dev")):
                self.write("put_files", number == 2, (name, branch), [Step("put", f"/d/{branch}", b"x" * number)])
        self.act(True, verbs.create_branch(self.world, "a", "side", None), "create_branch", "a", "side", None)
        self.act(True, verbs.delete_branch(self.world, "a", "side"), "delete_branch", "a", "side")
        self.act(True, verbs.create_repo(self.world, "c"), "create_repo", "c")
        self.act(False, verbs.delete_repo(self.world, "c"), "delete_repo", "c")
        head = self.world.repos["b"].visible()[0]
        self.act(True, verbs.create_tag(self.world, "b", "v1", head), "create_tag", "b", "v1", head)
        self.act(True, writing.start(self.world, "b", "side", None), "start", "b", "side", None)

    # how rules work

    def ask(self, there: bool, verb: str, *words: object) -> object:
        """Do an operation, in this process or the other."""
        self.sound = False
        return other_process().call(self.home, verb, *words) if there else call(self.here, verb, *words)

    def act(self, there: bool, done: Done, verb: str, *words: object) -> None:
        """Do what the model allows."""
        done(self.ask(there, verb, *words))

    def fails(self, there: bool, expected: Refused, verb: str, *words: object) -> None:
        """Do what the model says is refused."""
        try:
            answer = self.ask(there, verb, *words)
        except expected.kind:
            return
        raise AssertionError(f"{verb}{words} gave {answer}, and not {expected.kind.__name__}")

    def do(self, rule_name: str, there: bool, plan: Callable[[], Done], verb: str, *words: object) -> None:
        """Do one operation, as the model has it."""
        try:
            done = plan()
        except Refused as expected:
            self.fails(there, expected, verb, *words)
            self.refused[rule_name] += 1
            return
        self.act(there, done, verb, *words)
        self.done[rule_name] += 1

    def repo(self, name: str) -> Repo:
        """Return the model of a repo that a rule is about; an empty one if it is not there."""
        self.touched.add(name)
        return self.world.repos.get(name, Repo(name))

    def choose(self, pick: int, candidates: Sequence[str], plan: Callable[[str], object]) -> str | None:
        """Return one of the candidates: mostly one that is not refused, if there is any. None: there are none."""
        if pick % 4:
            candidates = [one for one in candidates if self._allowed(plan, one)] or candidates
        return candidates[pick % len(candidates)] if candidates else None

    def _allowed(self, plan: Callable[[str], object], candidate: str) -> bool:
        try:
            plan(candidate)
        except Refused:
            return False
        return True

    def commits(self, name: str) -> list[str]:
        """Return the commits of a repo: those that are seen first, then open ones, then dropped ones."""
        repo = self.repo(name)
        return [*repo.visible()[:12], *repo.opens, *sorted(repo.dropped())] or [NO_COMMIT]

    # writers

    def begin(self, there: bool, name: str, branch: str, parent: str | None = None) -> int | None:
        """Begin a writer; None if it is refused."""
        return self._begin(
            there, lambda: writing.begin(self.world, name, branch, parent), (name, branch, parent), ("",) * 3
        )

    def _begin(
        self,
        there: bool,
        plan: Callable[[], Writer],
        place: tuple[str, str, str | None],
        made_from: tuple[str, str, str],
    ) -> int | None:
        self.numbers += 1
        self.repo(place[0])
        words = (self.numbers, *place, made_from)
        try:
            writer = plan()
        except Refused as expected:
            self.fails(there, expected, "begin", *words)
            return None
        self.ask(there, "begin", *words)
        self.writers[self.numbers] = (there, writer)
        return self.numbers

    def stage(self, number: int, step: Step) -> bool:
        """Stage a change; say whether it was taken."""
        there, writer = self.writers[number]
        try:
            writing.stage(self.world, writer, step)
        except Refused as expected:
            self.fails(there, expected, "stage", number, [step])
            return False
        self.ask(there, "stage", number, [step])
        return True

    def finish(self, rule_name: str, number: int) -> None:
        """Finish a writer."""
        there, writer = self.writers.pop(number)
        self.repo(writer.repo)
        self.do(rule_name, there, lambda: writing.finish_writer(self.world, writer), "finish_writer", number)

    def give_up(self, number: int) -> None:
        """Drop a writer."""
        there, _ = self.writers.pop(number)
        self.ask(there, "drop_writer", number)

    def write(
        self, rule_name: str, there: bool, place: tuple[str, str], steps: Sequence[Step], parent: str | None = None
    ) -> None:
        """Make one commit of some changes."""
        number = self.begin(there, *place, parent)
        taken = number is not None and all(self.stage(number, step) for step in steps)
        if number is not None and taken:
            self.finish(rule_name, number)
            return
        self.refused[rule_name] += 1
        if number is not None:
            self.give_up(number)

    # what must hold

    @invariant()
    def what_was_touched_is_as_in_the_model(self) -> None:
        there = self.numbers % 2 == 0
        if OUT in self.world.repos:
            seen = self.ask(there, "show", OUT)
            assert isinstance(seen, Seen)
            following.pull(self.world, list(seen.opens))
            self.touched.add(OUT)
        for name in sorted(self.touched & set(self.world.repos)):
            self.check_repo(there, name)
        self.touched.clear()
        self.sound = True

    def check_repo(self, there: bool, name: str) -> None:
        """Compare what a repo shows, and the files of its heads and open commits."""
        repo = self.world.repos[name]
        seen = self.ask(there, "show", name)
        assert seen == Seen(repo.branches, repo.tags, set(repo.opens), repo.visible(), self._failed(repo))
        for head in {head for head in repo.branches.values() if head is not None}:
            self.check_files(there, (name, head), repo.files(head))
        for id, entry in repo.opens.items():
            self.check_files(there, (name, id), entry.files)

    def _failed(self, repo: Repo) -> set[str]:
        return {id for id in repo.visible() if repo.commits[id].error}

    def check_files(self, there: bool, place: tuple[str, str], files: Files) -> None:
        """Compare names, sizes, counts and content: by hashes, each of which was once compared with the bytes."""
        found = self.ask(there, "list", *place)
        assert isinstance(found, list)
        assert [(one.path, one.size) for one in found] == list(listing(files))
        for one in (one for one in found if one.path in files):
            self._check_content(there, place, one, files[one.path])
        assert self.ask(there, "totals", *place) == (len(files), sum(map(len, files.values())))

    def _check_content(self, there: bool, place: tuple[str, str], found: Listed, data: bytes) -> None:
        if isinstance(data, Purged):
            self.fails(there, Refused(NotFoundError), "read", *place, found.path)
            return
        if data not in self.hashes:
            assert self.ask(there, "read", *place, found.path) == data
            self.hashes[data] = found.hash
        assert found.hash == self.hashes[data]

    def teardown(self) -> None:
        if self.sound:
            self.check_all()
        for there in (True, False):
            self.ask(there, "close")
        shutil.rmtree(self.home)

    def check_all(self) -> None:
        """Compare everything there is."""
        for number in list(self.writers):
            self.give_up(number)
        assert self.ask(False, "repos") == sorted(self.world.repos)
        for name, repo in self.world.repos.items():
            self.check_repo(True, name)
            self.check_ids(name, repo)
        sets = self.ask(True, "commit_sets")
        ids = {id for repo in self.world.repos.values() for id in (*repo.visible(), *repo.opens)}
        assert sets == {id: self.world.commit_set(id) for id in ids}
        assert self.ask(True, "fsck", True) == []

    def check_ids(self, name: str, repo: Repo) -> None:
        """Every commit there ever was: readable as it was made, or taken over, or gone."""
        for id in repo.commits:
            meant = repo.means(id)
            if meant is None:
                try:
                    self.ask(False, "resolve", name, id)
                except PfsError:
                    continue
                assert self.world.commit_set(id), f"{name}@{id} was dropped, and is found"
            elif meant == id:
                found = self.ask(False, "list", name, id)
                assert isinstance(found, list)
                assert [(one.path, one.size) for one in found] == list(listing(repo.files(id)))
            else:
                assert self.ask(False, "resolve", name, id) == meant
