"""Scenarios of history: what joins, moves, folds and takes away commits."""

from __future__ import annotations

import random
from pathlib import Path

from pfs.changes import replay
from pfs.changes.landing import How
from pfs.changes.merge import Resolution
from pfs.lifecycle.purge import purge
from pfs.lifecycle.retention import apply_retention
from pfs.refs.retention import Keep, PathRule, Retention
from pfs.store import Store
from tests.matrix.place import HOUR_NS
from tests.matrix.scenario import Scenario, over
from tests.matrix.world import prepare, put, text

_TOLD = How(message="back")
_THEIRS = How(Resolution("theirs"))


def rules(store: Store, top: Path) -> None:
    """Give two repos more commits than their rules keep, made an hour ago."""
    prepare(store, top)
    for name in ("data", "other"):
        for number in range(3):
            put(store.repo(name), "master", {f"/n{number}": text(f"{number}")})
        store.repo(name).set_retention(Retention(keep=Keep(last=2)))


def aging(store: Store, top: Path) -> None:
    """Let files lose their bytes a minute after their commit."""
    prepare(store, top)
    put(store.repo("data"), "master", {"/logs/x": random.Random(3).randbytes(5000)})
    put(store.repo("data"), "master", {"/logs/x": text("newer")})
    store.repo("data").set_retention(Retention(paths=(PathRule(glob="/logs/*", seconds=60),)))


def alone(store: Store, top: Path) -> None:
    """Have a branch that nothing holds."""
    prepare(store, top)
    put(store.repo("data"), "alone", {"/1": b"1"}, "first")
    put(store.repo("data"), "alone", {"/2": b"2"}, "second")


def everywhere(store: Store, top: Path) -> None:
    """Have a file in a branch, a tag, the trash and an open commit."""
    prepare(store, top)
    repo = store.repo("data")
    put(repo, "master", {"/secret": random.Random(4).randbytes(7000), "/s/also": text("also")})
    repo.create_tag("v2", "master")
    repo.create_branch("bin", head="master")
    put(repo, "bin", {"/after": text("after")})
    repo.delete_branch("bin")
    repo.start_commit("draft", parent="master")


SCENARIOS = (
    Scenario("merge", over(lambda store: replay.merge(store, "data", "dev", "master")), prepare),
    Scenario(
        "merge, conflicts resolved",
        over(lambda store: replay.merge(store, "data", "dev", "clash", how=_THEIRS)),
        lambda store, top: (prepare(store, top), put(store.repo("data"), "clash", {"/a": b"1", "/new": b"2"})),
    ),
    Scenario("rebase", over(lambda store: replay.rebase(store, "data", "dev", "master")), prepare),
    Scenario("cherry-pick", over(lambda store: replay.cherry_pick(store, "data", "dev", "master")), prepare),
    Scenario("revert", over(lambda store: replay.revert(store, "data", "master", how=_TOLD)), prepare),
    Scenario("squash-commit", over(lambda store: store.repo("data").squash_commit("dev^")), prepare),
    Scenario("drop-commit", over(lambda store: store.repo("data").drop_commit("alone")), alone),
    Scenario("retention of two repos", over(apply_retention), rules, unit="repo"),
    Scenario(
        "retention by age of files",
        over(lambda store: apply_retention(store, now_ns=store.clock_ns() + HOUR_NS)),
        aging,
    ),
    Scenario("purge", over(lambda store: purge(store, "data", "/secret")), everywhere),
    Scenario("purge -r", over(lambda store: purge(store, "data", "/d", recursive=True)), everywhere),
)
