"""Matching glob patterns: both matchers agree, and the steps are bounded whatever the pattern."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from types import FrameType

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from pfs.glob import Glob
from pfs.patterns.matcher import Matcher
from pfs.patterns.parser import parse
from pfs.patterns.positions import Positions
from pfs.patterns.regex import length_limit, regex_of

NESTED = [
    "/+(+(a))b", "/*(*(a))b", "/+(*a)b", "/+(a|aa)b", "/*(a|?)b", "/+(!(b))c", "/+(+(a)b|aab)c", "/+(+(|a)|*(a|aa))b",
    "/!(+(+(a))b)c", "/+(+(+(+(a)|aa)|?)aaa|a*(aa))b", "/" + "{a,aa}" * 40 + "b", "/" + "?(a)" * 40 + "b",
    "/" + "+(" * 32 + "a" + ")" * 32 + "b", "/" + "+(a|" * 32 + "aa" + ")" * 32 + "b",
]  # fmt: skip
STARS = [
    "/*a*a*a*a*a*a*b",
    "/**a**a**a**a**a**b",
    "/*a*/*a*a*/*a*a*b",
    "/+(aa)+(a)+(aaa)*a+(a)b",
    "/!(*a*a*a*b)!(*a*b)b",
]


class ByPositions(Matcher):
    """Leaves nothing to `re`."""

    regex_limit = -1


class Steps:
    """Counts the parts of patterns that sets of positions were led through."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        self.count += event == "call" and frame.f_code is Positions._starts.__code__


@contextmanager
def counted() -> Iterator[Steps]:
    before, steps = sys.getprofile(), Steps()
    sys.setprofile(steps)
    try:
        yield steps
    finally:
        sys.setprofile(before)


@pytest.mark.parametrize("pattern", NESTED + STARS)
@pytest.mark.parametrize("text", ["a" * 40, "a" * 200, "aab" * 60 + "a" * 60])
def test_the_steps_of_hard_patterns_are_bounded(pattern: str, text: str) -> None:
    glob = Glob(pattern)
    assert len(text) > glob._whole.regex_limit
    with counted() as steps:
        matched = glob.match("/" + text)
    assert 0 < steps.count <= 4 * len(pattern) * len(text)
    assert not matched


def test_a_nested_repetition_is_closed_once() -> None:
    """Each b leads the outer one to the same run of a's again; the inner one remembers it."""
    pattern, text = "/+(+(a)*(b)|b)", "a" * 100 + "b" * 100
    with counted() as steps:
        assert Glob(pattern).match("/" + text)
    assert 0 < steps.count <= 4 * len(pattern) * len(text)


@pytest.mark.parametrize(
    ("pattern", "unit"),
    [
        ("/+(+(a))b", "a"), ("/*(*(a))b", "a"), ("/+(*a)b", "a"), ("/*(a|?)b", "c"), ("/+(+(a)b|aab)b", "aab"),
        ("/+(+(+(+(a)|aa)|?)aaa|a*(aa))b", "a"), ("/" + "+(" * 32 + "a" + ")" * 32 + "b", "a"),
        ("/" + "*(?(" * 16 + "a" + "))" * 16 + "b", "a"), ("/" + "+(|" * 32 + "a" + ")" * 32 + "b", "a"),
    ],
)  # fmt: skip
def test_the_steps_of_captures_are_bounded(pattern: str, unit: str) -> None:
    """Each character is walked over once a level, looking ahead from each."""
    text, glob = unit * 50 + "b", Glob(pattern)
    with counted() as steps:
        groups = glob.groups("/" + text)
    assert 0 < steps.count <= len(pattern) * 33 * len(text) ** 2
    assert groups[0] in (text, text[:-1])


@pytest.mark.parametrize("pattern", NESTED)
def test_nested_repetitions_are_never_left_to_backtracking(pattern: str) -> None:
    assert length_limit(parse(pattern)) <= 20


@pytest.mark.parametrize(
    ("pattern", "limit"),
    [
        ("/*", 4096), ("/*/*/*.png", 4096), ("/**", 4096), ("/a/**.png", 4096), ("/*.{png,jpg,gif}", 4096),
        ("/img_+([0-9]).(png|jpg)", 4096), ("/(*)-(*)", 190), ("/*/!(*.js|*.json)", 130), ("/(*)_(*)_(*)", 40),
    ],
)  # fmt: skip
def test_ordinary_patterns_are_left_to_regular_expressions(pattern: str, limit: int) -> None:
    assert length_limit(parse(pattern)) >= limit


def test_the_limit_keeps_the_ways_that_backtracking_tries_in_bounds() -> None:
    """Counted by going through the ways to divide a text among three stars and what is left."""
    limit = length_limit(parse("*a*a*a"))
    ways = [sum(sum(cut) <= length for cut in product(range(length + 1), repeat=3)) for length in (limit, limit + 1)]
    assert ways[0] <= 20_000 < ways[1]


