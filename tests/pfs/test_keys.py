"""S3 keys."""

import stat
from pathlib import Path

import msgspec
import pytest

from pfs.errors import (
    AlreadyExistsError,
    CorruptionError,
    InvalidInputError,
    InvalidNameError,
    NotFoundError,
    RepoNotFoundError,
)
from pfs.keys import Keys
from pfs.store import Store


def test_create_find_list_delete(store: Store) -> None:
    keys = Keys(store)
    for repo in ("a", "b"):
        store.create_repo(repo)
    key, secret = keys.create("ci", role="reader", repos=["a", "b"])
    other, _ = keys.create("app")
    assert (key.name, key.role, key.repos) == ("ci", "reader", ("a", "b"))
    assert (len(key.access_key), len(secret)) == (20, 40)
    assert key.access_key == key.access_key.upper()
    assert keys.find(key.access_key) == (key, secret)
    assert keys.list() == [other, key]
    keys.delete("ci")
    assert keys.find(key.access_key) is None
    assert keys.list() == [other]
    again, _ = keys.create("ci")
    assert again.access_key != key.access_key
    assert (again.role, again.repos) == ("writer", ())


def test_names_are_unique_and_checked(store: Store) -> None:
    keys = Keys(store)
    keys.create("ci")
    for name in ("ci", "root"):
        with pytest.raises(AlreadyExistsError):
            keys.create(name)
    with pytest.raises(InvalidNameError):
        keys.create("a b")
    with pytest.raises(InvalidInputError, match="role"):
        keys.create("x", role="admin")
    with pytest.raises(RepoNotFoundError, match="nowhere"):
        keys.create("x", repos=["nowhere"])
    assert [key.name for key in keys.list()] == ["ci"]
    with pytest.raises(NotFoundError):
        keys.delete("nothing")
    with pytest.raises(InvalidInputError):
        keys.delete("root")


def test_the_root_key_is_an_owner(store: Store) -> None:
    key, secret = Keys(store).root()
    assert (key.name, key.role, key.repos) == ("root", "owner", ())
    assert Keys(store).find(key.access_key) == (key, secret)


@pytest.mark.parametrize("access_key", ["", "A" * 20, "../../config", "a" * 20, "A" * 19 + "/"])
def test_unknown_access_keys(store: Store, access_key: str) -> None:
    assert Keys(store).find(access_key) is None


def test_secrets_are_not_in_the_objects_and_cannot_be_moved(store: Store) -> None:
    keys = Keys(store)
    key, secret = keys.create("ci", role="reader")
    file = store.path / f"objects/keys/{key.access_key}.json"
    assert secret.encode() not in file.read_bytes()
    stored = msgspec.json.decode(file.read_bytes())
    file.chmod(stat.S_IRUSR | stat.S_IWUSR)
    file.write_bytes(msgspec.json.encode(stored | {"role": "owner"}))
    with pytest.raises(CorruptionError):
        keys.find(key.access_key)


def test_a_name_left_by_an_interrupted_create_is_free(store: Store) -> None:
    store.backend.put_new("keynames/ci", b"A" * 20)
    assert Keys(store).create("ci")[0].name == "ci"


def test_a_lost_root_key_is_named(store: Store) -> None:
    Path(store.path / "root-key").unlink()
    with pytest.raises(NotFoundError, match="recover"):
        Keys(store).root()


def test_a_key_is_for_the_repos_that_it_was_made_for(store: Store) -> None:
    keys = Keys(store)
    store.create_repo("a")
    everywhere, _ = keys.create("all")
    key, secret = keys.create("ci", repos=["a", "a"])
    assert key.repos == ("a",)
    created_ns = store.repo("a").info().created_ns
    assert keys.find(key.access_key) == (key, secret)
    assert not key.is_outlived("a", created_ns)
    assert key.is_outlived("a", created_ns + 1)
    assert key.is_outlived("a", None)
    for one, repo in ((key, "b"), (everywhere, "a"), (keys.root()[0], "a")):
        assert not one.is_outlived(repo, None)


def test_what_a_key_is_for_cannot_be_changed(store: Store) -> None:
    keys = Keys(store)
    store.create_repo("a")
    key, _ = keys.create("ci", repos=["a"])
    file = store.path / f"objects/keys/{key.access_key}.json"
    stored = msgspec.json.decode(file.read_bytes())
    file.chmod(stat.S_IRUSR | stat.S_IWUSR)
    for change in ({"made_ns": [1]}, {"made_ns": []}, {"repos": ["b"]}, {"repos": []}):
        file.write_bytes(msgspec.json.encode(stored | change))
        with pytest.raises(CorruptionError):
            keys.find(key.access_key)
