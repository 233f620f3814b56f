"""fsck finds every kind of damage, and says what it costs."""

import os
import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from msgspec.structs import replace

import pfs
from pfs.errors import CorruptionError
from pfs.gc.collect import collect
from pfs.ids import CommitId, chunk_id, new_pack_id
from pfs.model import BranchRef
from pfs.packs.index import Index
from pfs.packs.pack import PackWriter, RecordType, read_footer
from pfs.refs.body import BranchEntry, RefsBody, decode_body, encode_body
from pfs.refs.signed import sign_body
from pfs.repo import Repo
from pfs.store import Store
from pfs.upkeep.check import Damage, fsck
from pfs.upkeep.recover import recover
from tests.pfs.frozen_world import freezing_long  # noqa: F401

SMALL, BIG = b"small text " * 50, os.urandom(6_000_000)


def make(path: Path) -> None:
    with pfs.init(path) as store:
        repo = store.create_repo("data")
        with repo.commit("master") as commit:
            for number in range(100):
                commit.put_file(f"/d/{number}", SMALL + str(number).encode())
        with repo.commit("master") as commit:
            commit.put_file("/big", BIG)
        with repo.commit("master") as commit:
            commit.put_file("/new", b"new")
        repo.start_commit("dev")
        with repo.commit("dev") as commit:
            commit.put_file("/draft", os.urandom(1000))


def check(path: Path, *, deep: bool = False) -> list[Damage]:
    with pfs.open(path) as store:
        damages = list(fsck(store, deep=deep))
    assert not any("pfs fsck" in damage.detail for damage in damages), "that is what was run"
    return damages


def objects(path: Path, pattern: str) -> list[Path]:
    return sorted((path / ".pfs/objects").glob(pattern), key=lambda file: (file.stat().st_size, file.name))


def rewrite(file: Path, change: Callable[[bytearray], None]) -> None:
    data = bytearray(file.read_bytes())
    change(data)
    file.chmod(0o644)
    file.write_bytes(data)


def flip(file: Path, at: int) -> None:
    rewrite(file, lambda data: data.__setitem__(at, data[at] ^ 0x40))


def test_a_sound_store_is_clean(tmp_path: Path) -> None:
    make(tmp_path)
    seen: list[tuple[int, int]] = []

    class Bar:
        def total(self, files: int, size: int) -> None:
            seen.append((files, size))

        def advance(self, *, files: int = 0, size: int = 0) -> None:
            seen.append((-files, -size))

    with pfs.open(tmp_path) as store:
        assert list(fsck(store)) == []
        assert list(fsck(store, deep=True, progress=Bar())) == []
    assert (sum(files for files, _ in seen), sum(size for _, size in seen)) == (0, 0)
    assert seen[0][0] >= 3


def test_a_missing_data_pack_names_the_file_and_both_commits(tmp_path: Path) -> None:
    make(tmp_path)
    objects(tmp_path, "packs/d/*/*.pack")[-1].unlink()
    (damage,) = check(tmp_path)
    assert (damage.kind, damage.detail) == ("pack", "the pack is gone")
    assert damage.paths == ("/big",)
    assert len(damage.commits) == 2


def test_a_missing_meta_pack_names_the_commits(tmp_path: Path) -> None:
    make(tmp_path)
    objects(tmp_path, "packs/m/*/*.pack")[-1].unlink()
    damages = check(tmp_path)
    assert {"pack", "commit"} <= {damage.kind for damage in damages}
    with pfs.open(tmp_path) as store:
        head = store.repo("data").branch("master").head
    assert any(f"data@{head}" in damage.commits for damage in damages)


@pytest.mark.parametrize("cut", [1, 40, 100, 5000])
def test_a_truncated_pack_is_found_without_deep(tmp_path: Path, cut: int) -> None:
    make(tmp_path)
    pack = objects(tmp_path, "packs/d/*/*.pack")[-1]
    rewrite(pack, lambda data: data.__delitem__(slice(len(data) - cut, None)))
    assert [(damage.kind, damage.paths) for damage in check(tmp_path)] == [("pack", ("/big",))]


