"""Glob patterns as regular expressions of Python, and for which texts these are sure to be quick.

`re` tries one way after the other to divide a text among the parts of an expression. A part whose length is free (a
star) multiplies the ways by the length of the text, alternatives by their number, and a repetition of something that
is free itself has exponentially many. `steps_limit` counts the ways of a pattern before anything is matched.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from math import comb, prod

from pfs.patterns.nodes import Choice, Group, Node, OneOf, Segment, Sequence, Star, Text

_MAX_WAYS = 20_000
"""`re` takes some twenty microseconds for so many ways."""
_MAX_LENGTH = 1 << 16
_MAX_STARS = 16
_MAX_BRANCHES = 1024
"""More take `re` longer to compile, and then one after the other, than to look them up."""
_SIGNS = {"@": "", "*": "*", "+": "+", "?": "?"}


@dataclass(frozen=True, slots=True)
class Ways:
    """In how many ways a part matches texts of n characters: at most ``branches * comb(n + stars, stars)``."""

    branches: int
    stars: int


_ENDLESS = Ways(_MAX_WAYS + 1, 0)


def regex_of(segments: Iterable[Segment]) -> str:
    """Return the regular expression, for DOTALL, that captures what the groups of the pattern do."""
    return "/".join(_sequence(segment.nodes, segment.refuses_whole) for segment in segments)


def length_limit(segments: Iterable[Segment]) -> int:
    """Return the length up to which `re` matches any text quickly; -1 if it does so for none."""
    branches, stars, settled = 1, 1, 0
    for segment in segments:
        ways = ways_of(segment.nodes)
        branches = min(branches * ways.branches, _ENDLESS.branches)
        stars = max(stars, settled + ways.stars)
        settled += ways.stars if segment.deep else max(ways.stars - 1, 0)  # the next slash says where the last ends
    if stars > _MAX_STARS or branches > _MAX_BRANCHES:
        return -1
    return bisect_right(range(_MAX_LENGTH), _MAX_WAYS, key=lambda length: branches * comb(length + stars, stars)) - 1


def ways_of(nodes: Sequence) -> Ways:
    """Return the ways of parts one behind the other."""
    each = [_node_ways(node) for node in nodes]
    return Ways(min(prod(ways.branches for ways in each), _ENDLESS.branches), sum(ways.stars for ways in each))


def _node_ways(node: Node) -> Ways:
    match node:
        case Text() | OneOf():
            return Ways(1, 0)
        case Star():
            return Ways(1, 1)
        case Choice():
            return _either(node.alternatives)
        case Group(sign="*" | "+"):
            return Ways(1, 1) if _has_one_division(node.alternatives) else _ENDLESS
        case Group(sign="!"):
            refused = _either(node.alternatives)
            return Ways(refused.branches, refused.stars + 1)
        case Group():
            ways = _either(node.alternatives)
            return Ways(ways.branches + (node.sign == "?"), ways.stars)


def _either(alternatives: tuple[Sequence, ...]) -> Ways:
    each = [ways_of(nodes) for nodes in alternatives]
    return Ways(min(sum(ways.branches for ways in each), _ENDLESS.branches), max(ways.stars for ways in each))


def _has_one_division(alternatives: tuple[Sequence, ...]) -> bool:
    """Say whether a text is so repeated in one way only: a part of one length, or one of several characters."""
    if len(alternatives) == 1:
        return bool(alternatives[0]) and all(isinstance(node, Text | OneOf) for node in alternatives[0])
    characters = {node.text for nodes in alternatives for node in nodes if isinstance(node, Text)}
    return len(characters) == len(alternatives) and all(
        len(nodes) == 1 and isinstance(nodes[0], Text) and len(nodes[0].text) == 1 for nodes in alternatives
    )


def _sequence(nodes: Sequence, refuses_whole: int) -> str:
    return "".join(_node(node, refuses_whole) for node in nodes)


def _node(node: Node, refuses_whole: int) -> str:
    match node:
        case Text():
            return re.escape(node.text)
        case OneOf():
            return f"(?!/){node.regex}"
        case Star():
            return ".*" if node.deep else "[^/]*"
        case Choice():
            return _any_of(node.alternatives, refuses_whole)
        case Group(sign="!"):
            reach = r"(?=/|\Z)" if node.number == refuses_whole else ""
            return f"((?!{_any_of(node.alternatives, refuses_whole)}{reach})[^/]*)"
        case Group():
            return f"({_any_of(node.alternatives, refuses_whole)}{_SIGNS[node.sign]})"


def _any_of(alternatives: tuple[Sequence, ...], refuses_whole: int) -> str:
    return "(?:" + "|".join(_sequence(nodes, refuses_whole) for nodes in alternatives) + ")"
