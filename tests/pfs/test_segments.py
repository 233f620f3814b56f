"""Index segments: their bytes, how making them may fail, and that a machine which reads them knows what footers say."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pfs
from pfs.attach import Settings, connect
from pfs.backends.local import LocalBackend
from pfs.backends.s3_place import S3Options
from pfs.errors import CorruptionError, InvalidInputError, StorageError
from pfs.history import segments
from pfs.history.segments import Segments, Spool, read_head
from pfs.ids import PackId
from pfs.packs import segment as segment_format
from pfs.packs.footer import ENTRY, SealedPack, pack_time_ms, read_footer
from pfs.packs.segment import decode_head, encode_segment, footers_in, head_size, records_in, records_match
from pfs.refs.segments import MANIFEST, Manifest, SegmentRow, read_manifest, swap_manifest
from pfs.refs.signed import sign_body
from pfs.store import Store
from pfs.testing.faults import FaultyBackend, How
from pfs.upkeep import consolidate as consolidating
from pfs.upkeep.check import fsck
from pfs.upkeep.consolidate import FAN, Consolidated, consolidate, plan
from pfs.upkeep.recover import recover
from tests.pfs.bucket_world import BUCKET, World

GOLDEN = Path(__file__).parents[1] / "data" / "index_segment_v1.bin"
ID = bytes(range(16))


def footer(number: int, ids: list[bytes], *, kind: str = "d") -> SealedPack:
    rows = [(id, 32 + 100 * at, 40 + at, 50 + at, 1, at % 3, 0) for at, id in enumerate(sorted(ids))]
    pack = PackId((1_700_000_000_000 + number).to_bytes(6, "big") + number.to_bytes(10, "big"))
    entries = np.array(rows, dtype=ENTRY)
    return SealedPack(pack, "d" if kind == "d" else "m", 1000 + number, pack_time_ms(pack), entries.tobytes())


def golden_packs() -> list[SealedPack]:
    return [footer(3, [bytes([9]) * 32], kind="m"), footer(1, [bytes([n]) * 32 for n in range(5)]), footer(2, [])]


def same(one: SealedPack, other: SealedPack) -> bool:
    return one[:4] == other[:4] and one.entries.tobytes() == other.entries.tobytes()


def test_golden_bytes_are_written_and_read() -> None:
    packs = golden_packs()
    data = encode_segment(ID, 2, packs, {packs[0].pack_id: [b"record one", b"two"]})
    golden = GOLDEN.read_bytes()
    assert data[: head_size(data, where="x")][:44] == golden[:44]
    head = decode_head(golden, ID, where="x")
    assert (head.level, head.size) == (2, len(golden))
    found = [pack for pack in footers_in(golden, head) if pack is not None]
    assert len(found) == 3
    assert all(same(one, other) for one, other in zip(found, sorted(packs), strict=True))
    assert list(records_in(golden, head)) == [(packs[0].pack_id, b"record one"), (packs[0].pack_id, b"two")]
    assert list(records_in(data, decode_head(data, ID, where="x"))) == list(records_in(golden, head))


@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_flipped_bit_is_never_believed(at: int, bit: int) -> None:
    packs = golden_packs()
    data = bytearray(encode_segment(ID, 2, packs, {packs[0].pack_id: [b"record one", b"two"]}))
    at %= len(data)
    data[at] ^= 1 << bit
    try:
        head = decode_head(bytes(data), ID, where="x")
        records = list(records_in(bytes(data), head))
    except CorruptionError:
        return
    assert [record for _, record in records] == [b"record one", b"two"]
    for found, wanted in zip(footers_in(bytes(data), head), sorted(packs), strict=True):
        assert found is None or same(found, wanted)


@given(size=st.integers(0, 1000))
def test_a_segment_that_lost_its_end(size: int) -> None:
    packs = golden_packs()
    data = encode_segment(ID, 2, packs, {})[:size]
    try:
        head = decode_head(data, ID, where="x")
    except CorruptionError:
        return
    for found, wanted in zip(footers_in(data, head), sorted(packs), strict=True):
        assert found is None or same(found, wanted)


def test_records_must_be_those_of_the_footer() -> None:
    assert records_match(footer(1, [b"a" * 32]), [])
    assert not records_match(footer(1, [b"a" * 32]), [b"a record"])


def test_a_spool_gives_back_what_it_was_given() -> None:
    spool, one, two = Spool(), PackId(bytes(16)), PackId(b"1" * 16)
    assert spool.find(one) is None
    spool.add(one, [b"abc", b"", b"de"])
    spool.add(two, [b"f" * 100_000])
    assert spool.find(one) == [b"abc", b"", b"de"]
    assert spool.find(two) == [b"f" * 100_000]
    assert spool.find(PackId(b"2" * 16)) is None


# Decisions


def row_of(number: int, packs: list[SealedPack], *, level: int = 0) -> tuple[SegmentRow, segment_format.Head]:
    id = number.to_bytes(16, "big")
    data = encode_segment(id, level, packs, {})
    newest = max(pack.pack_id for pack in packs).hex()
    entries = sum(len(pack.entries) for pack in packs)
    row = SegmentRow(id=id.hex(), level=level, packs=len(packs), entries=entries, size=len(data), newest=newest)
    return row, decode_head(data, id, where="x")


def some_packs(start: int, stop: int, *, entries: int = 4) -> list[SealedPack]:
    return [
        footer(number, [random.Random(number * 1000 + n).randbytes(32) for n in range(entries)])
        for number in range(start, stop)
    ]


def ids(packs: list[SealedPack]) -> list[PackId]:
    return [pack.pack_id for pack in packs]


def test_what_no_segment_covers_is_fresh() -> None:
    old, new = some_packs(0, 4), some_packs(4, 7)
    found = plan([row_of(1, old)], ids([*old, *new]))
    assert (found.fresh, dict(found.rewrite), found.drop) == (tuple(ids(new)), {}, ())


def test_a_segment_of_which_more_than_a_quarter_is_dead_is_written_again_at_its_level() -> None:
    packs = some_packs(0, 8)
    one = row_of(1, packs, level=3)
    assert not plan([one], ids(packs[2:])).rewrite
    assert plan([one], ids(packs[3:])).rewrite == {3: (one[0],)}
    assert plan([one], []).drop == (one[0],)


def test_eight_small_segments_become_one_of_the_next_level() -> None:
    packs = some_packs(0, FAN)
    found = [row_of(number + 1, [pack]) for number, pack in enumerate(packs)]
    assert not plan(found[1:], ids(packs[1:])).rewrite
    assert plan(found, ids(packs)).rewrite == {1: tuple(row for row, _ in found)}


def test_what_is_missing_goes_and_what_two_have_counts_once() -> None:
    packs = some_packs(0, 4)
    one, two, lost = row_of(1, packs), row_of(2, packs), row_of(3, packs)
    found = plan([one, two, (lost[0], None)], ids(packs))
    assert found.drop == (two[0], lost[0])
    assert found.fresh == ()


# Stores. Local ones, taken for far away, as the files can be looked at.


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LocalBackend, "parallel", 4)
    monkeypatch.setattr(segments, "FEW", 2)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 20 packs and more."""
    folder = tmp_path_factory.mktemp("made")
    with pfs.init(folder) as store:
        for name in ("one", "two"):
            repo = store.create_repo(name)
            for number in range(8):
                with repo.commit("master", message=f"number {number}") as commit:
                    commit.put_file(f"/{number}", random.Random(number).randbytes(3000))
        with store.repo("one").commit("master") as commit:
            commit.put_file("/large", random.Random(99).randbytes(6 << 20))
    return folder


