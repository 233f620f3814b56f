"""What commands print: tables for people, JSON for scripts, the same records behind both."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import TypeAlias

Json: TypeAlias = "str | int | float | bool | Mapping[str, Json] | Sequence[Json] | None"
Record: TypeAlias = Mapping[str, Json]
Column: TypeAlias = "tuple[str, Callable[[Record], str]]"


@lru_cache(maxsize=256)
def timestamp(ns: int | None) -> str | None:
    """Return nanoseconds since the epoch as RFC 3339 in UTC with microseconds; None stays None.

    The last are kept: the files of a listing share the times of a few commits.
    """
    if ns is None:
        return None
    moment = datetime.fromtimestamp(ns // 1_000_000_000, tz=UTC).replace(microsecond=ns // 1000 % 1_000_000)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def human_size(size: int, *, raw: bool = False) -> str:
    """Return bytes for people in binary units (``1.5 MiB``), or the plain number with ``raw``."""
    if raw or size < 1024:
        return str(size) if raw else f"{size} B"
    value = float(size)
    for unit in ("KiB", "MiB", "GiB", "TiB", "PiB"):
        value /= 1024
        if value < 1024 or unit == "PiB":
            break
    return f"{value:.1f} {unit}" if value < 100 else f"{value:.0f} {unit}"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, which gets an ``s`` but for one."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def human_time(text: Json) -> str:
    """Return an RFC 3339 time as local time for people, to the second; ``-`` for None."""
    if not isinstance(text, str):
        return "-"
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def print_json(value: Json) -> None:
    """Print one JSON document: an object for inspect-*, an array for list-*."""
    import json

    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def print_json_array(records: Iterable[Record]) -> None:
    """Print records as one JSON array, a record at a time, so that a million of them need no memory."""
    import json

    encode = json.JSONEncoder(ensure_ascii=False).encode
    first = True
    for record in records:
        sys.stdout.write(("[\n" if first else ",\n") + encode(record))
        first = False
    sys.stdout.write("[]\n" if first else "\n]\n")


def print_table(records: Iterable[Record], columns: Sequence[Column]) -> None:
    """Print aligned columns with a header; widths are those of each block of 1,000 rows, so output streams."""
    block: list[list[str]] = [[title for title, _ in columns]]
    for record in records:
        block.append([cell(record) for _, cell in columns])
        if len(block) == 1000:
            _print_block(block)
            block = []
    _print_block(block)


_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}


def printable(text: str) -> str:
    """Return text with control characters escaped: names come from others, and a terminal would obey them."""
    return text if text.isprintable() else text.translate(_CONTROLS)


def _print_block(rows: list[list[str]]) -> None:
    if not rows:
        return
    padded = []
    for column in zip(*rows, strict=True):
        cells = [printable(cell) for cell in column]
        width = max(map(len, cells))
        padded.append([cell.ljust(width) for cell in cells])
    lines = ["  ".join(cells).rstrip() for cells in zip(*padded, strict=True)]
    sys.stdout.write("\n".join(lines) + "\n")


def emit(records: Iterable[Record], columns: Sequence[Column], *, as_json: bool) -> None:
    """Print a listing either way."""
    if as_json:
        print_json_array(records)
    else:
        print_table(records, columns)


def emit_one(record: Record, *, as_json: bool) -> None:
    """Print one record: as JSON, or as aligned ``field: value`` lines."""
    if as_json:
        print_json(record)
        return
    width = max(len(name) for name in record) + 1
    for name, value in record.items():
        sys.stdout.write(f"{name + ':':<{width}} {_plain(value)}\n")


def emit_with_table(record: Record, name: str, columns: Sequence[Column], *, as_json: bool) -> None:
    """Print one record; for people, its field ``name``, a list of records, as a table below the others."""
    rows = record[name]
    if as_json or not isinstance(rows, Sequence):
        emit_one(record, as_json=as_json)
        return
    emit_one({key: value for key, value in record.items() if key != name}, as_json=False)
    if rows:
        sys.stdout.write("\n")
        print_table((row for row in rows if isinstance(row, Mapping)), columns)


def _plain(value: Json) -> str:
    if value is None:
        return "-"
    if isinstance(value, str):
        return printable(value)
    import json

    return json.dumps(value, ensure_ascii=False)


def note(text: str) -> None:
    """Say on stderr what a successful command has to say beside its output."""
    with suppress(OSError):  # what the command did stands, whether or not anybody can read this
        sys.stderr.write(f"note: {printable(text)}\n")


def field(name: str, *, default: str = "-") -> Callable[[Record], str]:
    """Return a cell that shows one field as text."""

    def cell(record: Record) -> str:
        value = record.get(name)
        return default if value is None or value == "" else str(value)

    return cell


def short_id(name: str = "id") -> Callable[[Record], str]:
    """Return a cell that shows an id as it is: ids are pasted into the next command."""
    return field(name)


def size_of(name: str = "size_bytes", *, raw: bool = False) -> Callable[[Record], str]:
    """Return a cell that shows a size for people, or in bytes with ``raw``."""

    def cell(record: Record) -> str:
        value = record.get(name)
        return human_size(value, raw=raw) if isinstance(value, int) else "-"

    return cell


def time_of(name: str) -> Callable[[Record], str]:
    """Return a cell that shows a time for people."""
    return lambda record: human_time(record.get(name))