def test_every_flipped_byte_is_found_by_deep(tmp_path: Path) -> None:
    make(tmp_path / "sound")
    rng, found_shallow = random.Random(3), 0
    for number in range(25):
        place = tmp_path / str(number)
        shutil.copytree(tmp_path / "sound", place)
        pack = rng.choice(objects(place, "packs/*/*/*.pack"))
        at = rng.randrange(32, pack.stat().st_size)
        flip(pack, at)
        found_shallow += bool(check(place))
        damages = check(place, deep=True)
        assert damages, f"byte {at} of {pack.name}"
        assert all(pack.name in d.object or pack.name in d.detail or d.kind in {"commit", "record"} for d in damages)
        shutil.rmtree(place)
    assert found_shallow < 25  # most of the bytes are data, which only deep reads


def test_a_damaged_chunk_names_its_file_only(tmp_path: Path) -> None:
    make(tmp_path)
    pack = objects(tmp_path, "packs/d/*/*.pack")[-1]
    rewrite(pack, lambda data: data.__setitem__(200_000, data[200_000] ^ 1))
    assert check(tmp_path) == []
    (damage,) = check(tmp_path, deep=True)
    assert damage.kind == "record"
    assert damage.paths == ("/big",)
    assert "put the files" in damage.detail
    assert check(tmp_path) == [damage]  # what was found once is looked at again without deep
    with pfs.open(tmp_path) as store, pytest.raises(CorruptionError):
        store.repo("data")["master"].read("/big")


def test_what_was_damaged_is_read_where_it_is_brought_back(tmp_path: Path) -> None:
    make(tmp_path)
    (pack,) = objects(tmp_path, "packs/d/*/*.pack")[-1:]
    before = pack.read_bytes()
    rewrite(pack, lambda data: data.__setitem__(200_000, data[200_000] ^ 1))
    with pfs.open(tmp_path) as store:
        for _ in range(3):
            with pytest.raises(CorruptionError, match=pack.name):
                store.repo("data")["master"].read("/big")
    rewrite(pack, lambda data: data.__setitem__(slice(None), before))
    with pfs.open(tmp_path) as store:
        assert store.repo("data")["master"].read("/big") == BIG
        assert store.repo("data")["master"].read("/big") == BIG
    assert check(tmp_path, deep=True) == []


@pytest.mark.parametrize("found_by", ["fsck", "fsck without a footer", "a read"])
def test_putting_a_damaged_file_again_heals_it(tmp_path: Path, found_by: str) -> None:
    make(tmp_path)
    pack = objects(tmp_path, "packs/d/*/*.pack")[-1]
    rewrite(pack, lambda data: data.__setitem__(200_000, data[200_000] ^ 1))
    if found_by.endswith("footer"):
        rewrite(pack, lambda data: data.__delitem__(slice(len(data) - 1, None)))
    if found_by == "a read":
        with pfs.open(tmp_path) as store, pytest.raises(CorruptionError):
            store.repo("data")["master"].read("/big")
    else:
        assert check(tmp_path, deep=True)
    with pfs.open(tmp_path) as store:
        with store.repo("data").commit("fresh") as commit:
            commit.put_file("/again", BIG)
            assert commit.session.new_chunks == 1
        assert store.repo("data")["master"].read("/big") == BIG
    if not found_by.endswith("footer"):
        assert check(tmp_path) == []
        (left,) = check(tmp_path, deep=True)
        assert (left.kind, left.paths, left.commits) == ("record", (), ())
        assert "stored again" in left.detail


@pytest.mark.parametrize("harm", ["remove", "empty", "overwrite"])
def test_a_writer_does_not_rely_on_a_pack_that_is_gone_or_no_pack(tmp_path: Path, harm: str) -> None:
    make(tmp_path)
    pack = objects(tmp_path, "packs/d/*/*.pack")[-1]
    if harm == "remove":
        pack.unlink()
    else:
        rewrite(pack, lambda data: data.clear() if harm == "empty" else data.__setitem__(slice(0, 4096), bytes(4096)))
    with pfs.open(tmp_path) as store:
        with store.repo("data").commit("master") as commit:
            commit.put_file("/big", BIG)
        assert store.repo("data")["master"].read("/big") == BIG
    assert {damage.paths for damage in check(tmp_path, deep=True)} <= {()}


@pytest.mark.parametrize("at", [0, 4, 5, 6, 8, 23])
def test_a_damaged_pack_header_is_found_without_deep(tmp_path: Path, at: int) -> None:
    make(tmp_path)
    packs = objects(tmp_path, "packs/*/*/*.pack")
    for pack in (packs[0], packs[-1]):  # one is read whole with its footer, of the other the header is read too
        flip(pack, at)
        assert [damage.kind for damage in check(tmp_path) if pack.name in damage.object] == ["pack"]
        flip(pack, at)
    assert check(tmp_path) == []


