"""The face of what works on a whole store or all of a repo's history: thin, and the same as the parts below."""

import random
import subprocess
import sys

import pytest

import pfs
from pfs.errors import InvalidInputError, PathNotFoundError, PurgedError
from pfs.repo import Repo
from pfs.store import Store


def test_a_store_is_measured_purged_and_collected(store: Store, repo: Repo) -> None:
    secret = random.Random(1).randbytes(400_000)
    with repo.commit("master") as commit:
        commit.put_file("/d/secret", secret)
        commit.put_file("/keep", b"1")
    before = store.stats(exact=True)
    assert repo.purge("/d", recursive=True, dry_run=True).size_bytes == 400_000
    assert repo["master"].read("/d/secret") == secret
    repo.purge("/d/secret")
    with pytest.raises(PurgedError):
        repo["master"].read("/d/secret")
    with pytest.raises(PathNotFoundError):
        repo.purge("/none")
    assert store.collect(dry_run=True).dry_run
    report = store.collect()
    assert report.bytes_before - report.bytes_after > 399_000
    assert before.packs_bytes - store.stats().packs_bytes > 399_000
    assert store.collect().did_nothing


def test_rules_are_given_and_done(store: Store, repo: Repo) -> None:
    for number in range(4):
        with repo.commit("master") as commit:
            commit.put_file("/a", b"%d" % number)
    assert repo.retention() is None
    repo.set_retention(pfs.Retention(keep=pfs.Keep(last=2)))
    assert repo.retention() == pfs.Retention(keep=pfs.Keep(last=2))
    (effect,) = store.collect().retention
    assert (len(effect.removed), effect.kept) == (2, 2)
    repo.set_retention(None)
    assert repo.retention() is None
    with pytest.raises(InvalidInputError):
        repo.set_retention(pfs.Retention(keep=pfs.Keep(last=-1)))


def test_opening_a_store_imports_none_of_it() -> None:
    code = (
        "import pfs, sys; pfs.Store, pfs.Repo; print([m for m in sys.modules if m.startswith(('pfs.gc', 'pfs.life'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout == "[]\n"
