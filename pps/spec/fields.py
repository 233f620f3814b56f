"""Reading the fields of one mapping: spelling, types, and what to say about the rest.

Both ``snake_case`` and ``camelCase`` are taken. A field is read (and checked), noted (accepted without
effect), refused by name, or unknown; all that is wrong is collected, so that it can be told at once.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from pfs.errors import InvalidInputError
from pfs.shorten import quoted
from pps.spec.findings import Findings
from pps.spec.known import KNOWN
from pps.spec.node import Node, Place, Plain, kind_of, whole_number
from pps.spec.vocabulary import Kind, Known

DURATION_PATTERN = r"(?:([0-9]+(?:\.[0-9]+)?)h)?(?:([0-9]+(?:\.[0-9]+)?)m)?(?:([0-9]+(?:\.[0-9]+)?)s)?"
MAX_COUNT = 2**63 - 1
T = TypeVar("T")

ALSO = {"url": ("URL",)}
"""Spellings that Pachyderm's documentation uses beside the two."""
_LEAST_LIKE = 0.5
"""How much a field must be like an unknown one to be what was meant; of 1."""
_HUMP = re.compile(r"(?<=[a-z0-9])([A-Z])")
_DURATION = re.compile(DURATION_PATTERN)
FLAG_TEXTS = {"true": True, "false": False}
_MAX_DURATION_S = 10 * 365 * 86400.0


def snake(name: str) -> str:
    """Return the field's name in the one spelling: ``datumTries`` and ``datum_tries`` give ``datum_tries``.

    What is in neither of the two spellings stays as it is: ``DatumTries`` is no field.
    """
    one = _lower(name)
    return one if name in {one, camel(one), *ALSO.get(one, ())} else name


def _lower(name: str) -> str:
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


def _several(node: Node, _: str) -> list[Node]:
    return node.value if isinstance(node.value, list) else [node]


def _is_no_json(node: Node) -> bool:
    try:
        json.loads(node.value if isinstance(node.value, str) else "null")
    except (ValueError, RecursionError):
        return True
    return False