@pytest.fixture
def many(far: None, made: Path, tmp_path: Path) -> Iterator[Store]:
    """A copy of that store."""
    shutil.copytree(made, tmp_path / "home")
    with pfs.open(tmp_path / "home") as store:
        yield store


def known(store: Store) -> object:
    """All that the index knows of packs, ids and commits, without the numbers that it gave."""
    found = []
    for entry in sorted(store.backend.entries("packs/"), key=lambda one: one.name):
        pack = read_footer(store.backend, entry.name)
        places = store.index.find([id.tobytes() for id in pack.entries["id"]])
        found.append([place and (store.index.pack(place.pack_no), place[1:]) for place in places])
    commits = [(repo.name, list(store.index.commits(repo.name))) for repo in store.list_repos()]
    return found, commits


def rebuilt(store: Store, target: Path, *, of: str = "objects") -> object:
    """What a machine knows that has the objects alone; ``of`` them only the footers, perhaps."""
    shutil.copytree(store.path, target / ".pfs")
    shutil.rmtree(target / ".pfs" / "index.lmdb")
    if of == "footers":
        shutil.rmtree(target / ".pfs" / "objects" / "idx")
    with pfs.open(target) as other:
        return known(other)


class Told:
    """What is told of progress."""

    wanted, done = (0, 0), (0, 0)

    def total(self, files: int, size: int) -> None:
        self.wanted = files, size

    def advance(self, *, files: int = 0, size: int = 0) -> None:
        self.done = self.done[0] + files, self.done[1] + size