@pytest.mark.parametrize("body", [b"", b"{", b'{"v":1,"seq":[]}'])
def test_damaged_refs_are_found(tmp_path: Path, body: bytes) -> None:
    make(tmp_path)
    (tmp_path / ".pfs/objects/refs/data.json").write_bytes(body)
    (damage,) = check(tmp_path)
    assert (damage.kind, damage.object) == ("refs", "refs/data.json")


def test_a_head_without_a_record_is_found(tmp_path: Path) -> None:
    make(tmp_path)
    refs = tmp_path / ".pfs/objects/refs/data.json"
    with pfs.open(tmp_path) as store:
        head = store.repo("data").branch("master").head
    signed = refs.read_bytes().replace(str(head).encode(), b"e" * 32)
    refs.write_bytes(sign_body(signed[: signed.rindex(b',"sum"')] + b"}"))
    damages = check(tmp_path)
    assert [(damage.kind, damage.object) for damage in damages] == [("commit", f"commit data@{'e' * 32}")]


def change_body(path: Path, change: Callable[[RefsBody], RefsBody]) -> None:
    refs = path / ".pfs/objects/refs/data.json"
    refs.write_bytes(encode_body(change(decode_body(refs.read_bytes(), where="refs"))))


@pytest.mark.parametrize("field", ["records", "onto", "no pack"])
def test_whatever_refs_name_must_be_there(tmp_path: Path, field: str) -> None:
    make(tmp_path)
    lost = CommitId("e" * 32)

    def change(body: RefsBody) -> RefsBody:
        if field == "records":
            return replace(body, records={lost: "ab" * 16})
        if field == "onto":
            return replace(body, open={id: replace(entry, onto=lost) for id, entry in body.open.items()})
        return replace(body, tags={"t": BranchEntry(head=lost)})

    change_body(tmp_path, change)
    assert f"commit data@{lost}" in {damage.object for damage in check(tmp_path)}


def test_a_flipped_byte_in_refs_is_no_empty_repo(tmp_path: Path) -> None:
    make(tmp_path)
    refs = tmp_path / ".pfs/objects/refs/data.json"
    refs.write_bytes(refs.read_bytes().replace(b'"branches"', b'"brqnches"'))
    assert [damage.kind for damage in check(tmp_path)] == ["refs"]
    with pfs.open(tmp_path) as store, pytest.raises(CorruptionError, match="checksum"):
        store.repo("data")


def test_lost_refs_are_found_by_the_commits_that_packs_hold(tmp_path: Path) -> None:
    make(tmp_path)
    with pfs.open(tmp_path) as store:
        heads = [branch.head for branch in store.repo("data").branches()]
        store.create_repo("gone")
        with store.repo("gone").commit("master") as commit:
            commit.put_file("/x", b"x")
        store.delete_repo("gone")  # a tombstone stays
    assert check(tmp_path) == []
    (tmp_path / ".pfs/objects/refs/data.json").unlink()
    (damage,) = check(tmp_path)
    assert (damage.kind, damage.object) == ("refs", "refs/data.json")
    assert "missing" in damage.detail
    assert f"data@{heads[0] or heads[1]}" in damage.commits


def test_lost_refs_are_found_when_collection_put_records_of_several_repos_into_one_pack(store: Store) -> None:
    for name in ("a", "b"):
        for number in range(5):
            repo = store.repo(name) if number else store.create_repo(name)
            with repo.commit("master") as commit:
                commit.put_file("/x", b"%d" % number)
    assert collect(store).repacked
    (store.path / "objects/refs/b.json").unlink()
    (damage,) = fsck(store)
    assert (damage.kind, damage.object, len(damage.commits)) == ("refs", "refs/b.json", 5)


def test_damaged_refs_name_the_commits_that_packs_hold(tmp_path: Path) -> None:
    make(tmp_path)
    flip(tmp_path / ".pfs/objects/refs/data.json", 40)
    (damage,) = check(tmp_path)
    assert (damage.object, len(damage.commits)) == ("refs/data.json", 3)


