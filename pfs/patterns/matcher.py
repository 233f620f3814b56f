"""Matching texts by a pattern: by `re` where that is sure to be quick, else by sets of positions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property

from pfs.patterns.nodes import Choice, Group, Node, Segment, Text
from pfs.patterns.positions import Positions
from pfs.patterns.regex import length_limit, regex_of


class Matcher:
    """Segments of a pattern with slashes between them, against whole texts; immutable, safe to share between threads.

    A text takes at most a time that is polynomial in its length, whatever the pattern.
    """

    def __init__(self, segments: Sequence[Segment]) -> None:
        self._segments = tuple(segments)

    @cached_property
    def regex_limit(self) -> int:
        """The length of the longest text that is matched by `re`."""
        return length_limit(self._segments)

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        return re.compile(regex_of(self._segments), re.DOTALL)

    @cached_property
    def _nodes(self) -> tuple[Node, ...]:
        nodes: list[Node] = []
        for segment in self._segments:
            nodes += [Text("/"), *segment.nodes]
        return tuple(nodes[1:])

    @cached_property
    def group_count(self) -> int:
        """How many parentheses capture."""
        return sum(_count_groups(node) for node in self._nodes)

    def matches(self, text: str) -> bool:
        """Say whether the whole text matches."""
        if len(text) <= self.regex_limit:
            return self._regex.fullmatch(text) is not None
        return self._positions(text).matches(self._nodes)

    def which(self, texts: Sequence[str]) -> list[int]:
        """Return the numbers of the texts that match, ascending; 0.2 us each where `re` is sure to be quick."""
        if max(map(len, texts), default=0) <= self.regex_limit:
            fits = self._regex.fullmatch
            return [number for number, text in enumerate(texts) if fits(text)]
        return [number for number, text in enumerate(texts) if self.matches(text)]

    def groups(self, text: str) -> tuple[str, ...] | None:
        """Return what the groups captured, ``""`` for those that took no part; None if the text does not match."""
        if len(text) <= self.regex_limit:
            match = self._regex.fullmatch(text)
            return match.groups("") if match else None
        captured = self._positions(text).captures(self._nodes)
        return None if captured is None else tuple(captured.get(n + 1, "") for n in range(self.group_count))

    def _positions(self, text: str) -> Positions:
        return Positions(text, frozenset(segment.refuses_whole for segment in self._segments))


def _count_groups(node: Node) -> int:
    if not isinstance(node, Choice | Group):
        return 0
    inner = sum(_count_groups(part) for nodes in node.alternatives for part in nodes)
    return inner + isinstance(node, Group)