def from_segments(store: Store) -> set[PackId]:
    wanted = {PackId(bytes.fromhex(entry.name[-37:-5])): entry.size for entry in store.backend.entries("packs/")}
    return {pack.pack_id for pack in Segments(store.backend).footers(wanted)}


def packs_of(store: Store) -> set[PackId]:
    return {PackId(bytes.fromhex(entry.name[-37:-5])) for entry in store.backend.entries("packs/")}


def test_a_machine_that_reads_segments_knows_what_footers_say(many: Store, tmp_path: Path) -> None:
    wanted = known(many)
    assert rebuilt(many, tmp_path / "footers") == wanted
    done = consolidate(many)
    assert (done.written, done.segments, done.covered, done.packs) == (1, 1, len(packs_of(many)), len(packs_of(many)))
    assert from_segments(many) == packs_of(many)
    assert rebuilt(many, tmp_path / "segments") == wanted
    for place in ("footers", "segments"):
        told = Told()
        report = recover(tmp_path / place / ".pfs", progress=told)
        assert (report.damaged, report.commits) == ((), 17)
        assert told.done == told.wanted == (report.packs, report.size_bytes)
    with pfs.open(tmp_path / "segments") as other:
        assert known(other) == wanted
        assert list(fsck(other, deep=True)) == []
    assert consolidate(many) == Consolidated(1, 0, 0, done.covered, done.packs)


def test_segments_grow_in_levels(many: Store, tmp_path: Path) -> None:
    repo = many.repo("two")
    for number in range(FAN):
        with repo.commit("master") as commit:
            commit.put_file(f"/{number}", b"%d" % number)
        consolidate(many)
    levels = [row.level for row in read_manifest(many.backend)[0].segments]
    assert sorted(levels) == [0] * FAN
    consolidate(many)
    assert [row.level for row in read_manifest(many.backend)[0].segments] == [1]
    assert from_segments(many) == packs_of(many)
    assert rebuilt(many, tmp_path / "new") == known(many)


