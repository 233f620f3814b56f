"""Reading the fields of one mapping: spelling, types, and what to say about the rest.

Both ``snake_case`` and ``camelCase`` are taken. A field is read (and checked), noted (accepted without
effect), refused by name, or unknown; `Fields.finish` deals with all that was not read.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field

from pps.spec_known import KNOWN, Kind, Known
from pps.spec_node import Node, Place, kind_of, whole_number

DURATION_PATTERN = r"(?:([0-9]+(?:\.[0-9]+)?)h)?(?:([0-9]+(?:\.[0-9]+)?)m)?(?:([0-9]+(?:\.[0-9]+)?)s)?"
MAX_COUNT = 2**63 - 1

_HUMP = re.compile(r"(?<=[a-z0-9])([A-Z])")
_DURATION = re.compile(DURATION_PATTERN)
_MAX_DURATION_S = 10 * 365 * 86400.0


def snake(name: str) -> str:
    """Return the field's name in the one spelling: ``datumTries`` and ``datum_tries`` give ``datum_tries``."""
    return _HUMP.sub(r"_\1", name).lower()


def camel(name: str) -> str:
    """Return the field's name in the other spelling: ``datum_tries`` gives ``datumTries``."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def duration_s(text: str) -> float | None:
    """Return the seconds of ``300s``, ``1.5s``, ``5m`` or ``1h30m``; None when it is none of these."""
    match = _DURATION.fullmatch(text)
    if not match or not text:
        return None
    hours, minutes, seconds = (float(part) if part else 0.0 for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds


@dataclass(slots=True)
class Fields:
    """The fields of one mapping; ``notes`` collects what has no effect.

    Raises:
        InvalidInputError: it is no mapping, or has a field that is unknown, refused or given twice.
    """

    node: Node
    known: Known
    notes: list[str]
    _items: dict[str, tuple[Node, Place]] = field(init=False)

    def __post_init__(self) -> None:
        if not isinstance(self.node.value, dict):
            raise self.node.place.error(f"{self.known.where} must be a mapping, not {kind_of(self.node)}")
        self._items = {}
        for key, value in self.node.value.items():
            place = (self.node.keys or {}).get(key, value.place)
            if snake(key) in self._items:
                raise place.error(f"the field {snake(key)!r} of {self.known.where} is given twice")
            self._items[snake(key)] = (value, place)
        for name, (value, place) in self._items.items():
            self._check(name, value, place)

    def _check(self, name: str, value: Node, place: Place) -> None:
        """Note a field without effect, refuse it with its reason, or call it unknown."""
        known = self.known
        if name in known.read or (value.is_unset and name in {*known.noted, *known.refused}):
            return
        if name in known.refused:
            raise place.error(f"the field {name!r} of {known.where} {known.refused[name]}")
        if name not in known.noted:
            near = difflib.get_close_matches(name, [*known.read, *known.noted, *known.refused], n=1, cutoff=0.0)
            raise place.error(f"unknown field {name!r} in {known.where}: did you mean {near[0]!r}?")
        self.notes.append(f"{known.where}.{name}: {known.noted[name]}")

    def get(self, name: str) -> Node | None:
        """Return the field's value, or None when it is absent or null."""
        item = self._items.get(name)
        return item[0] if item and item[0].value is not None else None

    def child(self, name: str) -> Fields | None:
        """Return the fields of the mapping in field ``name``, or None when it is absent."""
        node = self._read(name, Kind.CHILD)
        return Fields(node, KNOWN[self.known.read[name].of], self.notes) if node else None

    def children(self, name: str) -> list[Node]:
        """Return the elements of the list of mappings in field ``name``; absent gives none."""
        return self._list(self._read(name, Kind.CHILDREN), name)

    def text(self, name: str, default: str = "") -> str:
        """Return a string; a number is taken as it is written."""
        node = self._read(name, Kind.TEXT)
        return default if node is None else self._as_text(node, name)

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of strings; a single string counts as a list of one."""
        return self._texts(self._read(name, Kind.TEXTS), name)

    def words(self, name: str) -> tuple[str, ...]:
        """Return a command as a list of strings; a single word counts as a list of one."""
        node = self._read(name, Kind.WORDS)
        if node is not None and isinstance(node.value, str) and len(node.value.split()) > 1:
            raise self._wrong(node, name, "a list of strings (one string is not split)")
        return self._texts(node, name)

    def variables(self, name: str) -> dict[str, str]:
        """Return a mapping of names of variables to strings; numbers and booleans become their JSON text."""
        node = self._read(name, Kind.TEXT_MAP)
        if node is None:
            return {}
        if not isinstance(node.value, dict):
            raise self._wrong(node, name, "a mapping")
        for key in node.value:
            if not key or "=" in key or "\0" in key:
                place = (node.keys or {}).get(key, node.place)
                raise place.error(
                    f"{key!r} in the field {name!r} of {self.known.where} cannot be the name of a variable"
                )
        return {key: self._as_text(value, f"{name}.{key}") for key, value in node.value.items()}

    def flag(self, name: str) -> bool:
        """Return true or false; absent is false."""
        node = self._read(name, Kind.FLAG)
        if node is None:
            return False
        if not isinstance(node.value, bool):
            raise self._wrong(node, name, "true or false")
        return node.value

    def count(self, name: str, default: int = 0) -> int:
        """Return an integer of 0 or more; may be written as a string, as protobuf's JSON does for 64 bits."""
        node = self._read(name, Kind.COUNT)
        return default if node is None else self._as_count(node, name)

    def counts(self, name: str) -> tuple[int, ...]:
        """Return a list of integers of 0 or more."""
        return tuple(self._as_count(item, name) for item in self._list(self._read(name, Kind.COUNTS), name))

    def seconds(self, name: str) -> float | None:
        """Return a duration in seconds, or None when it is absent or 0: ``"300s"``, ``"5m"``, ``"1h30m"``, ``300``."""
        node = self._read(name, Kind.SECONDS)
        if node is None or node.value == "":
            return None
        value = node.value
        found = duration_s(value) if isinstance(value, str) else value
        if isinstance(found, bool) or not isinstance(found, int | float) or found < 0:
            raise self._wrong(node, name, 'a duration such as "300s", "5m" or "1h30m"')
        if found > _MAX_DURATION_S:
            raise self._too_much(node, name, f"{_MAX_DURATION_S:.0f}s, which is ten years")
        return float(found) or None

    def place(self, name: str) -> Place:
        """Return where the field's key stands, or the mapping itself when it is absent."""
        item = self._items.get(name)
        return item[1] if item else self.node.place

    def _read(self, name: str, kind: Kind) -> Node | None:
        """Return the field's value; the table of fields must have it as that kind, so that it tells what is read."""
        assert self.known.read[name].kind is kind, f"{self.known.where}.{name} is in the table as another kind"
        return self.get(name)

    def _list(self, node: Node | None, name: str) -> list[Node]:
        if node is None:
            return []
        if not isinstance(node.value, list):
            raise self._wrong(node, name, "a list")
        return node.value

    def _texts(self, node: Node | None, name: str) -> tuple[str, ...]:
        if node is not None and isinstance(node.value, str):
            return (self._as_text(node, name),)
        return tuple(self._as_text(item, name) for item in self._list(node, name))

    def _as_text(self, node: Node, name: str) -> str:
        match node.value:
            case str():
                if "\0" in node.value:
                    raise node.place.error(f"the field {name!r} of {self.known.where} must not hold a NUL byte")
                return node.value
            case bool():
                return "true" if node.value else "false"
            case int() | float():
                return str(node.value)
            case _:
                raise self._wrong(node, name, "a string")

    def _as_count(self, node: Node, name: str) -> int:
        value = node.value
        if isinstance(value, str) and re.fullmatch(r"[0-9]+", value):
            value = whole_number(value, node.place)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self._wrong(node, name, "a whole number of 0 or more")
        if value > MAX_COUNT:
            raise self._too_much(node, name, str(MAX_COUNT))
        return value

    def _too_much(self, node: Node, name: str, most: str) -> Exception:
        return node.place.error(f"the field {name!r} of {self.known.where} must be at most {most}")

    def _wrong(self, node: Node, name: str, wanted: str) -> Exception:
        return node.place.error(f"the field {name!r} of {self.known.where} must be {wanted}, not {kind_of(node)}")
