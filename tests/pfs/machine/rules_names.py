"""Rules on repos, branches, tags and trash, and on the store as a whole."""

from __future__ import annotations

import shutil
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.pfs.machine import lifecycle, verbs
from tests.pfs.machine.base import Machine
from tests.pfs.machine.draws import BRANCHES, PICK, REPOS, TAGS, THERE
from tests.pfs.machine.following import BRANCH, FOLLOWER, OUT
from tests.pfs.machine.state import SECRET, Repo
from tests.pfs.machine.writing import Step


class NameRules(Machine):
    """What changes names."""

    @rule(there=THERE, name=REPOS)
    def create_repo(self, there: bool, name: str) -> None:
        self.repo(name)
        self.do("create_repo", there, lambda: verbs.create_repo(self.world, name), "create_repo", name)

    @rule(there=THERE, name=REPOS, sure=PICK)
    def delete_repo(self, there: bool, name: str, sure: int) -> None:
        if sure % 3 == 0:
            for number in [number for number, (_, writer) in self.writers.items() if writer.repo == name]:
                self.give_up(number)
            self.repo(name)
            self.do("delete_repo", there, lambda: verbs.delete_repo(self.world, name), "delete_repo", name)

    @precondition(lambda self: set(self.world.graves) - set(self.world.repos))
    @rule(there=THERE, name=REPOS)
    def undelete_repo(self, there: bool, name: str) -> None:
        gone = sorted(set(self.world.graves) - set(self.world.repos))
        name = name if name in gone or not gone else gone[0]
        self.repo(name)
        self.do("undelete_repo", there, lambda: verbs.undelete_repo(self.world, name), "undelete_repo", name)

    @rule(there=THERE, name=REPOS, branch=BRANCHES, pick=st.one_of(st.none(), PICK))
    def create_branch(self, there: bool, name: str, branch: str, pick: int | None) -> None:
        allowed = lambda one: verbs.create_branch(self.world, name, branch, one)  # noqa: E731
        head = None if pick is None else self.choose(pick, self.commits(name), allowed)
        plan = lambda: verbs.create_branch(self.world, name, branch, head)  # noqa: E731
        self.do("create_branch", there, plan, "create_branch", name, branch, head)

    @rule(there=THERE, name=REPOS, branch=BRANCHES)
    def delete_branch(self, there: bool, name: str, branch: str) -> None:
        branches = sorted(set(self.repo(name).branches) - {FOLLOWER})
        branch = branch if branch in branches or not branches else branches[0]
        plan = lambda: verbs.delete_branch(self.world, name, branch)  # noqa: E731
        self.do("delete_branch", there, plan, "delete_branch", name, branch)

    @rule(there=THERE, name=REPOS, watched=BRANCHES, commits=st.integers(1, 3))
    def follow(self, there: bool, name: str, watched: str, commits: int) -> None:
        """Give a branch a trigger."""
        if watched in self.repo(name).branches:
            plan = lambda: verbs.follow(self.world, name, watched, commits)  # noqa: E731
            self.do("follow", there, plan, "follow", name, FOLLOWER, watched, commits)

    @rule(there=THERE, name=REPOS)
    def bind(self, there: bool, name: str) -> None:
        """Compute a branch from master of a repo, once."""
        if self.world.source is None and name in self.world.repos and "master" not in self.repo(name).tags:
            self.ask(there, "bind", OUT, BRANCH, (name, "master"))
            self.world.source = name
            self.repo(name).branches.setdefault("master", None)
            self.world.repos[OUT] = Repo(OUT, branches={BRANCH: None})
            self.done["bind"] += 1

    @rule(there=THERE, name=REPOS, tag=TAGS, pick=PICK)
    def create_tag(self, there: bool, name: str, tag: str, pick: int) -> None:
        commit = self.choose(pick, self.commits(name), lambda one: verbs.create_tag(self.world, name, tag, one))
        assert commit is not None
        plan = lambda: verbs.create_tag(self.world, name, tag, commit)  # noqa: E731
        self.do("create_tag", there, plan, "create_tag", name, tag, commit)

    @rule(there=THERE, name=REPOS, tag=TAGS)
    def delete_tag(self, there: bool, name: str, tag: str) -> None:
        tags = self.repo(name).tags
        tag = tag if tag in tags or not tags else min(tags)
        self.do("delete_tag", there, lambda: verbs.delete_tag(self.world, name, tag), "delete_tag", name, tag)

    @rule(there=THERE, name=REPOS, pick=PICK, by_id=st.booleans())
    def undelete(self, there: bool, name: str, pick: int, by_id: bool) -> None:
        trash = self.repo(name).trash
        names = sorted({entry.head if by_id else entry.name for entry in trash} - {None}) or ["nothing"]
        wanted = self.choose(pick, names, lambda one: verbs.undelete(self.world, name, one))
        self.do("undelete", there, lambda: verbs.undelete(self.world, name, wanted), "undelete", name, wanted)

    # the store

    @rule(remove_index=st.booleans(), sure=PICK)
    def reopen(self, remove_index: bool, sure: int) -> None:
        """Close the store in both processes; one opens it again, from the objects alone if its index is gone."""
        if sure % 3:
            return
        for there in (False, True):
            self.ask(there, "close")
        self.writers.clear()
        if remove_index:
            shutil.rmtree(Path(self.home, ".pfs/index.lmdb"), ignore_errors=True)  # nobody may have opened it since
        self.touched |= set(self.world.repos)
        self.done["rebuild" if remove_index else "reopen"] += 1

    @rule(there=THERE, sure=PICK)
    def gc(self, there: bool, sure: int) -> None:
        """Collect; what anybody can still name stays, whatever writers are at work."""
        if sure % 2 == 0:
            self.ask(there, "gc")
            self.touched |= set(self.world.repos)
            self.done["gc"] += 1

    @rule(there=THERE, name=REPOS, last=st.integers(1, 4))
    def retain(self, there: bool, name: str, last: int) -> None:
        """Let old commits go: at most what nothing needs, and all of it where that is plain."""
        if name in self.world.repos:
            repo = self.repo(name)
            gone = self.ask(there, "retain", name, last)
            assert isinstance(gone, list)
            may_go = lifecycle.beyond(self.world, repo, last)
            assert set(gone) <= may_go
            assert set(gone) == may_go or not lifecycle.is_plain(self.world, repo)
            lifecycle.let_go(repo, set(gone))
            self.done["retain"] += 1

    @rule(there=THERE, name=REPOS, branch=BRANCHES)
    def put_secret(self, there: bool, name: str, branch: str) -> None:
        self.numbers += 1
        self.write("put_secret", there, (name, branch), [Step("put", SECRET, b"secret %d" % self.numbers)])

    @rule(there=THERE, name=REPOS)
    def purge(self, there: bool, name: str) -> None:
        """Purge a path from all history, beside writers that know it."""
        found = [one for one, repo in sorted(self.world.repos.items()) if lifecycle.holds_secret(repo)]
        if found:
            name = name if name in found else found[0]
            self.ask(there, "purge", name, SECRET)
            lifecycle.purge(self.repo(name))
            self.done["purge"] += 1

    @rule(there=THERE, sure=PICK)
    def fsck(self, there: bool, sure: int) -> None:
        if sure % 4:
            return
        assert self.ask(there, "fsck", False) == []
        self.done["fsck"] += 1
