"""Letting commits go that somebody chose, and taking bytes out of those that stay, beside the rules of repos."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pfs.errors import PurgedError
from pfs.gc.collect import collect
from pfs.ids import CommitId
from pfs.lifecycle.retention import apply_retention, set_retention
from pfs.lifecycle.revising import Strip, held_by, revise
from pfs.packs.commit_record import CommitRecord
from pfs.refs.retention import Keep, Retention
from pfs.repo import Repo
from pfs.store import Store
from pfs.trees.edit import Edit
from pfs.trees.tree import Tree
from pfs.upkeep.check import fsck


def put(repo: Repo, number: int) -> CommitId:
    with repo.commit("master") as commit:
        commit.put_file("/a/x", bytes([number]) * 50_000)
        commit.put_file("/b", b"%d" % number)
    return repo.inspect("master").id


def ids(repo: Repo) -> list[CommitId]:
    return [info.id for info in repo.commits("master")]


def test_what_is_chosen_goes_but_what_is_needed_and_rules_are_not_asked(store: Store, repo: Repo) -> None:
    made = [put(repo, number) for number in range(5)]
    other = store.create_repo("other")
    theirs = [put(other, number) for number in range(3)]
    set_retention(store, "other", Retention(keep=Keep(last=1)))
    repo.create_tag("good", made[1])
    chosen = {repo.name: frozenset([made[0], made[1], made[3], made[4]])}
    (planned,) = apply_retention(store, chosen=chosen, dry_run=True)
    assert ids(repo) == made[::-1]
    (done,) = apply_retention(store, chosen=chosen)
    assert set(done.removed) == set(planned.removed) == {made[0], made[3]}
    assert ids(repo) == [made[4], made[2], made[1]], "the head and what is tagged stay"
    assert ids(other) == theirs[::-1]
    assert apply_retention(store, chosen={}) == []
    assert all(not effect.removed for effect in apply_retention(store, chosen=chosen))
    assert list(fsck(store)) == []


def test_files_lose_their_bytes_in_the_commits_that_are_said(store: Store, repo: Repo) -> None:
    made = [put(repo, number) for number in range(3)]
    collect(store)
    before = collect(store).bytes_after

    def edits(record: CommitRecord, tree: Tree, strip: Strip) -> Iterator[Edit]:
        row = tree.stat(b"a", want="dir")
        if record.id != made[2] and row is not None:
            yield from strip(row)

    assert held_by(store.refs.read(repo.name)) == {made[2]}
    planned = revise(store, repo.name, edits, dry_run=True)
    assert repo[made[0]].read("/a/x") == bytes(50_000)
    assert revise(store, repo.name, edits) == planned
    assert (planned.commits, planned.size_bytes) == (2, 100_000)
    assert revise(store, repo.name, edits).commits == 0
    assert ids(repo) == made[::-1]
    for commit in made[:2]:
        with pytest.raises(PurgedError):
            repo[commit].read("/a/x")
        assert repo[commit].stat("/a").size_bytes == 50_000
    assert [repo[commit].read("/b") for commit in made] == [b"0", b"1", b"2"]
    assert repo[made[2]].read("/a/x") == bytes([2]) * 50_000
    assert collect(store).bytes_after <= before
    assert list(fsck(store)) == []
