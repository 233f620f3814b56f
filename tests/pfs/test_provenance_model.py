"""Propagation against a plain model: a graph of branches, commits, moves, writes, and looks that come late."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pfs
from pfs.errors import ConflictError
from pfs.model import BranchRef
from pfs.provenance.pull import settle_all
from pfs.store import Store
from pfs.upkeep.check import fsck

RAW = ("a", "b")
PLAIN = {"c": ("a",), "d": ("a", "b"), "e": ("c", "d"), "f": ("e", "a")}
"""Per branch what it is computed from, in topological order: two diamonds, one inside the other."""


@dataclass(frozen=True)
class Opened:
    """An open commit of the model."""

    id: str
    prov: dict[str, str]
    written: bool = False


@dataclass
class Model:
    """What has to be there; a branch is named like its repo."""

    heads: dict[str, str] = field(default_factory=dict)
    made_from: dict[str, dict[str, str]] = field(default_factory=lambda: {name: {} for name in PLAIN})
    lines: dict[str, list[Opened]] = field(default_factory=lambda: {name: [] for name in PLAIN})
    seen: dict[str, dict[str, str]] = field(default_factory=lambda: {name: {} for name in PLAIN})

    def position(self, name: str) -> str | None:
        line = self.lines.get(name)
        return line[-1].id if line else self.heads.get(name)

    def makes_room(self, name: str, one: Opened) -> bool:
        below = [(other, made) for other, line in self.lines.items() for made in line if made.prov.get(name) == one.id]
        return not one.written and all(self.makes_room(other, made) for other, made in below)

    def propagate(self, store: Store) -> set[str]:
        """Bring every branch up to date; ids are those that the store gave. Return the new ones."""
        fresh = set[str]()
        for name, sources in PLAIN.items():
            at = {source: commit for source in sources if (commit := self.position(source)) is not None}
            if at == self.seen[name]:
                continue
            self.seen[name] = at
            kept = [one for one in self.lines[name] if not self.makes_room(name, one)]
            base = kept[-1].prov if kept else self.made_from[name]
            if at and at != base:
                made = store.refs.read(name).body.all_open_on("master")[-1]
                kept.append(Opened(made, at))
                fresh.add(made)
            self.lines[name] = kept
        return fresh


OPS = st.one_of(
    st.tuples(st.just("put"), st.sampled_from(RAW), st.booleans()),
    st.tuples(st.just("move"), st.sampled_from(RAW), st.integers(0, 5)),
    st.tuples(st.just("write"), st.sampled_from(list(PLAIN)), st.just(0)),
    st.tuples(st.just("finish"), st.sampled_from(list(PLAIN)), st.just(0)),
    st.tuples(st.just("fail"), st.sampled_from(list(PLAIN)), st.just(0)),
    st.tuples(st.just("drop"), st.sampled_from(list(PLAIN)), st.just(0)),
)


class World:
    def __init__(self, store: Store) -> None:
        self.store, self.model = store, Model()
        self.past: dict[str, list[str]] = {name: [] for name in RAW}
        self.number = 0
        for name in (*RAW, *PLAIN):
            store.create_repo(name)
        for name, sources in PLAIN.items():
            store.repo(name).create_branch("master", provenance=[BranchRef(source, "master") for source in sources])

    def do(self, verb: str, name: str, how: int) -> None:
        getattr(self, verb)(name, how)

    def put(self, name: str, late: bool) -> None:
        """Commit; ``late``: the process dies before it propagates, and another one looks."""
        with pfs.open(self.store.path) as other:
            if late:
                other.refs.on_moved = None
            commit = self._write(other, name)
        self.past[name].append(commit)
        self.model.heads[name] = commit
        if late:
            settle_all(self.store)
        assert self.model.propagate(self.store) <= {commit}

    def move(self, name: str, to: int) -> None:
        if not self.past[name]:
            return
        target = self.past[name][to % len(self.past[name])]
        self.store.repo(name).create_branch("master", head=target)
        self.model.heads[name] = target
        known = {one.id for line in self.model.lines.values() for one in line} | set(self.model.heads.values())
        fresh = self.model.propagate(self.store)
        assert len(fresh) <= 1
        assert not fresh & known or fresh == {target}

    def write(self, name: str, _: int) -> None:
        line = self.model.lines[name]
        if not line:
            with pytest.raises(ConflictError):
                self._write(self.store, name)
            return
        assert self._write(self.store, name) == line[0].id
        line[0] = replace(line[0], written=True)

    def _write(self, store: Store, name: str) -> str:
        self.number += 1
        with store.repo(name).commit("master") as commit:
            commit.put_file(f"/{self.number}", str(self.number).encode())
        return commit.id

    def finish(self, name: str, _: int) -> None:
        self._end(name, None)

    def fail(self, name: str, _: int) -> None:
        self._end(name, "boom")

    def _end(self, name: str, error: str | None) -> None:
        line = self.model.lines[name]
        if not line:
            return
        waiting = [
            source
            for source, commit in line[0].prov.items()
            if commit in {o.id for o in self.model.lines.get(source, [])}
        ]
        if waiting:
            with pytest.raises(ConflictError, match=rf"{waiting[0]}@master"):
                self.store.repo(name).finish_commit("master", error=error)
            return
        self.store.repo(name).finish_commit("master", error=error)
        ended = line.pop(0)
        if error is None:
            self.model.heads[name], self.model.made_from[name] = ended.id, ended.prov
        self.model.propagate(self.store)

    def drop(self, name: str, _: int) -> None:
        line = self.model.lines[name]
        if not line:
            return
        first = line[0]
        below = [
            (o, made) for o, found in self.model.lines.items() for made in found if made.prov.get(name) == first.id
        ]
        if not all(self.model.makes_room(other, made) for other, made in below):
            with pytest.raises(ConflictError, match="was made from"):
                self.store.repo(name).drop_open("master")
            return
        self.store.repo(name).drop_open("master")
        line.pop(0)
        self.model.propagate(self.store)

    def check(self) -> None:
        for name in PLAIN:
            body = self.store.refs.read(name).body
            opened = [(id, body.open[id]) for id in body.all_open_on("master")]
            found = [
                Opened(id, {repo: commit for repo, _, commit in entry.provenance}, entry.written)
                for id, entry in opened
            ]
            assert found == self.model.lines[name], name
            assert body.branches["master"].head == self.model.heads.get(name), name


def play(ops: list[tuple[str, str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder, pfs.init(folder) as store:
        world = World(store)
        for verb, name, how in ops:
            world.do(verb, name, how)
            world.check()
        settle_all(store)
        world.check()
        assert list(fsck(store)) == []


@settings(max_examples=25, deadline=None)
@given(st.lists(OPS, min_size=4, max_size=14))
def test_branches_get_what_the_model_says(ops: list[tuple[str, str, int]]) -> None:
    play(ops)


@pytest.mark.long
@settings(max_examples=150, deadline=None)
@given(st.lists(OPS, min_size=10, max_size=40))
def test_branches_get_what_the_model_says_for_long(ops: list[tuple[str, str, int]]) -> None:
    play(ops)