ITEMS = st.sampled_from(["a", "b", "a", "b", "*", "?", "[ab]", "[!a]", "**", "/", "ab"])


def sequences(items: st.SearchStrategy[str], most: int) -> st.SearchStrategy[str]:
    return st.lists(items, max_size=most).map("".join)


def groups_of(items: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    alternatives = st.lists(sequences(items, 2), min_size=1, max_size=2)
    parentheses = st.builds(lambda sign, parts: f"{sign}({'|'.join(parts)})", st.sampled_from("@*+?!"), alternatives)
    return parentheses | alternatives.map(lambda parts: "{" + ",".join(parts) + "}")


PATTERNS = sequences(st.recursive(ITEMS, lambda items: groups_of(items) | items, max_leaves=6), 4)


@settings(max_examples=600, deadline=None)
@given(PATTERNS, st.text("ab/", max_size=6))
@example("+(|a)", "a")
@example("*(*(a))", "aa")
@example("*((a)|b)", "ab")
@example("*(+(b(a)|?(a)))", "ba")
@example("*(b(a)|+(?(a)|b))", "bab")
@example("+(?(a)|b)+(b|*(ab))", "abab")
@example("!(!(a))b", "ab")
@example("?(!(a|b))/!(ab)", "b/a")
@example("(*)(*)b(**)(a*)", "abba/a")
def test_sets_of_positions_match_and_capture_as_regular_expressions_do(pattern: str, text: str) -> None:
    segments = parse(pattern)
    assume(segments)
    match = re.compile(regex_of(segments), re.DOTALL).fullmatch(text)
    matcher = ByPositions(segments)
    assert matcher.matches(text) == (match is not None)
    assert matcher.groups(text) == (match.groups("") if match else None)


WORDS = st.lists(
    st.text("ab/", max_size=3) | st.sampled_from(["a*", "?", "b*a", "[ab]", "(a)b"]), min_size=1, max_size=8
)


@settings(max_examples=400, deadline=None)
@given(
    WORDS,
    st.sampled_from(["(%s)*", "*(%s)(*)", "(*)(%s)", "?(%s)+(%s)", "(a*)!(%s)", "({%s})(*)"]),
    st.text("ab", max_size=7),
)
@example(["a", "ab"], "(%s)*", "ab")
@example(["ab", "a*", "a"], "(%s)*", "ab")
@example(["", "a"], "*(%s)(*)", "aa")
def test_words_are_taken_in_the_order_in_which_they_stand(words: list[str], shape: str, text: str) -> None:
    segments = parse(shape.replace("%s", ("," if "{" in shape else "|").join(words)))
    match = re.compile(regex_of(segments), re.DOTALL).fullmatch(text)
    matcher = ByPositions(segments)
    assert matcher.matches(text) == (match is not None)
    assert matcher.groups(text) == (match.groups("") if match else None)


@pytest.mark.parametrize("shape", ["/{%s}", "/d/({%s})*", "/**/!({%s})", "/*({%s})"])
def test_thousands_of_names_are_looked_up_together(shape: str) -> None:
    calls = []
    for count in (50, 5000):
        glob = Glob(shape % ",".join(f"name{number:05}" for number in range(count)))
        matcher = ByPositions(glob.segments)
        assert length_limit(glob.segments) < 0 or count == 50
        assert matcher.group_count == shape.count("(")  # known once for all texts
        with every_call() as made:
            found = [
                matcher.groups(f"{prefix}name{number:05}") for prefix in ("", "d/", "d/x") for number in range(0, 60, 7)
            ]
        assert any(one is not None for one in found)
        calls.append(made[0])
    assert calls[1] <= calls[0] * 1.5, "a match takes no more steps for a hundred times the names"


@contextmanager
def every_call() -> Iterator[list[int]]:
    """Count the calls of Python and C functions within."""
    before, made = sys.getprofile(), [0]

    def count(_frame: FrameType, event: str, _: object) -> None:
        made[0] += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        yield made
    finally:
        sys.setprofile(before)


@pytest.mark.parametrize(
    ("pattern", "path", "groups"),
    [
        ("/+(+(a))b", "/" + "a" * 300 + "b", ("a" * 300, "a" * 300)),
        ("/(*)a(*)a(*)a(*)b", "/" + "a" * 300 + "b", ("a" * 297, "", "", "")),
        ("/*(a|(?))b", "/" + "a" * 300 + "cb", ("a" * 300 + "c", "c")),
        ("/(!(*a*b))(*)/(**)", "/" + "a" * 300 + "/b/c", ("a" * 300, "a" * 300, "", "b/c")),
        ("/[[:alpha:]]+(*([a-c])|[!b])é", "/" + "cab" * 100 + "é", ("ab" + "cab" * 99, "")),
    ],
)
def test_captures_of_long_texts(pattern: str, path: str, groups: tuple[str, ...]) -> None:
    assert Glob(pattern).groups(path) == groups
