"""One suite over every kernel that runs here: all of them must give the cuts of the specification."""

from __future__ import annotations

import ctypes
import functools
import json
import mmap
import random
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pfs._plg_plan import Plan, splitmix64
from pfs.chunker import ChunkerParams, Kernel, cut_points, kernels, next_cut
from pfs.errors import InvalidParamsError

KERNELS = kernels()
GOLDEN = Path(__file__).parents[1] / "data" / "cut_points.json"
SMALL = ChunkerParams(65536)
KIB = 1024


@pytest.fixture(params=KERNELS, ids=lambda kernel: kernel.name)
def kernel(request: pytest.FixtureRequest) -> Kernel:
    chosen: Kernel = request.param
    return chosen


def random_bytes(size: int, state: int = 0) -> bytes:
    """The words of splitmix64 from ``state`` on, little-endian."""
    with np.errstate(over="ignore"):
        z = np.arange(1, size // 8 + 2, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(state)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (z ^ (z >> np.uint64(31))).astype("<u8").tobytes()[:size]


def text(size: int) -> bytes:
    words = (b"commit", b"branch", b"datum", b"of", b"the", b"a", b"pipeline", b"reads", b"no", b"tree", b"\n")
    picks = np.frombuffer(random_bytes(size // 2, 5), np.uint8) % len(words)
    return b" ".join(words[pick] for pick in picks.tolist())[:size]


def csv(size: int) -> bytes:
    rows = (f"{row},{row * 7919 % 100003},{row % 13 / 8}\n" for row in range(size // 10))
    return "".join(rows).encode()[:size]


@functools.cache
def sample(kind: str) -> bytes:
    """Data of one kind: 2 MiB, and 8 MiB of random bytes."""
    size = 2 << 20
    match kind:
        case "random":
            return random_bytes(8 << 20)
        case "text":
            return text(size)
        case "csv":
            return csv(size)
        case "zeros":
            return bytes(size)
        case "int64":
            return np.arange(size // 8, dtype="<i8").tobytes()
        case "small-int64":
            return (np.frombuffer(random_bytes(size // 8), np.uint8) % 10).astype("<i8").tobytes()
        case "float64":
            return (np.frombuffer(random_bytes(size // 4), "<u2") * 0.1).astype("<f8").tobytes()
        case "utf16":
            return text(size // 2).decode().encode("utf-16-le")
        case "sparse":
            return (np.frombuffer(random_bytes(size, 9), np.uint8) < 5).astype(np.uint8).tobytes()
        case _:
            raise AssertionError(kind)


KINDS = ["random", "text", "csv", "zeros", "int64", "small-int64", "float64", "utf16", "sparse"]


def candidates(data: bytes, plan: Plan) -> list[tuple[int, int]]:
    """Position and 64-bit hash of each candidate, word for word as the specification has it; slow."""
    k0, k1, k2, k3 = plan.k
    g, h1, h2 = [0] * len(data), [0] * len(data), [0] * len(data)
    found = []
    for i in range(3, len(data)):
        x = ((data[i - 1] | data[i] << 8) * k0 + (data[i - 3] | data[i - 2] << 8)) & 0xFFFF
        g[i] = x >> 8 | (x & 0xFF) << 8
        h1[i] = (g[i] * k1 + g[i - 60]) & 0xFFFF if i >= 63 else 0
        h2[i] = (h1[i] * k2 + h1[i - 128]) & 0xFFFF if i >= 191 else 0
        if i >= 447 and 0x7FF8 <= (h2[i] * k3 + h2[i - 256]) & 0xFFFF <= 0x7FFF:
            found.append((i, strong_hash(data, plan, i)))
    return found


def strong_hash(data: bytes, plan: Plan, i: int) -> int:
    words = [int.from_bytes(data[at : at + 8], "little") for at in range(i - 63, i + 1, 8)]
    s = sum((word ^ a) * b for word, a, b in zip(words, plan.a, plan.b, strict=True)) % (1 << 64)
    s = (s ^ s >> 32) * plan.mf % (1 << 64)
    return s ^ s >> 29


def reference_cuts(data: bytes, params: ChunkerParams) -> list[int]:
    found, cuts, start = candidates(data, params.plan), [], 0
    while start < len(data):
        left = len(data) - start
        most = min(left, params.max_bytes)
        lengths = (
            i + 1 - start
            for i, s in found
            if params.min_bytes <= i + 1 - start < most
            and s < (params.t1 if i + 1 - start < params.avg_bytes else params.t2)
        )
        start += left if left <= params.min_bytes else next(lengths, most)
        cuts.append(start)
    return cuts


def test_keys_of_the_default_seed() -> None:
    plan = ChunkerParams().plan
    assert plan.k == (0x5CC1, 0xEC65, 0x555D, 0xC909)
    assert (plan.a[0], plan.b[0], plan.mf) == (0x71BB54D8D101B5B9, 0xC34D0BFF90150281, 0x10E2C46865E98747)


def test_the_data_of_the_vectors_is_splitmix64() -> None:
    stream = splitmix64(0)
    assert random_bytes(64) == b"".join(next(stream).to_bytes(8, "little") for _ in range(8))


@pytest.mark.parametrize(
    ("avg", "count", "first"),
    [
        (65536, 108, [112661, 172903, 243098, 313652, 428038, 502583]),
        (262144, 28, [481116, 618631, 1006825, 1574103, 1840285, 2038368]),
        (1048576, 8, [618631, 1767511, 2909935, 4166653, 5696896, 6640870]),
    ],
)
def test_vectors_of_the_specification(kernel: Kernel, avg: int, count: int, first: list[int]) -> None:
    cuts = kernel.cuts(sample("random"), ChunkerParams(avg), final=True)
    assert len(cuts) == count
    assert cuts[:6] == first


def test_the_literal_specification_gives_the_same_cuts(kernel: Kernel) -> None:
    data = random_bytes(300_000, 3) + text(100_000) + bytes(50_000) + random_bytes(50_000, 4)
    assert kernel.cuts(data, SMALL, final=True) == reference_cuts(data, SMALL)


@pytest.mark.parametrize("kind", KINDS)
def test_golden_cuts(kernel: Kernel, kind: str) -> None:
    """Written once and never again: other cuts would store everybody's data a second time."""
    cases = [case for case in json.loads(GOLDEN.read_text()) if case["data"] == kind]
    assert len(cases) == 6
    for case in cases:
        params = ChunkerParams(case["avg"], case["seed"])
        assert kernel.cuts(sample(kind), params, final=True) == case["cuts"]


@pytest.mark.parametrize("offset", [1, 37, 63])
@pytest.mark.parametrize("kind", KINDS)
def test_equal_cuts_at_any_alignment(kernel: Kernel, kind: str, offset: int) -> None:
    view = memoryview(sample(kind))[offset : offset + (1 << 20)]
    expected = KERNELS[0].cuts(bytes(view), SMALL, final=True)
    assert kernel.cuts(view, SMALL, final=True) == expected


def boundary_lengths(params: ChunkerParams) -> list[int]:
    near = [-449, -257, -256, -255, -2, -1, 0, 1, 2, 3, 63, 64, 65, 255, 256, 257, 258, 511, 512, 513]
    edges = [params.min_bytes, params.avg_bytes, params.max_bytes, params.max_bytes + params.min_bytes]
    return [0, 1, 2, 447, 448, 449, 512, *(edge + step for edge in edges for step in near)]


@pytest.mark.parametrize("kind", ["random", "zeros"])
def test_equal_cuts_at_every_length_near_a_limit(kernel: Kernel, kind: str) -> None:
    data = memoryview(sample(kind))
    for size in boundary_lengths(SMALL):
        cuts = kernel.cuts(data[:size], SMALL, final=True)
        assert cuts == KERNELS[-1].cuts(data[:size], SMALL, final=True), size
        assert_lengths(cuts, size, SMALL)


def assert_lengths(cuts: list[int], size: int, params: ChunkerParams) -> None:
    assert cuts[-1:] == ([size] if size else [])
    lengths = [stop - start for start, stop in pairwise([0, *cuts])]
    assert all(params.min_bytes <= length <= params.max_bytes for length in lengths[:-1])
    assert all(0 < length <= params.max_bytes for length in lengths)


def test_zeros_are_cut_at_the_maximum_only(kernel: Kernel) -> None:
    assert kernel.cuts(bytes(3 * SMALL.max_bytes), SMALL, final=True) == [
        SMALL.max_bytes,
        2 * SMALL.max_bytes,
        3 * SMALL.max_bytes,
    ]


@functools.cache
def crowded_pattern() -> bytes:
    """Eight bytes whose repetition has a candidate in every period, and boundaries among them."""
    source = random.Random(1)
    while True:
        pattern = source.randbytes(8)
        period = candidates(pattern * 57, SMALL.plan)
        if any(s < SMALL.t2 for _, s in period):
            return pattern


def test_data_crowded_with_candidates(kernel: Kernel) -> None:
    data = crowded_pattern() * (32 * KIB) + random_bytes(100 * KIB) + crowded_pattern() * (8 * KIB)
    cuts = kernel.cuts(data, SMALL, final=True)
    assert cuts == reference_cuts(data, SMALL)
    assert_lengths(cuts, len(data), SMALL)


@st.composite
def mixed_data(draw: st.DrawFn) -> bytes:
    """Runs of noise, of one byte and of short periods, 0 to 600 KiB long together."""
    parts = []
    for _ in range(draw(st.integers(0, 4))):
        size = draw(st.integers(0, 150 * KIB))
        source = random.Random(draw(st.integers(0, 2**32)))
        pattern = source.randbytes(draw(st.sampled_from([1, 2, 3, 8, 60, 64, 100, 4096, size + 1])))
        parts.append((pattern * (size // len(pattern) + 1))[:size])
    return b"".join(parts)


@settings(max_examples=25, deadline=None)
@given(data=mixed_data(), offset=st.integers(0, 70), seed=st.sampled_from([0, 1, 2, 3, 2**64 - 1]))
def test_all_kernels_agree(data: bytes, offset: int, seed: int) -> None:
    params, view = ChunkerParams(65536, seed), memoryview(data)[offset:]
    expected = KERNELS[-1].cuts(view, params, final=True)
    assert_lengths(expected, len(view), params)
    for kernel in KERNELS[:-1]:
        assert kernel.cuts(view, params, final=True) == expected, kernel.name


def test_cuts_that_bytes_to_come_could_move_are_not_returned(kernel: Kernel) -> None:
    data = memoryview(sample("random"))[: 1 << 20]
    whole = kernel.cuts(data, SMALL, final=True)
    for size in [0, 1, SMALL.min_bytes, *(cut + step for cut in whole[:5] for step in (-1, 0, 1, 300))]:
        early = kernel.cuts(data[:size], SMALL, final=False)
        assert early == [cut for cut in whole if cut < size][: len(early)]
        assert all(cut in early for cut in whole if cut + 1 <= size - 1)


def test_a_chunk_of_the_maximum_is_certain(kernel: Kernel) -> None:
    zeros = memoryview(bytes(SMALL.max_bytes))
    assert kernel.cuts(zeros[:-1], SMALL, final=False) == []
    assert kernel.cuts(zeros, SMALL, final=False) == [SMALL.max_bytes]


def test_limit_stops_early(kernel: Kernel) -> None:
    whole = kernel.cuts(sample("random"), SMALL, final=True)
    assert kernel.cuts(sample("random"), SMALL, final=True, limit=3) == whole[:3]
    assert kernel.cuts(sample("random"), SMALL, final=False, limit=10**6) == whole[:-1]


@pytest.mark.skipif(not hasattr(mmap, "PROT_READ"), reason="needs POSIX memory protection")
@pytest.mark.parametrize("size", [1, 32768, 32769, 65536, 100_000, 262_144, 262_145, 300_001])
def test_no_byte_outside_the_buffer_is_read(kernel: Kernel, size: int) -> None:
    page = mmap.PAGESIZE
    inside = -(-size // page) * page
    area = mmap.mmap(-1, inside + 2 * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(area))
    libc = ctypes.CDLL(None, use_errno=True)
    for guard in (start, start + page + inside):
        assert libc.mprotect(ctypes.c_void_p(guard), ctypes.c_size_t(page), 0) == 0
    middle = memoryview(area)[page : page + inside]
    for view in (middle[:size], middle[inside - size :]):
        assert kernel.cuts(view, SMALL, final=True)[-1] == size


def test_accepts_every_contiguous_buffer_and_no_other(kernel: Kernel) -> None:
    data = random_bytes(200_000)
    expected = kernel.cuts(data, SMALL, final=True)
    assert kernel.cuts(bytearray(data), SMALL, final=True) == expected
    assert kernel.cuts(memoryview(data), SMALL, final=True) == expected
    with pytest.raises((BufferError, ValueError)):
        kernel.cuts(memoryview(data)[::2], SMALL, final=True)


def test_an_insertion_moves_only_near_cuts() -> None:
    data, at = sample("random")[: 4 << 20], 1_500_000
    before = set(cut_points(data, SMALL))
    after = {cut - (cut > at) for cut in cut_points(data[:at] + b"!" + data[at:], SMALL)}
    moved = before ^ after
    assert moved <= set(range(at - SMALL.max_bytes, at + 6 * SMALL.max_bytes))
    assert len(before & after) > 40


def test_recutting_at_a_seam_meets_the_known_cuts() -> None:
    left, right = sample("random")[:300_000], sample("random")[1 << 20 : 3 << 20]
    known = {len(left) + cut for cut in cut_points(right, SMALL)}
    data, at = left + right, cut_points(left, SMALL)[-2]
    while at not in known:
        length = next_cut(memoryview(data)[at:], SMALL, final=True)
        assert length is not None
        at += length
    expected = cut_points(data, SMALL)
    assert at < len(data)
    assert [cut for cut in expected if cut >= at] == sorted(cut for cut in known if cut >= at)


def test_next_cut_is_none_only_when_more_bytes_decide() -> None:
    data = memoryview(sample("random"))
    first = cut_points(data, SMALL)[0]
    assert next_cut(b"", SMALL, final=True) is None
    assert next_cut(data[:first], SMALL, final=False) is None
    assert next_cut(data[:first], SMALL, final=True) == first
    assert next_cut(data[: SMALL.max_bytes], SMALL, final=False) == first


@pytest.mark.parametrize("avg", [0, 65535, (8 << 20) + 1, -1])
def test_averages_out_of_range_are_refused(avg: int) -> None:
    with pytest.raises(InvalidParamsError, match=f"chunk average {avg} is not between 65536 and 8388608 bytes"):
        ChunkerParams(avg)


@pytest.mark.parametrize("seed", [-1, 1 << 64])
def test_seeds_out_of_range_are_refused(seed: int) -> None:
    with pytest.raises(InvalidParamsError, match="is not between 0 and"):
        ChunkerParams(seed=seed)


@pytest.mark.parametrize("seed", [4, 14])
def test_seeds_that_some_constant_byte_hits_are_refused(seed: int) -> None:
    with pytest.raises(InvalidParamsError, match="is weak for runs of byte"):
        ChunkerParams(seed=seed)


def test_default_params_and_thresholds() -> None:
    params = ChunkerParams()
    assert (params.avg_bytes, params.seed) == (262144, 1)
    assert (params.min_bytes, params.max_bytes) == (131072, 1048576)
    assert (params.t1, params.t2) == (2**57, 2**61)
    assert ChunkerParams(100_003).t1 == 2**75 // 100_003