@dataclass(slots=True)
class Fields:
    """The fields of one mapping. What is wrong with them goes to ``findings``, and reading goes on with the default.

    ``tables``: where the kinds of mappings below it are.

    Raises:
        InvalidInputError: it is no mapping.
    """

    node: Node
    known: Known
    findings: Findings
    tables: Mapping[str, Known] = field(default_factory=lambda: KNOWN, repr=False)
    _items: dict[str, tuple[Node, Place]] = field(init=False)
    _bad: set[str] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        if not isinstance(self.node.value, dict):
            raise self.node.place.error(f"{self.known.where} must be a mapping, not {kind_of(self.node)}")
        self._items = {}
        for key, value in self.node.value.items():
            place, name = self.node.key_place(key), self.known.name_of(key, snake(key))
            if name in self._items:
                self._tell(place, f"the field {name!r} of {self.known.where} is given twice")
            self._items.setdefault(name, (value, place))
        for name, (value, place) in self._items.items():
            self._check(name, value, place)

    def _check(self, name: str, value: Node, place: Place) -> None:
        """Note a field without effect, refuse it with its reason, or call it unknown."""
        known = self.known
        if name in known.read or (value.is_unset and name in {*known.noted, *known.refused}):
            return
        if name in known.refused:
            self._bad.add(name)
            self._tell(place, f"the field {name!r} of {known.where} {known.refused[name]}")
        elif name in known.noted and value.plain() in known.usual.get(name, ()):
            pass
        elif name in known.noted and name in known.json and _is_no_json(value):
            self._tell(value.place, f"the field {name!r} of {known.where} must be JSON, though it has no effect here")
        elif name in known.noted:
            self.findings.notes.append(f"{known.where}.{name}: {known.noted[name]}")
        else:
            self._tell(place, f"unknown field {name!r} in {known.where}: {self._advice(name)}")

    def _advice(self, unknown: str) -> str:
        names = [*self.known.read, *self.known.noted, *self.known.refused]
        near = difflib.get_close_matches(_lower(unknown), names, n=1, cutoff=_LEAST_LIKE)
        if not near:
            return f"`{self.known.shown_by}` shows which there are"
        if near[0] not in self._items:
            self._bad.add(near[0])
        humped = "_" not in unknown and unknown != unknown.lower()
        return f"did you mean {(camel(near[0]) if humped else near[0])!r}?"

    def _tell(self, place: Place, message: str) -> None:
        self.findings.add(place, place.error(message))

    def bad(self, name: str, message: str) -> None:
        """Tell that something is wrong with a field; only what is told first of it counts."""
        if name not in self._bad:
            self._bad.add(name)
            self._tell(self.place(name), message)

    def refused(self, name: str, message: str) -> None:
        """Tell that something is wrong with a field, unless the document is one that was taken before."""
        if not self.findings.is_stored:
            self.bad(name, message)

    def is_bad(self, name: str) -> bool:
        """Say whether something is wrong with a field, or whether one is there that was probably meant to be it."""
        return name in self._bad

    def has(self, name: str) -> bool:
        """Say whether the field is there and set, without reading it."""
        return name in self._items and not self._items[name][0].is_unset

    def get(self, name: str) -> Node | None:
        """Return the field's value, or None when it is absent or null."""
        item = self._items.get(name)
        return item[0] if item and item[0].value is not None else None

    def raw(self, name: str) -> Plain:
        """Return the field's value as it was parsed, without reading it: for fields that rule others out."""
        node = self.get(name)
        return None if node is None else node.plain()

    def child(self, name: str) -> Fields | None:
        """Return the fields of the mapping in field ``name``, or None when it is absent or none."""
        known = self.tables[self.known.read[name].of]
        return self._value(name, Kind.CHILD, lambda node, _: Fields(node, known, self.findings, self.tables), None)

    def children(self, name: str) -> list[Node]:
        """Return the elements of the list of mappings in field ``name``; absent gives none."""
        return self._value(name, Kind.CHILDREN, self._as_list, [])

    def mappings(self, name: str) -> list[Fields]:
        """Return the fields of each mapping of the list in field ``name``; those that are none are told."""
        known, found = self.tables[self.known.read[name].of], []
        for node in self.children(name):
            try:
                found.append(Fields(node, known, self.findings, self.tables))
            except InvalidInputError as error:
                self.findings.add(node.place, error)
        return found

    def one_or_more(self, name: str) -> list[Fields]:
        """Return the fields of the mapping in field ``name``, or of each of a list; those that are none are told."""
        known, found = self.tables[self.known.read[name].of], []
        none: list[Node] = []
        for node in self._value(name, Kind.ONE_OR_MORE, _several, none):
            try:
                found.append(Fields(node, known, self.findings, self.tables))
            except InvalidInputError as error:
                self.findings.add(node.place, error)
        return found

    def text(self, name: str) -> str:
        """Return a string; a number is taken as it is written, so that 1.10 and 007 stay what they are."""
        return self._value(name, Kind.TEXT, self._as_text, "")

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of strings; a single string counts as a list of one."""
        return self._value(name, Kind.TEXTS, self._as_texts, ())

    def words(self, name: str) -> tuple[str, ...]:
        """Return a command as a list of strings; a single word counts as a list of one."""
        return self._value(name, Kind.WORDS, self._as_words, ())

    def variables(self, name: str) -> dict[str, str]:
        """Return a mapping of names of variables to strings; null is absent."""
        return self._value(name, Kind.TEXT_MAP, self._as_variables, {})

    def flag(self, name: str) -> bool:
        """Return true or false; absent is false. ``"true"`` counts too: Pachyderm's documentation has it of ``s3``."""
        return self._value(name, Kind.FLAG, self._as_flag, False)

    def count(self, name: str) -> int:
        """Return an integer of 0 or more; may be written as a string, as protobuf's JSON does for 64 bits."""
        return self._value(name, Kind.COUNT, self._as_count, 0)

    def counts(self, name: str) -> tuple[int, ...]:
        """Return a list of integers of 0 or more."""
        return self._value(name, Kind.COUNTS, self._as_counts, ())

    def seconds(self, name: str) -> float | None:
        """Return a duration in seconds, or None when it is absent or 0: ``"300s"``, ``"5m"``, ``"1h30m"``, ``300``."""
        return self._value(name, Kind.SECONDS, self._as_seconds, None)

    def place(self, name: str) -> Place:
        """Return where the field's key stands, or the mapping itself when it is absent."""
        item = self._items.get(name)
        return item[1] if item else self.node.place

    def _value(self, name: str, kind: Kind, convert: Callable[[Node, str], T], default: T) -> T:
        """Return the field's value; the table of fields must have it as that kind, so that it tells what is read."""
        assert self.known.read[name].kind is kind, f"{self.known.where}.{name} is in the table as another kind"
        node = self.get(name)
        if node is None:
            return default
        try:
            return convert(node, name)
        except InvalidInputError as error:
            if name not in self._bad:
                self._bad.add(name)
                self.findings.add(node.place, error)
            return default

    def _as_list(self, node: Node, name: str) -> list[Node]:
        if not isinstance(node.value, list):
            raise self._wrong(node, name, "a list")
        return node.value

    def _as_text(self, node: Node, name: str) -> str:
        match node.value:
            case str():
                if "\0" in node.value:
                    raise node.place.error(f"the field {name!r} of {self.known.where} must not hold a NUL byte")
                return node.value
            case bool() | int() | float():
                return node.text or json.dumps(node.value)
            case _:
                raise self._wrong(node, name, "a string")

    def _as_texts(self, node: Node, name: str) -> tuple[str, ...]:
        if isinstance(node.value, str):
            return (self._as_text(node, name),)
        return tuple(self._as_text(item, name) for item in self._as_list(node, name))

    def _as_words(self, node: Node, name: str) -> tuple[str, ...]:
        if isinstance(node.value, str) and len(node.value.split()) > 1:
            raise self._wrong(node, name, "a list of strings (one string is not split)")
        return self._as_texts(node, name)

    def _as_variables(self, node: Node, name: str) -> dict[str, str]:
        if not isinstance(node.value, dict):
            raise self._wrong(node, name, "a mapping")
        found: dict[str, str] = {}
        errors: list[tuple[Place, InvalidInputError]] = []
        for key, value in node.value.items():
            try:
                self._check_variable(node.key_place(key), key, name)
                if value.value is not None:
                    found[key] = self._as_text(value, f"{name}.{key}")
            except InvalidInputError as error:
                errors.append((node.key_place(key), error))
        for place, wrong in errors if name not in self._bad else ():
            self.findings.add(place, wrong)
        self._bad |= {name} if errors else set()
        return found

    def _check_variable(self, place: Place, key: str, name: str) -> None:
        if not key or "=" in key or "\0" in key:
            what = f"{key!r} in the field {name!r} of {self.known.where} cannot be the name of a variable"
            raise place.error(what)

    def _as_flag(self, node: Node, name: str) -> bool:
        if isinstance(node.value, str) and node.value in FLAG_TEXTS:
            return FLAG_TEXTS[node.value]
        if not isinstance(node.value, bool):
            raise self._wrong(node, name, "true or false")
        return node.value

    def _as_count(self, node: Node, name: str) -> int:
        value = node.value
        if isinstance(value, str) and re.fullmatch(r"[0-9]+", value):
            value = whole_number(value, node.place)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self._wrong(node, name, "a whole number of 0 or more", exact=True)
        if value > MAX_COUNT:
            raise self._too_much(node, name, str(MAX_COUNT))
        return value

    def _as_counts(self, node: Node, name: str) -> tuple[int, ...]:
        return tuple(self._as_count(item, name) for item in self._as_list(node, name))

    def _as_seconds(self, node: Node, name: str) -> float | None:
        value = node.value
        found = duration_s(value or "0s") if isinstance(value, str) else value
        if isinstance(found, bool) or not isinstance(found, int | float) or found < 0:
            raise self._wrong(node, name, 'a duration such as "300s", "5m" or "1h30m"', exact=True)
        if found > _MAX_DURATION_S:
            raise self._too_much(node, name, f"{_MAX_DURATION_S:.0f}s, which is ten years")
        return float(found) or None

    def _too_much(self, node: Node, name: str, most: str) -> Exception:
        return node.place.error(f"the field {name!r} of {self.known.where} must be at most {most}")

    def _wrong(self, node: Node, name: str, wanted: str, *, exact: bool = False) -> Exception:
        found = quoted(str(node.value)) if isinstance(node.value, str) else node.text or str(node.value)
        if not exact or isinstance(node.value, bool | list | dict):
            found = kind_of(node)
        return node.place.error(f"the field {name!r} of {self.known.where} must be {wanted}, not {found}")
