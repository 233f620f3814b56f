"""When two values are the same, and what type a column of texts has."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from fractions import Fraction
from itertools import permutations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pfs.rows.equal import equal
from pfs.rows.guess import Guess, convert

_EDGES = [0, 1, 2**53 - 1, 2**53, 2**53 + 1, 2**63 - 1, 10**15, 255]


def _same(old: pa.Array, new: pa.Array) -> list[bool]:
    return [bool(one) for one in equal(old, new)]


@pytest.mark.parametrize("kind", [pa.int64(), pa.uint64(), pa.float64(), pa.decimal128(25, 3)], ids=str)
@pytest.mark.parametrize("other", [pa.int64(), pa.uint64()], ids=str)
def test_numbers_are_compared_exactly(kind: pa.DataType, other: pa.DataType) -> None:
    a = pa.array([one for one in _EDGES for _ in _EDGES], pa.uint64()).cast(kind, safe=False)
    b = pa.array(_EDGES * len(_EDGES), pa.uint64()).cast(other)
    expected = [Fraction(x) == Fraction(y) for x, y in zip(a.to_pylist(), b.to_pylist(), strict=True)]
    assert _same(a, b) == expected
    assert _same(b, a) == expected


def test_decimals_and_doubles_as_people_mean_them() -> None:
    decimals = pa.array([Decimal("0.1"), Decimal("0.5"), Decimal("1.0")])
    assert _same(decimals, pa.array([0.1, 0.25, 1.0])) == [True, False, True]


def test_nan_null_and_zero() -> None:
    a = pa.array([math.nan, None, math.nan, 0.0, math.inf])
    b = pa.array([math.nan, None, None, -0.0, -math.inf])
    assert _same(a, b) == [True, True, False, True, False]
    assert _same(pa.nulls(2), pa.array([None, 1])) == [True, False]


def test_instants_whatever_their_unit_and_zone() -> None:
    utc = dt.datetime(2024, 1, 1, 12, tzinfo=dt.UTC)
    far = dt.datetime(1500, 1, 1, tzinfo=dt.UTC)
    seconds = pa.array([utc, utc, far, None], pa.timestamp("s", "UTC"))
    nanos = pa.array([utc, utc, utc, None], pa.timestamp("ns", "Europe/Berlin"))
    odd = pa.array([0, 1, 0, None], pa.duration("ns"))
    assert _same(seconds, pa.compute.add(nanos, odd)) == [True, False, False, True]
    days = pa.array([dt.date(2024, 1, 1)] * 2)
    naive = pa.array([dt.datetime(2024, 1, 1), dt.datetime(2024, 1, 1, 1)], pa.timestamp("us"))
    assert _same(days, naive) == [True, False]
    assert _same(pa.array([1], pa.time32("s")), pa.array([10**9], pa.time64("ns"))) == [True]


def test_nested_values_by_their_parts() -> None:
    a = pa.array([[1, 2], [], None, [1], [math.nan, None]], pa.list_(pa.float64()))
    b = pa.array([[1, 2], [0], None, [2], [math.nan, None]], pa.large_list(pa.float32()))
    assert _same(a, b) == [True, False, True, False, True]
    s = pa.array([{"x": 1, "y": {"z": "a"}}, {"x": 1, "y": None}, None, {"x": 2, "y": None}])
    t = pa.array([{"y": {"z": "a", "new": None}, "x": 1}, {"x": 1, "y": None}, {"x": None, "y": None}, {"x": 3}])
    assert _same(s, t) == [True, True, False, False]
    maps = pa.map_(pa.string(), pa.int64())
    assert _same(pa.array([[("a", 1)], [("a", 1)]], maps), pa.array([[("a", 1)], [("a", 2)]], maps)) == [True, False]
    assert _same(a, pa.array(["x"] * 5)) == [False] * 5
    assert _same(a.slice(3), b.slice(3)) == [False, True]


def test_dictionaries_are_an_encoding() -> None:
    plain = pa.array(["a", None, "b"])
    assert _same(plain.dictionary_encode(), plain.cast(pa.large_string())) == [True] * 3


def _type(texts: list[str | None]) -> str:
    guess = Guess()
    guess.see(pa.array(texts, pa.string()))
    return str(guess.type)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([], "null"),
        ([None], "null"),
        (["1", None, "-20"], "int64"),
        (["1", "2.5"], "double"),
        (["1e5", "inf", "NaN"], "double"),
        (["true", "False"], "bool"),
        (["1", "true"], "string"),
        (["007", "1"], "string"),
        (["0.5", "-0.25", "0"], "double"),
        (["+5"], "string"),
        (["0x10"], "string"),
        ([" 1"], "string"),
        ([""], "string"),
        (["99999999999999999999"], "string"),
        (["9007199254740993", "0.5"], "string"),
        (["0.1234567890123456789012345"], "string"),
        (["1e400"], "string"),
        (["2024-01-02"], "date32[day]"),
        (["2024-01-02", "2024-01-02T03:04:05.123"], "timestamp[ns]"),
        (["1500-01-02", "2024-01-02 03:04:05"], "string"),
        (["2024-01-02T03:04:05Z", "2024-01-02 03:04:05+01:00"], "timestamp[ns, tz=UTC]"),
        (["2024-01-02T03:04:05Z", "2024-01-02T03:04:05"], "string"),
    ],
)
def test_guesses(texts: list[str | None], expected: str) -> None:
    assert _type(texts) == expected
    for order in permutations(texts):
        one_by_one = Guess()
        for text in order:
            one_by_one.see(pa.array([text], pa.string()))
        assert str(one_by_one.type) == expected, order


_TEXTS = st.sampled_from(
    [None, "1", "-3", "007", "9007199254740993", "1.5", "1e400", "true", "2024-01-02", "1500-01-02",
     "2024-01-02 03:04:05", "2024-01-02T03:04:05Z", "x", "", "nan", "12345678901234567890"]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(_TEXTS, max_size=6), st.randoms(use_true_random=False), st.integers(1, 3))
def test_a_guess_does_not_depend_on_order_or_blocks_and_holds_every_text(
    texts: list[str | None], random: object, size: int
) -> None:
    shuffled = list(texts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    guess = Guess()
    for start in range(0, len(shuffled), size):
        guess.see(pa.array(shuffled[start : start + size], pa.string()))
    assert str(guess.type) == _type(texts)
    values = convert(pa.array(texts, pa.string()), guess.type)
    assert values.null_count == texts.count(None)