def test_lost_refs_of_a_repo_without_commits_are_found_by_what_names_it(store: Store) -> None:
    for name in ("a", "b", "c"):
        store.create_repo(name)
    store.repo("b").create_branch("master", provenance=[BranchRef("a", "master")])
    assert list(fsck(store)) == []
    (store.path / "objects/refs/c.json").unlink()  # nothing in the store says that there ever was one
    assert list(fsck(store)) == []
    refs = store.path / "objects/refs/b.json"
    refs.rename(store.path / "b")
    assert [damage.object for damage in fsck(store)] == ["refs/b.json"]
    (store.path / "b").rename(refs)
    (store.path / "objects/refs/a.json").unlink()
    assert "refs/a.json" in {damage.object for damage in fsck(store)}


def put_row(store: Store, table: str, key: bytes, value: bytes) -> None:
    store.index._env.write(lambda txn: txn.put(table, key, value))


@pytest.mark.parametrize("wrong", ["pack", "offset", "length", "type", "no pack"])
def test_a_row_of_a_chunk_that_is_not_what_a_footer_says_names_what_needs_it(store: Store, wrong: str) -> None:
    repo = store.create_repo("data")
    for path in ("/a", "/b"):
        with repo.commit("master") as commit:
            commit.put_file(path, path.encode() * 100_000)
    id, other = (chunk_id(path * 100_000) for path in (b"/a", b"/b"))
    here, there = store.index.find([id, other])
    assert here is not None
    assert there is not None
    place = {
        "pack": here._replace(pack_no=there.pack_no),
        "offset": here._replace(offset=here.offset + 8),
        "length": here._replace(clen=here.clen + 1),
        "type": here._replace(type=here.type + 1),
        "no pack": here._replace(pack_no=99),
    }[wrong]
    value = struct.pack("<III", place.pack_no, place.offset, place.clen << 4 | place.type)
    put_row(store, "chunk", id[:16], value)
    (damage,) = fsck(store)
    assert (damage.kind, damage.paths, len(damage.commits)) == ("index", ("/a",), 2)
    assert damage.detail.endswith("run `pfs recover`")


def test_a_row_of_an_id_in_several_packs_may_name_any_of_them(store: Store) -> None:
    data, packs = os.urandom(1000), []
    for _ in range(2):
        writer = PackWriter(store.backend, "d", pack_id=new_pack_id(), created_ms=1)
        writer.add(RecordType.CHUNK, chunk_id(data), data)
        packs.append(writer.seal())
    for pack in packs:
        store.index.add([pack])
        assert list(fsck(store)) == []


@pytest.mark.parametrize("wrong", ["pack", "gone", "record", "missing", "garbage"])
def test_a_row_of_a_commit_that_is_not_what_refs_lead_to_is_found(store: Store, wrong: str) -> None:
    repo = store.create_repo("data")
    ids = []
    for path in ("/a", "/b"):
        with repo.commit("master") as commit:
            commit.put_file(path, b"x")
        ids.append(commit.id)
    rows = dict(store.index.commits("data"))
    first, second = (rows[id] for id in ids)
    if wrong == "missing":
        store.index.forget_commits("data", ids[:1])
    else:
        value = {
            "pack": second[:16] + first[16:],
            "gone": bytes(16) + first[16:],
            "record": second,
            "garbage": first[:16] + b"x",
        }[wrong]
        store.index.add([], [("data", ids[0], value)])
    (damage,) = fsck(store)
    assert (damage.kind, damage.commits) == ("index", (f"data@{ids[0]}",))
    assert damage.detail.endswith("run `pfs recover`")


def test_an_index_that_lies_is_found(tmp_path: Path) -> None:
    make(tmp_path)
    pack = objects(tmp_path, "packs/d/*/*.pack")[-1]
    with pfs.open(tmp_path) as store:
        footer = read_footer(store.backend, pack.relative_to(tmp_path / ".pfs/objects").as_posix())
        uuid = store.config.store_uuid
    shifted = footer.entries.copy()
    shifted["off"] += 8
    shutil.rmtree(tmp_path / ".pfs/index.lmdb")
    index = Index.open(tmp_path / ".pfs/index.lmdb", store_uuid=uuid)
    index.add([footer._replace(footer=shifted.tobytes())])
    index.close()
    assert {damage.kind for damage in check(tmp_path)} == {"index"}
    recover(tmp_path / ".pfs")
    assert check(tmp_path) == []


