"""JSON with places: the standard's syntax, several documents in a row, ``---`` allowed between them.

A comma behind the last item is passed over: Pachyderm reads JSON as YAML, which has that, and its examples do too.

The standard library's decoder keeps no positions, and YAML's reader takes what is not JSON (and refuses tabs,
which JSON allows), so this is a decoder of its own: structure here, strings and numbers by the standard
library.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right

from pps.spec.node import MAX_DEPTH, Node, Place, checked_text, whole_number

_SPACE = re.compile(r"[ \t\r\n]*")
_BETWEEN = re.compile(r"(?:[ \t\r\n]|^---[ \t\r]*$)*", re.MULTILINE)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
_WORD = re.compile(r"[a-z]+")
_DECODER = json.JSONDecoder()


def parse_json(text: str, source: str) -> list[Node]:
    """Return the documents of ``text``.

    Raises:
        InvalidInputError: it is not JSON; says line and column.
    """
    reader = _Reader(text, source)
    return reader.documents()


class _Reader:
    def __init__(self, text: str, source: str) -> None:
        self._text, self._source, self._at, self._depth = text, source, 0, 0
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def documents(self) -> list[Node]:
        found = []
        self._skip(_BETWEEN)
        while self._at < len(self._text):
            found.append(self._value())
            self._skip(_BETWEEN)
        return found

    def _place(self, at: int | None = None) -> Place:
        offset = self._at if at is None else at
        line = bisect_right(self._starts, offset)
        return Place(self._source, line, offset - self._starts[line - 1] + 1)

    def _skip(self, pattern: re.Pattern[str] = _SPACE) -> None:
        match = pattern.match(self._text, self._at)
        self._at = match.end() if match else self._at

    def _peek(self) -> str:
        self._skip()
        return self._text[self._at : self._at + 1]

    def _fail(self, wanted: str) -> Exception:
        found = self._text[self._at : self._at + 1]
        return self._place().error(f"invalid JSON: expected {wanted}, found {repr(found) if found else 'the end'}")

    def _value(self) -> Node:
        char, place = self._peek(), self._place()
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise place.error("invalid JSON: nested too deeply")
        try:
            match char:
                case "{":
                    return self._mapping(place)
                case "[":
                    return self._list(place)
                case '"':
                    return Node(place, self._string())
                case _:
                    return self._scalar(place)
        finally:
            self._depth -= 1

    def _mapping(self, place: Place) -> Node:
        items: dict[str, Node] = {}
        keys: dict[str, Place] = {}
        self._at += 1
        while self._peek() != "}":
            if items:
                self._take(",", "',' or '}'")
            if items and self._peek() == "}":
                break
            if self._peek() != '"':
                raise self._fail("a key in double quotes")
            where, key = self._place(), self._string()
            if key in items:
                raise where.error(f"the field {key!r} is given twice")
            self._take(":", "':'")
            items[key], keys[key] = self._value(), where
        self._at += 1
        return Node(place, items, keys)

    def _list(self, place: Place) -> Node:
        items: list[Node] = []
        self._at += 1
        while self._peek() != "]":
            if items:
                self._take(",", "',' or ']'")
            if items and self._peek() == "]":
                break
            items.append(self._value())
        self._at += 1
        return Node(place, items)

    def _take(self, char: str, wanted: str) -> None:
        if self._peek() != char:
            raise self._fail(wanted)
        self._at += 1

    def _string(self) -> str:
        start = self._at
        try:
            text, self._at = _DECODER.raw_decode(self._text, start)
        except json.JSONDecodeError as error:
            raise self._place(error.pos).error(f"invalid JSON: {error.msg.lower()}") from None
        return checked_text(str(text), self._place(start))

    def _scalar(self, place: Place) -> Node:
        word = _WORD.match(self._text, self._at)
        if word and word.group() in _WORDS:
            self._at = word.end()
            return Node(place, _WORDS[word.group()], text="" if word.group() == "null" else word.group())
        number = _NUMBER.match(self._text, self._at)
        if not number:
            raise self._fail("a value")
        self._at = number.end()
        text, whole = number.group(), number.group(1) is None and number.group(2) is None
        return Node(place, whole_number(text, place) if whole else float(text), text=text)
