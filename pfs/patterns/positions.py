"""Matching by sets of positions: polynomial for every pattern and text, where `re` would try exponentially many ways.

A set of positions of a text of n characters is an integer: bit ``n - p`` stands for position p, from 0 (before the
first character) to n (behind the last). `Positions.starts` goes from the set of ends to the set of starts of a part
of the pattern, for all of them at once; a run of stars is one addition, whose carry travels towards the front
(MatchStar of Cameron et al., "Bitwise data parallelism in regular expression matching", PACT 2014). A repetition is
the closure; those within it remember what they closed, so that a pattern of m parts, nested d deep, costs at most O(m
d n) operations on integers of n bits. Alternatives that are plain text are one part, however many they are: where
each of their lengths begins one of them is looked up once a text. Captures are those of a backtracking matcher, the
first way that leads to a match: a walk that knows at each choice from where the rest matches.
"""

from __future__ import annotations

import re
from functools import lru_cache

from pfs.patterns.nodes import Choice, Group, Node, OneOf, Sequence, Star, Text, Words


class Positions:
    """One text, as parts of a pattern match it; for one match, not for several threads."""

    def __init__(self, text: str, refuse_whole: frozenset[int]) -> None:
        self._text = text
        self._size = len(text)
        self._refuse_whole = refuse_whole
        self._at: dict[str, int] = {}
        self._all = (2 << self._size) - 1
        self._in_name = self._all >> 1 ^ self._where("/")
        self._refused: dict[int, int] = {}
        self._captured: dict[int, tuple[int, int]] = {}
        self._begins: dict[int, list[tuple[int, int]]] = {}

    def matches(self, nodes: Sequence) -> bool:
        """Say whether the parts match the whole text."""
        return bool(self._sequence_starts(nodes, 1, None) >> self._size)

    def captures(self, nodes: Sequence) -> dict[int, str] | None:
        """Return what the groups that took part captured, by their numbers; None if the text does not match."""
        if not self.matches(nodes):
            return None
        self._captured.clear()
        self._walk_sequence(nodes, 0, 1)
        return {number: self._text[start:stop] for number, (start, stop) in self._captured.items()}

    def _where(self, char: str) -> int:
        """Return the positions behind which a character stands, a place lower: where it ends."""
        if char not in self._at:
            found, place = 0, self._text.find(char)
            while place >= 0:
                found |= 1 << self._size - 1 - place
                place = self._text.find(char, place + 1)
            self._at[char] = found
        return self._at[char]

    def _sequence_starts(self, nodes: Sequence, ends: int, closed: dict[int, int] | None) -> int:
        for node in reversed(nodes):
            if not ends:
                break
            ends = self._starts(node, ends, closed)
        return ends

    def _any_starts(self, words: Words, ends: int, closed: dict[int, int] | None) -> int:
        found = 0
        for length, begins in self._word_begins(words):
            found |= ends << length & begins
        for _, nodes in words.others:
            found |= self._sequence_starts(nodes, ends, closed)
        return found

    def _word_begins(self, words: Words) -> list[tuple[int, int]]:
        """Return for each length of words at which positions one begins."""
        if id(words) not in self._begins:  # the pattern outlives the match
            begins = []
            for length in words.lengths:
                places = range(self._size - length + 1)
                at = (place for place in places if self._text[place : place + length] in words.place)
                begins.append((length, sum(map(self._bit, at))))
            self._begins[id(words)] = begins
        return self._begins[id(words)]

    def _starts(self, node: Node, ends: int, closed: dict[int, int] | None) -> int:
        """Return from where a part reaches one of ``ends``.

        ``closed`` holds, inside of a repetition, the ends that repetitions within it were asked about: each is
        asked once, since what it led to is in the closure already.
        """
        match node:
            case Text():
                for char in reversed(node.text):
                    ends = (ends & self._where(char)) << 1
                return ends
            case OneOf():
                return (ends & self._where_one_of(node.regex)) << 1
            case Star():
                return self._star_starts(ends, node.deep)
            case Choice():
                return self._any_starts(node.words, ends, closed)
            case Group():
                return self._group_starts(node, ends, closed)

    def _star_starts(self, ends: int, deep: bool) -> int:
        if deep:
            last = ends & -ends
            return self._all ^ (last - 1)
        return ((ends & self._in_name) + self._in_name ^ self._in_name) | ends

    def _where_one_of(self, regex: str) -> int:
        if regex not in self._at:  # a class is longer than the characters that are kept there
            found = 0
            for char in set(self._text):
                if _is_one_of(regex, char):
                    found |= self._where(char)
            self._at[regex] = found
        return self._at[regex]

    def _group_starts(self, group: Group, ends: int, closed: dict[int, int] | None) -> int:
        if group.sign == "!":
            return self._star_starts(ends, deep=False) & ~self._refused_starts(group)
        if group.sign in "*+":
            any_number, one_or_more = self._repeated_starts(group, ends, closed)
            return any_number if group.sign == "*" else one_or_more
        found = self._any_starts(group.words, ends, closed)
        return found | ends if group.sign == "?" else found

    def _refused_starts(self, group: Group) -> int:
        if group.number not in self._refused:
            ends = self._where("/") << 1 | 1 if group.number in self._refuse_whole else self._all
            self._refused[group.number] = self._any_starts(group.words, ends, None)
        return self._refused[group.number]

    def _repeated_starts(self, group: Group, ends: int, closed: dict[int, int] | None) -> tuple[int, int]:
        """Return from where any number and one or more of what is repeated reach ``ends``."""
        closed = {} if closed is None else closed
        known = closed.get(group.number, 0)
        found = one_or_more = 0
        new = ends & ~known
        while new:
            known |= new
            found |= new
            before = self._any_starts(group.words, new, closed)
            one_or_more |= before
            new = before & ~known
        closed[group.number] = known
        return found, one_or_more

    def _walk_sequence(self, nodes: Sequence, start: int, ends: int) -> int:
        """Capture along the first way from ``start`` to one of ``ends`` and return its end; there must be one."""
        rest = [ends]
        for node in reversed(nodes[1:]):
            rest.append(self._starts(node, rest[-1], None))
        for node in nodes:
            start = self._walk(node, start, rest.pop())
        return start

    def _walk(self, node: Node, start: int, ends: int) -> int:
        match node:
            case Text():
                return start + len(node.text)
            case OneOf():
                return start + 1
            case Star():
                return self._walk_star(start, ends, deep=node.deep)
            case Choice():
                return self._walk_one(node.words, start, ends)
            case Group():
                stop = self._walk_group(node, start, ends)
                self._captured[node.number] = start, stop
                return stop

    def _walk_star(self, start: int, ends: int, *, deep: bool) -> int:
        slash = -1 if deep else self._text.find("/", start)
        if slash >= 0:
            ends = ends >> self._size - slash << self._size - slash
        return self._size - ((ends & -ends).bit_length() - 1)

    def _walk_group(self, group: Group, start: int, ends: int) -> int:
        if group.sign == "!":
            return self._walk_star(start, ends, deep=False)
        if group.sign in "*+":
            return self._walk_repeated(group, start, ends)
        return self._walk_one(group.words, start, ends)

    def _walk_one(self, words: Words, start: int, ends: int) -> int:
        """Walk the first alternative that reaches an end; stay if there is none (or nothing to repeat any more)."""
        fitting = [
            self._text[start : start + length] for length in words.lengths if self._reaches(start + length, ends)
        ]
        place, length = min(
            ((words.place[text], len(text)) for text in fitting if text in words.place), default=(None, 0)
        )
        for number, nodes in words.others:
            if place is not None and number > place:
                break
            if self._sequence_starts(nodes, ends, None) & self._bit(start):
                return self._walk_sequence(nodes, start, ends)
        return start + length

    def _reaches(self, position: int, ends: int) -> bool:
        return position <= self._size and bool(ends & self._bit(position))

    def _walk_repeated(self, group: Group, start: int, ends: int) -> int:
        """Repeat as `re` does: as often as leads to an end, at most once in a row without going on."""
        every = self._repeated_starts(group, ends, None)[0]
        at, before = start, -1
        if group.sign == "+":
            at = self._walk_one(group.words, start, every)
            if at == start and ends & self._bit(at):
                return at  # once more would be the same again
        while at != before:
            bit = self._bit(at)
            goes_on = every & bit - 1
            before, at = at, self._walk_one(group.words, at, goes_on | ends & bit)
        return at

    def _bit(self, position: int) -> int:
        return 1 << self._size - position


@lru_cache(maxsize=4096)
def _is_one_of(regex: str, char: str) -> bool:
    return char != "/" and re.fullmatch(regex, char) is not None