def test_a_damaged_page_names_its_directory_and_one_of_the_root_all(tmp_path: Path) -> None:
    pfs.init(tmp_path).close()
    with pfs.open(tmp_path) as store:
        repo = store.create_repo("data")
        with repo.commit("master") as commit:
            for number in range(60):
                commit.put_file(f"/many/{number}", b"%d" % number)
            commit.put_file("/one", b"1")
        tree = repo["master"].tree
        folder = tree.stat(b"many", want="dir")
        assert folder is not None
        wanted = {tree.root.pid: "/", folder.pid: "/many/"}
        places = dict(zip(wanted, store.index.find(list(wanted)), strict=True))
    for pid, path in wanted.items():
        place, copy = places[pid], tmp_path / path.strip("/") / "copy"
        assert place is not None
        shutil.copytree(tmp_path / ".pfs", copy / ".pfs")
        (pack,) = objects(copy, "packs/m/*/*.pack")
        flip(pack, place.offset + 60)
        (damage,) = check(copy, deep=True)
        assert (damage.kind, damage.paths, len(damage.commits), damage.complete) == ("record", (path,), 1, True)


def test_of_many_places_twenty_are_named(tmp_path: Path) -> None:
    pfs.init(tmp_path).close()
    with pfs.open(tmp_path) as store, store.create_repo("data").commit("master") as commit:
        for number in range(30):
            commit.put_file(f"/{number}", random.Random(number).randbytes(200_000))
    (pack,) = objects(tmp_path, "packs/d/*/*.pack")
    pack.unlink()
    (damage,) = check(tmp_path)
    assert (len(damage.paths), damage.complete) == (20, False)


def test_what_nothing_needs_is_reported_too(tmp_path: Path) -> None:
    make(tmp_path)
    with pfs.open(tmp_path) as store:
        session = store.session()
        data = os.urandom(100)
        session.put_chunks([(chunk_id(data), data)])
        (pack,) = session.seal()
    file = next(iter((tmp_path / ".pfs/objects").glob(f"packs/*/*/{pack.pack_id.hex()}.pack")))
    rewrite(file, lambda data: data.__setitem__(100, data[100] ^ 1))
    (damage,) = check(tmp_path, deep=True)
    assert (damage.commits, damage.paths) == ((), ())


def test_packs_that_the_index_does_not_know_are_no_damage(store: Store, repo: Repo) -> None:
    session = store.session()
    session.put_chunks([(chunk_id(b"x"), b"x")])
    session.seal()
    assert list(fsck(store, deep=True)) == []


def test_an_id_twice_in_a_pack_is_no_damage(store: Store) -> None:
    writer = PackWriter(store.backend, "d", pack_id=new_pack_id(), created_ms=1)
    for _ in range(2):
        writer.add(RecordType.CHUNK, chunk_id(b"twice"), b"twice")
    writer.seal()
    assert list(fsck(store)) == []
    assert list(fsck(store, deep=True)) == []


def test_a_row_that_is_missing_without_reason_is_damage_of_the_index(tmp_path: Path) -> None:
    make(tmp_path)
    with pfs.open(tmp_path) as store:
        id = chunk_id(b"new")
        (place,) = store.index.find([id])
        assert place is not None
        store.index.drop([(id, place._replace(offset=1))])  # it says something else by now: it stays
        assert store.index.find([id]) == [place]
        store.index.drop([(id, place)])
        damages = list(fsck(store))
    assert {damage.kind for damage in damages} >= {"index"}
    recover(tmp_path / ".pfs")
    assert check(tmp_path) == []


def test_a_block_that_does_not_hold_what_its_footer_says_is_found(store: Store) -> None:
    plain = b"a" * 1000 + b"b" * 1000
    for last in (b"b" * 1000, b"c" * 1000):
        writer = PackWriter(store.backend, "d", pack_id=new_pack_id(), created_ms=1)
        chunks = [(chunk_id(b"a" * 1000), 1000), (chunk_id(last), 1000)]
        writer.add_block(chunks, zstandard.ZstdCompressor().compress(plain), ulen=len(plain))
        writer.seal()
    assert list(fsck(store)) == []
    (damage,) = list(fsck(store, deep=True))
    assert damage.kind == "record"
    assert chunk_id(b"c" * 1000).hex()[:12] in damage.detail
