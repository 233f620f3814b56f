"""What is kept in memory between reads: never older than what is stored, and bounded."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import pfs
from pfs.errors import MissingObjectError, NotFoundError
from pfs.ids import TreeId, chunk_id
from pfs.keys import Keys
from pfs.rootkey import FILE
from pfs.store import Store


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[tuple[Store, Store]]:
    """Two that are open on one directory, as in two processes."""
    pfs.init(tmp_path).close()
    with pfs.open(tmp_path) as one, pfs.open(tmp_path) as other:
        one.create_repo("r")
        yield one, other


def test_refs_are_parsed_once_and_never_old(stores: tuple[Store, Store]) -> None:
    one, other = stores
    for number in range(20):
        with other.repo("r").commit("master") as commit:
            commit.put_file("/f", b"%d" % number)
        assert one.repo("r")["master"].read("/f") == b"%d" % number
        assert one.refs.read("r").body is one.refs.read("r").body
        assert one.refs.read("r").etag == other.refs.read("r").etag
    other.delete_repo("r")
    assert one.refs.find("r") is None
    other.create_repo("r")
    found = one.refs.find("r")
    assert found is not None
    assert not found.body.branches


def test_a_key_that_another_process_deleted_is_gone_at_once(stores: tuple[Store, Store]) -> None:
    one, other = Keys(stores[0]), Keys(stores[1])
    for role in ("reader", "writer"):
        made, secret = other.create("k", role=role)
        for _ in range(2):
            found = one.find(made.access_key)
            assert found is not None
            assert (found[0].role, found[1]) == (role, secret)
        other.delete("k")
        assert one.find(made.access_key) is None


def test_the_root_key_is_the_one_in_the_file(stores: tuple[Store, Store]) -> None:
    keys, file = Keys(stores[0]), stores[0].path / FILE
    key, secret = keys.root()
    changed = secret[::-1]
    file.write_text(file.read_text().replace(secret, changed))
    assert keys.find(key.access_key) == (key, changed)
    file.unlink()
    with pytest.raises(NotFoundError):
        keys.find(key.access_key)


def test_few_chunks_are_kept_and_those_of_a_stream_are_not(stores: tuple[Store, Store]) -> None:
    store = stores[0]
    data, other = os.urandom(100_000), os.urandom(100_001)
    with store.repo("r").commit("master") as commit:
        commit.put_file("/f", data)
        commit.put_file("/g", other)
    kept, passing = (TreeId(chunk_id(data)), len(data)), (TreeId(chunk_id(other)), len(other))
    assert store.objects.chunks([kept]) == [data]
    assert store.objects.chunks([passing], passing=True) == [other]
    for entry in list(store.backend.entries("packs/")):
        (store.path / "objects" / entry.name).unlink()
    assert store.objects.chunks([kept]) == [data]
    with pytest.raises(MissingObjectError):
        store.objects.chunks([passing])
