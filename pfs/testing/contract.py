"""What every backend must do: subclass `BackendContract`, give it the two fixtures, and run it with pytest."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise

import pytest

from pfs.backends.base import Backend
from pfs.errors import BranchMovedError, InvalidInputError, NotFoundError, StorageError
from pfs.ids import Etag

Raw = Callable[[str], bytes | None]
"""Reads an object's bytes by name without the code under test; None when it is not there."""


class BackendContract:
    """The promises of base.Backend; a subclass overrides the two fixtures."""

    cold = "STANDARD_IA"
    """A class of storage beside the standard one; empty where there is none, and moving there is refused."""

    @pytest.fixture
    def backend(self) -> Backend:
        """Return an empty backend."""
        raise pytest.UsageError("the subclass gives a backend")

    @pytest.fixture
    def raw(self) -> Raw:
        """Return a reader that bypasses the backend."""
        raise pytest.UsageError("the subclass gives a raw reader")

    def test_put_new_stores_the_bytes(self, backend: Backend, raw: Raw) -> None:
        """What was put is there, for others too."""
        assert backend.put_new("packs/d/aa/x.pack", b"hello")
        assert raw("packs/d/aa/x.pack") == b"hello"
        assert backend.get("packs/d/aa/x.pack") == b"hello"

    def test_put_new_keeps_the_first(self, backend: Backend, raw: Raw) -> None:
        """The second writer changes nothing."""
        assert backend.put_new("config.json", b"first")
        assert not backend.put_new("config.json", b"second")
        assert raw("config.json") == b"first"

    def test_put_new_has_one_winner_among_threads(self, backend: Backend, raw: Raw) -> None:
        """However many begin at once."""
        bodies = [bytes([number]) * 5000 for number in range(8)]
        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(lambda body: backend.put_new("one", body), bodies))
        assert won.count(True) == 1
        assert raw("one") == bodies[won.index(True)]

    def test_get_parts(self, backend: Backend) -> None:
        """Offset, length and suffix, cut short at the ends."""
        backend.put_new("a", b"0123456789")
        assert backend.get("a", offset=3) == b"3456789"
        assert backend.get("a", offset=3, length=4) == b"3456"
        assert backend.get("a", offset=8, length=100) == b"89"
        assert backend.get("a", offset=100, length=5) == b""
        assert backend.get("a", offset=-3) == b"789"
        assert backend.get("a", offset=-3, length=2) == b"78"
        assert backend.get("a", offset=-100) == b"0123456789"
        assert backend.get("a", length=0) == b""

    def test_get_ranges_keeps_the_order(self, backend: Backend) -> None:
        """Also of overlapping and repeated ranges."""
        backend.put_new("a", b"0123456789")
        assert backend.get_ranges("a", [(7, 2), (0, 3), (1, 3), (7, 2), (9, 9)]) == [b"78", b"012", b"123", b"78", b"9"]
        assert backend.get_ranges("a", []) == []

    def test_read_into_fills_up_to_the_end(self, backend: Backend) -> None:
        """And says how much that was."""
        backend.put_new("a", b"0123456789")
        buffer = bytearray(b"------")
        assert backend.read_into("a", 2, memoryview(buffer)[:4]) == 4
        assert bytes(buffer) == b"2345--"
        assert backend.read_into("a", 7, memoryview(buffer)) == 3
        assert bytes(buffer) == b"7895--"
        assert backend.read_into("a", 10, memoryview(buffer)) == 0
        with pytest.raises(NotFoundError):
            backend.read_into("no/such", 0, memoryview(buffer))

    def test_missing_objects(self, backend: Backend) -> None:
        """Reading says so; deleting does not mind."""
        with pytest.raises(NotFoundError):
            backend.get("no/such")
        with pytest.raises(NotFoundError):
            backend.get_ranges("no/such", [(0, 1)])
        assert backend.read("no/such") is None
        backend.delete_many(["no/such", "nor/this"])

    def test_empty_object(self, backend: Backend) -> None:
        """It exists."""
        assert backend.put_new("empty", b"")
        assert backend.get("empty") == b""
        assert [entry.size for entry in backend.entries("")] == [0]

    def test_create_is_invisible_until_published(self, backend: Backend, raw: Raw) -> None:
        """To readers, listings and other writers."""
        new = backend.create("packs/m/aa/y.pack")
        new.write(b"one", b"", bytearray(b"two"))
        assert raw("packs/m/aa/y.pack") is None
        assert list(backend.entries("")) == []
        new.write(memoryview(b"three"))
        assert new.publish()
        assert raw("packs/m/aa/y.pack") == b"onetwothree"
        new.abandon()
        assert raw("packs/m/aa/y.pack") == b"onetwothree"

    def test_write_is_done_with_the_buffers(self, backend: Backend, raw: Raw) -> None:
        """They may be reused at once."""
        new = backend.create("a")
        buffer = bytearray(b"abc")
        new.write(buffer)
        buffer[:] = b"xyz"
        new.write(buffer)
        assert new.publish()
        assert raw("a") == b"abcxyz"

    def test_write_takes_any_number_of_buffers(self, backend: Backend, raw: Raw) -> None:
        """More than one system call takes."""
        new = backend.create("a")
        new.write(*(b"%04d" % number for number in range(5000)))
        assert new.publish()
        assert raw("a") == b"".join(b"%04d" % number for number in range(5000))

    def test_large_object(self, backend: Backend, raw: Raw) -> None:
        """Many megabytes in pieces."""
        piece = bytes(range(256)) * 4096
        new = backend.create("big")
        for _ in range(12):
            new.write(piece)
        assert new.publish()
        assert raw("big") == piece * 12
        assert backend.get("big", offset=-(len(piece) + 1), length=2) == b"\xff\x00"

    def test_publish_keeps_the_first(self, backend: Backend, raw: Raw) -> None:
        """A name that was taken meanwhile is not replaced."""
        new = backend.create("a")
        new.write(b"late")
        assert backend.put_new("a", b"early")
        assert not new.publish()
        new.abandon()
        assert raw("a") == b"early"

    def test_abandon_leaves_nothing(self, backend: Backend, raw: Raw) -> None:
        """And may be called twice."""
        new = backend.create("a")
        new.write(b"x")
        new.abandon()
        new.abandon()
        assert raw("a") is None
        assert list(backend.entries("")) == []
        assert backend.put_new("a", b"y")

    def test_swap_follows_the_etag(self, backend: Backend, raw: Raw) -> None:
        """Create, replace, read back."""
        first = backend.swap("refs/r.json", None, b"1")
        assert backend.read("refs/r.json") == (b"1", first)
        second = backend.swap("refs/r.json", first, b"2")
        assert first != second
        assert backend.read("refs/r.json") == (b"2", second)
        assert raw("refs/r.json") == b"2"

    def test_stale_swap_changes_nothing(self, backend: Backend, raw: Raw) -> None:
        """Whether the expected value is old, absent or made up."""
        first = backend.swap("refs/r.json", None, b"1")
        backend.swap("refs/r.json", first, b"2")
        for stale in (first, None, Etag("made-up")):
            with pytest.raises(BranchMovedError):
                backend.swap("refs/r.json", stale, b"3")
        with pytest.raises(BranchMovedError):
            backend.swap("refs/other.json", first, b"3")
        assert raw("refs/r.json") == b"2"
        assert raw("refs/other.json") is None

    def test_concurrent_swaps_lose_nothing(self, backend: Backend) -> None:
        """Each of 80 words from 8 threads is added once; what became of a swap that failed is looked up."""
        backend.swap("refs/n.json", None, b"")

        def add(number: int) -> None:
            word = b"<%d>" % number
            while True:
                found = backend.read("refs/n.json")
                assert found is not None
                if word in found[0]:
                    return
                with suppress(BranchMovedError, StorageError):
                    backend.swap("refs/n.json", found[1], found[0] + word)
                    return

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(add, range(80)))
        words = backend.get("refs/n.json").removesuffix(b">").split(b">")
        assert sorted(words) == sorted(b"<%d" % number for number in range(80))

    def test_entries_are_in_byte_order(self, backend: Backend) -> None:
        """Of whole names, where '-' < '.' < '/' < '0'."""
        names = ["a/b", "a-b", "a.b", "a0", "a/c/d", "B", "a/b.x", "b/z"]
        for name in names:
            backend.put_new(name, name.encode())
        found = list(backend.entries(""))
        assert [entry.name for entry in found] == sorted(names)
        assert [entry.size for entry in found] == [len(name) for name in sorted(names)]
        assert all(entry.modified_ns > 0 for entry in found)

    @pytest.mark.parametrize("start", ["a", "a/", "a/b", "a/c/", "a/c/d", "packs/", "z", "a/b/none"])
    def test_entries_of_a_prefix(self, backend: Backend, start: str) -> None:
        """A prefix need not end at a slash."""
        names = ["a/b", "a/b0", "a/c/d", "a/c/e", "ab", "packs/d/aa/x", "packs/m/aa/x"]
        for name in names:
            backend.put_new(name, b"")
        assert [entry.name for entry in backend.entries(start)] == [n for n in sorted(names) if n.startswith(start)]

    def test_entries_show_writing_order_in_time(self, backend: Backend) -> None:
        """The store's clock does not run backwards between two objects."""
        for number in range(5):
            backend.put_new(f"t/{number}", b"")
        times = [entry.modified_ns for entry in backend.entries("t/")]
        assert all(earlier <= later for earlier, later in pairwise(times))

    def test_delete_many(self, backend: Backend, raw: Raw) -> None:
        """Deletes what exists; the names are free again."""
        backend.put_new("a/x", b"1")
        backend.put_new("a/y", b"2")
        backend.delete_many(["a/x", "a/none"])
        assert raw("a/x") is None
        assert raw("a/y") == b"2"
        assert [entry.name for entry in backend.entries("")] == ["a/y"]
        assert backend.put_new("a/x", b"3")

    def test_move_to_another_class(self, backend: Backend, raw: Raw) -> None:
        """Bytes stay as they are; listings tell the class; what is not there is left out."""
        names = ["packs/d/aa/x.pack", "packs/d/aa/y.pack", "packs/d/aa/z.pack"]
        for name in names[:2]:
            backend.put_new(name, name.encode())
        if not self.cold:
            with pytest.raises((InvalidInputError, StorageError)):
                backend.set_tier(names[:1], "NO_SUCH_CLASS")
        else:
            assert backend.set_tier([names[0], names[2]], self.cold) == names[:1]
            assert backend.set_tier(names[:1], self.cold) == names[:1]
            assert [entry.storage_class for entry in backend.entries("packs/")] == [self.cold, ""]
            assert backend.set_tier(names, "STANDARD") == names[:2]
        assert [entry.storage_class for entry in backend.entries("packs/")] == ["", ""]
        assert [raw(name) for name in names] == [names[0].encode(), names[1].encode(), None]
        assert not backend.put_new(names[0], b"other")

    def test_thaw_what_is_not_archived(self, backend: Backend) -> None:
        """It is readable; what is not there is told."""
        backend.put_new("packs/d/aa/x.pack", b"x")
        assert backend.thaw("packs/d/aa/x.pack", days=1, speed="Standard")
        with pytest.raises(NotFoundError):
            backend.thaw("packs/d/aa/y.pack", days=1, speed="Standard")

    def test_the_time_is_that_of_the_clock_that_dates_objects(self, backend: Backend) -> None:
        """Within some seconds."""
        backend.put_new("a", b"")
        dated = next(backend.entries("a")).modified_ns
        assert abs(backend.now_ns() - dated) < 60 * 1_000_000_000

    def test_close_twice(self, backend: Backend) -> None:
        """Close is idempotent."""
        backend.close()
        backend.close()
