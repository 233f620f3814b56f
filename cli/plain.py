"""Plain words for one file: read without click, which takes a fifth of what such a command takes in all.

The options of a command stand in `cli/commands` alone. Here is what the most usual words become, and nothing else: for
any other word, or one that stands where it is not usual, click reads all of them, and finds what is wrong. A test
compares what both make of the same words.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from cli import process, words
from cli.invoke import invoke


class Plain(NamedTuple):
    """A command: where the function is that click would call, and parameters of it by the options that set them."""

    module: str
    function: str
    options: Mapping[str, str]
    flags: frozenset[str]
    """Parameters whose options take no word; those of the others take one."""
    repeated: frozenset[str] = frozenset()


class Call(NamedTuple):
    """What is to be called: an address, and parameters that are not the function's own defaults."""

    command: str
    address: str
    given: Mapping[str, str | bool | tuple[str, ...]]
    store: str | None


_RECURSIVE: Final = {"-r": "recursive", "--recursive": "recursive"}
COMMANDS: Final[Mapping[str, Plain]] = {
    "put-file": Plain(
        "cli.putting",
        "put_file",
        {"-f": "files", "--file": "files", "-m": "message", "--message": "message"} | _RECURSIVE,
        flags=frozenset({"recursive"}),
        repeated=frozenset({"files"}),
    ),
    "get-file": Plain(
        "cli.getting",
        "get_file",
        {"-o": "output", "--output": "output"} | _RECURSIVE,
        flags=frozenset({"recursive"}),
    ),
}


def run(program: str, typed: Sequence[str]) -> None:
    """Run the command that plain words call, and exit; return where the words are not plain."""
    call = read(typed)
    if call is None:
        return
    process.load_msgspec()
    from cli.wiring import choose_store

    choose_store(call.store)
    plain = COMMANDS[call.command]
    body = getattr(importlib.import_module(plain.module), plain.function)
    invoke(program, lambda: body(call.address, **call.given), reads=words.is_reading(call.command))


def read(typed: Sequence[str]) -> Call | None:
    """Return what plain words call, None for others."""
    store, rest = None, words.hoist_store(typed)
    if rest[:1] == ["--store"]:
        store, rest = rest[1] if len(rest) > 1 else None, rest[2:]
    plain = COMMANDS.get(rest[0]) if rest else None
    return None if plain is None or store == "" else _read(plain, rest, store)


def _read(plain: Plain, rest: Sequence[str], store: str | None) -> Call | None:
    addresses: list[str] = []
    single: dict[str, str | bool] = {}
    repeated: dict[str, tuple[str, ...]] = {}
    following = iter(rest[1:])
    for word in following:
        parameter = plain.options.get(word)
        if parameter is None:
            addresses.append(word)
        elif parameter in plain.flags:
            single[parameter] = True
        elif not _is_plain(value := next(following, "-")):
            return None
        elif parameter in plain.repeated:
            repeated[parameter] = (*repeated.get(parameter, ()), value)
        else:
            single[parameter] = value
    if len(addresses) != 1 or not _is_plain(addresses[0]):
        return None
    return Call(rest[0], addresses[0], {**single, **repeated}, store)


def _is_plain(word: str) -> bool:
    return word != "" and not word.startswith("-")
