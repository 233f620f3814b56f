"""Whole encrypted stores: everything works as in plain ones, and who owns the place learns nothing but sizes."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

import pfs
from pfs.attach import Settings, connect
from pfs.backends.base import Backend
from pfs.backends.encrypted import EncryptedBackend, encrypted
from pfs.backends.local import LocalBackend
from pfs.backends.memory import MemoryBackend
from pfs.backends.registry import open_backend
from pfs.backends.s3_place import S3Options
from pfs.changes.replay import merge
from pfs.config import (
    FOLDER,
    OBJECT_CONFIG,
    StoreConfig,
    decode_store_config,
    encode_store_config,
    plain_config,
    put_config,
)
from pfs.encryption.secret import KeyFile, Passphrase
from pfs.encryption.unlock import unlocked
from pfs.errors import (
    ConfigDamagedError,
    ConflictError,
    CorruptionError,
    InvalidInputError,
    InvalidParamsError,
    KeyNeededError,
    StorageError,
    WrongKeyError,
)
from pfs.keys import Keys
from pfs.moving.clone import _begun, clone, copy_store
from pfs.moving.push import send
from pfs.packs.index import Index
from pfs.refs.signed import sign_body
from pfs.store import Store
from pfs.testing.faults import WRITES, FaultyBackend, How
from pfs.upkeep.check import fsck
from pfs.upkeep.recover import recover
from tests.pfs.bucket_world import BUCKET, World
from tests.pfs.gc_world import contents

SECRET, OTHER = KeyFile(b"a key file of 32 bytes or more: 1"), KeyFile(b"a key file of 32 bytes or more: 2")
OFFICIAL = "quarterly-figures"
DATA = b"the very words that nobody else may read; " * 4000


@dataclass(frozen=True)
class Place:
    """Where a store is made, opened and looked into from outside."""

    make: Callable[..., Store]
    connected: Callable[[Path], Store]
    raw: Callable[[], dict[str, bytes]]
    folder: Path


BOTH = pytest.mark.parametrize("place", ["local", pytest.param("bucket", marks=pytest.mark.s3)], indirect=True)


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    folder = tmp_path / "one"
    if getattr(request, "param", "local") == "local":
        objects = folder / FOLDER / "objects"

        def raw() -> dict[str, bytes]:
            files = [path for path in objects.rglob("*") if path.is_file()]
            return {str(path.relative_to(objects)): path.read_bytes() for path in files}

        def again(at: Path) -> Store:
            shutil.copytree(objects, at / FOLDER / "objects")
            shutil.copy(folder / FOLDER / "config.json", at / FOLDER)
            recover(at / FOLDER, unlock=SECRET)
            return pfs.open(at, unlock=SECRET)

        return Place(lambda: pfs.init(folder, encrypt=SECRET), again, raw, folder)

    bucket: World = request.getfixturevalue("bucket")
    prefix = uuid4().hex
    url, settings = f"s3://{BUCKET}/{prefix}", Settings(S3Options(endpoint=bucket.url))

    def stored() -> dict[str, bytes]:
        found = {}
        for page in bucket.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix):
            for item in page["Contents"]:
                body = bucket.client.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read()
                found[item["Key"].removeprefix(f"{prefix}/")] = body
        return found

    return Place(
        lambda: connect(folder, url, settings=settings, encrypt=SECRET).store,
        lambda at: connect(at, url, settings=settings, unlock=SECRET).store,
        stored,
        folder,
    )


def fill(store: Store) -> None:
    """Make commits of several kinds, with everything that has a name."""
    repo = store.create_repo(OFFICIAL, description="what we earned")
    with repo.commit("master", message="the first figures") as commit:
        commit.put_file("/north/january.csv", DATA)
        commit.put_file("/north/february.csv", random.Random(1).randbytes(1_500_000))
        for number in range(60):
            commit.put_file(f"/south/customer-{number}.txt", b"customer %d owes money" % number)
    with repo.commit("draft-branch", parent="master") as commit:
        commit.put_file("/east/march.csv", b"east " * 5000)
    with repo.commit("master") as commit:
        commit.put_file("/west/april.csv", b"west " * 5000)
        commit.delete_file("/south/customer-1.txt")
    repo.create_tag("audited", "master")
    store.create_repo("short-lived")
    store.delete_repo("short-lived")
    Keys(store).create("bookkeeper", role="reader", repos=[OFFICIAL])


def check(store: Store) -> None:
    repo = store.repo(OFFICIAL)
    view = repo["audited"]
    assert view.read("/north/january.csv") == DATA
    assert view.read("/north/february.csv") == random.Random(1).randbytes(1_500_000)
    assert view.read("/south/customer-59.txt") == b"customer 59 owes money"
    assert [info.path for info in view.list("/west")] == ["/west/april.csv"]
    assert [info.name for info in store.list_repos()] == [OFFICIAL]
    assert list(fsck(store, deep=True)) == []


@BOTH
def test_everything_works_and_nothing_shows(place: Place, tmp_path: Path) -> None:
    with place.make() as store:
        fill(store)
        check(store)
        heads = {info.name: info.head for info in store.repo(OFFICIAL).branches()}
        with store.transaction() as both:
            both.repo(OFFICIAL).create_tag("twice", "master")
        merge(store, OFFICIAL, "draft-branch", "master")
        before = contents(store.repo(OFFICIAL), "master")
        store.repo(OFFICIAL).delete_branch("draft-branch")
        store.collect()
        assert contents(store.repo(OFFICIAL), "master") == before
        check(store)
        ids = [commit.id for commit in store.repo(OFFICIAL).commits("master")]
        tree = store.repo(OFFICIAL)["master"].stat("/").hash
        chunks = _ids(store.index)
    assert heads["master"] in ids
    raw = place.raw()
    assert {"config.json", "encryption.json"} < set(raw)
    words = [OFFICIAL, "quarterly", "january", "customer", "north", "draft-branch", "audited", "twice", "bookkeeper"]
    words += ["short-lived", "the very words", "owes money", "the first figures", "what we earned", "reader"]
    forms = [word.encode() for word in words] + [text.encode() for text in [*ids, tree]]
    forms += [bytes.fromhex(id.replace("-", "")) for id in ids] + [bytes.fromhex(tree)]
    forms += chunks + [id.hex().encode() for id in chunks]
    assert len(chunks) > 5
    everything = b"\0".join(name.encode() + b"\0" + body for name, body in raw.items())
    assert [form for form in forms if form in everything] == []
    magics = [b"PFSP", b"PFSR", b'"branches"', b'"head"', (0x28B52FFD).to_bytes(4, "big") + b"\x00"]
    assert [magic for magic in magics if magic in everything] == []

    shutil.rmtree(place.folder / FOLDER / "index.lmdb")
    with pfs.open(place.folder, unlock=SECRET) as store:
        check(store)
    recover(place.folder / FOLDER, unlock=SECRET)
    with pfs.open(place.folder, unlock=SECRET) as store:
        check(store)
    with place.connected(tmp_path / "second machine") as store:
        check(store)
        with store.repo(OFFICIAL).commit("master") as commit:
            commit.put_file("/from-there.txt", b"x")


def _ids(index: Index) -> list[bytes]:
    """Return what the index knows: the first halves of ids of all that is stored."""
    return [key for rows in index.rows_of(index.packs()).values() for key, _ in rows][:200]


@BOTH
def test_stores_are_copied_between_plain_and_encrypted(place: Place, tmp_path: Path) -> None:
    with place.make() as store:
        fill(store)
        tree = store.repo(OFFICIAL)["master"].stat("/").hash
    clone(place.folder, tmp_path / "plain", unlock=SECRET)
    with pfs.open(tmp_path / "plain") as plain:
        check(plain)
        assert plain.repo(OFFICIAL)["master"].stat("/").hash == tree
    clone(tmp_path / "plain", tmp_path / "again", encrypt=OTHER)
    clone(place.folder, tmp_path / "third", unlock=SECRET, encrypt=OTHER)
    for name in ("again", "third"):
        with pytest.raises(WrongKeyError):
            pfs.open(tmp_path / name, unlock=SECRET)
        with pfs.open(tmp_path / name, unlock=OTHER) as other:
            check(other)
            assert other.repo(OFFICIAL)["master"].stat("/").hash == tree


def test_commits_are_sent_between_plain_and_encrypted(place: Place, tmp_path: Path) -> None:
    with place.make() as secret, pfs.init(tmp_path / "plain") as plain:
        fill(secret)
        send(secret, plain, [])
        check(plain)
        with plain.repo(OFFICIAL).commit("master") as commit:
            commit.put_file("/new.txt", b"from the plain one")
        done = send(plain, secret, [])
        assert [one.repo for one in done] == [OFFICIAL]
        assert secret.repo(OFFICIAL)["master"].read("/new.txt") == b"from the plain one"
        hashes = {store.repo(OFFICIAL)["master"].stat("/").hash for store in (secret, plain)}
        assert len(hashes) == 1


@BOTH
def test_nothing_happens_without_the_key(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PFS_PASSPHRASE", "PFS_PASSPHRASE_FILE", "PFS_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    place.make().close()
    before = place.raw()
    shutil.rmtree(place.folder / FOLDER / "index.lmdb")
    with pytest.raises(KeyNeededError):
        pfs.open(place.folder)
    for wrong in (OTHER, Passphrase("no")):
        with pytest.raises(WrongKeyError):
            pfs.open(place.folder, unlock=wrong)
        with pytest.raises(WrongKeyError):
            recover(place.folder / FOLDER, unlock=wrong)
        with pytest.raises(WrongKeyError):
            clone(place.folder, place.folder.parent / "other", unlock=wrong)
    assert place.raw() == before
    assert not (place.folder / FOLDER / "index.lmdb").exists()
    assert not (place.folder.parent / "other").exists()


def test_the_environment_opens_it(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place.make().close()
    (tmp_path / "key").write_bytes(SECRET.data)
    monkeypatch.setenv("PFS_KEY_FILE", str(tmp_path / "key"))
    pfs.open(place.folder).close()


def test_what_is_kept_on_a_machine_is_encrypted(bucket: World, tmp_path: Path) -> None:
    url, settings = f"s3://{BUCKET}/{uuid4().hex}", Settings(S3Options(endpoint=bucket.url))
    with connect(tmp_path / "one", url, settings=settings, encrypt=SECRET).store as store:
        fill(store)
    with connect(tmp_path / "two", url, settings=settings, unlock=SECRET).store as store:
        check(store)
    for machine in ("one", "two"):
        kept = [path.read_bytes() for path in (tmp_path / machine / FOLDER / "cache").rglob("*") if path.is_file()]
        assert kept
        assert not [body for body in kept if b"the very words" in body or b"january" in body or b"customer" in body]


def test_encryption_costs_a_request_a_process(bucket: World, tmp_path: Path) -> None:
    asked = []
    for name, key in (("plain", None), ("secret", SECRET)):
        url, settings = f"s3://{BUCKET}/{uuid4().hex}", Settings(S3Options(endpoint=bucket.url))
        with connect(tmp_path / name, url, settings=settings, encrypt=key).store as store:
            fill(store)
        shutil.rmtree(tmp_path / name / FOLDER / "cache")
        for _ in ("cold", "warm"):
            bucket.counted()
            with pfs.open(tmp_path / name, unlock=key) as store:
                assert store.repo(OFFICIAL)["master"].read("/south/customer-3.txt") == b"customer 3 owes money"
                assert store.repo(OFFICIAL)["master"].read("/north/january.csv") == DATA
                with store.repo(OFFICIAL).commit("master") as commit:
                    commit.put_file("/more.txt", b"more")
            asked.append(bucket.counted())
    for plain, secret in zip(asked[:2], asked[2:], strict=True):
        # The slots; and perhaps one more where what is wanted lies across the end of a block of the cache.
        assert secret[0] == plain[0]
        assert plain[1] < secret[1] <= plain[1] + 2


def test_a_config_that_says_that_it_is_plain_is_not_believed(place: Place) -> None:
    store = place.make()
    assert isinstance(store.backend, EncryptedBackend)
    below = store.backend.below
    config = decode_store_config(below.get(OBJECT_CONFIG), where="x")
    below.delete_many([OBJECT_CONFIG])
    below.put_new(OBJECT_CONFIG, encode_store_config(plain_config(config)))
    with pytest.raises(ConfigDamagedError, match="not encrypted"):
        pfs.open(place.folder, unlock=SECRET)
    with pytest.raises(ConfigDamagedError, match="not encrypted"):
        recover(place.folder / FOLDER, unlock=SECRET)
    store.close()


def test_a_release_that_knows_no_encryption_refuses(place: Place) -> None:
    place.make().close()
    config = json.loads(place.raw()[OBJECT_CONFIG])
    assert (config["format"], config["encryption"]) == (2, "pfe1")
    local = json.loads((place.folder / FOLDER / "config.json").read_text())
    assert local["encrypted"] is True


def test_the_config_of_another_encryption_is_refused() -> None:
    backend = MemoryBackend()
    for changes in ({"encryption": "pfe2", "format": 2}, {"format": 2}, {"encryption": "pfe1", "format": 1}):
        body = sign_body(json.dumps({"store_uuid": "x", **changes}).encode())
        with pytest.raises(InvalidInputError, match="newer pfs"):
            decode_store_config(body, where=backend.location)


def test_an_encrypted_store_is_made_in_steps() -> None:
    """Killed at any write, the next one goes on."""
    for fail_at in range(1, 20):
        memory = MemoryBackend()
        faulty = FaultyBackend(memory, fail_at=fail_at, how=How.AFTER, counted=WRITES | {"read"}, dead_after=True)
        try:
            put_config(faulty, StoreConfig(store_uuid="a"), encrypt=SECRET)
        except StorageError:
            begun = memory.read("encryption.json") is not None
            if begun and memory.read(OBJECT_CONFIG) is None:
                with pytest.raises(WrongKeyError):
                    put_config(memory, StoreConfig(store_uuid="b"), encrypt=OTHER)
                with pytest.raises(ConflictError, match="is encrypted"):
                    put_config(memory, StoreConfig(store_uuid="b"), encrypt=None)
            put_config(memory, StoreConfig(store_uuid="c"), encrypt=SECRET)
        assert (_opens(memory, SECRET), _opens(memory, OTHER)) == (True, False)
        assert decode_store_config(memory.get(OBJECT_CONFIG), where="x").encryption == "pfe1"
        if not faulty.fired:
            return
    raise AssertionError("it never came to its end")


def test_a_plain_store_that_was_begun_is_not_gone_on_with_encrypted(tmp_path: Path) -> None:
    pfs.init(tmp_path).close()
    (tmp_path / FOLDER / "config.json").unlink()
    with pytest.raises(ConflictError, match="not encrypted"):
        pfs.init(tmp_path, encrypt=SECRET)
    pfs.init(tmp_path).close()


def _opens(backend: Backend, secret: KeyFile) -> bool:
    try:
        unlocked(backend, secret)
    except WrongKeyError:
        return False
    return True


def test_a_plain_store_is_not_made_encrypted_afterwards(bucket: World, tmp_path: Path) -> None:
    url, settings = f"s3://{BUCKET}/{uuid4().hex}", Settings(S3Options(endpoint=bucket.url))
    connect(tmp_path / "one", url, settings=settings).store.close()
    with pytest.raises(InvalidParamsError, match="clone --encrypt"):
        connect(tmp_path / "two", url, settings=settings, encrypt=SECRET)
    assert not (tmp_path / "two").exists()


def test_a_prefix_that_leaves_no_room_for_names_is_refused(bucket: World, tmp_path: Path) -> None:
    url = f"s3://{BUCKET}/{'p' * 300}"
    with pytest.raises(InvalidInputError, match="too long"):
        connect(tmp_path / "one", url, settings=Settings(S3Options(endpoint=bucket.url)), encrypt=SECRET)


def test_a_copy_goes_on_the_way_it_was_begun(tmp_path: Path) -> None:
    with pfs.init(tmp_path / "one") as store:
        fill(store)
    source = open_backend(tmp_path / "one" / FOLDER / "objects")
    secret, plain = MemoryBackend(), MemoryBackend()
    for target, encrypt in ((secret, SECRET), (plain, None)):
        faulty = FaultyBackend(target, fail_at=4, dead_after=True)
        with pytest.raises(StorageError):
            copy_store(source, _begun(faulty, encrypt), location="x")
    with pytest.raises(ConflictError, match="--encrypt"):
        _begun(secret, None)
    with pytest.raises(ConflictError, match="not encrypted"):
        _begun(plain, SECRET)
    with pytest.raises(WrongKeyError):
        _begun(secret, OTHER)
    copy_store(source, _begun(secret, SECRET), location="x")
    assert decode_store_config(secret.get(OBJECT_CONFIG), where="x").encryption == "pfe1"
    assert not [name for name in secret._objects if OFFICIAL in name]


def damaged_pack(store: Store) -> Path:
    """Flip a bit at the beginning of the largest pack."""
    packs = (store.path / "objects" / "packs").rglob("*.pack")
    file = max(packs, key=lambda path: path.stat().st_size)
    data = bytearray(file.read_bytes())
    data[100] ^= 1
    os.chmod(file, 0o644)
    file.write_bytes(data)
    return file


def test_damage_is_found_and_the_rest_is_read(tmp_path: Path) -> None:
    with pfs.init(tmp_path / "one", encrypt=SECRET) as store:
        fill(store)
        file = damaged_pack(store)
        damages = list(fsck(store, deep=True))
        assert any(file.name in damage.object for damage in damages)
        with pytest.raises(CorruptionError):
            contents(store.repo(OFFICIAL), "master")
        assert store.repo(OFFICIAL)["master"].read("/south/customer-3.txt") == b"customer 3 owes money"
        report = recover(store.path, unlock=SECRET)
        assert report.repos == 1
    cloned = clone(tmp_path / "one", tmp_path / "two", unlock=SECRET)
    assert [name.endswith(file.name) for name in cloned.damaged] == [True]


@pytest.mark.parametrize("how", How)
def test_a_commit_that_fails_at_any_write_is_there_or_not(tmp_path: Path, how: How) -> None:
    with pfs.init(tmp_path, encrypt=SECRET) as store:
        fill(store)
        assert isinstance(store.backend, EncryptedBackend)
        key, before = store.backend.key, contents(store.repo(OFFICIAL), "master")
    for fail_at in range(1, 40):
        faulty = FaultyBackend(LocalBackend(tmp_path / FOLDER / "objects"), fail_at=fail_at, how=how, dead_after=True)
        path, data = f"/{fail_at}", b"%d" % fail_at * 30_000
        try:
            opened = Store(tmp_path / FOLDER, backend=encrypted(faulty, key))
            with opened as store, store.repo(OFFICIAL).commit("master") as commit:
                commit.put_file(path, data)
                commit.delete_file("/west/april.csv")
            failed = False
        except StorageError:
            failed = True
        with pfs.open(tmp_path, unlock=SECRET) as store:
            after = contents(store.repo(OFFICIAL), "master")
            new = {name: body for name, body in {**before, path: data}.items() if name != "/west/april.csv"}
            assert after == new if not failed else after in (before, new)
            with store.repo(OFFICIAL).commit("master") as commit:
                commit.put_file("/west/april.csv", b"west " * 5000)
            before = contents(store.repo(OFFICIAL), "master")
            if not faulty.fired:
                assert list(fsck(store, deep=True)) == []
                return
    raise AssertionError("it never came to its end")


def test_a_store_in_a_folder_is_told_of_commits_by_the_kernel(tmp_path: Path) -> None:
    told = []
    for name, secret in (("plain", None), ("secret", SECRET)):
        with pfs.init(tmp_path / name, encrypt=secret) as store, store.watch() as watch:
            told.append(watch.is_told)
    assert told[0] == told[1]
