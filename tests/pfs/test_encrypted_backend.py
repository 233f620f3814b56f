"""Encrypted objects: the contract over each backend, the bytes of the format, and whatever may be done to them."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfs.backends.base import Backend, check_object_name
from pfs.backends.encrypted import EncryptedBackend, EncryptedFolders, encrypted
from pfs.backends.encrypted_blocks import BLOCK, STRIDE, TRAILER, plain_size, seal, stored_size
from pfs.backends.encrypted_key import StoreKey
from pfs.backends.encrypted_names import Covers
from pfs.backends.local import LocalBackend
from pfs.backends.memory import MemoryBackend
from pfs.backends.s3 import S3Backend
from pfs.backends.s3_place import S3Options
from pfs.backends.s3_retry import Retry
from pfs.errors import BranchMovedError, CorruptionError, InvalidInputError, NotFoundError
from pfs.refs.watch import InFolders
from pfs.testing.contract import BackendContract, Raw
from tests.pfs.bucket_world import BUCKET, World
from tests.pfs.encryption_world import KEY, cover, plain, uncover

GOLDEN = Path(__file__).parents[1] / "data" / "encrypted_object_v1.bin"
DATA = bytes(range(256)) * 600
"""Three blocks, the last one short."""
SALT = bytes(range(16))
PACK = "packs/d/aa/0123456789abcdef0123456789abcdaa.pack"


def raw_of(get: Callable[[str], bytes | None]) -> Raw:
    def read(name: str) -> bytes | None:
        stored = get(cover(name))
        return stored if stored is None or name == "config.json" else plain(name, stored)

    return read


class TestOverMemory(BackendContract):
    @pytest.fixture
    def below(self) -> MemoryBackend:
        return MemoryBackend()

    @pytest.fixture
    def backend(self, below: MemoryBackend) -> Backend:
        return encrypted(below, KEY)

    @pytest.fixture
    def raw(self, below: MemoryBackend) -> Raw:
        return raw_of(lambda name: below.get(name) if below.read(name) else None)


class TestOverLocal(BackendContract):
    cold = ""

    @pytest.fixture
    def backend(self, tmp_path: Path) -> Backend:
        return encrypted(LocalBackend(tmp_path), KEY)

    @pytest.fixture
    def raw(self, tmp_path: Path) -> Raw:
        def get(name: str) -> bytes | None:
            path = tmp_path / name
            return path.read_bytes() if path.exists() else None

        return raw_of(get)


@pytest.mark.s3
class TestOverS3(BackendContract):
    cold = "" if "PFS_TEST_S3" in os.environ else "STANDARD_IA"  # a radosgw has the classes that it was given

    @pytest.fixture
    def prefix(self) -> str:
        return f"store-{uuid4().hex}"

    @pytest.fixture
    def backend(self, bucket: World, prefix: str) -> Iterator[Backend]:
        from pfs.attach import fitting

        url = f"s3://{BUCKET}/{prefix}"
        options = fitting(url, S3Options(endpoint=bucket.url)) if bucket.is_other else S3Options(endpoint=bucket.url)
        made = encrypted(S3Backend(url, options, retry=Retry(pause=lambda _: None)), KEY)
        yield made
        made.close()

    @pytest.fixture
    def raw(self, bucket: World, prefix: str) -> Raw:
        client: Any = bucket.client

        def get(name: str) -> bytes | None:
            try:
                found: bytes = client.get_object(Bucket=BUCKET, Key=f"{prefix}/{name}")["Body"].read()
            except client.exceptions.NoSuchKey:
                return None
            return found

        return raw_of(get)


@pytest.fixture
def below() -> MemoryBackend:
    return MemoryBackend()


@pytest.fixture
def backend(below: MemoryBackend) -> EncryptedBackend:
    return encrypted(below, KEY)


def test_objects_under_covered_names_are_moved_to_classes(below: MemoryBackend, backend: EncryptedBackend) -> None:
    backend.put_new("refs/r.json", b"x")
    assert backend.set_tier(["refs/r.json", "refs/none.json"], "STANDARD_IA") == ["refs/r.json"]
    assert next(below.entries(cover("refs/r.json"))).storage_class == "STANDARD_IA"
    assert [entry.storage_class for entry in backend.entries("refs/")] == ["STANDARD_IA"]


def replaced(below: MemoryBackend, name: str, stored: bytes) -> None:
    below.delete_many([name])
    below.put_new(name, stored)


def test_the_format_is_that_of_the_golden_file(below: MemoryBackend, backend: EncryptedBackend) -> None:
    stored = GOLDEN.read_bytes()
    data = DATA[: BLOCK + 100]
    assert seal(KEY, "refs/images.json", data, salt=SALT) == stored
    assert plain("refs/images.json", stored) == data
    below.put_new(cover("refs/images.json"), stored)
    assert backend.get("refs/images.json") == data
    golden = "refs/gavk2sbmsj4777i7locm5jbnp3iqkxb5gxrrdncfk5j6uc4ux3ko5la6dkjiwsojzsxw7ack46672"
    assert cover("refs/images.json") == Covers(KEY).cover("refs/images.json") == golden


def test_nothing_is_written_twice_in_the_same_way(below: MemoryBackend, backend: EncryptedBackend) -> None:
    first = backend.swap("refs/r.json", None, b"same")
    stored = below.get(cover("refs/r.json"))
    second = backend.swap("refs/r.json", first, b"same")
    again = below.get(cover("refs/r.json"))
    assert first != second
    assert not {stored[at : at + 4] for at in range(0, 40, 4)} & {again[at : at + 4] for at in (0, 4, 8, 12, 20, 24)}


def test_keys_show_nothing() -> None:
    key = StoreKey.fresh()
    assert key.raw.hex() not in repr(key) + str(key)
    assert key.id not in key.raw.hex()
    with pytest.raises(ValueError, match="32 bytes"):
        StoreKey(b"short")


@given(st.integers(0, 5 * BLOCK) | st.sampled_from([n * BLOCK + more for n in range(1, 5) for more in (-1, 0, 1)]))
def test_sizes_are_told_by_sizes(size: int) -> None:
    assert plain_size(stored_size(size)) == size
    assert len(seal(KEY, "a", bytes(size))) == stored_size(size)


SIZES = st.sampled_from([0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK - 30, 2 * BLOCK, 3 * BLOCK + 7])
PLACES = st.one_of(st.integers(0, 4 * BLOCK), st.sampled_from([BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 3 * BLOCK]))


@given(SIZES, st.data())
def test_any_part_is_that_of_the_plain_bytes(size: int, data: st.DataObject) -> None:
    body = (DATA * 2)[:size]
    both = MemoryBackend(), encrypted(MemoryBackend(), KEY)
    for one in both:
        new = one.create(PACK)
        for cut in data.draw(st.lists(st.integers(0, size), max_size=4), label="cuts"):
            new.write(body[:cut], b"")
            new.abandon()
            new = one.create(PACK)
        at = 0
        for step in data.draw(st.lists(st.integers(0, size), max_size=4), label="steps"):
            new.write(body[at : at + step])
            at += len(body[at : at + step])
        new.write(body[at:])
        assert new.publish()
    true, secret = both
    offset, length = data.draw(PLACES), data.draw(st.none() | PLACES)
    assert secret.get(PACK, offset=offset, length=length) == true.get(PACK, offset=offset, length=length)
    back = -data.draw(st.integers(1, 4 * BLOCK))
    assert secret.get(PACK, offset=back, length=length) == true.get(PACK, offset=back, length=length)
    ranges = data.draw(st.lists(st.tuples(PLACES, PLACES), max_size=5))
    assert secret.get_ranges(PACK, ranges) == true.get_ranges(PACK, ranges)
    here, there = bytearray(length or 0), bytearray(length or 0)
    assert secret.read_into(PACK, offset, memoryview(here)) == true.read_into(PACK, offset, memoryview(there))
    assert here == there
    assert [entry.size for entry in secret.entries("")] == [size]


LARGE = random.Random(3).randbytes(40 * BLOCK + 17)
SOME = st.tuples(st.integers(0, 42 * BLOCK), st.sampled_from([0, 1, 5000, BLOCK, 3 * BLOCK, 20 * BLOCK]))


@given(st.lists(SOME, max_size=12))
def test_many_ranges_of_a_large_object_are_read_in_windows(ranges: list[tuple[int, int]]) -> None:
    backend = encrypted(MemoryBackend(), KEY)
    backend.put_new(PACK, LARGE)
    ranges += [(0, BLOCK * 17), *ranges[:1]]
    assert backend.get_ranges(PACK, ranges) == [LARGE[offset : offset + length] for offset, length in ranges]
    offset, buffer = ranges[0][0], bytearray(19 * BLOCK)
    count = backend.read_into(PACK, offset, memoryview(buffer))
    assert bytes(buffer[:count]) == LARGE[offset : offset + len(buffer)]


@pytest.mark.parametrize("end", [STRIDE * 18, STRIDE * 18 + 9, STRIDE * 33, STRIDE * 40 - 1])
def test_a_false_end_is_found_in_windows_too(below: MemoryBackend, backend: EncryptedBackend, end: int) -> None:
    backend.put_new(PACK, LARGE)
    stored = below.get(PACK)
    for body in (stored[:end], stored[:end] + stored[-TRAILER:]):
        replaced(below, PACK, body)
        for ranges in ([(0, len(LARGE))], [(0, 17 * BLOCK), (39 * BLOCK, 9)]):
            with pytest.raises(CorruptionError):
                backend.get_ranges(PACK, ranges)
        with pytest.raises(CorruptionError):
            backend.read_into(PACK, 0, memoryview(bytearray(len(LARGE))))


class Counting(MemoryBackend):
    """Counts reads, and what they bring."""

    calls = brought = 0

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        found = super().get(name, offset=offset, length=length)
        self.calls, self.brought = self.calls + 1, self.brought + len(found)
        return found

    def get_ranges(self, name: str, ranges: Any) -> list[bytes]:
        found = super().get_ranges(name, ranges)
        self.calls, self.brought = self.calls + 1, self.brought + sum(map(len, found))
        return found


def test_a_read_is_one_read_below_and_brings_the_blocks_that_it_touches() -> None:
    below = Counting()
    backend = encrypted(below, KEY)
    backend.put_new(PACK, DATA * 10)

    def cost(read: Callable[[], object]) -> tuple[int, int]:
        below.calls = below.brought = 0
        read()
        return below.calls, -(-below.brought // STRIDE)

    assert cost(lambda: backend.get(PACK, offset=-20)) == (1, 3)  # two blocks, and the trailer
    assert cost(lambda: backend.get(PACK, offset=5 * BLOCK + 1, length=10)) == (1, 1)
    assert cost(lambda: backend.get(PACK, offset=BLOCK - 1, length=2)) == (1, 2)
    assert cost(lambda: backend.get_ranges(PACK, [(9, 1), (7 * BLOCK, 1), (3, 1), (7 * BLOCK + 9, 5)])) == (1, 2)
    assert cost(lambda: backend.read_into(PACK, 2 * BLOCK, memoryview(bytearray(BLOCK)))) == (1, 1)


READERS: list[Callable[[Backend, str], object]] = [
    lambda backend, name: backend.get(name),
    lambda backend, name: backend.read(name),
    lambda backend, name: backend.get_ranges(name, [(BLOCK * at, BLOCK) for at in range(3)]),
    lambda backend, name: backend.get(name, offset=-len(DATA)),
    lambda backend, name: backend.get(name, offset=1),
    lambda backend, name: backend.read_into(name, 0, memoryview(bytearray(len(DATA) + 1))),
]


@pytest.mark.parametrize("read", READERS)
def test_a_flipped_bit_is_found_wherever_it_is(
    below: MemoryBackend, backend: EncryptedBackend, read: Callable[[Backend, str], object]
) -> None:
    backend.put_new("refs/r.json", DATA)
    name, stored = cover("refs/r.json"), below.get(cover("refs/r.json"))
    heads = [at + more for at in (0, STRIDE, 2 * STRIDE) for more in (0, 15, 16, 18, 19, 20, 30, 1000)]
    for place in [*heads, STRIDE - 1, 2 * STRIDE - 1, len(stored) - TRAILER - 1]:
        replaced(below, name, stored[:place] + bytes([stored[place] ^ 0x10]) + stored[place + 1 :])
        with pytest.raises(CorruptionError, match=r"refs/r\.json"):
            read(backend, "refs/r.json")
    for place in range(len(stored) - TRAILER, len(stored)):
        replaced(below, name, stored[:place] + bytes([stored[place] ^ 1]) + stored[place + 1 :])
        with pytest.raises(CorruptionError, match=r"refs/r\.json"):
            backend.get("refs/r.json")
        with pytest.raises(CorruptionError, match=r"refs/r\.json"):
            backend.get("refs/r.json", offset=-5)


@pytest.mark.parametrize("read", READERS)
def test_what_is_cut_off_or_longer_is_found(
    below: MemoryBackend, backend: EncryptedBackend, read: Callable[[Backend, str], object]
) -> None:
    backend.put_new("refs/r.json", DATA)
    name, stored = cover("refs/r.json"), below.get(cover("refs/r.json"))
    ends = [
        0,
        1,
        19,
        20,
        36,
        STRIDE - 1,
        STRIDE,
        STRIDE + TRAILER,
        2 * STRIDE,
        2 * STRIDE + 3,
        len(stored) - TRAILER - 1,
    ]
    for end in ends:
        for body in (stored[:end], stored[:end] + stored[-TRAILER:]):
            replaced(below, name, body)
            with pytest.raises(CorruptionError, match=r"refs/r\.json"):
                read(backend, "refs/r.json")


@pytest.mark.parametrize("end", [0, 5, TRAILER, STRIDE, STRIDE + 1, 2 * STRIDE, 2 * STRIDE + 7])
def test_a_read_behind_a_false_end_is_found(below: MemoryBackend, backend: EncryptedBackend, end: int) -> None:
    backend.put_new(PACK, DATA)
    stored = below.get(PACK)
    for body in (stored[:end], stored[:end] + stored[-TRAILER:]):
        replaced(below, PACK, body)
        for offset in (2 * BLOCK, 2 * BLOCK + 9, len(DATA) - 1):
            with pytest.raises(CorruptionError):
                backend.get(PACK, offset=offset, length=3)


def test_who_looks_for_what_is_whole_reads_around_damage(below: MemoryBackend, backend: EncryptedBackend) -> None:
    backend.put_new(PACK, DATA)
    stored = below.get(PACK)
    lenient = backend.leniently()
    for number, place in enumerate((3, STRIDE + 17, len(stored) - 40)):
        replaced(below, PACK, stored[:place] + b"!!" + stored[place + 2 :])
        start, stop = number * BLOCK, min((number + 1) * BLOCK, len(DATA))
        assert lenient.get(PACK) == DATA[:start] + bytes(stop - start) + DATA[stop:]
        assert lenient.get(PACK, offset=start - 1 if start else 0, length=9)[bool(start) :] == bytes(9 - bool(start))
    for end in range(0, len(stored), 1000):
        replaced(below, PACK, stored[:end])
        found = lenient.get(PACK, offset=0, length=len(DATA))
        assert found == DATA[: end // STRIDE * BLOCK] + bytes(len(found) - end // STRIDE * BLOCK)


def test_blocks_in_another_order_or_of_another_writing_are_found(
    below: MemoryBackend, backend: EncryptedBackend
) -> None:
    backend.put_new(PACK, DATA)
    stored = below.get(PACK)
    one, two, rest = stored[:STRIDE], stored[STRIDE : 2 * STRIDE], stored[2 * STRIDE :]
    backend.delete_many([PACK])
    backend.put_new(PACK, DATA)
    other = below.get(PACK)
    for body in (
        two + one + rest,
        one + one + rest,
        two + rest,
        one + rest,
        one + other[STRIDE:],
        other[:STRIDE] + two + rest,
    ):
        replaced(below, PACK, body)
        with pytest.raises(CorruptionError):
            backend.get(PACK)
    replaced(below, PACK, two + one + rest)
    with pytest.raises(CorruptionError):
        backend.get(PACK, offset=5, length=1)


def test_objects_under_each_others_names_are_found(below: MemoryBackend, backend: EncryptedBackend) -> None:
    twin = PACK.replace("0123", "3210")
    for name in ("refs/one.json", "refs/two.json", PACK, twin):
        backend.put_new(name, b"body of " + name.encode())
    for first, second in (("refs/one.json", "refs/two.json"), (PACK, twin)):
        bodies = below.get(cover(first)), below.get(cover(second))
        replaced(below, cover(first), bodies[1])
        replaced(below, cover(second), bodies[0])
        for name in (first, second):
            with pytest.raises(CorruptionError, match=name):
                backend.get(name)


def test_renamed_objects_are_found(below: MemoryBackend, backend: EncryptedBackend) -> None:
    backend.put_new("refs/one.json", b"x")
    stored, name = below.get(cover("refs/one.json")), cover("refs/one.json")
    for other in (name.replace("refs/", "log/"), name[:-3] + "aaa"):
        replaced(below, other, stored)
        with pytest.raises(CorruptionError, match=other):
            list(backend.entries(other.partition("/")[0]))
        below.delete_many([other])


def test_what_is_none_of_ours_is_not_listed(below: MemoryBackend, backend: EncryptedBackend) -> None:
    backend.put_new("refs/one.json", b"x")
    for name in ("refs/.DS_Store", "refs/Thumbs.db", "refs/one.json", "refs/more-"):
        below.put_new(name, b"junk")
    assert [entry.name for entry in backend.entries("refs/")] == ["refs/one.json"]


def test_a_store_of_another_key_is_damaged_and_not_wrong(below: MemoryBackend, backend: EncryptedBackend) -> None:
    backend.put_new(PACK, b"x")
    other = encrypted(below, StoreKey.fresh())
    with pytest.raises(CorruptionError, match="another name or key"):
        other.get(PACK)


LETTERS = st.text("abcXYZ019_.+=-", min_size=1, max_size=200).filter(lambda text: text not in (".", ".."))


@given(st.lists(LETTERS, min_size=1, max_size=4).map("/".join))
def test_names_are_covered_as_documented_and_read_back(name: str) -> None:
    covered = Covers(KEY).cover(name)
    assert covered == cover(name)
    if name.partition("/")[0] != "packs":
        assert Covers(KEY).uncover(covered) == uncover(covered) == name


@given(st.lists(st.lists(LETTERS, min_size=1, max_size=3).map("/".join), unique=True, max_size=12), st.data())
def test_listings_are_those_of_the_plain_store(names: list[str], data: st.DataObject) -> None:
    both = MemoryBackend(), encrypted(MemoryBackend(), KEY)
    names = [name for name in names if not any(other.startswith(name + "/") for other in names)]
    for one in both:
        for name in names:
            one.put_new(name, name.encode())
    prefix = "" if not names else data.draw(st.sampled_from(names))
    prefix = prefix[: data.draw(st.integers(0, len(prefix)))]
    true, secret = ([(entry.name, entry.size) for entry in one.entries(prefix)] for one in both)
    assert true == secret


def longest() -> list[str]:
    name, id = "n" * 255, "f" * 32
    return [
        f"refs/{name}.json",
        f"log/{name}/{9:012d}-{id}",
        f"history/{name}/{id}",
        f"shred/{name}/{id}",
        f"keynames/{name}",
        f"secrets/{name}.json",
        f"uploads/{name}/{id}/{10_000}-{2**63}-{id}",
    ]


@pytest.mark.parametrize("name", longest())
def test_the_longest_names_fit_disks_and_buckets(name: str, tmp_path: Path) -> None:
    backend = encrypted(LocalBackend(tmp_path), KEY)
    assert backend.put_new(name, b"x")
    assert [entry.name for entry in backend.entries(name.partition("/")[0] + "/")] == [name]
    assert backend.get(name) == b"x"
    covered = check_object_name(cover(name))
    assert covered == covered.lower()
    assert max(map(len, covered.split("/"))) <= 255
    assert len(covered) <= 1024 - 256  # what a prefix of a bucket may have
    backend.delete_many([name])
    assert list(backend.entries("")) == []


def test_names_of_like_length_look_alike() -> None:
    lengths = {len(Covers(KEY).cover("refs/" + "x" * count + ".json")) for count in range(1, 28)}
    assert len(lengths) == 1
    one, two = (Covers(KEY).cover(f"{first}/images") for first in ("log", "shred"))
    assert one.partition("/")[2] != two.partition("/")[2]


def test_errors_name_the_object_and_not_its_cover(backend: EncryptedBackend) -> None:
    with pytest.raises(NotFoundError, match=r"no object refs/r\.json"):
        backend.get("refs/r.json")
    with pytest.raises(NotFoundError, match=r"no object refs/r\.json"):
        backend.get("refs/r.json", offset=-4)
    backend.swap("refs/r.json", None, b"1")
    with pytest.raises(BranchMovedError) as moved:
        backend.swap("refs/r.json", None, b"2")
    assert moved.value.name == "refs/r.json"
    with pytest.raises(InvalidInputError):
        backend.get("refs/../r.json")


def test_watching_folders_is_for_local_disks(tmp_path: Path) -> None:
    assert not isinstance(encrypted(MemoryBackend(), KEY), InFolders)
    backend = encrypted(LocalBackend(tmp_path), KEY)
    assert isinstance(backend, EncryptedFolders)
    backend.put_new("refs/one.json", b"x")
    assert [path.name for path in backend.folder("refs/").iterdir()] == [cover("refs/one.json").partition("/")[2]]


def test_config_and_slots_are_plain(below: MemoryBackend, backend: EncryptedBackend) -> None:
    backend.put_new("config.json", b"{}")
    etag = backend.swap("encryption.json", None, b"[]")
    assert (below.get("config.json"), below.get("encryption.json")) == (b"{}", b"[]")
    assert backend.read("encryption.json") == (b"[]", etag)
    assert backend.get("config.json", offset=1) == b"}"
    assert [(entry.name, entry.size) for entry in backend.entries("")] == [("config.json", 2), ("encryption.json", 2)]