def test_a_segment_is_full_at_a_size(many: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(consolidating, "SEGMENT_BYTES", 3000)
    done = consolidate(many)
    assert done.written > 2
    assert from_segments(many) == packs_of(many)
    assert rebuilt(many, tmp_path / "new") == known(many)


def test_what_collection_took_away_is_not_learned(many: Store, tmp_path: Path) -> None:
    consolidate(many)
    many.delete_repo("one", force=True)
    many.clock_ns = lambda: __import__("time").time_ns() + 40 * 86_400 * 10**9
    report = many.collect(min_age_s=0, grace_s=0)
    assert report.deleted + report.repacked > 0
    after = rebuilt(many, tmp_path / "footers", of="footers")
    assert rebuilt(many, tmp_path / "before") == after
    consolidate(many)
    assert rebuilt(many, tmp_path / "after") == after
    covered = {pack for row in read_manifest(many.backend)[0].segments for pack in read_head(many.backend, row).packs()}  # type: ignore[union-attr]
    assert covered == packs_of(many)
    assert list(fsck(many, deep=True)) == []


def test_collection_on_a_bucket_consolidates(many: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    many.collect(min_age_s=86_400)
    assert read_manifest(many.backend)[0].segments == ()
    monkeypatch.setattr("pfs.gc.collect.ENOUGH", 4)
    many.collect(min_age_s=86_400)
    assert from_segments(many) == packs_of(many)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def scramble(at: int) -> Callable[[Path], None]:
    def work(file: Path) -> None:
        data = bytearray(file.read_bytes())
        data[at] ^= 1
        file.write_bytes(data)

    return work


@pytest.mark.parametrize(
    "damage", [cut, Path.unlink, scramble(0), scramble(30), scramble(70), scramble(-1), scramble(-2000)]
)
def test_a_damaged_segment_costs_requests_alone(many: Store, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    wanted = known(many)
    consolidate(many)
    (file,) = (many.path / "objects" / "idx" / "0").iterdir()
    damage(file)
    assert rebuilt(many, tmp_path / "new") == wanted
    found = list(fsck(many, deep=True))
    assert [one.kind for one in found] == ["segment"]
    assert "consolidate-index --anew" in found[0].detail
    consolidate(many, anew=True)
    assert list(fsck(many, deep=True)) == []
    assert from_segments(many) == packs_of(many)


@pytest.mark.parametrize("body", [None, b"", b"{}", b'{"v":1}'])
def test_a_damaged_list_costs_requests_alone(many: Store, tmp_path: Path, body: bytes | None) -> None:
    wanted = known(many)
    consolidate(many)
    file = many.path / "objects" / MANIFEST
    file.unlink() if body is None else file.write_bytes(body)
    assert rebuilt(many, tmp_path / "new") == wanted
    assert consolidate(many).written == 1
    assert from_segments(many) == packs_of(many)


def test_a_list_of_a_newer_release_is_left_alone(many: Store, tmp_path: Path) -> None:
    backend, wanted = many.backend, known(many)
    manifest, etag = read_manifest(backend)
    assert swap_manifest(backend, etag, (), old=manifest)
    file = many.path / "objects" / MANIFEST
    file.write_bytes(sign_body(b'{"v":2,"wid":"x"}'))
    newer = file.read_bytes()
    assert rebuilt(many, tmp_path / "new") == wanted
    with pytest.raises(InvalidInputError, match="use a newer pfs"):
        consolidate(many)
    many.collect()
    assert file.read_bytes() == newer
    assert [one.kind for one in fsck(many)] == ["segment"]


def test_a_segment_that_lies_about_a_pack_is_found_by_fsck(many: Store) -> None:
    consolidate(many)
    row = read_manifest(many.backend)[0].segments[0]
    data = many.backend.get(row.name)
    head = decode_head(data, bytes.fromhex(row.id), where=row.name)
    footers = [pack for pack in footers_in(data, head) if pack is not None]
    wrong = footers[0].entries.copy()
    wrong["off"] += 1
    records: dict[PackId, list[bytes]] = {}
    for pack, record in records_in(data, head):
        records.setdefault(pack, []).append(record)
    lying = encode_segment(
        bytes.fromhex(row.id), 0, [footers[0]._replace(footer=wrong.tobytes()), *footers[1:]], records
    )
    (many.path / "objects" / row.name).write_bytes(lying)
    assert [(one.kind, one.object) for one in fsck(many)] == [("segment", row.name)]


def test_every_write_fails_once_in_each_way(many: Store, tmp_path: Path) -> None:
    wanted = known(many)
    consolidate(many)
    repo = many.repo("two")
    for number in range(3):
        with repo.commit("master") as commit:
            commit.put_file(f"/{number}", b"%d" % number)
    wanted = known(many)
    tried = 0
    for how, dead in ((How.BEFORE, True), (How.AFTER, False), (How.MIDDLE, False), (How.FULL, True)):
        fail_at = 0
        while True:
            fail_at += 1
            folder = tmp_path / f"{how.value}-{fail_at}"
            shutil.copytree(many.path, folder / ".pfs")
            local = LocalBackend(folder / ".pfs" / "objects")
            backend = FaultyBackend(local, fail_at=fail_at, how=how, dead_after=dead)
            with Store(folder / ".pfs", backend=backend) as store:
                try:
                    consolidate(store, anew=True)
                except StorageError:
                    tried += 1
            with pfs.open(folder) as store:
                assert len(from_segments(store)) >= 17
                assert rebuilt(store, folder / "new") == wanted
                assert consolidate(store).covered == len(packs_of(store))
                assert from_segments(store) == packs_of(store)
            shutil.rmtree(folder)
            if not backend.fired:
                break
    assert tried > 3


KILLED = """
import os, signal, sys
import pfs
from pfs.backends.local import LocalBackend
from pfs.upkeep.consolidate import consolidate
call, when = sys.argv[2:]
work = getattr(LocalBackend, call)
def die(self, name, *rest):
    if not name.startswith("idx/"):
        return work(self, name, *rest)
    if when == "after":
        work(self, name, *rest)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(LocalBackend, call, die)
with pfs.open(sys.argv[1]) as store:
    consolidate(store, anew=True)
"""


@pytest.mark.parametrize("call", ["put_new", "swap"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_consolidation_that_is_killed(many: Store, tmp_path: Path, call: str, when: str) -> None:
    wanted = known(many)
    consolidate(many)
    done = subprocess.run([sys.executable, "-c", KILLED, str(many.path), call, when], check=False)
    assert done.returncode == -9
    assert from_segments(many) == packs_of(many)
    assert rebuilt(many, tmp_path / "new") == wanted
    assert list(fsck(many, deep=True)) == []
    assert consolidate(many, anew=True).covered == len(packs_of(many))


def test_of_two_machines_at_once_one_wins(many: Store) -> None:
    class Between(LocalBackend):
        """Lets the other machine consolidate after the first segment was written."""

        done: list[Consolidated]

        def put_new(self, name: str, data: bytes | bytearray | memoryview) -> bool:
            made = super().put_new(name, data)
            if name.startswith("idx/") and not self.done:
                self.done.append(consolidate(many))
            return made

    Between.done = []
    with Store(many.path, backend=Between(many.path / "objects")) as other:
        done = consolidate(other)
    assert done.lost
    assert not Between.done[0].lost
    assert from_segments(many) == packs_of(many)
    files = list((many.path / "objects" / "idx").glob("*/*.idx"))
    assert [file.stem for file in files] == [row.id for row in read_manifest(many.backend)[0].segments]
    assert list(fsck(many, deep=True)) == []


def test_what_no_list_names_for_a_day_is_removed(many: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    consolidate(many)
    consolidate(many, anew=True)
    files = many.path / "objects" / "idx" / "0"
    assert len(list(files.iterdir())) == 2
    monkeypatch.setattr(consolidating, "_ORPHAN_NS", -1)
    consolidate(many, anew=True)
    assert [file.stem for file in files.iterdir()] == [row.id for row in read_manifest(many.backend)[0].segments]


def test_a_lost_reply_to_the_swap_is_known_again(many: Store) -> None:
    backend = FaultyBackend(many.backend, fail_at=1, how=How.AFTER)
    assert swap_manifest(backend, None, (), old=Manifest())
    assert not swap_manifest(many.backend, None, (), old=Manifest())


@pytest.mark.s3
def test_connecting_takes_few_requests(bucket: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "FEW", 2)
    url, settings = f"s3://{BUCKET}/{uuid4().hex}", Settings(S3Options(endpoint=bucket.url))
    with connect(tmp_path / "one", url, settings=settings).store as store:
        repo = store.create_repo("data")
        for number in range(20):
            with repo.commit("master") as commit:
                commit.put_file(f"/{number}", b"%d" % number * 100)
        assert consolidate(store).covered == 20
        commits = [info.id for info in repo.commits("master")]
    bucket.counted()
    with connect(tmp_path / "two", url, settings=settings).store as store:
        reads = [asked.key for asked in bucket.asked if not asked.is_write]
        assert not [key for key in reads if "/packs/" in key and "list-type" not in key]
        assert len(reads) <= 20
        assert [info.id for info in store.repo("data").commits("master")] == commits
        assert store.repo("data")["master"].read("/3") == b"3" * 100
        assert list(fsck(store, deep=True)) == []
    bucket.counted()
    assert recover(tmp_path / "two" / ".pfs").commits == 20
    assert bucket.counted()[1] <= 16
